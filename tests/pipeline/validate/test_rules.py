from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from pipeline.core.records import ClusterMember, Draft, DraftQuestion, QuestionKind
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import Reason, check_draft

K = QuestionKind


def reasons(draft: Draft, rules: RulesConfig) -> set[Reason]:
    return {violation.reason for violation in check_draft(draft, rules)}


def test_a_good_draft_has_no_violation(draft: Callable[..., Draft], rules: RulesConfig) -> None:
    assert check_draft(draft(), rules) == []


class Case(NamedTuple):
    """A good draft with one thing changed, and the one rule that this breaks."""

    reason: Reason
    added: tuple[QuestionKind, str] | None = None
    """A question more."""
    of_added: dict[str, Any] = {}
    """Fields of that question."""
    of_draft: dict[str, Any] = {}
    """Fields of the draft; its questions ask for the attribute type that stands here."""
    without: QuestionKind | None = None
    """A kind of which no question is left."""


MINED = {"origin": "mined", "query_id": "q"}
SENTENCE = "In the evenings I play chess"
NO_ORIGINAL = (ClusterMember(attribute_type="pastime", question="What is my pastime?", target="chess"),)
CASES = (
    Case(Reason.EXPLICIT_LACKS_ATTRIBUTE, (K.EXPLICIT, "What do I do for fun?")),
    Case(Reason.REPHRASED_NAMES_ATTRIBUTE, (K.REPHRASED, "Which hobbies keep me busy?")),
    Case(
        Reason.REPHRASED_EQUALS_EXPLICIT,
        (K.REPHRASED, "Which game do I have on my board?"),
        of_draft={"attribute_type": "board game"},
    ),
    Case(Reason.IMPLICIT_NAMES_ATTRIBUTE, (K.IMPLICIT, "What should I do for my hobby?")),
    Case(Reason.PRODUCT_NAMES_ATTRIBUTE, (K.PRODUCT, "What should I buy for my hobby?")),
    Case(Reason.LEAKS_TARGET, (K.IMPLICIT, "Which chess club should I join?")),
    Case(Reason.LEAKS_TARGET, (K.NEUTRAL, "Who won the first chess title?"), {"accepted": ("Steinitz",)}),
    Case(Reason.ASKS_ASSISTANT, (K.REPHRASED, "What do I tell your friends I like?")),
    Case(Reason.ASKS_ASSISTANT, (K.IMPLICIT, "what is your advice for tonight"), MINED),
    Case(Reason.NOT_FIRST_PERSON, (K.REPHRASED, "What does one do for fun?")),
    Case(Reason.NOT_A_QUESTION, (K.IMPLICIT, "I need ideas for the weekend.")),
    Case(Reason.NOT_A_QUESTION, (K.IMPLICIT, "What should I do? And where?")),
    Case(Reason.NOT_A_QUESTION, (K.IMPLICIT, "Should I?")),
    Case(Reason.NOT_A_QUESTION, (K.PRODUCT, "What should I " + "really " * 30 + "buy?")),
    Case(Reason.CONTROL_NAMES_ATTRIBUTE, (K.UNSTATED, "What is my oldest hobby?")),
    Case(Reason.CONTROL_NAMES_ATTRIBUTE, (K.IRRELEVANT, "is a hobby a good idea"), MINED),
    Case(Reason.OTHER_PERSON_IS_USER, (K.OTHER_PERSON, "What is my hobby again?")),
    Case(Reason.NEUTRAL_WITHOUT_ANSWER, (K.NEUTRAL, "What is the capital of Italy?"), {"accepted": ()}),
    Case(Reason.NEUTRAL_ANSWER_IS_TARGET, (K.NEUTRAL, "Which game has a queen?"), {"accepted": ("Chess",)}),
    Case(Reason.ACCEPTED_WRONG, (K.IMPLICIT, "What could fill my winter?"), {"accepted": ("banana",)}),
    Case(Reason.ACCEPTED_WRONG, (K.IMPLICIT, "What could fill my winter?"), {"accepted": ("chess", "banana")}),
    Case(Reason.ACCEPTED_WRONG, (K.IMPLICIT, "What could fill my winter?"), {"accepted": ()}),
    Case(Reason.ACCEPTED_WRONG, (K.UNSTATED, "What is my shoe size?"), {"accepted": ("chess",)}),
    Case(Reason.DUPLICATE, (K.REPHRASED, "What do I like to do in my free time?")),
    Case(Reason.MISSING_KIND, without=K.PRODUCT),
    Case(Reason.TARGET_NOT_GROUNDED, of_draft={"target": "tennis"}),
    Case(Reason.TARGET_EMPTY, of_draft={"text": "In the evenings it is about us.", "target": "us"}),
    Case(Reason.TARGET_TOO_LONG, of_draft={"target": SENTENCE}),
    Case(
        Reason.TARGET_REPEATS_ATTRIBUTE,
        of_draft={"text": "A chess game it is.", "attribute_type": "game of chess", "target": "chess game"},
    ),
    Case(Reason.TARGET_REDACTED, of_draft={"text": "Write me at [EMAIL] today.", "target": "[EMAIL]"}),
    Case(Reason.CLUSTER_MALFORMED, of_draft={"cluster": NO_ORIGINAL}),
)
ABOUT_OTHER_ROWS = {Reason.SCHEMA, Reason.GUESSABLE, Reason.NOTHING_TO_REPLACE}
"""What the stage finds out: a line that is no draft, replies of a model, an update without what it replaces."""


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.reason}" for number, case in enumerate(CASES)])
def test_a_bad_draft_trips_exactly_its_rule(
    draft: Callable[..., Draft], make_question: Callable[..., DraftQuestion], rules: RulesConfig, case: Case
) -> None:
    made = draft(**case.of_draft)
    asked = [
        question.model_copy(update={"text": question.text.replace("hobby", made.attribute_type)})
        for question in made.questions
        if question.kind is not case.without
    ]
    added = [make_question(*case.added, **case.of_added)] if case.added else []
    found = check_draft(made.model_copy(update={"questions": (*asked, *added)}), rules)
    assert [(v.reason, v.question) for v in found] == [(case.reason, len(asked) if added else None)]


