"""Settings of the validate stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.core.config import Section
from pipeline.core.records import QuestionKind


class RulesConfig(Section):
    """Thresholds of the semantic rules."""

    require_kinds: tuple[QuestionKind, ...]
    """Kinds of which a preference needs at least one valid question."""
    max_target_words: int = Field(ge=1)
    """Longest target, in words."""
    max_question_words: int = Field(ge=3)
    """Longest question, in words."""
    min_question_words: int = Field(ge=1)
    """Shortest question, in words."""


class DifficultyConfig(Section):
    """Thresholds of the difficulty tag; see docs/dataset.md."""

    encoder: Literal["minilm", "hashed"]
    """minilm: sentence embeddings, about 200 texts a second; hashed: bags of words, for 100,000 drafts and more."""
    max_rank: int = Field(ge=1)
    """The statement counts as found with a question where it is among this many best matches."""
    min_overlap: float = Field(ge=0, le=1)
    """A question counts as given away where it shares this much with the statement or names this much of the
    attribute type; shares of content words."""
    pool_size: int = Field(ge=1)
    """How many statements the rank is counted among."""


class ReferenceConfig(Section):
    """The model whose solve rates are measured; bound to an endpoint in `llm.roles`."""

    role: str
    """Role of `llm.roles` that answers."""
    samples: int = Field(ge=1)
    """Replies for each question with and without the statement; more than one only with a temperature above 0."""
    max_tokens: int = Field(ge=4)
    """Tokens of a reply that are read; a longer one is cut."""
    max_guess_rate: float = Field(ge=0, le=1)
    """A question solved more often than this without the statement is dropped as guessable."""
    min_solve_rate: float = Field(gt=0, le=1)
    """A question solved at least this often with the statement counts as solvable."""


class SplitConfig(Section):
    """Shares of the splits, by users."""

    seed: int
    """Changes which users fall where."""
    train: float = Field(ge=0, le=1)
    """Share of train."""
    validation: float = Field(ge=0, le=1)
    """Share of validation."""
    test: float = Field(ge=0, le=1)
    """Share of test."""
    max_group: float = Field(ge=0, le=1)
    """Users of one fact (attribute type and value) fall into one split, unless that made a group of more than this
    share of all users; the commonest facts are the ones left apart."""
    near_duplicate: float | None = Field(ge=-1, le=1)
    """Statements at least this close (cosine) fall into one split; null compares their words only, for large sets."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitConfig:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            raise ValueError("train + validation + test must be 1")
        return self


class ValidateConfig(Section):
    """The validate section of params.yaml."""

    rules: RulesConfig
    """Semantic rules."""
    difficulty: DifficultyConfig
    """Difficulty tag."""
    reference: ReferenceConfig | None
    """Solve rates; null leaves them out, and the tag then rests on words and rank alone."""
    split: SplitConfig
    """Splits."""
