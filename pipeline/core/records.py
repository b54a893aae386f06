"""The rows that cross stage borders.

Every record is a frozen pydantic model that forbids unknown fields. `schemas/<name>.schema.json` and the
Arrow schemas in `pipeline.core.tables` are derived from these classes; nothing untyped passes a stage border.
Row ids are content hashes (`content_id`), never positions.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


def content_id(*parts: object) -> str:
    """The first 16 hex digits of the sha256 of `parts` as canonical JSON: equal parts, equal id."""
    return hashlib.sha256(_CANONICAL.encode(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


class Record(BaseModel):
    """Base of all rows: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Turn(Record):
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    """Who speaks."""
    text: str
    """The message as it stands in the source, before redaction."""


class Conversation(Record):
    """One conversation as a source yields it; never written to disk as it is."""

    source: str
    """Name of the source (a module in pipeline/sources)."""
    source_id: str
    """The source's own key for this conversation."""
    user_id: str
    """Salted hash of the source's own user key; of the conversation's key where the source has no users."""
    turns: tuple[Turn, ...]
    """The messages in order; may be empty."""
    language: str | None
    """BCP-47 language of the conversation as the source states it; None where it does not."""
    license: str
    """SPDX id of the licence of this conversation, or "unknown"."""
    timestamp: str | None
    """ISO 8601 time of the conversation, where the source has one."""


class Exchange(Record):
    """One message of a user with the assistant's reply to it; never released."""

    id: str
    """Hash of where it stands and what it says."""
    user_id: str
    """Salted hash of the user."""
    source: str
    """Name of the source."""
    conversation: str
    """The source's key of the conversation."""
    turn: int = Field(ge=0)
    """Index of the user's message in the conversation."""
    user: str
    """The user's message."""
    assistant: str
    """The reply."""
    license: str
    """SPDX id of the licence of the conversation, or "unknown"."""


class Evidence(Record):
    """Where in the source a mined text stands."""

    source: str
    """Name of the source."""
    conversation: str
    """The source's key of the conversation (Conversation.source_id)."""
    turn: int = Field(ge=0)
    """Index of the turn in the conversation."""
    start: int = Field(ge=0)
    """First character of the span in the turn's text before redaction."""
    end: int = Field(ge=0)
    """One past the last character of the span in the turn's text before redaction."""


class Redaction(Record):
    """One identifier replaced by a typed placeholder; the value itself is never kept."""

    kind: str
    """Type of the identifier, e.g. "EMAIL"; the placeholder in the text is "[EMAIL]"."""
    start: int = Field(ge=0)
    """First character of the placeholder in the redacted text."""
    end: int = Field(ge=0)
    """One past the last character of the placeholder in the redacted text."""


class Statement(Record):
    """One preference statement: a sentence in which a user says something durable about themself."""

    id: str
    """Hash of the evidence and the text."""
    user_id: str
    """Salted hash of the user."""
    evidence: Evidence
    """Where the sentence stands."""
    text: str
    """The sentence as written, after redaction."""
    self_contained: str
    """The statement rewritten so that it stands alone."""
    family: str
    """Attribute family the detector puts it in, e.g. "profession", "diet"; see docs/mining.md."""
    confidence: float = Field(ge=0, le=1)
    """The detector's probability that this is a preference statement."""
    sensitive: tuple[str, ...]
    """Sensitive categories it touches (health, religion, sexuality, politics); empty for none."""
    language: str
    """BCP-47 language of the sentence."""
    license: str
    """SPDX id of the licence of the row, or "unknown"."""
    redactions: tuple[Redaction, ...]
    """Redaction log of `text`."""
    history: tuple[str, ...]
    """Ids of the user's other statements, which are rows of the table of histories, in order of appearance."""


class HistoryEntry(Record):
    """One statement in the history of a user: what a method that reads all they ever said may read."""

    id: str
    """Id of the statement."""
    user_id: str
    """Salted hash of the user."""
    text: str
    """The statement, redacted and rewritten so that it stands alone."""
    evidence: Evidence
    """Where the sentence stands."""
    sensitive: tuple[str, ...]
    """Sensitive categories it touches (health, religion, sexuality, politics); empty for none."""
    license: str
    """SPDX id of the licence of the row, or "unknown"."""


class Query(Record):
    """One advice-seeking question a user really asked: the good answer depends on who asks."""

    id: str
    """Hash of the evidence and the text."""
    user_id: str
    """Salted hash of the user."""
    evidence: Evidence
    """Where the question stands."""
    text: str
    """The question as written, after redaction."""
    topic: str
    """Topic tag, e.g. "food", "travel"; see docs/mining.md."""
    confidence: float = Field(ge=0, le=1)
    """The detector's probability that this is an advice-seeking query."""
    language: str
    """BCP-47 language of the question."""
    license: str
    """SPDX id of the licence of the row, or "unknown"."""
    redactions: tuple[Redaction, ...]
    """Redaction log of `text`."""


