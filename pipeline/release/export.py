"""The release in the form of the published UPQA benchmark, so that its code can read our data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.core.command import friendly
from pipeline.core.records import Preference, Question, QuestionKind

FIELDS: Mapping[QuestionKind, str] = {
    QuestionKind.EXPLICIT: "question",
    QuestionKind.REPHRASED: "question_paraphrased",
    QuestionKind.IMPLICIT: "implicit_question",
    QuestionKind.PRODUCT: "product_recommendation_question",
}
"""Question kind -> field of the published form."""


def upqa_rows(
    preferences: Iterable[Preference], questions: Iterable[Question], *, clusters: bool
) -> list[dict[str, Any]]:
    """One object a preference in the published form; a preference without a question of each kind is left out.

    Args:
        preferences: the preferences, in the order of the rows.
        questions: their questions; the first of a kind by text is taken.
        clusters: write `attribute_type`, `question` and `target` as lists over the cluster, the original last, as
            the published clustered file does; a preference without a cluster is then left out.

    Source: the files of arXiv 2512.13676, whose field names these are.
    """
    asked: dict[str, dict[QuestionKind, str]] = {}
    for question in sorted(questions, key=lambda q: q.text):
        asked.setdefault(question.preference_id, {}).setdefault(question.kind, question.text)
    rows = []
    for preference in preferences:
        texts = asked.get(preference.id, {})
        if not FIELDS.keys() <= texts.keys() or (clusters and not preference.cluster):
            continue
        row: dict[str, Any] = {
            "input_attribute": preference.statement,
            "attribute_type": preference.attribute_type,
            **{field: texts[kind] for kind, field in FIELDS.items()},
            "target": preference.target,
        }
        if clusters:
            members = [*preference.cluster[1:], preference.cluster[0]]
            row["attribute_type"] = [member.attribute_type for member in members]
            row["question"] = [member.question for member in members]
            row["target"] = [member.target for member in members]
        rows.append(row)
    return rows


@friendly
def export(
    dataset: Annotated[Path, typer.Option(help="Release folder.")] = Path("build/hub"),
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    clusters: Annotated[bool, typer.Option(help="Lists over the clusters, the original last.")] = False,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("build/upqa.json"),
) -> None:
    """Write one split as a JSON list in the form of the published UPQA files.

    Example: upqa export --split test --out build/upqa.json
    """
    from pipeline.core.progress import console
    from pipeline.core.tables import read_parquet, write_json

    preferences = read_parquet(dataset / "data" / f"preferences-{split}.parquet", Preference)
    questions = read_parquet(dataset / "data" / f"questions-{split}.parquet", Question)
    rows = upqa_rows(preferences, questions, clusters=clusters)
    write_json(out, rows)
    console.print(f"export: {len(rows)} preferences -> {out}", highlight=False)
