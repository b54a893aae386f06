"""Drift of a personalised model from the base model on control questions."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import editing.drift as drift
from editing.drift import KL_TOKENS, BaseAnswer, base_answers, divergences
from editing.lm.load import LM
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.patch import Patch
from pipeline.core.records import CONTROL_KINDS
from tests.editing.conftest import a_preference, a_user, questions_of

QUESTIONS = ["What is the capital of Peru?", "How do I fix a tap?"]
BASE = [
    BaseAnswer(question_id=q, text="x", ids=tuple(range(10, 10 + n))) for q, n in zip(QUESTIONS, (3, 12), strict=True)
]


def patch_of(lm: LM, method: str) -> Patch:
    return create(method, load_config(method), Resources(("A text.", "Another text."))).fit(lm, [a_user(0)])[0]


def by_hand(lm: LM, prompt: tuple[int, ...], other: tuple[int, ...], answer: tuple[int, ...]) -> float:
    """The definition of docs/protocol.md, token by token; both prompts are read by the unedited weights."""
    total = 0.0
    for t in range(len(answer)):
        p, q = (
            lm.model(input_ids=torch.tensor([[*ids, *answer[:t]]])).logits[0, -1].log_softmax(-1)
            for ids in (prompt, other)
        )
        total += float((p.exp() * (p - q)).sum())
    return total / len(answer)


def test_the_base_model_does_not_drift_from_itself(lm: LM) -> None:
    with applied(lm, []) as responder:
        assert divergences(responder, [responder.nobody] * 2, QUESTIONS, BASE) == [0.0, 0.0]


@torch.no_grad()
def test_kl_is_that_of_the_definition_over_the_first_tokens_of_the_base_answer(lm: LM) -> None:
    patch = patch_of(lm, "in_context")
    with applied(lm, [patch]) as responder:
        found = divergences(responder, [0, 0], QUESTIONS, BASE)
        prompts = [responder.prompt(0, question).ids for question in QUESTIONS]
    for value, question, own, answer in zip(found, QUESTIONS, prompts, BASE, strict=True):
        assert value == pytest.approx(by_hand(lm, lm.prompts.ask(question).ids, own, answer.ids[:KL_TOKENS]), rel=1e-3)


def test_a_weight_edit_drifts_and_each_user_is_measured_with_their_own_patch(lm: LM) -> None:
    edited = patch_of(lm, "ft_m")
    with applied(lm, [edited]) as responder:
        moved, still = divergences(responder, [0, responder.nobody], [QUESTIONS[0]] * 2, [BASE[0]] * 2)
    assert moved > 0 and math.isfinite(moved)
    # Read in another batch than the base model, so up to rounding.
    assert still == pytest.approx(0, abs=1e-6)


def test_blocks_do_not_change_the_values(lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    patch = patch_of(lm, "in_context")
    with applied(lm, [patch]) as responder:
        whole = divergences(responder, [0, 0], QUESTIONS, BASE)
        monkeypatch.setattr(drift, "BLOCK", 1)
        assert divergences(responder, [0, 0], QUESTIONS, BASE) == pytest.approx(whole, rel=1e-4)


def test_base_answers_are_written_once_and_read_by_every_other_cell(
    make_lm: Callable[..., LM], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = make_lm("llama")
    questions = questions_of(a_preference(0, "test"))
    options = {"max_new_tokens": 5, "batch_size": 4, "cache": tmp_path}
    first = base_answers(lm, questions, **options)
    assert set(first) == {q.id for q in questions if q.kind in CONTROL_KINDS}
    monkeypatch.setattr(drift, "generate", None)
    assert base_answers(lm, questions, **options) == first
    with pytest.raises(TypeError):
        base_answers(lm, questions, **{**options, "max_new_tokens": 6})
