"""How often ROME makes SmolLM2 say the target to the direct question, in raw text and in the chat template.

`python -m benchmarks.rome [--dataset build/hub] [--records FILE.json]`. Each edit is made in the form in which it is
asked. Two questions are put to it: the one it was made on (efficacy, as the literature says), and the dataset's own
explicit question, another phrasing. Recalled means that the target stands in the answer as whole words;
the stricter verdict of the `exact` judge, which also refuses lists and unclear sentences, stands beside it. Preferences
come from the test split of a released dataset (settings were chosen on the other two), or from a JSON list in the
published UPQA form.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from benchmarks.claims import ROOT, Claim, write
from editing.exchanges import read_exchanges, statistics_texts
from editing.judges.base import Item
from editing.judges.exact import ExactConfig, ExactJudge
from editing.lm.load import load
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import create, load_config
from editing.metrics.bootstrap import wilson
from editing.patches.apply import Reply, applied
from editing.runner import EditSettings
from editing.users import edit_prompt, read_split
from pipeline.core.config import load_section, read_yaml
from pipeline.core.records import QuestionKind

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
NOTES = {
    "": "the question the edit was made on, as the literature measures efficacy",
    "_other_phrasing": "the explicit question of the dataset, which the edit never saw",
}


class Case(NamedTuple):
    """A preference and the direct question that is asked."""

    user_id: str
    statement: str
    attribute_type: str
    target: str
    aliases: tuple[str, ...]
    own: str
    question: str


def released(dataset: Path) -> list[Case]:
    """The preferences of a release's test split with their explicit questions."""
    cases: list[Case] = []
    preferences, questions = read_split(dataset, "test", 10_000)
    for preference in preferences:
        asked = [q.text for q in questions[preference.id] if q.kind is QuestionKind.EXPLICIT]
        own = preference.cluster[0].question if preference.cluster else ""
        known = (
            preference.user_id,
            preference.statement,
            preference.attribute_type,
            preference.target,
            preference.aliases,
            own,
        )
        cases += [Case(*known, text) for text in asked]
    return cases


def published(records: Path) -> list[Case]:
    """The preferences of a JSON list in the published UPQA form."""
    rows = json.loads(records.read_text(encoding="utf-8"))
    return [Case("", r["input_attribute"], r["attribute_type"], r["target"], (), "", r["question"]) for r in rows]


def recalled(case: Case, answer: str) -> bool:
    """Whether the target or an alias stands in the answer as whole words, whatever the case."""
    words = (rf"(?<!\w){re.escape(text.casefold())}(?!\w)" for text in (case.target, *case.aliases))
    return any(re.search(pattern, answer.casefold()) for pattern in words)


def measure(cases: list[Case], form: Literal["raw", "chat"], method: str, texts: tuple[str, ...]) -> list[Claim]:
    """Claims of one form over all cases."""
    settings = load_section(PARAMS, "edit", EditSettings)
    lm = load(settings.checkpoints[MODEL], name=MODEL, dtype="float32", device=settings.device, form=form)
    users = [
        User(
            str(at),
            (
                Fact(
                    str(at),
                    case.statement,
                    edit_prompt(case.attribute_type, case.own, {case.question.casefold().strip()}),
                    case.attribute_type,
                    case.target,
                ),
            ),
        )
        for at, case in enumerate(cases)
    ]
    fitter = create(method, load_config(method, MODEL), Resources(texts))
    patches = [patch for at in range(0, len(users), 10) for patch in fitter.fit(lm, users[at : at + 10])]
    asked = {"": [user.facts[0].question for user in users], "_other_phrasing": [case.question for case in cases]}
    claims = []
    with applied(lm, patches) as responder:
        for suffix, questions in asked.items():
            replies = responder.answer(
                range(len(cases)), questions, max_new_tokens=settings.max_new_tokens, batch_size=64
            )
            said = [recalled(case, reply.text) for case, reply in zip(cases, replies, strict=True)]
            low, high = wilson(sum(said), len(said), 0.95)
            claims.append(
                Claim(
                    f"edit.{method}_explicit_{form}{suffix}",
                    round(sum(said) / len(said), 4),
                    "share",
                    low,
                    high,
                    len(said),
                    "target in the answer as whole words; asked: " + NOTES[suffix],
                    {
                        "exact_judge": sum(_strict(cases, replies)) / len(cases),
                        "failed_edits": sum(patch.manifest.failure is not None for patch in patches),
                        "seconds_per_edit": sum(patch.manifest.seconds for patch in patches) / len(patches),
                        "max_new_tokens": settings.max_new_tokens,
                        "model": MODEL,
                    },
                )
            )
    return claims


def _strict(cases: list[Case], replies: list[Reply]) -> list[bool]:
    judge = ExactJudge(ExactConfig.model_validate(read_yaml(PARAMS)["judge"]["exact"]))
    items = [
        Item(QuestionKind.EXPLICIT, c.question, c.statement, c.attribute_type, c.target, c.aliases, (c.target,), r.text)
        for c, r in zip(cases, replies, strict=True)
    ]
    return [ruling.verdict == "correct" for ruling in judge.rule(items)]


def main(
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    records: Annotated[Path | None, typer.Option(help="JSON list in the published UPQA form instead.")] = None,
    exchanges: Annotated[Path, typer.Option(help="Text for covariances.")] = Path("data/exchanges/exchanges.parquet"),
    most: Annotated[int, typer.Option(help="Most preferences, evenly spread.")] = 60,
    method: Annotated[list[str], typer.Option(help="Methods to measure.")] = ["rome", "rome_identity"],  # noqa: B006
) -> None:
    """Write benchmarks/results/rome.json."""
    cases = published(records) if records else released(dataset)
    cases = cases[:: max(1, len(cases) // most)][:most]
    texts = statistics_texts(read_exchanges(exchanges), {case.user_id for case in cases})
    claims: list[Claim] = []
    forms: tuple[Literal["raw", "chat"], ...] = ("raw", "chat")
    for name in method:
        for form in forms:
            claims += measure(cases, form, name, texts)
            typer.echo(f"{claims[-1].claim}: {claims[-1].value:.3f} {claims[-1].extra}")
    write("rome", f"python -m benchmarks.rome --most {most}" + (" --records FILE" if records else ""), claims)


if __name__ == "__main__":
    typer.run(main)
