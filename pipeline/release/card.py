"""The dataset card: YAML that viewers and loaders read, and a text for people with the counts of the rows."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.core.licenses import may_publish, strictest, url
from pipeline.core.records import Preference, Question, QuestionKind, Record, ReleasedHistoryEntry, Split
from pipeline.release.config import ReleaseConfig
from pipeline.release.croissant import record_set
from pipeline.release.inputs import Background, Dataset
from pipeline.sources.registry import SOURCES, source_class, table
from pipeline.validate.splits import SPLITS

TABLES: Mapping[str, type[Record]] = {
    "questions": Question,
    "preferences": Preference,
    "histories": ReleasedHistoryEntry,
}
"""Configs on the Hub, the default one first, and the record of their rows."""
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


class Example(NamedTuple):
    """One preference for a reader; rows in full are as they stand in Parquet."""

    preference: dict[str, Any]
    """A preference with an update, a cluster and nothing sensitive, as far as there is one."""
    update: dict[str, Any] | None
    """The later preference that replaces it."""
    questions: list[Question]
    """Its questions."""
    question: dict[str, Any] | None
    """The first of them."""


def parquet_path(folder: Path, table: str, split: str) -> Path:
    """Where the rows of a split lie in a release folder."""
    return folder / "data" / f"{table}-{split}.parquet"


def parquet_files() -> dict[str, dict[Split, str]]:
    """The Parquet files of a release by table and split, as paths in its folder."""
    return {table: {split: parquet_path(Path(), table, split).as_posix() for split in SPLITS} for table in TABLES}


def files() -> list[str]:
    """All files of a release but the manifest, as paths in its folder."""
    return ["README.md", "croissant.json", *(name for own in parquet_files().values() for name in own.values())]


def card(dataset: Dataset, folder: Path, config: ReleaseConfig, background: Background) -> str:
    """The text of README.md.

    Args:
        dataset: the rows.
        folder: the release folder, whose Parquet files are written.
        config: title, version, whom to cite.
        background: reports, quality, overlap.
    """
    front = yaml.safe_dump(_front(dataset, folder, config), sort_keys=False, allow_unicode=True)
    environment = Environment(loader=PackageLoader("pipeline.release"), undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"cell": _cell, "quoted": _quoted, "listing": _listing}
    body = environment.get_template("card.md.jinja").render(
        config=config,
        background=background,
        **_about_stages(background.reports),
        dataset=dataset,
        license=strictest(licenses(dataset)),
        publishable=all(map(may_publish, licenses(dataset))),
        licenses=licenses(dataset),
        users=len({p.user_id for p in dataset.preferences}),
        lone_users=sum(
            rows == 1 for rows in Counter(p.user_id for p in dataset.preferences if p.origin == "mined").values()
        ),
        updates=sum(p.origin == "template" for p in dataset.preferences),
        mined_queries=len({q.text for q in dataset.questions if q.kind is QuestionKind.IMPLICIT and q.query_id}),
        kinds=[(kind, [q for q in dataset.questions if q.kind is kind]) for kind in QuestionKind],
        splits={
            split: {name: [row for row in rows if row.split == split] for name, rows in dataset.tables().items()}
            for split in SPLITS
        },
        tellers=Counter(entry.user_id for entry in dataset.histories),
        families=Counter(p.family for p in dataset.preferences).most_common(),
        attribute_types=Counter(p.attribute_type for p in dataset.preferences).most_common(),
        sensitive=_sensitive(dataset),
        sources=_sources(dataset),
        **_about_sources(dataset),
        fields={name: list(_fields(record_set(name, record)["field"])) for name, record in TABLES.items()},
        example=_example(dataset, folder),
    )
    return f"---\n{front}---\n\n{body.strip()}\n"


def licenses(dataset: Dataset) -> dict[str, int]:
    """Licence -> rows of all tables that carry it."""
    return dict(sorted(Counter(row.license for rows in dataset.tables().values() for row in rows).items()))


def _front(dataset: Dataset, folder: Path, config: ReleaseConfig) -> dict[str, Any]:
    license_id = strictest(licenses(dataset))
    named = {"license_name": license_id.lower(), "license_link": url(license_id)}
    # `datasets` refuses a split without rows, and a table without splits, so the card names only those that have some.
    filled = {
        name: [split for split in SPLITS if any(row.split == split for row in rows)]
        for name, rows in dataset.tables().items()
        if rows
    }
    return {
        "pretty_name": config.pretty_name,
        "language": ["en"],
        "license": _HUB_LICENSES.get(license_id, "other"),
        **({} if license_id in _HUB_LICENSES else named),
        "task_categories": ["question-answering", "text-generation"],
        "size_categories": [_size_category(len(dataset.questions))],
        "tags": ["personalization", "user-preferences", "memory", "model-editing"],
        "dataset_info": _dataset_info(folder, filled),
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "questions" else {}),
                "data_files": [{"split": s, "path": f"data/{name}-{s}.parquet"} for s in splits],
            }
            for name, splits in filled.items()
        ],
    }


def _dataset_info(folder: Path, filled: Mapping[str, Sequence[str]]) -> Any:
    """Features and sizes of the Parquet files, as `datasets` writes them into a card."""
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    infos = DatasetInfosDict()
    for name, splits in filled.items():
        sizes = SplitDict()
        for split in splits:
            rows = pq.read_table(parquet_path(folder, name, split))
            sizes[split] = SplitInfo(name=split, num_bytes=rows.nbytes, num_examples=rows.num_rows)
        infos[name] = DatasetInfo(
            features=Features.from_arrow_schema(pq.read_schema(parquet_path(folder, name, SPLITS[0]))),
            splits=sizes,
            download_size=sum(parquet_path(folder, name, split).stat().st_size for split in splits),
            dataset_size=sum(size.num_bytes for size in sizes.values()),
        )
    written = DatasetCardData()
    infos.to_dataset_card_data(written)
    return written["dataset_info"]


def _size_category(rows: int) -> str:
    bounds = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for bound, name in bounds if rows < bound), "1M<n<10M")


def _about_stages(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the reports count: rows in and out, why rows were dropped, what was read and what of it is damaged."""
    counts = {stage: report["counts"] for stage, report in reports.items()}
    dropped = {stage: n.get("dropped_by_reason", n.get("rejected_by_reason", {})) for stage, n in counts.items()}
    mined = counts.get("mine", {})
    return {
        "flows": [
            (f"{stage} ({what})", rows["in"], rows["out"])
            for stage, own in counts.items()
            for what, rows in own.items()
            if isinstance(rows, dict) and {"in", "out"} <= rows.keys()
        ],
        "dropped": {stage: Counter(reasons).most_common() for stage, reasons in dropped.items() if reasons},
        "mined": mined if {"conversations", "statements", "queries"} <= mined.keys() else None,
        "damaged": [source for source in reports.get("mine", {}).get("sources", ()) if source["damage"]],
    }


