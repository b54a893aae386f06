"""Semantic rules a draft must pass: each a small function, each with its own reason.

A violation of a rule about one question rejects that question; a violation about the draft itself, or too few
valid questions, rejects the draft. The same rules pick among the samples of the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from typing import NamedTuple

from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS, Draft, DraftQuestion, QuestionKind
from pipeline.core.wording import contains_phrase, content_stems, stems, words
from pipeline.validate.config import RulesConfig

K = QuestionKind

FIRST_PERSON = frozenset(["i", "my", "me", "mine", "myself", "i'm", "i've", "i'd", "i'll"])
SECOND_PERSON = frozenset(["your", "yours", "yourself"])


class Reason(StrEnum):
    """Why a draft or one of its questions is rejected."""

    SCHEMA = "schema"
    """The row does not fit schemas/draft.schema.json."""
    DUPLICATE = "duplicate"
    """The same user already has this attribute type and target, or the preference this very question."""
    MISSING_KIND = "missing_kind"
    """Too few valid questions of a required kind are left."""
    TARGET_NOT_GROUNDED = "target_not_grounded"
    """The target does not stand in the statement."""
    TARGET_TOO_LONG = "target_too_long"
    """The target is not a short answer."""
    TARGET_EMPTY = "target_empty"
    """The target has no word that carries content."""
    TARGET_REPEATS_ATTRIBUTE = "target_repeats_attribute"
    """Target and attribute type say the same."""
    TARGET_REDACTED = "target_redacted"
    """The target holds a placeholder of a redacted identifier."""
    CLUSTER_MALFORMED = "cluster_malformed"
    """The cluster does not begin with the original, or a member has another value, does not ask for its attribute type,
    asks about the assistant or asks what the evaluation asks."""
    EXPLICIT_LACKS_ATTRIBUTE = "explicit_lacks_attribute"
    """An explicit question must name the attribute type."""
    REPHRASED_NAMES_ATTRIBUTE = "rephrased_names_attribute"
    """A rephrased question must not name it."""
    REPHRASED_EQUALS_EXPLICIT = "rephrased_equals_explicit"
    """A rephrased question must say more than the words of the explicit one in another order."""
    IMPLICIT_NAMES_ATTRIBUTE = "implicit_names_attribute"
    """An implicit question must not name the attribute type."""
    PRODUCT_NAMES_ATTRIBUTE = "product_names_attribute"
    """A product question must not name the attribute type."""
    LEAKS_TARGET = "leaks_target"
    """No question may hold the target or an alias."""
    ASKS_ASSISTANT = "asks_assistant"
    """A question about the user that says "your" asks about the assistant."""
    NOT_FIRST_PERSON = "not_first_person"
    """A written question about the user must say I, my or me."""
    NOT_A_QUESTION = "not_a_question"
    """A written question must be one question with a sane length."""
    CONTROL_NAMES_ATTRIBUTE = "control_names_attribute"
    """An unstated, irrelevant or neutral control must not ask for the stated attribute."""
    OTHER_PERSON_IS_USER = "other_person_is_user"
    """An other_person control must ask about someone else."""
    NEUTRAL_WITHOUT_ANSWER = "neutral_without_answer"
    """A neutral control needs its accepted answers."""
    NEUTRAL_ANSWER_IS_TARGET = "neutral_answer_is_target"
    """The right answer to a neutral control must not be the user's value."""
    ACCEPTED_WRONG = "accepted_wrong"
    """A question about the preference must accept the target, and nothing but it and its aliases; a control other than
    a neutral one has no right answer."""
    GUESSABLE = "guessable"
    """The reference model says the target without having read the statement."""
    NOTHING_TO_REPLACE = "nothing_to_replace"
    """An update whose earlier preference is not valid."""


class Violation(NamedTuple):
    """One rule that tripped."""

    reason: Reason
    """The rule."""
    detail: str
    """What tripped it, for a reader."""
    question: int | None
    """Index of the question in the draft; None when the draft itself is at fault."""


def check_draft(draft: Draft, config: RulesConfig) -> list[Violation]:
    """All violations of `draft`, in the order of its questions; an empty list means it is valid."""
    found = [Violation(reason, detail, None) for reason, detail in draft_faults(draft, config)]
    seen: set[tuple[str, ...]] = set()
    bad: set[int] = set()
    for index, question in enumerate(draft.questions):
        faults = list(question_faults(draft, question, config))
        key = stems(question.text)
        if key in seen:
            faults.append((Reason.DUPLICATE, f"asked before: {question.text!r}"))
        seen.add(key)
        if faults:
            bad.add(index)
        found += [Violation(reason, detail, index) for reason, detail in faults]
    return found + missing_kinds(draft, bad, config)


def missing_kinds(draft: Draft, bad: Collection[int], config: RulesConfig) -> list[Violation]:
    """The required kinds of which no question outside `bad` (indices) is left."""
    kinds = {question.kind for index, question in enumerate(draft.questions) if index not in bad}
    return [
        Violation(Reason.MISSING_KIND, f"no valid {kind} question", None)
        for kind in config.require_kinds
        if kind not in kinds
    ]


Fault = tuple[Reason, str]


