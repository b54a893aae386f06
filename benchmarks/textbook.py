"""ROME written as in a textbook: one fact at a time, every token, every layer and every logit in every step.

The yardstick of `benchmarks.editing`, and what the fast path is checked against in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.prompt import Message
from editing.methods.base import Fact, layer_index
from editing.methods.rome import RomeConfig, target_ids


@dataclass(frozen=True)
class Textbook:
    """What the plain loop found."""

    losses: list[float]
    """Objective before each step."""
    a: Tensor
    """Left factor, (d_out, 1)."""
    b: Tensor
    """Right factor, (1, d_in)."""


def rome(lm: LM, fact: Fact, config: RomeConfig, second_moment: Tensor | None = None) -> Textbook:
    """The rank-one edit of one fact; parameters of the model must not ask for gradients."""
    down = lm.structure.down[layer_index(config.layer, lm)]
    target = list(target_ids(lm, fact, config))
    texts = [f"{context} {fact.question}".strip() for context in config.contexts]
    prompts = [lm.prompts.prompt([Message("user", text)]) for text in texts]
    asked = config.kl_prompt.replace("{subject}", fact.subject)
    kl = lm.prompts.ask(asked)
    rows = [list(prompt.ids) + target for prompt in prompts] + [list(kl.ids)]
    at = [prompt.last_token_of(fact.subject, fact.question) for prompt in prompts]
    at.append(kl.last_token_of(fact.subject, asked))
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=lm.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=lm.device)
    spots = (torch.arange(len(rows), device=lm.device), torch.tensor(at, device=lm.device))
    delta = torch.zeros(down.d_out, device=lm.device, requires_grad=True)
    seen: dict[str, Tensor] = {}

    def shift(_: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen["keys"], seen["values"] = args[0][spots].float(), output[spots].float()
        shifted = output.clone()
        shifted[spots] += delta.to(output.dtype)
        return shifted

    handle = down.module.register_forward_hook(shift)
    optimizer = torch.optim.Adam([delta], config.learning_rate)
    losses: list[float] = []
    wanted = torch.tensor(target, device=lm.device)
    try:
        with torch.no_grad():
            logits = lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
        keys, norm = seen["keys"][:-1], float(seen["values"][0].norm())
        base = logits[-1, len(kl.ids) - 1].log_softmax(-1)
        for step in range(config.steps + 1):
            optimizer.zero_grad()
            logits = lm.model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float()
            loss = config.weight_decay * delta.norm() / norm**2
            for row in range(config.value_contexts):
                first = len(prompts[row].ids) - 1
                part = logits[row, first : first + len(target)]
                loss = loss + torch.nn.functional.cross_entropy(part, wanted) / config.value_contexts
            edited = logits[-1, len(kl.ids) - 1].log_softmax(-1)
            loss = loss + config.kl_weight * (edited.exp() * (edited - base)).sum()
            losses.append(loss.item())
            if losses[-1] < config.stop_below or step == config.steps:
                break
            torch.autograd.backward(loss)
            optimizer.step()
            bound = config.max_norm * norm
            if delta.detach().norm() > bound:
                delta.data.mul_(bound / delta.detach().norm())
    finally:
        handle.remove()
    key = keys.mean(0)
    direction = key if second_moment is None else _solved(second_moment.double(), key.double(), config.ridge).float()
    return Textbook(losses, delta.detach()[:, None] / (direction @ keys[0]), direction[None])


def _solved(moment: Tensor, key: Tensor, ridge: float) -> Tensor:
    damped = moment + ridge * moment.diagonal().mean() * torch.eye(len(moment), device=moment.device)
    solved: Tensor = torch.linalg.solve(damped, key)
    return solved
