"""Whether the difficulty tag predicts how many questions a prompted model answers.

`python -m benchmarks.difficulty [--split test]` answers the target-kind questions of a split with the method
`in_context`, judges them with `exact`, and compares the shares of right answers between the tags of two rules of
docs/dataset.md: from words and rank alone, and with the solve rates of the model behind `validate`'s reference role.

- `difficulty.<rule>.<tag>`: share of right answers, interval clustered by user, all kinds together.
- `difficulty.<rule>.easy_minus_medium`, `.medium_minus_hard`: the tag is monotone when both lie above 0;
  `.easy_minus_hard` is their sum.

`--split train --split validation` prints the same for the users on whom a rule may be revised, and writes no result.
`--rows FILE` keeps the questions with their numbers and outcomes: where the file exists, no model is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from benchmarks.claims import ROOT, Claim, write
from editing.judges.config import JudgeConfig
from editing.judges.registry import load_judge
from editing.judging import item_of
from editing.lm.load import load
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.metrics.bootstrap import Plan, draws, interval, shares
from editing.metrics.scores import count
from editing.patches.apply import applied
from editing.runner import EditSettings
from editing.users import read_split, user_of
from pipeline.core.config import load_section
from pipeline.core.records import TARGET_KINDS, Difficulty, Preference, Question, Record, Split
from pipeline.core.tables import read_jsonl, write_jsonl
from pipeline.llm.client import Client
from pipeline.llm.config import load_llm
from pipeline.validate.config import ReferenceConfig, ValidateConfig
from pipeline.validate.difficulty import tag
from pipeline.validate.solving import Posed, solve_rates

TAGS = ("easy", "medium", "hard")
REFERENCE = ReferenceConfig(role="reference", samples=1, max_tokens=12, max_guess_rate=0.5, min_solve_rate=0.5)
"""The setting that params.yaml suggests where solve rates are off."""
EVERYBODY = 10**6


class Row(Record):
    """One question with its numbers and what became of it."""

    user_id: str
    """Whose question."""
    kind: str
    """Its kind."""
    measured: Difficulty
    """The numbers of docs/dataset.md, solve rates included."""
    right: bool | None
    """Whether the judge found the answer correct; None for unscored."""


class Pair(NamedTuple):
    """A question with its preference."""

    preference: Preference
    question: Question


def pairs(dataset: Path, splits: Sequence[Split]) -> list[Pair]:
    """All target-kind questions of the splits, updates left out."""
    found = []
    for split in splits:
        preferences, questions = read_split(dataset, split, EVERYBODY)
        found += [Pair(p, q) for p in preferences for q in questions[p.id] if q.kind in TARGET_KINDS]
    return found


def answered(asked: Sequence[Pair], model: str) -> list[bool | None]:
    """Whether `in_context` on `model` answers each question, by the judge `exact`."""
    settings = load_section(ROOT / "params.yaml", "edit", EditSettings)
    lm = load(settings.checkpoints[model], name=model, dtype=settings.dtype, device=settings.device)
    users = [user_of(preference, [question]) for preference, question in asked]
    method = create("in_context", load_config("in_context", model), Resources(()))
    with applied(lm, method.fit(lm, users)) as responder:
        replies = responder.answer(
            list(range(len(asked))),
            [question.text for _, question in asked],
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
    items = [
        item_of(preference, question, reply.text) for (preference, question), reply in zip(asked, replies, strict=True)
    ]
    rulings = load_judge("exact", load_section(ROOT / "params.yaml", "judge", JudgeConfig)).rule(items)
    return [None if ruling.verdict == "unscored" else ruling.verdict == "correct" for ruling in rulings]


def measured(asked: Sequence[Pair]) -> list[Difficulty]:
    """The numbers of each question, with the solve rates of the reference model."""
    posed = [Posed(question.text, preference.statement, question.accepted) for preference, question in asked]
    with Client(REFERENCE.role, load_llm(ROOT / "params.yaml")) as client:
        rates = solve_rates(client, posed, REFERENCE)
    return [
        question.measured.model_copy(
            update={"solve_rate_with": found.with_statement, "solve_rate_without": found.without}
        )
        for (_, question), found in zip(asked, rates, strict=True)
    ]


def table(rows: Sequence[Row], rule: str, tagged: Callable[[Difficulty], str], plan: Plan) -> list[Claim]:
    """Share of right answers by tag, and the differences between tags."""
    counts = count(((row.user_id, tagged(row.measured), row.right) for row in rows), TAGS)
    drawn = shares(draws(len(counts.users), plan), counts.right, counts.scored)  # (samples + 1, 3)
    kinds = {
        kind: {
            name: [sum(bool(r.right) for r in own), len(own)]
            for name in TAGS
            for own in [[r for r in rows if r.kind == kind and tagged(r.measured) == name]]
        }
        for kind in map(str, TARGET_KINDS)
    }
    claims = []
    for column, name in enumerate(TAGS):
        by_kind = {kind: found[name] for kind, found in kinds.items()}
        claims.append(_claim(f"difficulty.{rule}.{name}", drawn[:, column], counts.scored[:, column].sum(), plan))
        claims[-1].extra["right_and_questions_by_kind"] = by_kind
    for easier, harder in ((0, 1), (1, 2), (0, 2)):
        name = f"difficulty.{rule}.{TAGS[easier]}_minus_{TAGS[harder]}"
        gap = drawn[:, easier] - drawn[:, harder]
        claims.append(_claim(name, gap, counts.scored[:, [easier, harder]].sum(), plan))
    return claims


def _claim(name: str, drawn: np.ndarray, n: float, plan: Plan) -> Claim:
    low, high = interval(drawn[1:], plan.confidence) or (None, None)
    note = "in_context, exact judge, all target kinds; interval clustered by user"
    return Claim(name, float(drawn[0]), "share", low, high, int(n), note)


def main(
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    model: Annotated[str, typer.Option(help="Name in edit.checkpoints.")] = "smollm2-135m-instruct",
    split: Annotated[list[str], typer.Option(help="Splits whose users are asked.")] = ["test"],  # noqa: B006
    rows: Annotated[Path, typer.Option(help="Where the measured questions are kept.")] = Path("data/difficulty.jsonl"),
) -> None:
    """Print the table; for the test split, write benchmarks/results/difficulty.json."""
    if not rows.is_file():
        asked = pairs(dataset, split)  # type: ignore[arg-type]
        measurements = zip(asked, measured(asked), answered(asked, model), strict=True)
        kept = [Row(user_id=q.user_id, kind=q.kind, measured=own, right=right) for (_, q), own, right in measurements]
        write_jsonl(rows, kept)
    found = list(read_jsonl(rows, Row))
    limits = load_section(ROOT / "params.yaml", "validate", ValidateConfig).difficulty
    judging = load_section(ROOT / "params.yaml", "judge", JudgeConfig)
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    claims = [
        *table(found, "by_words_and_rank", lambda own: tag(own, limits, None), plan),
        *table(found, "by_solve_rate", lambda own: tag(own, limits, REFERENCE), plan),
    ]
    for claim in claims:
        typer.echo(f"{claim.claim}: {claim.value:.3f} ({claim.low} to {claim.high}), n {claim.n}")
    if split == ["test"]:
        write("difficulty", "python -m benchmarks.difficulty", claims)


if __name__ == "__main__":
    typer.run(main)
