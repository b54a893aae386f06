"""An answer given after other turns."""

from __future__ import annotations

from pydantic import Field

from pipeline.core.records import Answer


class TurnAnswer(Answer):
    """An answer after distractor turns."""

    turns: int = Field(ge=0)
    """Distractor turns between statement and question."""
    overflow: bool
    """Whether the conversation did not fit the model's context; such a question is not asked and has no answer."""
    distractors: tuple[str, ...]
    """Ids of the exchanges."""
