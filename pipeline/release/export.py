"""The release in other forms: that of the published UPQA, so that its code can read our data, or lm-eval tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
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
    """One object a preference in the published form.

    A preference without a question of each kind is left out, and so is an update that this project invented: the form
    has no field that could mark it.

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
        invented = preference.origin == "template"
        if invented or not FIELDS.keys() <= texts.keys() or (clusters and not preference.cluster):
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


class Form(StrEnum):
    """What a release can be written as."""

    UPQA = "upqa"
    """One JSON list as the published UPQA files hold it."""
    LM_EVAL = "lm-eval"
    """A task folder of lm-evaluation-harness."""


OUT: Mapping[Form, Path] = {Form.UPQA: Path("build/upqa.json"), Form.LM_EVAL: Path("build/lm-eval")}
"""Where each form goes unless told otherwise."""


@friendly
def export(
    dataset: Annotated[Path, typer.Option(help="Release folder.")] = Path("build/hub"),
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    form: Annotated[Form, typer.Option("--format", help="Published UPQA file, or lm-evaluation-harness.")] = Form.UPQA,
    clusters: Annotated[bool, typer.Option(help="upqa: lists over the clusters, the original last.")] = False,
    out: Annotated[Path | None, typer.Option(help="File or folder; default build/upqa.json, build/lm-eval.")] = None,
    params: Annotated[Path, typer.Option(help="lm-eval: sections `judge` and `edit`.")] = Path("params.yaml"),
) -> None:
    """Write one split as a JSON list in the form of the published UPQA files, or as tasks for lm-evaluation-harness.

    Example: upqa export --format lm-eval --out build/lm-eval
    """
    from pipeline.core.progress import console
    from pipeline.core.provenance import dataset_sha256
    from pipeline.core.tables import read_parquet, write_json
    from pipeline.release.harness_tasks import task_rows, task_settings, write_tasks

    out = out or OUT[form]
    preferences = read_parquet(dataset / "data" / f"preferences-{split}.parquet", Preference)
    questions = read_parquet(dataset / "data" / f"questions-{split}.parquet", Question)
    if form is Form.UPQA:
        rows = upqa_rows(preferences, questions, clusters=clusters)
        write_json(out, rows)
        console.print(f"export: {len(rows)} preferences -> {out}", highlight=False)
        return
    tasks = task_rows(preferences, questions)
    write_tasks(tasks, task_settings(params), out, split=split, dataset_sha256=dataset_sha256(dataset))
    console.print(f"export: {sum(map(len, tasks.values()))} questions in {len(tasks)} kinds -> {out}", highlight=False)
