"""The release stage: rows whose licence is allowed, a dataset card, and a manifest with a hash of every file.

The folder is deterministic: the same dataset and settings give the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.core.config import read_yaml
from pipeline.core.errors import InputError
from pipeline.core.licenses import UNKNOWN, strictest, url
from pipeline.core.provenance import dataset_sha256, git_revision, sha256_file
from pipeline.core.records import Preference, Question, QuestionKind, Record, content_id
from pipeline.core.tables import atomic_write, read_parquet, write_json, write_parquet
from pipeline.release.config import ReleaseConfig
from pipeline.release.croissant import croissant
from pipeline.validate.splits import SPLITS

CONFIGS: dict[str, type[Record]] = {"questions": Question, "preferences": Preference}
"""Hub configs, the default one first."""

FOLDERS: Mapping[str, str] = {"mine": "mined", "generate": "generated", "validate": "upqa"}
"""Stage before this one -> its folder below data."""
LOCK = Path("dvc.lock")
"""Where DVC keeps the hashes of what every stage read and wrote."""
_HUB_LICENSES = {
    "CC0-1.0": "cc0-1.0",
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "ODC-By-1.0": "odc-by",
    "CC-BY-4.0": "cc-by-4.0",
    "CC-BY-SA-4.0": "cc-by-sa-4.0",
    "CC-BY-NC-4.0": "cc-by-nc-4.0",
    "CC-BY-NC-SA-4.0": "cc-by-nc-sa-4.0",
}


class Dataset(NamedTuple):
    """The rows of one release."""

    preferences: list[Preference]
    """Released preferences."""
    questions: list[Question]
    """Released questions; each belongs to a released preference."""
    refused: dict[str, int]
    """Rows left out for their licence, by "config: licence"."""


def read_dataset(folder: Path, allowed: Sequence[str]) -> Dataset:
    """The validated rows whose licence is in `allowed`; a question goes with its preference.

    Raises:
        InputError: a Parquet file of data/upqa is missing or damaged.
    """
    refused: Counter[str] = Counter()
    preferences: list[Preference] = []
    questions: list[Question] = []
    for split in SPLITS:
        for preference in read_parquet(folder / "preferences" / f"{split}.parquet", Preference):
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
    return Dataset(preferences, questions, dict(sorted(refused.items())))


def read_flows(reports: Path) -> dict[str, dict[str, dict[str, int]]]:
    """Stage -> rows -> {"in", "out"} from the report.json of every stage before this one that has been run.

    Raises:
        InputError: a report is not JSON.
    """
    flows: dict[str, dict[str, dict[str, int]]] = {}
    for stage, folder in FOLDERS.items():
        path = reports / folder / "report.json"
        if not path.exists():
            continue
        try:
            counts = json.loads(path.read_text(encoding="utf-8"))["counts"]
        except (json.JSONDecodeError, KeyError) as error:
            raise InputError(f"{path}: not a stage report ({error}); run the stage `{stage}` again.") from error
        flows[stage] = {name: n for name, n in counts.items() if isinstance(n, dict) and {"in", "out"} <= n.keys()}
    return flows


def read_contamination(reports: Path) -> dict[str, Any] | None:
    """What `upqa contamination` found in the rows it was run on; None where it was not run.

    Raises:
        InputError: the report is not JSON.
    """
    path = reports / "contamination" / "report.json"
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not a report ({error}); run `upqa contamination` again.") from error
    return found


def dvc_revision(lock: Path) -> str | None:
    """Hash of what `lock` records of the stages before this one; None where DVC has run none of them here.

    The release's own entry is left out, as are those of later stages: they change when nothing before them has, and two
    runs must give the same bytes.

    Raises:
        ConfigError: the file is not YAML.
    """
    if not lock.exists():
        return None
    stages = read_yaml(lock).get("stages") or {}
    before = {stage: stages[stage] for stage in FOLDERS if stage in stages}
    return content_id(before) if before else None


def build(
    dataset: Dataset,
    flows: Mapping[str, Any],
    out: Path,
    config: ReleaseConfig,
    contamination: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the Hub folder to `out` and return its manifest.

    Args:
        dataset: the rows.
        flows: stage -> rows -> {"in", "out"}, for the card.
        out: folder to write; files already there under other names stay.
        config: title, version, licences.
        contamination: report on the overlap with published benchmarks; the card has it where it is about these rows.
    """
    for split in SPLITS:
        write_parquet(
            _data(out, "preferences", split), (p for p in dataset.preferences if p.split == split), Preference
        )
        write_parquet(_data(out, "questions", split), (q for q in dataset.questions if q.split == split), Question)
    rows_sha256 = dataset_sha256(out)
    if contamination is not None and contamination["dataset_sha256"] != rows_sha256:
        contamination = None
    card = _card(dataset, flows, config, contamination)
    with atomic_write(out / "README.md", "w") as file:
        file.write(card)
    parquet = {path.relative_to(out).as_posix(): sha256_file(path) for path in (out / "data").glob("*.parquet")}
    described = croissant(
        name=config.pretty_name,
        version=config.version,
        license_url=url(strictest(_licenses(dataset))),
        files=parquet,
        configs=CONFIGS,
    )
    write_json(out / "croissant.json", described)
    manifest = {
        "name": config.pretty_name,
        "version": config.version,
        "dataset_sha256": rows_sha256,
        "code": git_revision(),
        "dvc_revision": dvc_revision(LOCK),
        "rows": {
            name: {split: sum(row.split == split for row in rows) for split in SPLITS}
            for name, rows in (("preferences", dataset.preferences), ("questions", dataset.questions))
        },
        "licenses": _licenses(dataset),
        "refused": dataset.refused,
        "files": {
            path.relative_to(out).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        },
    }
    write_json(out / "manifest.json", manifest)
    return manifest


