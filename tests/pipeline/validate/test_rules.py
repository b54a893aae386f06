from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.core.records import ClusterMember, Draft, DraftQuestion, QuestionKind
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import Reason, check_draft

K = QuestionKind


def reasons(draft: Draft, rules: RulesConfig) -> set[Reason]:
    return {violation.reason for violation in check_draft(draft, rules)}


def test_a_good_draft_has_no_violation(draft: Callable[..., Draft], rules: RulesConfig) -> None:
    assert check_draft(draft(), rules) == []


@pytest.mark.parametrize(
    ("kind", "text", "fields", "reason"),
    [
        (K.EXPLICIT, "What do I do for fun?", {}, Reason.EXPLICIT_LACKS_ATTRIBUTE),
        (K.REPHRASED, "Which hobbies do I have?", {}, Reason.REPHRASED_NAMES_ATTRIBUTE),
        (K.IMPLICIT, "What should I do for my hobby?", {}, Reason.IMPLICIT_NAMES_ATTRIBUTE),
        (K.PRODUCT, "What should I buy for my hobby?", {}, Reason.PRODUCT_NAMES_ATTRIBUTE),
        (K.IMPLICIT, "Which chess club should I join?", {}, Reason.LEAKS_TARGET),
        (K.NEUTRAL, "Who won the first chess title?", {"accepted": ("Steinitz",)}, Reason.LEAKS_TARGET),
        (K.REPHRASED, "What do I tell your friends I like?", {}, Reason.ASKS_ASSISTANT),
        (K.IMPLICIT, "what is your advice for tonight", {"origin": "mined", "query_id": "q"}, Reason.ASKS_ASSISTANT),
        (K.REPHRASED, "What does one do for fun?", {}, Reason.NOT_FIRST_PERSON),
        (K.IMPLICIT, "I need ideas for the weekend.", {}, Reason.NOT_A_QUESTION),
        (K.IMPLICIT, "What should I do? And where?", {}, Reason.NOT_A_QUESTION),
        (K.IMPLICIT, "Should I?", {}, Reason.NOT_A_QUESTION),
        (K.PRODUCT, "What should I " + "really " * 30 + "buy?", {}, Reason.NOT_A_QUESTION),
        (K.UNSTATED, "What is my oldest hobby?", {}, Reason.CONTROL_NAMES_ATTRIBUTE),
        (K.IRRELEVANT, "is a hobby a good idea", {"origin": "mined"}, Reason.CONTROL_NAMES_ATTRIBUTE),
        (K.OTHER_PERSON, "What is my hobby again?", {}, Reason.OTHER_PERSON_IS_USER),
        (K.NEUTRAL, "What is the capital of Italy?", {"accepted": ()}, Reason.NEUTRAL_WITHOUT_ANSWER),
    ],
)
def test_a_bad_question_trips_exactly_its_rule(
    draft: Callable[..., Draft],
    make_question: Callable[..., DraftQuestion],
    rules: RulesConfig,
    kind: QuestionKind,
    text: str,
    fields: dict[str, Any],
    reason: Reason,
) -> None:
    made = draft()
    bad = made.model_copy(update={"questions": (*made.questions, make_question(kind, text, **fields))})
    found = check_draft(bad, rules)
    assert [(violation.reason, violation.question) for violation in found] == [(reason, len(made.questions))]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"target": "tennis"}, Reason.TARGET_NOT_GROUNDED),
        ({"target": "the"}, Reason.TARGET_EMPTY),
        ({"target": "In the evenings I play chess"}, Reason.TARGET_TOO_LONG),
        ({"text": "My hobby is old.", "target": "hobby"}, Reason.TARGET_REPEATS_ATTRIBUTE),
        ({"text": "Write me at [EMAIL] today.", "target": "[EMAIL]"}, Reason.TARGET_REDACTED),
    ],
)
def test_a_bad_target_trips_its_rule(
    draft: Callable[..., Draft], rules: RulesConfig, fields: dict[str, Any], reason: Reason
) -> None:
    assert reason in reasons(draft(**fields), rules)


def test_an_alias_in_a_question_leaks_too(draft: Callable[..., Draft], rules: RulesConfig) -> None:
    assert reasons(draft(aliases=("rainy weekend",)), rules) == {Reason.LEAKS_TARGET, Reason.MISSING_KIND}


def test_a_rephrased_question_that_is_the_explicit_one_is_found(
    draft: Callable[..., Draft], make_question: Callable[..., DraftQuestion], rules: RulesConfig
) -> None:
    made = draft(attribute_type="pastime")
    assert Reason.REPHRASED_EQUALS_EXPLICIT in reasons(
        made.model_copy(update={"questions": (*made.questions, make_question(K.REPHRASED, "What is my hobby?"))}), rules
    )


def test_the_same_question_twice_is_a_duplicate(draft: Callable[..., Draft], rules: RulesConfig) -> None:
    made = draft()
    twice = made.model_copy(update={"questions": (*made.questions, made.questions[1])})
    assert reasons(twice, rules) == {Reason.DUPLICATE}


def test_a_draft_without_a_valid_question_of_a_required_kind_is_rejected(
    draft: Callable[..., Draft], rules: RulesConfig
) -> None:
    made = draft()
    without = made.model_copy(update={"questions": tuple(q for q in made.questions if q.kind is not K.PRODUCT)})
    assert [(v.reason, v.question) for v in check_draft(without, rules)] == [(Reason.MISSING_KIND, None)]


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
    ],
    ids=["the original is not first", "a member asks the assistant", "a member asks an evaluation question"],
)
def test_a_malformed_cluster_rejects_the_draft(
    draft: Callable[..., Draft],
    rules: RulesConfig,
    cluster: tuple[ClusterMember, ...],
    change: Callable[[tuple[ClusterMember, ...]], tuple[ClusterMember, ...]],
) -> None:
    assert reasons(draft(cluster=change(cluster)), rules) == {Reason.CLUSTER_MALFORMED}
