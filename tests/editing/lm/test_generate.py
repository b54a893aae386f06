"""Batched decoding gives what one-by-one decoding gives."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from editing.lm.generate import common_prefix, generate, shared_prefixes
from editing.lm.load import LM
from editing.lm.memory import Bound
from tests.editing.conftest import tiny_config

QUESTIONS = ["What is my hobby?", "What is my hobby these days, would you say?", "Hi!", "What is my diet?"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text", "gpt_neox"])
@pytest.mark.parametrize("groups", [[0, 0, 0, 0], [0, 1, 0, 1], None])
def test_batches_with_shared_prefixes_equal_plain_greedy_decoding(
    family: str, groups: list[int] | None, make_lm: Callable[..., LM]
) -> None:
    lm = make_lm(family)
    prompts = [lm.prompts.ask(question).ids for question in QUESTIONS]
    found = generate(lm, prompts, max_new_tokens=7, batch_size=4, groups=groups)
    for prompt, written in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        plain = lm.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=7, do_sample=False, pad_token_id=0
        )[0, len(prompt) :].tolist()
        assert list(written.ids) == [token for token in plain if token not in lm.stop_ids]


@pytest.mark.parametrize("family", ["gemma3_text", "gemma2", "mistral"])
def test_prompts_beyond_a_sliding_window_are_answered_as_one_by_one(family: str, make_lm: Callable[..., LM]) -> None:
    config = tiny_config(family)
    config.sliding_window = 16
    lm = make_lm(family, config=config)
    random = torch.Generator().manual_seed(0)
    some = torch.randint(5, 250, (9, 30), generator=random).tolist()
    head = torch.randint(5, 250, (3, 60), generator=random).tolist()
    prompts = [head[at % 3][: (3, 30, 60)[at % 3]] + rest[: (4, 9, 20)[at // 3]] for at, rest in enumerate(some)]
    found = generate(lm, prompts, max_new_tokens=8, batch_size=9, groups=[at % 3 for at in range(9)])
    for prompt, written in zip(prompts, found, strict=True):
        ids = list(prompt)
        while len(ids) < len(prompt) + len(written.ids):
            with torch.no_grad():
                ids.append(int(lm.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        assert list(written.ids) == ids[len(prompt) :]


def test_an_answer_ends_by_itself_at_a_stop_token_and_otherwise_at_the_budget(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    prompts = [lm.prompts.ask(question).ids for question in QUESTIONS]
    free = generate(lm, prompts, max_new_tokens=6, batch_size=4)
    assert {written.finish for written in free} == {"length"}
    stopping = LM(**{**vars(lm), "stop_ids": frozenset({free[0].ids[2]})})
    found = generate(stopping, prompts, max_new_tokens=6, batch_size=4)
    assert found[0].finish == "stop"
    assert free[0].ids[: len(found[0].ids)] == found[0].ids
    for before, after in zip(free, found, strict=True):
        assert before.ids[: len(after.ids)] == after.ids


def test_only_new_tokens_are_returned_wherever_the_model_stops(make_lm: Callable[..., LM]) -> None:
    lm = make_lm("llama")
    texts = st.text(alphabet="abc xyz?", min_size=1, max_size=12)

    @settings(max_examples=12, deadline=None)
    @given(st.lists(texts, min_size=1, max_size=3), st.sets(st.integers(0, 260), max_size=120), st.booleans())
    def check(questions: list[str], stops: set[int], grouped: bool) -> None:
        stopping = LM(**{**vars(lm), "stop_ids": frozenset(stops)})
        prompts = [lm.prompts.ask(question).ids for question in questions]
        found = generate(
            stopping, prompts, max_new_tokens=4, batch_size=2, groups=[0] * len(prompts) if grouped else None
        )
        for prompt, written in zip(prompts, found, strict=True):
            ids = list(prompt)
            finish = "length"
            for _ in range(4):
                with torch.no_grad():
                    token = int(lm.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
                if token in stops:
                    finish = "stop"
                    break
                ids.append(token)
            assert (list(written.ids), written.finish) == (ids[len(prompt) :], finish)

    check()


def test_memory_that_runs_out_halves_all_batches_from_then_on_and_says_so_once(
    make_lm: Callable[..., LM], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lm = make_lm("llama")
    prompts = [lm.prompts.ask(question).ids for question in QUESTIONS * 3]
    expected = generate(lm, prompts, max_new_tokens=4, batch_size=4)
    real = lm.model.forward
    failed: list[int] = []

    def small(*args: object, input_ids: torch.Tensor, **kwargs: object) -> object:
        if len(input_ids) > 2:
            failed.append(len(input_ids))
            raise torch.OutOfMemoryError("out of memory")
        return real(*args, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(lm.model, "forward", small)
    bound = Bound("rows")
    for _ in range(2):
        assert generate(lm, prompts, max_new_tokens=4, batch_size=4, bound=bound) == expected
    said = capsys.readouterr()
    assert failed == [4]
    assert (said.out + said.err).count("Out of memory with 4 rows; going on with smaller batches.") == 1


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), min_size=1, max_size=6, unique=True))
def test_a_shared_prefix_is_the_longest_that_another_row_starts_with_and_never_a_whole_row(
    rows: list[tuple[int, ...]],
) -> None:
    for at, (row, found) in enumerate(zip(rows, shared_prefixes(rows), strict=True)):
        others = rows[:at] + rows[at + 1 :]
        assert found == max((common_prefix([row, other]) for other in others), default=0) < len(row)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=4))
def test_the_common_prefix_is_common_and_leaves_every_row_a_token(rows: list[list[int]]) -> None:
    length = common_prefix(rows)
    assert all(row[:length] == rows[0][:length] and len(row) > length for row in rows)
    longer = length + 1
    assert any(len(row) <= longer for row in rows) or any(row[:longer] != rows[0][:longer] for row in rows)
