"""One judge's verdicts on one run as columns: counted by user and kind, and sample answers picked from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from editing.board.collect import Run
from editing.metrics.scores import KINDS, N_TARGET, Counts
from pipeline.core.errors import InputError

Codes = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]
VERDICTS = ("correct", "incorrect", "unscored")
"""What a verdict can be; columns hold positions in it."""
CLASSES = ("right", "wrong", "shows up")
"""Kinds of sample: a target used, a target missed, a target where it must not be."""


@dataclass(frozen=True)
class Verdicts:
    """One judge's verdicts on one run, in the order of its answers."""

    users: tuple[str, ...]
    """Sorted user ids."""
    user: Codes
    """(answers,) positions in `users`."""
    kind: Codes
    """(answers,) positions in KINDS."""
    verdict: Codes
    """(answers,) positions in VERDICTS."""
    question: Texts
    """(answers,) question ids."""
    preference: Texts
    """(answers,) preference ids."""
    reason: Texts
    """(answers,) why."""

    def counts(self) -> Counts:
        """The verdicts counted by user and kind; what `scores.count` gives, without a loop over rows."""
        shape = (len(self.users), len(KINDS))
        cell, size = self.user * len(KINDS) + self.kind, shape[0] * shape[1]
        by_verdict = [np.bincount(cell[self.verdict == code], minlength=size) for code in range(len(VERDICTS))]
        right, wrong, unscored = (found.reshape(shape).astype(np.float64) for found in by_verdict)
        return Counts(self.users, right, right + wrong, tuple(int(n) for n in unscored.sum(axis=0)))

    def picked(self, most: int) -> dict[str, list[int]]:
        """Up to `most` rows of each of CLASSES: one of every kind in turn, by question id within a kind.

        Question ids are hashes, so their order is a draw that is the same every time.
        """
        order = np.argsort(self.question.astype(str), kind="stable")
        target, correct = self.kind < N_TARGET, self.verdict == VERDICTS.index("correct")
        incorrect = self.verdict == VERDICTS.index("incorrect")
        return {
            name: _in_turn(order[wanted[order]], self.kind, most)
            for name, wanted in zip(CLASSES, (target & correct, target & incorrect, ~target & incorrect), strict=True)
        }


def _in_turn(rows: Codes, kind: Codes, most: int) -> list[int]:
    queues = [rows[kind[rows] == code] for code in range(len(KINDS))]
    longest = max(map(len, queues), default=0)
    return [int(queue[i]) for i in range(min(longest, most)) for queue in queues if i < len(queue)][:most]


def read_verdicts(run: Run, judge: str) -> Verdicts:
    """The verdicts of `judge` on `run`.

    Raises:
        InputError: verdicts.parquet is missing or damaged.
    """
    names = ("judge", "user_id", "kind", "verdict", "question_id", "preference_id", "reason")
    table = run.table("verdicts.parquet", names)
    columns = {name: _coded(table.column(name)) for name in names}
    judges = columns["judge"][1].to_pylist()
    own = columns["judge"][0] == (judges.index(judge) if judge in judges else -1)

    def positions(name: str, values: Sequence[str]) -> Codes:
        codes, found = columns[name]
        unknown = set(found.to_pylist()) - set(values)
        if unknown:
            raise InputError(f"{run.folder / 'verdicts.parquet'}: unknown {name} '{min(unknown)}'; judge it again.")
        at = {value: i for i, value in enumerate(values)}
        placed: Codes = np.array([at[value] for value in found.to_pylist()], dtype=np.int64)[codes[own]]
        return placed

    def texts(name: str) -> Texts:
        codes, found = columns[name]
        values: Texts = np.array(found.to_pylist(), dtype=object)[codes[own]]
        return values

    users = tuple(sorted(set(texts("user_id"))))
    return Verdicts(
        users=users,
        user=positions("user_id", users),
        kind=positions("kind", KINDS),
        verdict=positions("verdict", VERDICTS),
        question=texts("question_id"),
        preference=texts("preference_id"),
        reason=texts("reason"),
    )


def _coded(column: pa.ChunkedArray) -> tuple[Codes, pa.Array]:
    """Codes and values of a dictionary-encoded column."""
    array = column.unify_dictionaries().combine_chunks()
    # Not Array.to_numpy, which loads pandas.
    return np.from_dlpack(array.indices).astype(np.int64), array.dictionary


def samples(
    run: Run,
    verdicts: Verdicts,
    questions: Mapping[str, str],
    preferences: Mapping[str, Mapping[str, str]],
    most: int,
) -> dict[str, list[dict[str, Any]]]:
    """At most `most` answers of each of CLASSES with what was told and asked, the same every time.

    Raises:
        InputError: answers.parquet is missing or damaged, or holds other answers than were judged.
    """
    answers = run.table("answers.parquet", ("text", "question_id"))
    if len(answers) != len(verdicts.question):
        raise InputError(
            f"{run.folder}: {len(answers)} answers but {len(verdicts.question)} verdicts; judge the run again."
        )
    (text, texts), (asked, ids) = _coded(answers.column("text")), _coded(answers.column("question_id"))

    def shown(at: int) -> dict[str, Any]:
        question = str(verdicts.question[at])
        if ids[asked[at]].as_py() != question:
            raise InputError(f"{run.folder}: answer {at} is not the one that was judged; judge the run again.")
        return {
            "kind": KINDS[verdicts.kind[at]],
            **preferences.get(verdicts.preference[at], {"statement": "", "target": ""}),
            "question": questions.get(question, ""),
            "answer": texts[text[at]].as_py(),
            "reason": verdicts.reason[at],
        }

    return {name: [shown(at) for at in rows] for name, rows in verdicts.picked(most).items()}
