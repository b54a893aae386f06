"""What other turns between a statement and a question do to each method.

`python -m benchmarks.multiturn --dataset FOLDER [--users N] [--method ft_m ...]`. Every method is fitted as in the main
table, and its questions are asked after 0, 2, 4, 6, 8 and 10 exchanges of other people (stage `multiturn`). FOLDER is a
release, or a published benchmark as `upqa import` writes it; the exchanges are those of stage `exchanges`.

- `multiturn.<judge>.<kind>.<method>`: share of right answers; `cells` holds it by number of turns.
- `multiturn.local.following.<method>`: preference following by the rules of docs/protocol.md, likewise.
- `multiturn.finding.<name>`: differences that are positive where prompting fades and edits last, paired by user.

Runs are kept below .cache/multiturn_benchmark, so a stopped one goes on where it was. Also draws
docs/images/multiturn.svg.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import matplotlib.pyplot as plt
import numpy as np
import typer

from benchmarks.claims import HOLDS, ROOT, Claim, write
from benchmarks.kept_runs import kept_run
from editing.dialogue.answers import TurnAnswer
from editing.dialogue.asking import MultiturnSettings, ask_run
from editing.dialogue.scores import check, derived, read_turn_answers, rule
from editing.judges.config import JudgeConfig
from editing.judges.registry import load_judge
from editing.judging import join
from editing.metrics.bootstrap import Floats, Plan, draws, interval, shares
from editing.metrics.scores import Counts, count, share_estimates
from editing.runner import Cell, EditSettings
from editing.users import read_split
from pipeline.core.config import load_section
from pipeline.core.provenance import sha256_file
from pipeline.core.records import QuestionKind

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
CACHE = Path(".cache/multiturn_benchmark")
PLOT = ROOT / "docs" / "images" / "multiturn.svg"
METHODS = ("none", "in_context", "reminder", "rag_dense", "ft_m", "rome", "preference_edit")
TURNS = (0, 2, 4, 6, 8, 10)
COLUMNS = tuple(map(str, TURNS))
KINDS = (QuestionKind.EXPLICIT, QuestionKind.IMPLICIT)
JUDGES = ("embedding", "exact")

Table = Mapping[tuple[str, str, str], Counts]
"""Right answers by judge, kind (or check) and method, counted by user and number of turns."""


def asked(
    method: str, dataset: Path, edit: EditSettings, settings: MultiturnSettings, cache: Path = CACHE
) -> list[TurnAnswer]:
    """The answers of one method after other turns; a run that is already there is read."""
    run = kept_run(
        Cell(edit, MODEL, method), dataset, cache, settings.model_dump(mode="json"), sha256_file(settings.exchanges)
    )
    if not (run / "multiturn.parquet").is_file():
        ask_run(settings, dataset, run, cache)
    return read_turn_answers(run)


def judged(
    answers: Sequence[TurnAnswer], dataset: Path, edit: EditSettings, judging: JudgeConfig
) -> dict[tuple[str, str], Counts]:
    """One method's right answers by judge and kind, and preference following by the local checks."""
    preferences, questions = read_split(dataset, edit.split, edit.max_preferences)
    by_id = {question.id: question for own in questions.values() for question in own}
    items = join(answers, {p.id: p for p in preferences}, by_id, where="multiturn")
    found = {}
    for name in JUDGES:
        judge = load_judge(name, judging)
        rulings = rule(judge, answers, items, judging.chunk)
        right = [None if ruling.verdict == "unscored" else ruling.verdict == "correct" for ruling in rulings]
        for kind in KINDS:
            rows = ((a, r) for a, r in zip(answers, right, strict=True) if a.kind is kind)
            found[name, str(kind)] = _counted(rows)
        checks = check(judge, answers, items)
        if checks is not None:
            checker, values = checks
            implicit = [answer for answer in answers if answer.kind is QuestionKind.IMPLICIT]
            following = (derived(value)["preference_following"] for value in values)
            found[checker, "following"] = _counted(zip(implicit, following, strict=True))
    return found


def _counted(rows: Iterable[tuple[TurnAnswer, bool | None]]) -> Counts:
    return count(((answer.user_id, str(answer.turns), right) for answer, right in rows), COLUMNS)


