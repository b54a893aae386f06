"""How long a full evaluation of one prompt method takes.

`python -m benchmarks.evaluation [--dataset FOLDER]`: seven questions, one of each kind but `neutral`, for each of 100
preferences, answered by `in_context` as the stage answers them, with the settings of params.yaml.

- `eval.seconds_700_answers`: wall seconds to fit and answer, without loading the model. Where a release has fewer
  preferences, its users are repeated until there are 100.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.claims import ROOT, Claim, write
from editing.lm.load import load
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.runner import EditSettings
from editing.users import SPLITS, read_split, user_of
from pipeline.core.config import load_section
from pipeline.core.errors import InputError
from pipeline.core.provenance import peak_memory_mb
from pipeline.core.records import Preference, Question, QuestionKind

KINDS = tuple(kind for kind in QuestionKind if kind is not QuestionKind.NEUTRAL)


def people(dataset: Path, count: int) -> list[tuple[Preference, list[Question]]]:
    """`count` preferences with one question of each kind they have; repeated where the release has fewer."""
    found: list[tuple[Preference, list[Question]]] = []
    for split in SPLITS:
        try:
            preferences, questions = read_split(dataset, split, count)
        except InputError:
            continue
        for preference in preferences:
            first = {question.kind: question for question in reversed(questions[preference.id])}
            found.append((preference, [first[kind] for kind in KINDS if kind in first]))
    return list(itertools.islice(itertools.cycle(found), count))


def main(
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    model: Annotated[str, typer.Option(help="Name in edit.checkpoints.")] = "smollm2-135m-instruct",
    method: Annotated[str, typer.Option(help="Prompt method.")] = "in_context",
    preferences: Annotated[int, typer.Option(help="Preferences.")] = 100,
) -> None:
    """Write benchmarks/results/evaluation.json."""
    settings = load_section(ROOT / "params.yaml", "edit", EditSettings)
    lm = load(settings.checkpoints[model], name=model, dtype=settings.dtype, device=settings.device)
    chosen = people(dataset, preferences)
    users = [user_of(preference, questions) for preference, questions in chosen]
    rows = [(at, question.text) for at, (_, questions) in enumerate(chosen) for question in questions]
    started = time.perf_counter()
    with applied(lm, create(method, load_config(method, model), Resources(())).fit(lm, users)) as responder:
        replies = responder.answer(
            [at for at, _ in rows],
            [text for _, text in rows],
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
    seconds = time.perf_counter() - started
    claim = Claim(
        "eval.seconds_700_answers",
        seconds * 700 / len(rows),
        "s",
        None,
        None,
        len(rows),
        f"{method}, at most {settings.max_new_tokens} new tokens, scaled to 700 answers",
        {
            "seconds": seconds,
            "tokens": sum(reply.tokens for reply in replies),
            "dtype": str(lm.dtype).removeprefix("torch."),
            "peak_mb": peak_memory_mb(),
        },
    )
    typer.echo(f"{claim.claim}: {claim.value:.1f} s {claim.extra}")
    write("evaluation", f"python -m benchmarks.evaluation --preferences {preferences}", [claim])


if __name__ == "__main__":
    typer.run(main)
