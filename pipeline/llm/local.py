"""The embedded endpoint: a llama.cpp server (xllamacpp) on a free loopback port, in a process of its own.

The process ends when its standard input closes, so it never outlives its owner, however that ends.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.errors import InputError, unknown_name
from pipeline.core.tables import atomic_write
from pipeline.llm.config import Local, LocalModel
from pipeline.llm.errors import EndpointError

READY = "listening "
"""What the server process prints before its address."""


def weights(config: Local, model: str, scratch: Path) -> Path:
    """The GGUF file of `model`; one that comes in parts is joined once, in `scratch`.

    Raises:
        ConfigError: `llm.local.models` has no such model.
        InputError: its package is not installed; the message holds the command that installs it.
    """
    if model not in config.models:
        raise unknown_name("local model", model, config.models)
    entry = config.models[model]
    parts = [_file_in(package, entry) for package in entry.parts or (entry.package,)]
    return parts[0] if len(parts) == 1 else _joined(parts, scratch / f"{model}.gguf")


def _file_in(package: str, entry: LocalModel) -> Path:
    spec = importlib.util.find_spec(package)
    folder = Path(spec.origin).parent if spec and spec.origin else None
    found = sorted(folder.rglob(entry.file)) if folder else []
    if not found:
        raise InputError(f"The weights package {package} is missing; install it with `{entry.install}`.")
    return found[0]


def _joined(parts: list[Path], whole: Path) -> Path:
    if not whole.exists() or whole.stat().st_size != sum(part.stat().st_size for part in parts):
        with atomic_write(whole) as file:
            for part in parts:
                file.write(part.read_bytes())
    return whole


def fingerprint(path: Path) -> str:
    """Hex sha256 of a weights file, so that a reply is only reused for the very weights that wrote it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def local_server(config: Local, model: str, path: Path) -> Iterator[str]:
    """Serve the GGUF file at `path` as `model` while the block runs; yields the base URL.

    Raises:
        EndpointError: xllamacpp is missing, or the server did not start in `config.start_timeout_s`.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise EndpointError("The embedded model needs xllamacpp; install it with `pip install xllamacpp`.")
    # Spinning OpenMP threads stall for seconds as soon as another process wants a core; the variable is read
    # when the library loads, hence a process of its own.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
    entry = config.models.get(model)
    template = (entry and entry.chat_template) or ""
    arguments = [str(path), model, template, str(config.threads), str(config.slots), str(config.context)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.llm.local", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    try:
        yield f"{_address(process, config.start_timeout_s)}/v1"
    finally:
        process.kill()
        process.communicate()


def _address(process: subprocess.Popen[str], timeout_s: float) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_s
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        line = process.stdout.readline()
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
        if not line:
            break
    raise EndpointError("The embedded llama.cpp server did not start; is the GGUF file whole?")


def _serve(path: str, model: str, template: str, threads: int, slots: int, context: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {model}
    params.port = 0
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.verbosity = -1
    params.chat_template = template
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{READY}{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    del server


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], sys.argv[3], *map(int, sys.argv[4:7]))
