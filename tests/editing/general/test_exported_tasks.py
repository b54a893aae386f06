"""The task folder of `upqa export --format lm-eval`, run in lm-evaluation-harness, against our own evaluation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from editing.judges.base import Item
from editing.judges.config import JudgeConfig
from editing.judges.exact import ExactJudge
from editing.lm.load import LM
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from pipeline.cli import app
from pipeline.core.config import load_section
from pipeline.core.records import TARGET_KINDS, Preference, Question, QuestionKind
from pipeline.core.tables import read_parquet

pytest.importorskip("lm_eval", reason="needs upqa[eval]")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM as HarnessModel
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

PARAMS = Path(__file__).parents[3] / "params.yaml"
BUDGET = 32
GROUPS = {"upqa": "none", "upqa_in_context": "in_context"}
REPLIES = ("Your answer is {target}.", "You do not like {target}.", "", "I think it may be {target}", "A bicycle?")


class Scripted(HarnessModel):
    """Replies by the number of the request, of every class the judge tells apart."""

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return [said(request.doc, request.doc_id) for request in requests]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise AssertionError("no task of the folder asks for it")

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise AssertionError("no task of the folder asks for it")


def said(doc: dict[str, Any], number: int) -> str:
    at = number + list(TARGET_KINDS).index(QuestionKind(doc["kind"]))
    return REPLIES[at % len(REPLIES)].replace("{target}", doc["target"])


@pytest.fixture
def folder(release: Path, tmp_path: Path) -> Path:
    arguments = ["export", "--format", "lm-eval", "--dataset", str(release), "--out", str(tmp_path / "tasks")]
    done = CliRunner().invoke(app, [*arguments, "--params", str(PARAMS)])
    assert done.exit_code == 0, done.output
    return tmp_path / "tasks"


def evaluated(model: Any, folder: Path, **options: Any) -> dict[str, Any]:
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = simple_evaluate(model, tasks=list(GROUPS), task_manager=manager, bootstrap_iters=0, **options)
    assert found is not None
    return dict(found)


def asked(release: Path, kind: QuestionKind) -> list[tuple[Preference, Question]]:
    """The questions of one kind in the order of the preferences' ids."""
    preferences = {p.id: p for p in read_parquet(release / "data/preferences-test.parquet", Preference)}
    questions = read_parquet(release / "data/questions-test.parquet", Question)
    own = [(preferences[q.preference_id], q) for q in questions if q.kind is kind]
    return sorted(own, key=lambda pair: pair[0].id)


def our_recall(rows: Sequence[tuple[Preference, Question]], replies: Sequence[str]) -> float:
    judge = ExactJudge(load_section(PARAMS, "judge", JudgeConfig).exact)
    items = [
        Item(q.kind, q.text, p.statement, p.attribute_type, p.target, p.aliases, q.accepted, reply)
        for (p, q), reply in zip(rows, replies, strict=True)
    ]
    return sum(ruling.verdict == "correct" for ruling in judge.rule(items)) / len(items)


def test_the_scores_of_given_answers_are_those_of_the_exact_judge(release: Path, folder: Path) -> None:
    found = evaluated(Scripted(), folder)
    recalls = []
    for kind in TARGET_KINDS:
        rows = asked(release, kind)
        replies = [said({"kind": kind, "target": p.target}, at) for at, (p, _) in enumerate(rows)]
        recalls.append(our_recall(rows, replies))
        assert found["results"][f"upqa_{kind}"]["correct,none"] == pytest.approx(recalls[-1])
    assert 0 < min(recalls) < max(recalls) < 1
    assert found["groups"]["upqa"]["correct,none"] == pytest.approx(sum(recalls) / len(recalls))


def our_answers(lm: LM, method: str, rows: Sequence[tuple[Preference, Question]]) -> list[str]:
    users = [
        User(p.user_id, (Fact(p.id, p.statement, q.text, p.attribute_type, p.target),), (p.statement,)) for p, q in rows
    ]
    patches = create(method, load_config(method), Resources(("A text.",))).fit(lm, users)
    with applied(lm, patches) as responder:
        replies = responder.answer(
            range(len(rows)), [q.text for _, q in rows], max_new_tokens=BUDGET, batch_size=len(rows)
        )
    return [reply.text for reply in replies]


def test_a_model_gives_there_the_answers_and_scores_it_gives_here(
    release: Path, folder: Path, make_lm: Callable[..., LM]
) -> None:
    lm = make_lm("llama")
    model = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=3, device="cpu", backend="causal")
    found = evaluated(model, folder, apply_chat_template=True, log_samples=True)
    for group, method in GROUPS.items():
        for kind in TARGET_KINDS:
            rows = asked(release, kind)
            ours = our_answers(lm, method, rows)
            samples = sorted(found["samples"][f"{group}_{kind}"], key=lambda sample: sample["doc_id"])
            assert [sample["resps"][0][0].strip() for sample in samples] == ours
            assert found["results"][f"{group}_{kind}"]["correct,none"] == our_recall(rows, ours)
