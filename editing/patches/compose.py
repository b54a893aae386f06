"""The conversation a prompt patch makes of a question."""

from __future__ import annotations

from editing.lm.prompt import Message
from editing.patches.patch import PromptPlan
from editing.patches.retrieve import bm25, dense

MEMORIES = "{memories}"
"""Stands in a plan's texts for the user's statements; braces in the statements themselves are inert."""


def compose(plan: PromptPlan, question: str) -> list[Message]:
    """The messages that ask `question` under `plan`; the bare question where the plan holds nothing for it."""
    memories = _chosen(plan, question)
    texts = (plan.system, plan.before, plan.after)
    if not memories and any(MEMORIES in text for text in texts):
        return [Message("user", question)]
    system, before, after = (text.replace(MEMORIES, "\n".join(memories)) for text in texts)
    asked = Message("user", f"{before}{question}{after}")
    return [Message("system", system), asked] if system else [asked]


def _chosen(plan: PromptPlan, question: str) -> list[str]:
    if plan.retriever == "bm25":
        return bm25(question, plan.memories, plan.top_k)
    if plan.retriever == "dense":
        return dense(question, plan.memories, plan.top_k)
    return list(plan.memories)
