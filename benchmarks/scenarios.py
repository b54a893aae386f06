"""What is left of old edits as more users share one model, and whether a changed preference replaces the old one.

`python -m benchmarks.scenarios [--dataset FOLDER] [--counts 1,10,100] [--method rome ...]`. Explicit questions only,
judged by `exact`; users are those of all splits, in the order of their ids.

- `scenario.<method>.lifelong_<N>`: explicit recall after N edits over the ten users told first and the ten told last.
  `first` and `last` tell them apart; `of_another` is the share of answers that hold another told user's target and not
  the own one; `matrix[i][j]` is the share of the i-th of five age groups answered with a target of the j-th.
- `scenario.<method>.update`: explicit recall of the new value; `stale` is the share of answers that hold the old one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.claims import ROOT, Claim, write
from editing.judges.base import Item
from editing.judges.exact import ExactConfig, ExactJudge
from editing.lm.load import LM, load
from editing.methods.base import Method, Resources, User
from editing.methods.registry import create, load_config
from editing.metrics.bootstrap import wilson
from editing.metrics.crossing import AGES, matrix
from editing.patches.apply import applied
from editing.patches.patch import Patch
from editing.patches.stack import holding, stacked
from editing.runner import EditSettings
from editing.scenarios import replaced_value
from editing.users import SPLITS, read_split, texts_of, user_of
from pipeline.core.config import load_section, read_yaml
from pipeline.core.errors import InputError
from pipeline.core.records import Preference, QuestionKind

PARAMS = ROOT / "params.yaml"
ENDS = 10


class Asked(NamedTuple):
    """A preference, the user edited with it, and its explicit question."""

    preference: Preference
    user: User
    question: str


def released(dataset: Path, most: int) -> list[Asked]:
    """Preferences of all splits with their explicit question, in the order of their ids."""
    found = []
    for split in SPLITS:
        try:
            preferences, questions = read_split(dataset, split, most)
        except InputError:
            continue
        for preference in preferences:
            explicit = [q.text for q in questions[preference.id] if q.kind is QuestionKind.EXPLICIT][:1]
            found += [Asked(preference, user_of(preference, questions[preference.id]), text) for text in explicit]
    return sorted(found, key=lambda asked: asked.preference.id)[:most]


def answers(lm: LM, patch: Patch, asked: Sequence[Asked], settings: EditSettings) -> list[str]:
    """What the model with `patch` answers to these explicit questions."""
    with applied(lm, [patch]) as responder:
        replies = responder.answer(
            [0] * len(asked),
            [one.question for one in asked],
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
    return [reply.text for reply in replies]


def says(asked: Asked, whose: Preference, answer: str) -> bool:
    """Whether `answer` gives the value of the preference `whose` to the question, by the judge `exact`."""
    known = (whose.statement, whose.attribute_type, whose.target, whose.aliases, (whose.target,))
    return _judge().rule([Item(QuestionKind.EXPLICIT, asked.question, *known, answer)])[0].verdict == "correct"


@functools.cache
def _judge() -> ExactJudge:
    return ExactJudge(ExactConfig.model_validate(read_yaml(PARAMS)["judge"]["exact"]))


def lifelong(
    lm: LM, method: Method[Any], people: Sequence[Asked], counts: Sequence[int], settings: EditSettings
) -> list[Claim]:
    """Recall of the earliest and the latest users after each number of edits in one model."""
    made: list[Patch] = []
    claims = []
    for count in counts:
        while len(made) < count:
            with holding(lm, made):
                made += method.fit(lm, [people[len(made)].user])
        told = people[:count]
        ends = sorted({*range(min(ENDS, count)), *range(max(0, count - ENDS), count)})
        texts = dict(zip(ends, answers(lm, stacked(made), [told[i] for i in ends], settings), strict=True))
        own = {i: says(told[i], told[i].preference, text) for i, text in texts.items()}
        age = [i * AGES // count for i in range(count)]
        said = {i: {j for j, other in enumerate(told) if says(told[i], other.preference, texts[i])} for i in ends}
        low, high = wilson(sum(own.values()), len(own), 0.95)
        claims.append(
            Claim(
                f"scenario.{method.name}.lifelong_{count}",
                fmean(own.values()),
                "share",
                low,
                high,
                len(own),
                f"explicit recall after {count} edits in one model, judge exact",
                {
                    "first": fmean(own[i] for i in ends[:ENDS]),
                    "last": fmean(own[i] for i in ends[-ENDS:]),
                    "of_another": fmean(bool(said[i]) and not own[i] for i in ends),
                    "matrix": matrix([(age[i], {age[j] for j in said[i]}) for i in ends]),
                    "failed_edits": sum(patch.manifest.failure is not None for patch in made),
                    "seconds_per_edit": fmean(patch.manifest.seconds or 0.0 for patch in made),
                },
            )
        )
    return claims


def update(lm: LM, method: Method[Any], people: Sequence[Asked], settings: EditSettings) -> list[Claim]:
    """Whether the newer of two values is answered; empty where no attribute has two values."""
    pool = [one.preference for one in people]
    new, stale = [], []
    for one in people[: 2 * ENDS]:
        old = replaced_value(one.preference, pool)
        if old is None:
            continue
        first = method.fit(lm, [user_of(old, ())])
        with holding(lm, first):
            second = method.fit(lm, [one.user])
        (text,) = answers(lm, stacked([*first, *second]), [one], settings)
        new.append(says(one, one.preference, text))
        stale.append(says(one, old, text))
    if not new:
        return []
    low, high = wilson(sum(new), len(new), 0.95)
    note = "explicit recall of the value that replaced another, judge exact"
    return [
        Claim(f"scenario.{method.name}.update", fmean(new), "share", low, high, len(new), note, {"stale": fmean(stale)})
    ]


def main(
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    model: Annotated[str, typer.Option(help="Name in edit.checkpoints.")] = "smollm2-135m-instruct",
    method: Annotated[list[str], typer.Option(help="Methods.")] = ["rome", "memit", "ft_m", "lora"],  # noqa: B006
    counts: Annotated[str, typer.Option(help="Edits in one model, comma separated.")] = "1,10,100",
) -> None:
    """Write benchmarks/results/scenarios.json."""
    settings = load_section(PARAMS, "edit", EditSettings)
    lm = load(settings.checkpoints[model], name=model, dtype="float32", device=settings.device)
    wanted = sorted(int(count) for count in counts.split(","))
    people = released(dataset, max(wanted[-1], 2 * ENDS))
    numbers = [count for count in wanted if count <= len(people)]
    if numbers != wanted:
        typer.echo(f"{dataset} has {len(people)} preferences; left out: {sorted(set(wanted) - set(numbers))}")
    texts = texts_of(dataset, ["train", "validation"])
    claims: list[Claim] = []
    for name in method:
        fitter = create(name, load_config(name, model), Resources(texts))
        claims += [*lifelong(lm, fitter, people, numbers, settings), *update(lm, fitter, people, settings)]
        for claim in claims:
            typer.echo(f"{claim.claim}: {claim.value:.3f} (n={claim.n}) {claim.extra}")
        write("scenarios", f"python -m benchmarks.scenarios --counts {counts}", claims)


if __name__ == "__main__":
    typer.run(main)