class Dropped(Record):
    """A row a stage did not pass on, kept whole with the reason."""

    id: str
    """Id of the dropped row."""
    stage: str
    """Stage that dropped it."""
    reason: str
    """Machine-readable reason; a member of the stage's enum of reasons."""
    detail: str
    """What tripped the rule, for a reader."""
    row: str
    """The dropped row as JSON, after redaction."""


class QuestionKind(StrEnum):
    """The paper's four kinds, and the controls that must NOT trigger the preference."""

    EXPLICIT = "explicit"
    """Asks for the attribute by its name."""
    REPHRASED = "rephrased"
    """Asks for the attribute in other words."""
    IMPLICIT = "implicit"
    """An advice-seeking query whose good answer depends on the preference."""
    PRODUCT = "product"
    """Asks for a product to buy; the good recommendation fits the preference."""
    UNSTATED = "unstated"
    """Asks for an attribute this user never stated."""
    IRRELEVANT = "irrelevant"
    """A real advice-seeking query for which this preference does not matter."""
    OTHER_PERSON = "other_person"
    """Asks for the attribute of a relative, or of the assistant."""
    NEUTRAL = "neutral"
    """A world fact."""


TARGET_KINDS = (QuestionKind.EXPLICIT, QuestionKind.REPHRASED, QuestionKind.IMPLICIT, QuestionKind.PRODUCT)
"""Kinds whose good answer uses the preference."""
CONTROL_KINDS = (QuestionKind.UNSTATED, QuestionKind.IRRELEVANT, QuestionKind.OTHER_PERSON, QuestionKind.NEUTRAL)
"""Kinds in whose answer the target must not show up."""


Origin = Literal["mined", "generated", "template"]
"""mined: written by a user; generated: by a language model; template: a sentence we wrote."""


class DraftQuestion(Record):
    """One question of a draft, before validation."""

    kind: QuestionKind
    """Which of the eight kinds it claims to be."""
    text: str
    """The question, in the first person."""
    origin: Origin
    """mined: really asked by a user; generated: by the model; template: a sentence we wrote."""
    query_id: str | None
    """Id of the mined query it comes from; None unless origin is mined."""
    accepted: tuple[str, ...]
    """Answers that count as right: target and aliases for the four kinds, the fact for neutral, empty where
    only the absence of the target is checked."""


class Provenance(Record):
    """What was asked to write a draft; a question's `origin` says what wrote it."""

    model: str
    """Model that was asked for questions; none where it was not."""
    prompts: dict[str, str]
    """Id -> sha256 of the template of each prompt that was sent about this draft."""
    samples: int = Field(ge=0)
    """Model replies spent on this draft, rejected ones included."""


class ClusterMember(Record):
    """One member of a preference cluster (Personalization Editing): a synonym with its own direct question.

    The first member is the original and asks the explicit question itself, the edit prompt of the literature's
    single-fact methods. No other member's question is one of the preference's evaluation questions.
    """

    attribute_type: str
    """The attribute type, or a synonym of it."""
    question: str
    """A direct question for it, in the first person."""
    target: str
    """The target, or a synonym of it."""


class Draft(Record):
    """One preference with all its questions, as written by `generate`."""

    id: str
    """Hash of statement id, attribute type and target."""
    statement: Statement
    """The mined statement it rests on."""
    attribute_type: str
    """What kind of fact it is, a noun phrase: "profession", "favourite cuisine"."""
    family: str
    """Attribute family of that type; the statement's own is what the detector guessed."""
    target: str
    """The user's value for it, a span of the statement: "nurse"."""
    aliases: tuple[str, ...]
    """Other surface forms of the target that count as the same answer."""
    cluster: tuple[ClusterMember, ...]
    """Synonyms with direct questions for clustered edits, the original first; may be empty."""
    questions: tuple[DraftQuestion, ...]
    """Questions of all kinds."""
    provenance: Provenance
    """What wrote it."""
    origin: Origin = "mined"
    """Where the statement comes from; template: an update of a mined one that we wrote."""
    superseded_by: str | None = None
    """Id of the same user's later preference that replaces this one; None while it holds."""


Split = Literal["train", "validation", "test"]


class Preference(Record):
    """One released preference."""

    id: str
    """Same id as the draft's."""
    user_id: str
    """Salted hash of the user."""
    statement: str
    """The statement, self-contained: what a system may be told about the user."""
    attribute_type: str
    """What kind of fact it is."""
    family: str
    """Family of the attribute type, the stratum of the splits."""
    target: str
    """The user's value."""
    aliases: tuple[str, ...]
    """Other surface forms that count as the same answer."""
    cluster: tuple[ClusterMember, ...]
    """Synonyms for clustered edits; the original is the first member."""
    sensitive: tuple[str, ...]
    """Sensitive categories it touches."""
    evidence: Evidence
    """Where the statement stands in the source."""
    source: str
    """Name of the source."""
    license: str
    """SPDX id, or "unknown"."""
    split: Split
    """Split of the user."""
    provenance: Provenance
    """What wrote it."""
    origin: Origin = "mined"
    """Where the statement comes from; template: an update of a mined one that we wrote."""
    superseded_by: str | None = None
    """Id of the same user's later preference that replaces this one; None while it holds."""


