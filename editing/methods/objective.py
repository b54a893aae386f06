"""Likelihood of targets as a trainable objective, over rows that are run again and again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.lm.prompt import Message, Prompt


def in_context_prompts(lm: LM, question: str, contexts: Sequence[str]) -> list[Prompt]:
    """The prompt of `question` behind each context text; an empty context gives the bare question."""
    asked = [f"{context.strip()} {question}" if context.strip() else question for context in contexts]
    return [lm.prompts.prompt([Message("user", text)]) for text in asked]


def target_losses(logits: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """Mean negative log-likelihood of each target, (rows,).

    `logits` is (sum of target lengths, vocabulary): the packed rows of `Replay.run`.
    """
    flat = torch.tensor([token for target in targets for token in target], device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits.float(), flat, reduction="none")
    return torch.stack([part.mean() for part in torch.split(losses, [len(target) for target in targets])])
