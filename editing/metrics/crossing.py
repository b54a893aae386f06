"""Whose preference a shared model answers with; docs/protocol.md, "Between users of one model"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from statistics import fmean
from typing import Any

from editing.judges.base import Item, Judge
from editing.judges.words import tokens
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import count, share_estimates
from pipeline.core.records import CONTROL_KINDS, Answer, QuestionKind

AGES = 5
"""Age groups of the users of one model, by the order in which they were told."""


def crossing(
    answers: Sequence[Answer], items: Sequence[Item], edits: int, judge: Judge, plan: Plan
) -> dict[str, Any] | None:
    """What scores.json holds under `crossing`; None where every user has a model alone.

    Args:
        answers: all answers of a run, in the order of its edits.
        items: what a judge sees of each.
        edits: users that share one model.
        judge: decides whether an answer gives a preference back.
        plan: how the interval is made.
    """
    if edits == 1 or not answers:
        return None
    known = {answer.preference_id: item for answer, item in zip(answers, items, strict=True)}
    told = list(known)
    place = {preference: at for at, preference in enumerate(told)}
    observed: list[tuple[str, str, float | None]] = []
    groups: list[tuple[int, set[int]]] = []
    for answer, item in zip(answers, items, strict=True):
        if answer.kind not in (QuestionKind.EXPLICIT, *CONTROL_KINDS):
            continue
        own = place[answer.preference_id]
        first = own // edits * edits
        said = _said(item, {at: known[told[at]] for at in range(first, min(first + edits, len(told)))}, judge)
        if answer.kind is QuestionKind.EXPLICIT:
            observed.append((answer.user_id, "of_another", bool(said) and own not in said))
            groups.append((_age(own, edits), {_age(other, edits) for other in said}))
        else:
            observed.append((answer.user_id, "controls_of_another", bool(said - {own})))
    names = ("of_another", "controls_of_another")
    found = share_estimates(count(observed, names), plan, higher_is_better=False)
    return {**{name: one.as_json() for name, one in zip(names, found, strict=True)}, "matrix": matrix(groups)}


def _age(place: int, edits: int) -> int:
    return place % edits * AGES // edits


def _said(item: Item, others: Mapping[int, Item], judge: Judge) -> set[int]:
    """Of which users the answer gives the preference back; only those whose target shares a word with it are judged.

    To a control it does where their value shows up although it has no place there, as for the user's own.
    """
    words = {form for token in tokens(item.reply) for form in token.forms}
    near = [
        at
        for at, other in others.items()
        if any(form in words for target in other.targets for token in tokens(target) for form in token.forms)
    ]
    control = item.kind in CONTROL_KINDS
    accepted = item.accepted if control else ()
    rulings = judge.rule(
        [
            replace(others[at], kind=item.kind, question=item.question, reply=item.reply, accepted=accepted)
            for at in near
        ]
    )
    given = "incorrect" if control else "correct"
    return {at for at, ruling in zip(near, rulings, strict=True) if ruling.verdict == given}


def matrix(groups: Sequence[tuple[int, Set[int]]]) -> list[list[float | None]]:
    """Share of the users of each age group (rows, told first to told last) answered with a target of each age group.

    `groups` holds for each answer the age group of its user, and those whose targets it gives back. A group without
    answers is None.
    """
    rows = [[said for age, said in groups if age == group] for group in range(AGES)]
    return [[fmean(other in said for said in own) if own else None for other in range(AGES)] for own in rows]