class Difficulty(Record):
    """The measured numbers behind a difficulty tag; see docs/dataset.md."""

    statement_overlap: float = Field(ge=0, le=1)
    """Share of the question's content words that stand in the statement."""
    attribute_overlap: float = Field(ge=0, le=1)
    """Share of the attribute type's words that stand in the question."""
    statement_similarity: float = Field(ge=-1, le=1)
    """Cosine of the sentence embeddings of question and statement."""
    statement_rank: int = Field(ge=1)
    """Rank of the statement by similarity to the question among `statement_pool` statements; 1 is best."""
    statement_pool: int = Field(ge=1)
    """How many different statements that rank is counted among, its own included: the worst rank there is."""
    solve_rate_with: float | None = Field(default=None, ge=0, le=1)
    """Share of a reference model's replies that say the target when the statement stands in the prompt; None where
    it was not asked."""
    solve_rate_without: float | None = Field(default=None, ge=0, le=1)
    """The same without the statement: what can be guessed."""


class Question(Record):
    """One released question."""

    id: str
    """Hash of preference id, kind and text."""
    preference_id: str
    """Preference it belongs to."""
    user_id: str
    """Salted hash of the user."""
    kind: QuestionKind
    """One of the eight kinds."""
    text: str
    """The question, in the first person."""
    origin: Origin
    """Where the text comes from."""
    query_id: str | None
    """Id of the mined query; None unless origin is mined."""
    expects: Literal["recall", "apply", "abstain"]
    """recall: say the target; apply: advice that uses it; abstain: the target must not show up."""
    accepted: tuple[str, ...]
    """Answers that count as right; empty for abstain questions other than neutral."""
    difficulty: Literal["easy", "medium", "hard"]
    """Tag by the documented rule over `measured`."""
    measured: Difficulty
    """The numbers behind the tag."""
    license: str
    """SPDX id of the strictest licence of the texts in the row, or "unknown"."""
    split: Split
    """Split of the user."""


class ReleasedHistoryEntry(HistoryEntry):
    """One statement in the history of a user of the release, whether or not there is a preference for it."""

    split: Split
    """Split of the user."""


class AboutQuestion(Record):
    """The question that an answer or a verdict belongs to."""

    question_id: str
    """The question."""
    preference_id: str
    """The preference the model was personalised with."""
    user_id: str
    """The user, the unit of all intervals."""
    kind: QuestionKind
    """Kind of the question."""
    difficulty: str
    """Difficulty tag of the question."""
    scenario: str = "single"
    """What the model was told before it was asked, by its name in params.yaml; docs/scenarios.md."""


class Answer(AboutQuestion):
    """One answer of a personalised model to one question."""

    model: str
    """Name of the checkpoint in params.yaml."""
    method: str
    """Personalization method."""
    prompt_sha256: str
    """sha256 of the rendered prompt the model read."""
    text: str
    """Newly generated text only, thinking stripped."""
    finish: Literal["stop", "length"]
    """stop: the model ended by itself; length: the budget ran out."""
    tokens: int = Field(ge=0)
    """Newly generated tokens."""
    degenerate: bool
    """Whether the answer repeats itself; rule in docs/protocol.md."""
    seed: int = 0
    """Seed of `edit.seeds` the method was fitted with; 0 for methods that draw no numbers."""
    base_text: str | None = None
    """What the unedited model answers to the same question; controls only."""
    kl: float | None = None
    """KL of the next-token distributions from the unedited model, in nats; controls only; docs/protocol.md."""


class Verdict(AboutQuestion):
    """One judge's opinion of one answer."""

    judge: str
    """Judge id, e.g. "exact"."""
    verdict: Literal["correct", "incorrect", "unscored"]
    """For target kinds: whether the answer uses the preference. For controls: correct means the target does
    NOT show up."""
    reason: str
    """Why, in a word or two; for unscored always filled."""
    score: float | None
    """The judge's raw score where it has one."""


RELEASED: dict[str, type[Record]] = {
    "statement": Statement,
    "history_entry": HistoryEntry,
    "query": Query,
    "dropped": Dropped,
    "draft": Draft,
    "preference": Preference,
    "question": Question,
    "released_history_entry": ReleasedHistoryEntry,
    "answer": Answer,
    "verdict": Verdict,
}
"""Records with a committed JSON Schema, by the schema's file name."""