def draft_faults(draft: Draft, config: RulesConfig) -> Iterator[Fault]:
    """The faults of `draft` itself, whatever its questions."""
    target, attribute = draft.target, draft.attribute_type
    if not content_stems(target):
        yield Reason.TARGET_EMPTY, f"target {target!r}"
    if len(words(target)) > config.max_target_words:
        yield Reason.TARGET_TOO_LONG, f"{len(words(target))} words: {target!r}"
    if not any(contains_phrase(text, target) for text in (draft.statement.text, draft.statement.self_contained)):
        yield Reason.TARGET_NOT_GROUNDED, f"{target!r} is not in {draft.statement.self_contained!r}"
    if content_stems(target) and content_stems(target) <= content_stems(attribute):
        yield Reason.TARGET_REPEATS_ATTRIBUTE, f"target {target!r}, attribute type {attribute!r}"
    if "[" in target:
        yield Reason.TARGET_REDACTED, f"target {target!r}"
    for fault in _cluster_faults(draft):
        yield Reason.CLUSTER_MALFORMED, fault


def _cluster_faults(draft: Draft) -> Iterator[str]:
    if not draft.cluster:
        return
    original, *synonyms = draft.cluster
    if (original.attribute_type, original.target) != (draft.attribute_type, draft.target):
        yield f"begins with {original.attribute_type!r} = {original.target!r}, not with the original"
    asked = {stems(question.text) for question in draft.questions}
    for member in draft.cluster:
        if member.target not in (draft.target, *draft.aliases):
            yield f"has the value {member.target!r}, which is neither target nor alias"
        if not contains_phrase(member.question, member.attribute_type):
            yield f"asks {member.question!r} for {member.attribute_type!r}"
        if set(words(member.question)) & SECOND_PERSON:
            yield f"asks about the assistant: {member.question!r}"
    for member in synonyms:
        if stems(member.question) in asked:
            yield f"asks an evaluation question: {member.question!r}"


def question_faults(draft: Draft, question: DraftQuestion, config: RulesConfig) -> Iterator[Fault]:
    """The faults of one question of `draft`, looked at alone."""
    yield from _form_faults(question, config)
    for answer in (draft.target, *draft.aliases):
        if contains_phrase(question.text, answer):
            yield Reason.LEAKS_TARGET, f"{answer!r} stands in {question.text!r}"
            break
    yield from _accepted_faults(draft, question)
    yield from _BY_KIND[question.kind](draft, question)


def _accepted_faults(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    """Faults of the answers that count as right, which are what replies are graded by."""
    right, accepted = {draft.target, *draft.aliases}, set(question.accepted)
    if question.kind in TARGET_KINDS:
        if draft.target not in accepted or not accepted <= right:
            yield Reason.ACCEPTED_WRONG, f"{question.accepted} for the target {draft.target!r}"
    elif question.kind is not K.NEUTRAL and accepted:
        yield Reason.ACCEPTED_WRONG, f"{question.accepted} for a control"


def _form_faults(question: DraftQuestion, config: RulesConfig) -> Iterator[Fault]:
    given = set(words(question.text))
    asks_about_user = question.kind in TARGET_KINDS or question.kind is K.UNSTATED
    if asks_about_user and given & SECOND_PERSON:
        yield Reason.ASKS_ASSISTANT, f"{question.text!r}"
    if question.origin == "mined":
        return
    if asks_about_user and not given & FIRST_PERSON:
        yield Reason.NOT_FIRST_PERSON, f"{question.text!r}"
    length = len(words(question.text))
    one = question.text.count("?") == 1 and question.text.rstrip().endswith("?")
    if not one or not config.min_question_words <= length <= config.max_question_words:
        yield Reason.NOT_A_QUESTION, f"{length} words: {question.text!r}"


def _explicit(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    if not contains_phrase(question.text, draft.attribute_type):
        yield Reason.EXPLICIT_LACKS_ATTRIBUTE, f"{draft.attribute_type!r} is not in {question.text!r}"


def _rephrased(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    yield from _names_attribute(draft, question, Reason.REPHRASED_NAMES_ATTRIBUTE)
    if any(content_stems(question.text) == content_stems(q.text) for q in draft.questions if q.kind is K.EXPLICIT):
        yield Reason.REPHRASED_EQUALS_EXPLICIT, f"{question.text!r}"


def _implicit(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    yield from _names_attribute(draft, question, Reason.IMPLICIT_NAMES_ATTRIBUTE)


def _product(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    yield from _names_attribute(draft, question, Reason.PRODUCT_NAMES_ATTRIBUTE)


def _control(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    yield from _names_attribute(draft, question, Reason.CONTROL_NAMES_ATTRIBUTE)


def _neutral(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    yield from _control(draft, question)
    if not question.accepted:
        yield Reason.NEUTRAL_WITHOUT_ANSWER, f"{question.text!r}"
    values = [stems(text) for text in (draft.target, *draft.aliases)]
    if any(stems(answer) in values for answer in question.accepted):
        yield Reason.NEUTRAL_ANSWER_IS_TARGET, f"{question.accepted} for the target {draft.target!r}"


def _other_person(draft: Draft, question: DraftQuestion) -> Iterator[Fault]:
    if contains_phrase(question.text, f"my {draft.attribute_type}") or "i" in words(question.text):
        yield Reason.OTHER_PERSON_IS_USER, f"{question.text!r}"


def _names_attribute(draft: Draft, question: DraftQuestion, reason: Reason) -> Iterator[Fault]:
    if contains_phrase(question.text, draft.attribute_type):
        yield reason, f"{draft.attribute_type!r} stands in {question.text!r}"


_BY_KIND: dict[QuestionKind, Callable[[Draft, DraftQuestion], Iterator[Fault]]] = {
    K.EXPLICIT: _explicit,
    K.REPHRASED: _rephrased,
    K.IMPLICIT: _implicit,
    K.PRODUCT: _product,
    K.UNSTATED: _control,
    K.IRRELEVANT: _control,
    K.OTHER_PERSON: _other_person,
    K.NEUTRAL: _neutral,
}

assert set(_BY_KIND) == {*TARGET_KINDS, *CONTROL_KINDS}
