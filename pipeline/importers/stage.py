"""From published records to a folder that `python -m editing.edit --dataset` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pipeline.core.provenance import code_revision, sha256_file, sha256_tree
from pipeline.core.records import Draft, Preference, Question, QuestionKind, Split
from pipeline.core.tables import atomic_write, write_json, write_parquet
from pipeline.importers import prefeval, upqa
from pipeline.importers.records import LICENSE, Imported, drafts, read_records
from pipeline.validate.config import DifficultyConfig, RulesConfig, SplitConfig, ValidateConfig
from pipeline.validate.difficulty import Encode
from pipeline.validate.rows import deal, release, releaser
from pipeline.validate.splits import SPLITS, member
from pipeline.validate.stage import Kept

Format = Literal["upqa", "prefeval"]
R = TypeVar("R", Preference, Question)
SOURCES: Mapping[Format, str] = {"upqa": upqa.SOURCE, "prefeval": prefeval.SOURCE}
"""Name of each benchmark as the source of its rows."""
TITLES: Mapping[Format, str] = {"upqa": "UPQA as published", "prefeval": "PrefEval as published"}
"""Title of each imported data set."""
CREDITS: Mapping[Format, str] = {
    "upqa": "Questions and answers of Huang et al., Towards Effective Model Editing for LLM Personalization "
    "(arXiv 2512.13676). They were written by a language model from persona sentences.",
    "prefeval": "Preferences and questions of Zhao et al., Do LLMs Recognize Your Preferences? (PrefEval, ICLR 2025), "
    "with the targets added for Huang et al. (arXiv 2512.13676). The explicit questions are templates of ours.",
}
"""Whose work the rows are."""
VERSION = "1.0.0"
"""Version of the imported form."""
ALL_TEST = SplitConfig(seed=0, train=0.0, validation=0.0, test=1.0, max_group=0.0, near_duplicate=None)
"""A published benchmark is for testing: nothing of it may be trained on or tuned on."""


class Dataset(NamedTuple):
    """Rows of an imported benchmark."""

    preferences: list[Preference]
    """By id."""
    questions: list[Question]
    """By preference, kind and text."""


class Read(NamedTuple):
    """A published file as drafts."""

    drafts: dict[str, Draft]
    """By id."""
    records: int
    """Records in the file; those beyond len(drafts) were equal to another."""


def published(benchmark: Format, path: Path, *, first_person: bool) -> list[Imported]:
    """Every record of a published file, in its order.

    Raises:
        InputError: the file is missing or not of this benchmark.
    """
    if benchmark == "upqa":
        return list(upqa.imported(read_records(path, upqa.Record), first_person=first_person))
    return list(prefeval.imported(read_records(path, prefeval.Record)))


def read(benchmark: Format, path: Path, *, first_person: bool) -> Read:
    """The drafts of a published file.

    Raises:
        InputError: the file is missing or not of this benchmark.
    """
    records = published(benchmark, path, first_person=first_person)
    return Read(drafts(SOURCES[benchmark], records), len(records))


def dataset(found: Mapping[str, Draft], encode: Encode, rules: RulesConfig, difficulty: DifficultyConfig) -> Dataset:
    """The rows, every one in the test split, with difficulty measured as for our own data.

    The rules for drafts are not applied: the benchmark is evaluated as it was published.
    """
    kept = {
        id_: Kept(
            draft=draft.model_dump_json().encode(),
            bad=frozenset(),
            member=member(draft),
            statement=draft.statement.self_contained,
            asked=len(draft.questions),
        )
        for id_, draft in found.items()
    }
    config = ValidateConfig(rules=rules, difficulty=difficulty, reference=None, split=ALL_TEST)
    preferences: list[Preference] = []
    questions: list[Question] = []
    for preference, asked in release(kept, deal(kept, encode, ALL_TEST).splits, releaser(kept, {}, encode, config)):
        preferences.append(preference)
        questions += asked
    return Dataset(preferences, questions)


def write(benchmark: Format, rows: Dataset, source: Path, out: Path) -> dict[str, Any]:
    """Write data/*.parquet, README.md and manifest.json below `out` as a release has them; returns the manifest.

    The folder is deterministic. Its card says that the rows are somebody else's.
    """
    for split in SPLITS:
        data = out / "data"
        write_parquet(data / f"preferences-{split}.parquet", _of(rows.preferences, split), Preference)
        write_parquet(data / f"questions-{split}.parquet", _of(rows.questions, split), Question)
    with atomic_write(out / "README.md", "w") as file:
        file.write(_card(benchmark, rows, sha256_file(source)))
    manifest = {
        "name": TITLES[benchmark],
        "version": VERSION,
        "dataset_sha256": sha256_tree(out / "data"),
        "code": code_revision(),
        "rows": {
            "preferences": {split: len(_of(rows.preferences, split)) for split in SPLITS},
            "questions": {split: len(_of(rows.questions, split)) for split in SPLITS},
        },
        "licenses": {LICENSE: len(rows.preferences) + len(rows.questions)},
        "refused": {},
        "files": {
            path.relative_to(out).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
            for path in [out / "README.md", *sorted((out / "data").glob("*.parquet"))]
        },
    }
    write_json(out / "manifest.json", manifest)
    return manifest


def _of(rows: Sequence[R], split: Split) -> list[R]:
    return [row for row in rows if row.split == split]


def _card(benchmark: Format, rows: Dataset, sha256: str) -> str:
    kinds = Counter(question.kind.value for question in rows.questions)
    counts = "\n".join(f"- {kind.value}: {kinds[kind.value]}" for kind in QuestionKind if kinds[kind.value])
    return f"""---
pretty_name: {TITLES[benchmark]}
license: cc-by-nc-4.0
---

# {TITLES[benchmark]}

{CREDITS[benchmark]}

Imported by `upqa import --format {benchmark}` from a file with sha256 `{sha256}`. Licence {LICENSE}: research only.
Every row is a test row; do not publish this folder as your own and do not train on it.

{len(rows.preferences)} preferences, {len(rows.questions)} questions; those of the kinds unstated, irrelevant,
other_person and neutral are controls of ours, which the benchmark does not have:

{counts}
"""
