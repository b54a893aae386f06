"""Settings of the generate stage."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.core.config import Section


class MatchingConfig(Section):
    """When a mined query counts as an implicit question, or as irrelevant; cosines of sentence embeddings."""

    min_to_question: float = Field(ge=-1, le=1)
    """An implicit query must be this close to an implicit question we wrote for the attribute type ..."""
    min_to_statement: float = Field(ge=-1, le=1)
    """... and this close to the statement."""
    max_uses: int = Field(ge=1)
    """Topics that one mined query may be an implicit question of; the closest ones get it."""
    max_irrelevant: float = Field(ge=-1, le=1)
    """An irrelevant query must stay below this to the statement and to all questions of the attribute type."""
    max_unstated: float = Field(ge=-1, le=1)
    """The direct question of an unstated attribute must stay below this to all statements of the user."""
    max_words: int = Field(ge=3)
    """Longest mined query that is used."""
    validator: str | None
    """Role of `llm.roles` that is asked whether a fact changes the good answer to a mined query; null asks nobody."""


class RankingConfig(Section):
    """When a sample of the model is taken; cosines of sentence embeddings."""

    rephrased: float = Field(ge=-1, le=1)
    """A generated rephrased question must be this close to a direct question we wrote for the attribute type."""
    implicit: float = Field(ge=-1, le=1)
    """A generated implicit question must be this close to the statement."""
    product: float = Field(ge=-1, le=1)
    """A generated product question must be this close to the statement."""
    max_rank: int = Field(ge=1)
    """The statement's rank by closeness to a generated implicit or product question, among the statements of other
    attribute types, must not be beyond this: a question close to many statements depends on none."""
    ours_first: bool
    """Whether implicit and product questions that we wrote are taken before generated ones, which are then not asked
    for; small models write weaker ones."""
    known_words_only: bool
    """Whether a sample may only use words that stand in mined texts or in our questions; small models invent words."""


class GenerateConfig(Section):
    """The generate section of params.yaml."""

    role: str
    """Role of `llm.roles` that writes."""
    writer: Literal["ideas", "questions"]
    """ideas: one narrow task at a time, for small models. questions: rephrased, implicit and product questions in
    one reply, for capable ones. Prompts in prompts/generate."""
    max_statements: int = Field(ge=1)
    """Statements worked on, each user's first ones first; the rest is dropped as not_sampled."""
    samples: int = Field(ge=1)
    """Model replies for a statement at most; more than one only where the rules reject the first."""
    max_tokens: int = Field(ge=16)
    """Tokens of one reply at most."""
    cluster_size: int = Field(ge=1)
    """Members of a cluster, the original included."""
    updates: int = Field(ge=0)
    """Preferences at most that get an update written: a later statement of the same user that replaces them."""
    encoder_dtype: Literal["float32", "bfloat16"]
    """Precision of the sentence encoder."""
    ranking: RankingConfig
    """Picking among samples."""
    matching: MatchingConfig
    """Mined queries."""
