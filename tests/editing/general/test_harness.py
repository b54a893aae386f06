"""A personalised model inside lm-evaluation-harness."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.gate import GATE
from editing.patches.patch import Patch
from editing.patches.retrieve import vectors
from pipeline.core.errors import ConfigError
from tests.editing.conftest import a_user

pytest.importorskip("lm_eval", reason="needs upqa[eval]")

from lm_eval.api.instance import Instance

from editing.general.harness import PersonalisedModel, cut, run_tasks

FOLDERS = (Path(__file__).parents[3] / "editing" / "tasks",)
BUDGET = {"max_new_tokens": 6, "batch_size": 8}


def patch_of(lm: LM, method: str) -> Patch:
    return create(method, load_config(method), Resources(("A text.", "Another text."))).fit(lm, [a_user(0)])[0]


def request(kind: str, *arguments: object) -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


@pytest.mark.parametrize("method", ["in_context", "ft_m"])
def test_a_continuation_is_scored_as_the_answer_of_the_personalised_user(
    method: str, make_lm: Callable[..., LM]
) -> None:
    lm = make_lm("llama")
    with applied(lm, [patch_of(lm, method)]) as responder:
        wanted = responder.log_probs([0, 1], ["Who?", "Who?"], ["me", "me"])
        for user, log_p in enumerate(wanted):
            model = PersonalisedModel(lm, responder, user, **BUDGET)
            ((found, greedy),) = model.loglikelihood([request("loglikelihood", "Who?", " me")])
            assert found == pytest.approx(log_p, abs=1e-4)
            assert greedy is False
    assert wanted[0] != pytest.approx(wanted[1], abs=1e-3)


def test_a_text_is_scored_whole_whatever_the_window(
    make_lm: Callable[..., LM], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = make_lm("llama", template=None)
    with applied(lm, []) as responder:
        model = PersonalisedModel(lm, responder, 0, **BUDGET)
        text = "The sea was calm."
        (whole,) = model.loglikelihood_rolling([request("loglikelihood_rolling", text)])
        ids = list(lm.tokenizer(text, add_special_tokens=False)["input_ids"])
        logits = lm.model(input_ids=torch.tensor([[1, *ids]])).logits[0, :-1].log_softmax(-1)
        assert whole == pytest.approx(logits[range(len(ids)), ids].sum().item(), rel=1e-4)
        monkeypatch.setattr("editing.general.harness.context_tokens", lambda _: 8)
        (parts,) = model.loglikelihood_rolling([request("loglikelihood_rolling", text)])
    assert parts < 0 and parts != pytest.approx(whole)


def test_a_prompt_method_keeps_its_statement_before_a_text(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    with applied(lm, [patch_of(lm, "in_context")]) as responder:
        told, bare = (
            PersonalisedModel(lm, responder, user, **BUDGET).loglikelihood_rolling(
                [request("loglikelihood_rolling", "The sea was calm.")]
            )
            for user in (0, 1)
        )
    assert told != pytest.approx(bare)


def test_a_gate_decides_for_continuations_and_whole_texts_too(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    near, far = "What is my hobby?", "How far away is the Moon?"
    patch = patch_of(lm, "in_context")
    gate = torch.from_numpy(vectors((near,)))
    gated = replace(patch, manifest=patch.manifest.model_copy(update={"gate": 0.9}), tensors={GATE: gate})
    with applied(lm, [gated]) as responder:
        user, nobody = (PersonalisedModel(lm, responder, user, **BUDGET) for user in (0, 1))
        asked = [request("loglikelihood", text, " me") for text in (near, far)]
        let_in, kept_out = zip(user.loglikelihood(asked), nobody.loglikelihood(asked), strict=True)
        assert let_in[0][0] != pytest.approx(let_in[1][0], abs=1e-3)
        assert kept_out[0][0] == pytest.approx(kept_out[1][0], abs=1e-4)
        whole = [request("loglikelihood_rolling", text) for text in (near, far)]
        let_in, kept_out = zip(user.loglikelihood_rolling(whole), nobody.loglikelihood_rolling(whole), strict=True)
        assert let_in[0] != pytest.approx(let_in[1], abs=1e-3)
        assert kept_out[0] == pytest.approx(kept_out[1], abs=1e-4)


def test_an_answer_is_cut_at_the_first_stop_string(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    with applied(lm, []) as responder:
        model = PersonalisedModel(lm, responder, 0, **BUDGET)
        asked = [request("generate_until", "Hi?", {"max_gen_toks": n}) for n in (5, 2)]
        (long, short) = model.generate_until(asked)
        wanted = [responder.answer([0], ["Hi?"], max_new_tokens=n, batch_size=1)[0].text for n in (5, 2)]
    assert [long, short] == wanted
    assert cut("one\ntwo; three", ["; ", "\n"]) == "one"
    assert cut("one", "x") == cut("one", ()) == "one"


def test_the_world_facts_run_before_and_after_and_an_unchanged_user_changes_nothing(
    make_lm: Callable[..., LM],
) -> None:
    lm = make_lm("llama")
    with applied(lm, [patch_of(lm, "ft_m")]) as responder:
        (found,) = run_tasks(
            lm, responder, [responder.nobody, 0], tasks=["world_facts"], folders=FOLDERS, limit=6, **BUDGET
        )
    assert (found.task, found.metric, found.higher_is_better, len(found.items)) == ("world_facts", "acc", True, 6)
    assert all(item.after[0] == item.before for item in found.items)
    assert all(len(item.after) == 2 for item in found.items)


def test_an_unknown_task_or_folder_is_refused_by_name(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    with applied(lm, []) as responder, pytest.raises(ConfigError, match="no such folder"):
        run_tasks(lm, responder, [], tasks=["x"], folders=(Path("nowhere"),), limit=1, **BUDGET)
