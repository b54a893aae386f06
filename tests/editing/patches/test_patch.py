"""Patch files."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from editing.patches.compose import compose
from editing.patches.patch import Manifest, Patch, PromptPlan, low_rank_tensors
from pipeline.core.errors import InputError


def manifest(**fields: object) -> Manifest:
    known = {"kind": "low_rank", "method": "m", "config_sha256": "c", "model": "tiny", "weights_sha256": "w"}
    return Manifest.model_validate({**known, "user_id": "u", "preference_ids": ("p",), **fields})


@settings(max_examples=25, deadline=None)
@given(d_out=st.integers(1, 6), d_in=st.integers(1, 6), rank=st.integers(1, 3), text=st.text(max_size=30))
def test_a_patch_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, d_out: int, d_in: int, rank: int, text: str
) -> None:
    path = tmp_path_factory.mktemp("patch") / "p.safetensors"
    tensors = low_rank_tensors({"layer.down": (torch.randn(d_out, rank), torch.randn(rank, d_in))})
    patch = Patch(manifest(plan=PromptPlan(memories=(text,)) if text.isprintable() else None), tensors)
    patch.save(path)
    loaded = Patch.load(path)
    assert loaded.manifest == patch.manifest
    assert loaded.sha256 == patch.sha256
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in patch.tensors.items())


def test_a_patch_keeps_its_own_copy_of_the_tensors() -> None:
    value = torch.ones(2, 1)
    patch = Patch(manifest(), {"x.A": value})
    value.zero_()
    assert float(patch.tensors["x.A"].sum()) == 2
    with pytest.raises(TypeError):
        patch.tensors["x.A"] = value  # type: ignore[index]


def test_bytes_count_tensors_and_the_texts_of_the_user() -> None:
    assert Patch(manifest(), {"x.A": torch.ones(3, 2), "x.B": torch.ones(2, 5)}).nbytes == 4 * 16
    plan = PromptPlan(system="Be kind.", memories=("caf\u00e9",))
    assert Patch(manifest(kind="prompt", plan=plan), {}).nbytes == 5


@pytest.mark.parametrize("content", [b"", b"not a patch", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="bad.safetensors: not a patch file"):
        Patch.load(path)


@given(question=st.text(), memory=st.text())
def test_braces_in_questions_and_statements_are_inert(question: str, memory: str) -> None:
    plan = PromptPlan(before="I said: {memories}\n", memories=(memory,))
    (message,) = compose(plan, question)
    assert message.content == f"I said: {memory}\n{question}"
