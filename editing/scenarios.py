"""What a model is told before it is asked: scenarios as data, the same for every method.

A scenario arranges released preferences into cases. Each case starts from the unedited model, tells it one thing after
another (each edit is fitted on top of those before), may take everything back, and asks questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from pipeline.core.config import Section
from pipeline.core.errors import InputError
from pipeline.core.records import Preference, Question, content_id


class Scenario(Section):
    """One entry of `edit.scenarios` in params.yaml."""

    told: Literal["preference", "user", "change"]
    """preference: one edit holds one preference. user: all preferences of one user. change: two edits, a value that no
    longer holds and then the preference that replaces it."""
    edits: int = Field(ge=1)
    """How many users share one model, told one after another; with 1 every user has the model alone."""
    withdrawn: bool
    """Whether everything is taken back before the questions are asked."""


@dataclass(frozen=True)
class Case:
    """One unedited model, what it is told, and what it is asked."""

    told: tuple[tuple[Preference, ...], ...]
    """Edits in the order they are made, each with the preferences it holds."""
    questions: tuple[Question, ...]
    """What is asked afterwards, in the order of the edits."""
    withdrawn: bool = False
    """Whether everything told is taken back before the questions."""

    @property
    def id(self) -> str:
        """Name of the case: of a single preference its id, else a hash of what is told."""
        ids = [[preference.id for preference in edit] for edit in self.told]
        return ids[0][0] if len(ids) == len(ids[0]) == 1 else content_id("case", *ids)


def arrange(
    scenario: Scenario,
    preferences: Sequence[Preference],
    questions: Mapping[str, Sequence[Question]],
    pool: Sequence[Preference] = (),
) -> list[Case]:
    """The cases of a scenario over the evaluated `preferences`, in order.

    A change takes the preference that `superseded_by` names where the release says so (its questions must be in
    `questions`, itself in `pool`). Elsewhere the preference itself is what holds now, and the value that it replaces is
    another user's for the same attribute, taken from `pool`; preferences without one are left out. Users that do not
    fill a shared model are left out too.

    Raises:
        InputError: nothing is left.
    """
    edits = list(_edits(scenario, preferences, questions, pool))
    shared = [edits[at : at + scenario.edits] for at in range(0, len(edits), scenario.edits)]
    cases = [
        Case(
            tuple(told for edit in group for told in edit.told),
            tuple(question for edit in group for question in edit.questions),
            scenario.withdrawn,
        )
        for group in shared
        if len(group) == scenario.edits
    ]
    if not cases:
        raise InputError(
            f"The scenario needs {scenario.edits} x {scenario.told} for a model, and {len(preferences)} preferences "
            f"give {len(edits)}; raise edit.max_preferences, or choose another scenario or data set."
        )
    return cases


def _edits(
    scenario: Scenario,
    preferences: Sequence[Preference],
    questions: Mapping[str, Sequence[Question]],
    pool: Sequence[Preference],
) -> Iterable[Case]:
    if scenario.told == "preference":
        for preference in preferences:
            yield Case(((preference,),), tuple(questions[preference.id]))
    elif scenario.told == "user":
        users: dict[str, list[Preference]] = {}
        for preference in preferences:
            users.setdefault(preference.user_id, []).append(preference)
        for own in users.values():
            yield Case((tuple(own),), tuple(question for preference in own for question in questions[preference.id]))
    else:
        released = {preference.id: preference for preference in pool}
        for preference in preferences:
            new = released.get(preference.superseded_by or "")
            old = preference if new else replaced_value(preference, pool)
            now = new or preference
            if old is not None and questions.get(now.id):
                yield Case(((old,), (now,)), tuple(questions[now.id]))


def replaced_value(preference: Preference, pool: Iterable[Preference]) -> Preference | None:
    """What the user said before: another user's value for the same attribute, chosen by a hash; None without one."""
    known = {name.casefold() for name in (preference.target, *preference.aliases)}
    others = [
        other
        for other in pool
        if other.attribute_type.casefold() == preference.attribute_type.casefold()
        and other.user_id != preference.user_id
        and not known & {name.casefold() for name in (other.target, *other.aliases)}
    ]
    if not others:
        return None
    chosen = min(others, key=lambda other: content_id("replaced", preference.id, other.id))
    return chosen.model_copy(
        update={"id": content_id("replaced", preference.id, chosen.id), "user_id": preference.user_id}
    )
