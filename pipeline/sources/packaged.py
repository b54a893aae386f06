"""JSON files of corpora that lie in a Python package or where the user says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline.core.errors import InputError


def json_files(path: str | None, package: str, folder: str, install: str) -> list[Path]:
    """The JSON files of a corpus, sorted: those at `path`, else those in `folder` of the installed `package`.

    Raises:
        InputError: neither is there, or there is no JSON file; the message holds `install`, the command that helps.
    """
    if path is None:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise InputError(f"The package {package.replace('_', '-')} is missing; install it with `{install}`.")
        root = Path(spec.origin).parent / folder
    else:
        root = Path(path)
    found = sorted(root.glob("*.json")) if root.is_dir() or path is None else [root]
    if not found:
        raise InputError(f"{root}: no JSON file in this folder; reinstall with `{install}`.")
    return found