def curve_claims(table: Table, plan: Plan) -> list[Claim]:
    """A claim a judge, kind and method: the share of right answers after most turns, and after all numbers of them."""
    claims = []
    for (judge, kind, method), counts in table.items():
        estimates = dict(zip(COLUMNS, share_estimates(counts, plan), strict=True))
        cells = {
            turns: [round(x, 4) for x in (found.value, found.low, found.high) if x is not None]
            for turns, found in estimates.items()
            if found.value is not None
        }
        if not cells:
            continue
        value, low, high = list(cells.values())[-1]
        extra = {"cells": cells, "unscored": dict(zip(COLUMNS, counts.unscored, strict=True))}
        n = max(found.n for found in estimates.values())
        claims.append(Claim(f"multiturn.{judge}.{kind}.{method}", value, "share", low, high, n, extra=extra))
    return claims


def finding_claims(table: Table, plan: Plan) -> list[Claim]:
    """How much is lost from none to most turns: by prompting, and by prompting more than by an edit."""
    claims = []
    for name, (loser, other) in FINDINGS.items():
        cells = {}
        users = 0
        for judge in JUDGES:
            for kind in map(str, KINDS):
                counts = [table.get((judge, kind, method)) for method in (loser, other) if method]
                if any(own is None for own in counts):
                    continue
                lost = [_lost(own, plan) for own in counts if own is not None]
                drawn = lost[0] - lost[1] if other else lost[0]
                found = interval(drawn[1:], plan.confidence)
                if found is not None and not np.isnan(drawn[0]):
                    cells[f"{kind}/{judge}{HOLDS}"] = [round(float(x), 4) for x in (drawn[0], *found)]
                    users = max(users, *(len(own.users) for own in counts if own is not None))
        if cells:
            value, low, high = next(iter(cells.values()))
            claims.append(Claim(f"multiturn.finding.{name}", value, "share", low, high, users, extra={"cells": cells}))
    return claims


def _lost(counts: Counts, plan: Plan) -> Floats:
    drawn = shares(draws(len(counts.users), plan), counts.right, counts.scored)
    return np.asarray(drawn[:, 0] - drawn[:, -1])


FINDINGS = {
    "in_context_fades": ("in_context", ""),
    "reminder_fades": ("reminder", ""),
    "in_context_fades_more_than_ft_m": ("in_context", "ft_m"),
    "in_context_fades_more_than_rome": ("in_context", "rome"),
}
"""Name -> the method that loses, and the method that is said to lose less."""


def draw(table: Table, plan: Plan, path: Path) -> None:
    """The curves of the first judge, a panel a kind."""
    plt.rcParams["svg.hashsalt"] = "upqa"
    figure, panels = plt.subplots(1, len(KINDS), figsize=(4.2 * len(KINDS), 3.4), sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        for (judge, of, method), counts in table.items():
            if (judge, of) == (JUDGES[0], str(kind)):
                values = [np.nan if e.value is None else 100 * e.value for e in share_estimates(counts, plan)]
                axes.plot(TURNS, values, "o-", ms=4, lw=1.2, label=method)
        axes.set(ylim=(-3, 103), xlabel="distractor turns", title=str(kind))
    panels[0].set_ylabel("right answers, %")
    panels[-1].legend(frameon=False, bbox_to_anchor=(1.02, 1), loc="upper left")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main(
    dataset: Annotated[Path, typer.Option(help="A release folder.")] = Path("build/hub"),
    exchanges: Annotated[Path, typer.Option(help="Distractors.")] = Path("data/exchanges/exchanges.parquet"),
    users: Annotated[int, typer.Option(help="Preferences of the test split, by the order of their ids.")] = 12,
    method: Annotated[list[str], typer.Option(help="Methods.")] = list(METHODS),  # noqa: B006
) -> None:
    """Write benchmarks/results/multiturn.json and draw docs/images/multiturn.svg."""
    judging = load_section(PARAMS, "judge", JudgeConfig)
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    edit = load_section(PARAMS, "edit", EditSettings).model_copy(
        update={"max_preferences": users, "split": "test", "exchanges": exchanges}
    )
    settings = load_section(PARAMS, "multiturn", MultiturnSettings).model_copy(
        update={"turns": TURNS, "exchanges": exchanges, "kinds": KINDS, "max_preferences": users}
    )
    table: dict[tuple[str, str, str], Counts] = {}
    for name in method:
        found = judged(asked(name, dataset, edit, settings), dataset, edit, judging)
        table |= {(judge, kind, name): counts for (judge, kind), counts in found.items()}
    claims = [*finding_claims(table, plan), *curve_claims(table, plan)]
    write("multiturn", f"python -m benchmarks.multiturn --dataset FOLDER --users {users}", claims)
    draw(table, plan, PLOT)


if __name__ == "__main__":
    typer.run(main)
