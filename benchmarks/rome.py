"""How often ROME makes SmolLM2 say the target to the direct question, in raw text and in the chat template.

`python -m benchmarks.rome [--dataset build/hub]`. Each edit is made in the form in which it is asked. Two questions are
put to it: the one it was made on (efficacy, as the literature says), and the dataset's own explicit question, another
phrasing. Recalled means that the target stands in the answer as whole words; the stricter verdict of the `exact` judge,
which also refuses lists and unclear sentences, stands beside it. Preferences come from the test split of a release
(settings were chosen on the other two), or of a published benchmark as `upqa import` writes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from benchmarks.claims import ROOT, Claim, write
from editing.exchanges import read_exchanges, statistics_texts
from editing.judges.config import JudgeConfig
from editing.judges.exact import ExactJudge
from editing.judging import item_of
from editing.lm.load import load
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.metrics.bootstrap import wilson
from editing.patches.apply import applied
from editing.runner import EditSettings
from editing.users import read_split, user_of
from pipeline.core.config import load_section
from pipeline.core.records import Preference, Question, QuestionKind
from pipeline.core.wording import contains_phrase

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
NOTES = {
    "": "the question the edit was made on, as the literature measures efficacy",
    "_other_phrasing": "the explicit question of the dataset, which the edit never saw",
}


class Case(NamedTuple):
    """A preference and its direct question."""

    preference: Preference
    explicit: Question

    def recalled(self, answer: str) -> bool:
        """Whether the target or an alias stands in the answer as whole words, whatever case and number."""
        accepted = (self.preference.target, *self.preference.aliases)
        return any(contains_phrase(answer, text) for text in accepted)


def cases_of(dataset: Path) -> list[Case]:
    """The preferences of a release's test split with their explicit questions."""
    preferences, questions = read_split(dataset, "test", 10_000)
    return [
        Case(preference, question)
        for preference in preferences
        for question in questions[preference.id]
        if question.kind is QuestionKind.EXPLICIT
    ]


def measure(cases: list[Case], form: Literal["raw", "chat"], method: str, texts: tuple[str, ...]) -> list[Claim]:
    """Claims of one form over all cases."""
    settings = load_section(PARAMS, "edit", EditSettings)
    judge = ExactJudge(load_section(PARAMS, "judge", JudgeConfig).exact)
    lm = load(settings.checkpoints[MODEL], name=MODEL, dtype="float32", device=settings.device, form=form)
    users = [user_of(case.preference, [case.explicit]) for case in cases]
    fitter = create(method, load_config(method, MODEL), Resources(texts))
    patches = [patch for at in range(0, len(users), 10) for patch in fitter.fit(lm, users[at : at + 10])]
    asked = {"": [user.facts[0].question for user in users], "_other_phrasing": [case.explicit.text for case in cases]}
    claims = []
    with applied(lm, patches) as responder:
        for suffix, questions in asked.items():
            replies = responder.answer(
                range(len(cases)), questions, max_new_tokens=settings.max_new_tokens, batch_size=64
            )
            said = [case.recalled(reply.text) for case, reply in zip(cases, replies, strict=True)]
            items = [item_of(*case, reply.text) for case, reply in zip(cases, replies, strict=True)]
            low, high = wilson(sum(said), len(said), 0.95)
            claims.append(
                Claim(
                    f"edit.{method}_explicit_{form}{suffix}",
                    round(sum(said) / len(said), 4),
                    "share",
                    low,
                    high,
                    len(said),
                    "target in the answer as whole words, in any number; asked: " + NOTES[suffix],
                    {
                        "exact_judge": sum(r.verdict == "correct" for r in judge.rule(items)) / len(cases),
                        "failed_edits": sum(patch.manifest.failure is not None for patch in patches),
                        "seconds_per_edit": sum(patch.manifest.seconds or 0 for patch in patches) / len(patches),
                        "max_new_tokens": settings.max_new_tokens,
                        "model": MODEL,
                    },
                )
            )
    return claims


def main(
    dataset: Annotated[Path, typer.Option(help="Released dataset.")] = Path("build/hub"),
    exchanges: Annotated[Path, typer.Option(help="Text for covariances.")] = Path("data/exchanges/exchanges.parquet"),
    most: Annotated[int, typer.Option(help="Most preferences, evenly spread.")] = 60,
    method: Annotated[list[str], typer.Option(help="Methods to measure.")] = ["rome", "rome_identity"],  # noqa: B006
) -> None:
    """Write benchmarks/results/rome.json."""
    cases = cases_of(dataset)
    cases = cases[:: max(1, len(cases) // most)][:most]
    texts = statistics_texts(read_exchanges(exchanges), {case.preference.user_id for case in cases})
    claims: list[Claim] = []
    forms: tuple[Literal["raw", "chat"], ...] = ("raw", "chat")
    for name in method:
        for form in forms:
            claims += measure(cases, form, name, texts)
            typer.echo(f"{claims[-1].claim}: {claims[-1].value:.3f} {claims[-1].extra}")
    write("rome", f"python -m benchmarks.rome --most {most}", claims)


if __name__ == "__main__":
    typer.run(main)
