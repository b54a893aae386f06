"""A personalised model as a model of lm-evaluation-harness, run in this process.

Source: Gao et al., A framework for few-shot language model evaluation (lm-evaluation-harness), version 0.4.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM as HarnessModel
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from editing.dialogue.asking import context_tokens
from editing.general.measured import ItemMeasured, TaskMeasured
from editing.lm.load import LM
from editing.lm.prompt import Prompt
from editing.lm.replay import Row
from editing.patches.apply import Responder, target_row
from editing.patches.compose import compose
from pipeline.core.errors import ConfigError

WINDOW = 1024
"""Tokens of one window of a rolling log-likelihood where the model does not say its context."""


class PersonalisedModel(HarnessModel):  # type: ignore[misc]  # the harness is not typed
    """One user's model. A request's context is one user message, asked as every question is: with the user's prompt."""

    def __init__(self, lm: LM, responder: Responder, user: int, *, max_new_tokens: int, batch_size: int) -> None:
        """The model as user `user` of the responder meets it; the budget is for tasks that set none."""
        super().__init__()
        self._lm, self._responder, self._user = lm, responder, user
        self._max_new_tokens, self._batch_size = max_new_tokens, batch_size

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Log probability of each continuation as the answer to its context, and whether greedy decoding writes it."""
        return self._responder.score_answers(
            [self._user] * len(requests),
            [request.args[0] for request in requests],
            [self._lm.prompts.answer_ids(request.args[1].strip()) for request in requests],
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log probability of each whole text, without a template, after what the user's prompt says.

        A patch with a gate is asked by the text.
        """
        texts = [request.args[0] for request in requests]
        users = self._responder.asking([self._user] * len(texts), texts)
        rows: list[Row] = []
        targets: list[tuple[int, ...]] = []
        owner: list[int] = []
        first = self._lm.tokenizer.bos_token_id or self._lm.tokenizer.eos_token_id
        for at, (user, text) in enumerate(zip(users, texts, strict=True)):
            told = "\n".join(message.content for message in compose(self._responder.plan(user), "")).strip()
            before = [first, *self._ids(f"{told}\n")] if told else [first]
            width = (context_tokens(self._lm) or WINDOW) - len(before)
            windows = get_rolling_token_windows(self._ids(text), first, width, 1)
            for context, continuation in map(make_disjoint_window, windows):
                head = context[1:] if context and context[0] == first else context
                rows.append(target_row(Prompt("", (*before, *head), ()), continuation, start=0))
                targets.append(tuple(continuation))
                owner.append(at)
        found = [0.0] * len(texts)
        scored = self._responder.score([users[at] for at in owner], rows, targets)
        for at, (log_p, _) in zip(owner, scored, strict=True):
            found[at] += log_p
        return found

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Greedy answers, cut at the first of the task's stop strings."""
        texts = [""] * len(requests)
        budgets = [int(request.args[1].get("max_gen_toks", self._max_new_tokens)) for request in requests]
        for budget in sorted(set(budgets)):
            own = [at for at, own_budget in enumerate(budgets) if own_budget == budget]
            replies = self._responder.answer(
                [self._user] * len(own),
                [requests[at].args[0] for at in own],
                max_new_tokens=budget,
                batch_size=self._batch_size,
            )
            for at, reply in zip(own, replies, strict=True):
                texts[at] = cut(reply.text, requests[at].args[1].get("until") or ())
        return texts

    def _ids(self, text: str) -> list[int]:
        return list(self._lm.tokenizer(text, add_special_tokens=False)["input_ids"])


def cut(text: str, until: str | Sequence[str]) -> str:
    """`text` up to the first occurrence of any stop string."""
    stops = [until] if isinstance(until, str) else until
    return text[: min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=len(text))]


def run_tasks(
    lm: LM,
    responder: Responder,
    users: Sequence[int],
    *,
    tasks: Sequence[str],
    folders: Sequence[Path],
    limit: int | None,
    max_new_tokens: int,
    batch_size: int,
) -> list[TaskMeasured]:
    """Every task's items scored under the base model and under each user of the responder.

    Raises:
        ConfigError: a task is neither in the folders nor one of the harness's own.
    """
    manager = _manager(tasks, folders)

    def evaluate(user: int) -> dict[str, Any]:
        model = PersonalisedModel(lm, responder, user, max_new_tokens=max_new_tokens, batch_size=batch_size)
        with _quiet():
            found = simple_evaluate(
                model=model, tasks=list(tasks), task_manager=manager, bootstrap_iters=0, limit=limit, log_samples=True
            )
        assert found is not None
        return dict(found)

    before = evaluate(responder.nobody)
    after = [evaluate(user) for user in users]
    return [_measured(task, before, after) for task in before["samples"]]


def _manager(tasks: Sequence[str], folders: Sequence[Path]) -> TaskManager:
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"ability.task_folders: {folder}: no such folder.")
    own = TaskManager(include_path=list(folders), include_defaults=False)
    if all(task in own.all_tasks for task in tasks):
        return own
    everything = TaskManager(include_path=list(folders))
    unknown = [task for task in tasks if task not in everything.all_tasks]
    if unknown:
        raise ConfigError(
            f"ability.tasks: {', '.join(unknown)}: neither in {', '.join(map(str, folders)) or 'ability.task_folders'} "
            "nor a task of lm-evaluation-harness (`lm_eval ls tasks` lists those)."
        )
    return everything


def _measured(task: str, before: dict[str, Any], after: Sequence[dict[str, Any]]) -> TaskMeasured:
    config = before["configs"][task]
    metric = str(config["metric_list"][0]["metric"])
    by_user = [{sample["doc_id"]: sample for sample in found["samples"][task]} for found in after]
    return TaskMeasured(
        task=task,
        metric=metric,
        higher_is_better=bool(config["metric_list"][0].get("higher_is_better", True)),
        items=tuple(
            ItemMeasured(
                item_id=str(sample["doc_id"]),
                before=_value(sample, metric, task),
                after=tuple(_value(own[sample["doc_id"]], metric, task) for own in by_user),
            )
            for sample in before["samples"][task]
        ),
    )


def _value(sample: dict[str, Any], metric: str, task: str) -> float:
    value = sample.get(metric)
    if not isinstance(value, int | float):
        raise ConfigError(f"ability.tasks: {task}: its first metric, {metric}, gives an item no number to compare.")
    return float(value)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The harness's own progress lines held back."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
