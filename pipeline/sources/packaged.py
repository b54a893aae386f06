"""JSON files of corpora that lie in a Python package or where the user says."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.records import Conversation
from pipeline.sources.base import BadRecord, Source
from pipeline.sources.json_array import CutOff


class JsonFiles(Source):
    """A corpus whose records stand in JSON files, one after another."""

    def read(self) -> Iterator[Conversation]:
        """The conversations of all whole records; see `Source.read`."""
        return self.counted(self._conversations())

    @abstractmethod
    def files(self) -> list[Path]:
        """The JSON files to read, sorted.

        Raises:
            InputError: there are none.
        """

    @abstractmethod
    def records(self, path: Path) -> Iterable[tuple[int, int | str, Any]]:
        """Byte, name and value of each record of a file.

        Raises:
            CutOff: the file ends before its last record does.
        """

    @abstractmethod
    def conversations(self, name: int | str, value: Any) -> Iterable[Conversation]:
        """The conversations of one record.

        Raises:
            BadRecord: it has not the corpus' form.
        """

    def _conversations(self) -> Iterator[Conversation]:
        for path in self.files():
            try:
                for byte, name, value in self.records(path):
                    try:
                        yield from self.conversations(name, value)
                    except BadRecord as problem:
                        self.skip(str(problem), f"{path}: byte {byte}, record {name}")
            except CutOff as cut:
                self.cut_off(str(path), str(cut))


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