def test_every_rule_has_a_sentence_that_trips_it() -> None:
    assert {case.reason for case in CASES} == set(Reason) - ABOUT_OTHER_ROWS


def test_an_alias_in_a_question_leaks_too(draft: Callable[..., Draft], rules: RulesConfig) -> None:
    assert reasons(draft(aliases=("rainy weekend",)), rules) == {Reason.LEAKS_TARGET, Reason.MISSING_KIND}


def test_a_good_cluster_passes(
    draft: Callable[..., Draft], rules: RulesConfig, cluster: tuple[ClusterMember, ...]
) -> None:
    assert check_draft(draft(cluster=cluster), rules) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c[::-1],
        lambda c: (c[0], c[1].model_copy(update={"question": "What is your favourite pastime?"})),
        lambda c: (c[0], c[1].model_copy(update={"question": "What do I like to do in my free time?"})),
        lambda c: (c[0], c[1].model_copy(update={"question": "What is the capital?"})),
        lambda c: (c[0], c[1].model_copy(update={"target": "tennis"})),
    ],
    ids=[
        "the original is not first",
        "a member asks the assistant",
        "a member asks an evaluation question",
        "a member asks for something else",
        "a member has another value",
    ],
)
def test_a_malformed_cluster_rejects_the_draft(
    draft: Callable[..., Draft],
    rules: RulesConfig,
    cluster: tuple[ClusterMember, ...],
    change: Callable[[tuple[ClusterMember, ...]], tuple[ClusterMember, ...]],
) -> None:
    assert reasons(draft(cluster=change(cluster)), rules) == {Reason.CLUSTER_MALFORMED}
