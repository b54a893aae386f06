"""The hand-labelled replies on which judges are set up and measured; written by us, about people we made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from editing.judges.base import Item
from pipeline.core.errors import InputError
from pipeline.core.records import QuestionKind, Record

CALIBRATION = Path(__file__).with_name("calibration.jsonl")
"""The labelled replies."""
FRESH = Path(__file__).with_name("calibration_fresh.jsonl")
"""Replies held apart (split "fresh"): about other preferences, written before any judge was run on them; measured by
`python -m benchmarks.judges --fresh`. Nothing is ever chosen on them."""


class LabelledReply(Record):
    """One reply with the verdict a careful reader gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)

    preference: str
    """Key of the preference; all its replies are on one side of the split."""
    split: Literal["development", "test", "fresh"]
    """development: thresholds and weights are chosen on it; test: figures are reported on it; fresh: see FRESH."""
    writer: str = "first"
    """Who wrote and labelled the reply; development replies come from several hands."""
    kind: QuestionKind
    """Kind of the question."""
    statement: str
    """What the user said."""
    attribute_type: str
    """What kind of fact it is."""
    target: str
    """The user's value."""
    aliases: tuple[str, ...]
    """Other surface forms of the target."""
    question: str
    """The question."""
    reply: str
    """The reply to judge."""
    label: Literal["correct", "incorrect"]
    """The verdict by docs/protocol.md."""
    group: str = Field(alias="class")
    """What makes the reply right or wrong, e.g. "paraphrase", "negated"."""

    def item(self) -> Item:
        """What a judge sees of it."""
        return Item(
            kind=self.kind,
            question=self.question,
            statement=self.statement,
            attribute_type=self.attribute_type,
            target=self.target,
            aliases=self.aliases,
            accepted=(),
            reply=self.reply,
        )


def read_calibration(split: str, path: Path = CALIBRATION) -> Iterator[LabelledReply]:
    """The labelled replies of one split, in file order.

    Raises:
        InputError: a line is not a labelled reply; names file and line.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = LabelledReply.model_validate(json.loads(line))
            except (json.JSONDecodeError, ValidationError) as error:
                raise InputError(f"{path}: line {number}: not a labelled reply: {error}") from error
            if row.split == split:
                yield row
