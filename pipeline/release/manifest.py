"""manifest.json of a release folder: what is in it, and what made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from pipeline.core.errors import InputError
from pipeline.core.records import Record

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class FileEntry(Record):
    """One file of the folder."""

    sha256: Sha256
    """Hash of its bytes."""
    bytes: int
    """Its size."""


class Revision(Record):
    """A state of the code."""

    commit: str | None
    """Hex of the Git commit; None outside Git."""
    dirty: bool | None
    """Whether files differed from it; None outside Git."""


class Manifest(Record):
    """The manifest."""

    name: str
    """Title of the dataset."""
    version: str
    """Its version."""
    url: str | None
    """Its page."""
    dataset_sha256: Sha256
    """What identifies the rows: the hash of the Parquet files."""
    code: Revision
    """What built it."""
    dvc_revision: str | None
    """Hash of commands, settings and code of the stages before, as dvc.lock records them."""
    rows: dict[str, dict[str, int]]
    """Rows by config and split."""
    licenses: dict[str, int]
    """Rows by licence."""
    refused: dict[str, int]
    """Rows left out, by "config: licence"."""
    files: dict[str, FileEntry]
    """Every file but this one, by its path in the folder."""


def read_manifest(path: Path) -> Manifest:
    """The manifest in `path`.

    Raises:
        InputError: it is missing, no JSON, or a key is missing, unknown or of another form; names the key.
    """
    try:
        return Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error})") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()[:3])
        raise InputError(f"{path} is no manifest of a release ({faults})") from error
