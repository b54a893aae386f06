"""Checkpoints: what is accepted, and what is refused with which words."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from editing.lm.load import LM, load, pick_device
from editing.lm.source import WEIGHTS_COMMAND, check_folder, packaged_gguf, resolve
from pipeline.core.errors import ConfigError, InputError


def folder_with(path: Path, config: dict[str, object], weights: str = "model.safetensors") -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / weights).write_bytes(b"")
    return path


def test_a_local_folder_is_loaded_with_the_hash_of_its_weights(checkpoint: Path) -> None:
    first, second = load(str(checkpoint), name="a"), load(str(checkpoint), name="b")
    assert first.weights_sha256 == second.weights_sha256
    assert str(first.dtype) == "torch.float32"
    assert not first.model.training


def test_a_missing_weights_package_names_the_command_that_installs_it() -> None:
    with pytest.raises(InputError, match="not installed") as caught:
        packaged_gguf("llm_that_is_not_there")
    assert WEIGHTS_COMMAND in str(caught.value)


def test_a_file_that_several_packages_carry_in_parts_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, content in enumerate((b"GGUF", b"rest")):
        folder = tmp_path / "site" / f"weights_part{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise ImportError('never imported')")
        (folder / "data" / f"tiny.gguf.part0{number}").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    whole = packaged_gguf("weights_part0+weights_part1", tmp_path / "cache")
    assert whole == tmp_path / "cache" / "tiny.gguf"
    assert whole.read_bytes() == b"GGUFrest"


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "bert", {"architectures": ["BertForMaskedLM"], "model_type": "bert"})
    with pytest.raises(InputError, match=r"not a decoder language model \(architecture: BertForMaskedLM\)"):
        check_folder(folder)


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}
    with pytest.raises(InputError, match="not a decoder language model"):
        check_folder(folder_with(tmp_path / "t5", config))


def test_an_eight_bit_checkpoint_is_refused(tmp_path: Path) -> None:
    config = {"architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "bitsandbytes"}}
    with pytest.raises(InputError, match=r"quantized \(bitsandbytes\)"):
        check_folder(folder_with(tmp_path / "q", config))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "p", {"architectures": ["LlamaForCausalLM"]}, "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no \*\.safetensors"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "not a checkpoint. Give a Hub id"),
        ("nowhere.gguf", "no such GGUF file"),
        ("package:llm_that_is_not_there", "not installed"),
    ],
)
def test_a_source_that_is_nothing_says_what_is_accepted(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(source)


def test_a_file_that_is_no_gguf_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUX0000")
    with pytest.raises(InputError, match="cannot be read as a GGUF"):
        resolve(str(tmp_path / "bad.gguf"), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: not valid JSON"):
        check_folder(tmp_path)


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="device 'nonsense' is not available"):
        pick_device("nonsense")


def test_a_layer_out_of_range_names_the_range(make_lm: Callable[..., LM]) -> None:
    from editing.methods.base import layer_index

    lm = make_lm("llama")
    assert [layer_index(layer, lm) for layer in (0, 3, -1, 0.0, 0.5, 0.99)] == [0, 3, 3, 0, 2, 3]
    for layer in (4, -5, 1.0, 1.5):
        with pytest.raises(ConfigError, match="layers 0 to 3"):
            layer_index(layer, lm)