def _sources(dataset: Dataset) -> list[str]:
    return sorted({*(p.source for p in dataset.preferences), *(entry.evidence.source for entry in dataset.histories)})


def _sensitive(dataset: Dataset) -> list[tuple[str, int]]:
    """Category -> statements that touch it; one that stands in both tables counts once."""
    rows: Sequence[Preference | ReleasedHistoryEntry] = (*dataset.preferences, *dataset.histories)
    said = dict.fromkeys((row.evidence, row.sensitive) for row in rows)
    return Counter(category for _, categories in said for category in categories).most_common()


def _about_sources(dataset: Dataset) -> dict[str, Any]:
    """The declarations of public corpora as a table, what to cite of them, and which sources are files of one's own."""
    names = _sources(dataset)
    cards = {name: source_class(name).card for name in names if name in SOURCES}
    public = [name for name, card in cards.items() if card.hub_id or card.url]
    return {
        "source_table": table(public) if public else "",
        "citations": [cards[name].citation for name in public],
        "own_files": [name for name in names if name not in public],
    }


def _fields(described: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Path and meaning of each column and of what stands inside it, from its Croissant description."""
    for field in described:
        path = ".".join(field["name"].split("/")[1:])
        yield path + ("[]" if field.get("repeated") else ""), field["description"]
        yield from _fields(field.get("subField", []))


def _example(dataset: Dataset, folder: Path) -> Example | None:
    later = {p.id: p for p in dataset.preferences}
    ranked = sorted(
        (p for p in dataset.preferences if p.origin == "mined" and not p.sensitive),
        key=lambda p: (p.superseded_by not in later, not p.cluster, p.id),
    )
    if not ranked:
        return None
    update = later.get(ranked[0].superseded_by or "")
    own = [q for q in dataset.questions if q.preference_id == ranked[0].id]
    return Example(
        _row(folder, "preferences", ranked[0]),
        _row(folder, "preferences", update) if update else None,
        own,
        _row(folder, "questions", own[0]) if own else None,
    )


def _row(folder: Path, table: str, row: Preference | Question) -> dict[str, Any]:
    path = parquet_path(folder, table, row.split)
    (found,) = pq.read_table(path, filters=[("id", "==", row.id)]).to_pylist()
    return dict(found)


def _cell(text: str) -> str:
    """`text` as one cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _quoted(text: str) -> str:
    """What somebody wrote as one cell of a Markdown table, with nothing in it that Markdown would act on."""
    return re.sub(r"([\\`*\[\]<|])", r"\\\1", text.replace("\n", " "))


def _listing(row: Mapping[str, Any]) -> str:
    """A row as JSON: a field a line, and a line for each record in a list of records."""
    lines = []
    for name, value in row.items():
        shown = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            shown = "[\n" + ",\n".join(f"    {json.dumps(item, ensure_ascii=False)}" for item in value) + "\n  ]"
        lines.append(f"  {json.dumps(name)}: {shown}")
    return "{\n" + ",\n".join(lines) + "\n}"
