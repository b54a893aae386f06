"""Released rows as the cases a model is put through, and as the users that methods fit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from editing.methods.base import Fact, User, plain, unique
from editing.scenarios import Case, Scenario, arrange
from pipeline.core.errors import InputError
from pipeline.core.records import Preference, Question, Record, ReleasedHistoryEntry, Split
from pipeline.core.tables import read_parquet

R = TypeVar("R", bound=Record)

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""Splits of a release."""


def read_cases(dataset: Path, scenario: Scenario, split: Split, most: int) -> list[Case]:
    """The cases of a scenario over up to `most` preferences of a split.

    Raises:
        InputError: the dataset is missing, or has too little for the scenario.
    """
    preferences, questions = read_split(dataset, split, most)
    if scenario.told != "change":
        return arrange(scenario, preferences, questions)
    data = dataset / "data"
    pool = [p for other in SPLITS for p in read_parquet(data / f"preferences-{other}.parquet", Preference)]
    every: dict[str, list[Question]] = {}
    for question in read_parquet(data / f"questions-{split}.parquet", Question):
        every.setdefault(question.preference_id, []).append(question)
    return arrange(scenario, preferences, every, pool)


def read_split(dataset: Path, split: Split, most: int) -> tuple[list[Preference], dict[str, list[Question]]]:
    """Up to `most` preferences of a released split, in the order of their ids, and the questions of each.

    A preference that replaces another is left out: it is asked about where preferences change.

    Raises:
        InputError: the dataset is missing, or the split has no preferences or a preference without questions.
    """
    data = dataset / "data"
    released = sorted(read_parquet(data / f"preferences-{split}.parquet", Preference), key=lambda p: p.id)
    updates = {preference.superseded_by for preference in released}
    found = [preference for preference in released if preference.id not in updates][:most]
    if not found:
        raise InputError(f"{data}/preferences-{split}.parquet: no preferences; evaluate another split.")
    questions: dict[str, list[Question]] = {preference.id: [] for preference in found}
    for question in read_parquet(data / f"questions-{split}.parquet", Question):
        if question.preference_id in questions:
            questions[question.preference_id].append(question)
    for preference, own in questions.items():
        if not own:
            raise InputError(f"{data}/questions-{split}.parquet: preference {preference} has no questions.")
    return found, questions


def texts_of(dataset: Path, splits: Sequence[Split]) -> tuple[str, ...]:
    """Statements and questions of some splits, for statistics of a model; missing splits have none."""
    texts: list[str] = []
    for split in splits:
        texts += [preference.statement for preference in _rows(dataset, f"preferences-{split}", Preference)]
        texts += [question.text for question in _rows(dataset, f"questions-{split}", Question)]
    return unique(texts)


def histories(dataset: Path) -> dict[str, tuple[str, ...]]:
    """What each user said, for methods that retrieve: their history, in which every preference's statement stands.

    A dataset without a table of histories, such as an imported benchmark, has the statements of the preferences alone.
    Those that replace another are left out.
    """
    told: dict[str, dict[str, None]] = {}
    for split in SPLITS:
        for entry in _rows(dataset, f"histories-{split}", ReleasedHistoryEntry):
            told.setdefault(entry.user_id, {})[entry.text] = None
        released = _rows(dataset, f"preferences-{split}", Preference)
        updates = {preference.superseded_by for preference in released}
        for preference in released:
            if preference.id not in updates:
                told.setdefault(preference.user_id, {})[preference.statement] = None
    return {user: tuple(statements) for user, statements in told.items()}


def _rows(dataset: Path, name: str, record: type[R]) -> list[R]:
    """The rows of one file of a release; none where it is missing."""
    file = dataset / "data" / f"{name}.parquet"
    return list(read_parquet(file, record)) if file.is_file() else []


def user_of(preference: Preference, questions: Iterable[Question], history: Sequence[str] = ()) -> User:
    """The user who holds one preference, with the prompt it is edited through.

    The edit prompt is a direct question that names the attribute type: of the preference's own direct question (the
    first of its cluster) and two fixed phrasings, the first that is none of `questions`, which are all that the model
    with the edit will be asked.
    """
    return _user(preference, asked_of(questions), history)


def asked_of(questions: Iterable[Question]) -> frozenset[str]:
    """What no edit of a model may be fitted on that is asked these questions (`Fact.barred`)."""
    return frozenset(plain(question.text) for question in questions)


def _user(preference: Preference, asked: frozenset[str], history: Sequence[str]) -> User:
    members = preference.cluster or ()
    facts = [
        Fact(
            preference_id=preference.id,
            statement=preference.statement,
            question=edit_prompt(attribute, own, asked),
            subject=attribute,
            target=target,
            barred=asked,
        )
        for attribute, own, target in [
            (preference.attribute_type, members[0].question if members else "", preference.target),
            *((m.attribute_type, m.question, m.target) for m in members[1:]),
        ]
    ]
    main = replace(facts[0], cluster=tuple(facts[1:]))
    return User(preference.user_id, (main,), tuple(history))


def users_of(case: Case, told: Mapping[str, Sequence[str]]) -> list[User]:
    """The user of each edit of a case, with all the preferences that the edit holds."""
    users = []
    asked = asked_of(case.questions)
    for at, edit in enumerate(case.told):
        before = [preference.statement for earlier in case.told[:at] for preference in earlier]
        own = [_user(p, asked, (*before, *told.get(p.user_id, ()))) for p in edit]
        users.append(replace(own[0], facts=tuple(fact for user in own for fact in user.facts)))
    return users


def edit_prompt(attribute_type: str, own: str, asked: Collection[str]) -> str:
    """The direct question to edit on: names the attribute type, and is not in `asked` where that is possible."""
    phrasings = [own, f"What is my {attribute_type}?", f"What's my {attribute_type}?"]
    named = [text for text in phrasings if attribute_type.casefold() in text.casefold()]
    return next((text for text in named if plain(text) not in asked), named[0])