def _data(out: Path, name: str, split: str) -> Path:
    return out / "data" / f"{name}-{split}.parquet"


def _licenses(dataset: Dataset) -> dict[str, int]:
    rows: list[Preference | Question] = [*dataset.preferences, *dataset.questions]
    return dict(sorted(Counter(row.license for row in rows).items()))


def _card(
    dataset: Dataset, flows: Mapping[str, Any], config: ReleaseConfig, contamination: Mapping[str, Any] | None
) -> str:
    license_id = strictest(_licenses(dataset))
    publishable = license_id != UNKNOWN
    front = {
        "pretty_name": config.pretty_name,
        "language": ["en"],
        "license": _HUB_LICENSES.get(license_id, "other"),
        **(
            {} if license_id in _HUB_LICENSES else {"license_name": license_id.lower(), "license_link": url(license_id)}
        ),
        "task_categories": ["question-answering", "text-generation"],
        "size_categories": [_size_category(len(dataset.questions))],
        "tags": ["personalization", "user-preferences", "memory", "model-editing"],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "questions" else {}),
                # `datasets` refuses a split without rows, so the card names only splits that have some.
                "data_files": [
                    {"split": s, "path": f"data/{name}-{s}.parquet"} for s in SPLITS if any(r.split == s for r in rows)
                ],
            }
            for name, rows in (("questions", dataset.questions), ("preferences", dataset.preferences))
        ],
    }
    environment = Environment(loader=PackageLoader("pipeline.release"), undefined=StrictUndefined, autoescape=False)
    environment.filters["cell"] = _cell
    body = environment.get_template("card.md.jinja").render(
        name=config.pretty_name,
        version=config.version,
        license=license_id,
        publishable=publishable,
        licenses=_licenses(dataset),
        refused=dataset.refused,
        preferences=dataset.preferences,
        questions=dataset.questions,
        users=len({p.user_id for p in dataset.preferences}),
        lone_users=sum(rows == 1 for rows in Counter(p.user_id for p in dataset.preferences).values()),
        mined_queries=len({q.text for q in dataset.questions if q.kind is QuestionKind.IMPLICIT and q.query_id}),
        sources=sorted({p.source for p in dataset.preferences}),
        kinds=[(kind, [q for q in dataset.questions if q.kind is kind]) for kind in QuestionKind],
        splits=[(s, [p for p in dataset.preferences if p.split == s]) for s in SPLITS],
        families=Counter(p.family for p in dataset.preferences).most_common(),
        flows=flows,
        contamination=contamination,
        fields={name: _fields(record) for name, record in CONFIGS.items()},
        example=json.dumps(dataset.questions[0].model_dump(mode="json"), indent=2) if dataset.questions else "{}",
    )
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n\n{body.strip()}\n"


def _fields(record: type[Record]) -> list[tuple[str, str]]:
    return [(name, info.description or "") for name, info in record.model_fields.items()]


def _cell(text: str) -> str:
    """`text` as one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _size_category(rows: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")
