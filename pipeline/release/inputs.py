"""What a release is made from: the validated rows, their users' histories, reports of the stages before, figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.errors import InputError
from pipeline.core.records import HistoryEntry, Preference, Question, ReleasedHistoryEntry, Split
from pipeline.core.tables import read_parquet
from pipeline.validate.splits import SPLITS

FOLDERS: Mapping[str, str] = {"mine": "mined", "generate": "generated", "validate": "upqa"}
"""Stage before this one -> its folder below data."""
QUALITY: Mapping[str, Mapping[str, str]] = {
    "generate.json": {
        "generate.good_rate": "good preferences",
        "generate.good_rate_demo": "good preferences",
        "generate.good_rate_sharegpt": "good preferences",
    },
    "mining_quality.json": {
        "mine.precision": "mined statements that are preference statements",
        "mine.recall": "preference statements that are mined",
        "query.precision": "mined queries that ask for advice which depends on the asker",
        "query.recall": "such queries that are mined",
    },
    "pii.json": {
        "pii.recall_structured": "addresses, numbers and keys that are replaced",
        "pii.recall_person": "names of persons that are replaced",
        "pii.precision": "replacements that hit an identifier",
    },
}
"""Result file -> claim -> what it is the share of; the figures of quality that a card shows, in this order."""


class Dataset(NamedTuple):
    """The rows of one release."""

    preferences: list[Preference]
    """Released preferences."""
    questions: list[Question]
    """Released questions; each belongs to a released preference."""
    refused: dict[str, int]
    """Rows left out for their licence, by "config: licence"."""
    histories: Sequence[ReleasedHistoryEntry] = ()
    """What the users of the preferences said, in order of appearance."""

    def tables(self) -> Mapping[str, Sequence[Preference | Question | ReleasedHistoryEntry]]:
        """Config on the Hub -> its rows; the default config first."""
        return {"questions": self.questions, "preferences": self.preferences, "histories": self.histories}


class Measured(NamedTuple):
    """One measured share."""

    what: str
    """What it is the share of."""
    value: float
    """The share, 0 to 1."""
    low: float | None
    """Lower end of its 95% interval, where there is one."""
    high: float | None
    """Upper end."""
    n: int
    """Items behind it."""
    note: str
    """What was read, and how."""
    date: str
    """Day of the measurement."""


class Background(NamedTuple):
    """What a card tells about the rows beyond the rows themselves."""

    reports: Mapping[str, Mapping[str, Any]] = {}
    """Stage -> its report.json."""
    quality: Sequence[Measured] = ()
    """How good the parts were found to be."""
    contamination: Mapping[str, Any] | None = None
    """Report on the overlap with published benchmarks; None where it was not looked for."""


def read_dataset(folder: Path, histories: Path, allowed: Sequence[str]) -> Dataset:
    """The validated rows whose licence is in `allowed`; a question goes with its preference, a history with its user.

    Args:
        folder: folder of validated Parquet.
        histories: the histories that the stage `mine` writes; those of users without a validated preference, who
            belong to no split, are passed over.
        allowed: licences a row may carry.

    Raises:
        InputError: a Parquet file is missing or damaged.
    """
    refused: Counter[str] = Counter()
    preferences: list[Preference] = []
    questions: list[Question] = []
    told: list[ReleasedHistoryEntry] = []
    split_of: dict[str, Split] = {}
    for split in SPLITS:
        for preference in read_parquet(folder / "preferences" / f"{split}.parquet", Preference):
            split_of[preference.user_id] = split
            if preference.license in allowed:
                preferences.append(preference)
            else:
                refused[f"preferences: {preference.license}"] += 1
    released = {preference.id for preference in preferences}
    for split in SPLITS:
        for question in read_parquet(folder / "questions" / f"{split}.parquet", Question):
            if question.license in allowed and question.preference_id in released:
                questions.append(question)
            else:
                refused[f"questions: {question.license}"] += 1
    users = {preference.user_id for preference in preferences}
    for entry in read_parquet(histories, HistoryEntry):
        if entry.license in allowed and entry.user_id in users:
            told.append(ReleasedHistoryEntry(**dict(entry), split=split_of[entry.user_id]))
        elif entry.user_id in split_of:
            refused[f"histories: {entry.license}"] += 1
    return Dataset(preferences, questions, dict(sorted(refused.items())), told)


def read_background(reports: Path, results: Path) -> Background:
    """Everything a card tells beyond the rows, as far as it is there.

    Args:
        reports: folder with <stage>/report.json of the stages before, and contamination/report.json.
        results: folder with the result files that QUALITY names.

    Raises:
        InputError: a file is not JSON or of another form; names the file and the command that writes it.
    """
    found = {stage: _read(reports / folder / "report.json", f"stage `{stage}`") for stage, folder in FOLDERS.items()}
    for stage, report in found.items():
        if report is not None and "counts" not in report:
            path = reports / FOLDERS[stage] / "report.json"
            raise InputError(f"{path}: not a stage report (no counts); run the stage `{stage}` again.")
    return Background(
        {stage: report for stage, report in found.items() if report is not None},
        read_quality(results),
        _read(reports / "contamination" / "report.json", "command `upqa contamination`"),
    )


def read_quality(results: Path) -> list[Measured]:
    """The figures that QUALITY names, as far as they have been measured.

    Raises:
        InputError: a result file is not a list of claims.
    """
    measured = []
    for name, wanted in QUALITY.items():
        script = f"script `python -m benchmarks.{Path(name).stem}`"
        try:
            claims = {claim["claim"]: claim for claim in _read(results / name, script) or ()}
            measured += [
                Measured(what, *(claims[claim][field] for field in Measured._fields[1:]))
                for claim, what in wanted.items()
                if claim in claims
            ]
        except (TypeError, KeyError) as error:
            raise InputError(f"{results / name}: not a list of claims ({error}); run the {script} again.") from error
    return measured


def _read(path: Path, maker: str) -> Any:
    """The JSON in `path`; None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a report ({error}); run the {maker} again.") from error
