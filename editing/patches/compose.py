"""The conversation a prompt patch makes of a question."""

from __future__ import annotations

from collections.abc import Sequence

from editing.lm.prompt import Message
from editing.patches.patch import PromptPlan
from editing.patches.retrieve import bm25, dense

MEMORIES = "{memories}"
"""Stands in a plan's texts for the user's statements; braces in the statements themselves are inert."""
PARAGRAPH = "\n\n"
"""Between the paragraphs of a plan's texts."""
ACKNOWLEDGEMENT = "Thank you for telling me. I will keep it in mind."
"""What the assistant says to a statement that is a turn of its own."""


def compose(plan: PromptPlan, question: str) -> list[Message]:
    """The messages that ask `question` under `plan`; the bare question where the plan holds nothing for it."""
    memories = _chosen(plan, question)
    texts = (plan.system, plan.before, plan.after)
    if not memories and any(MEMORIES in text for text in texts):
        return [Message("user", question)]
    system, before, after = (text.replace(MEMORIES, "\n".join(memories)) for text in texts)
    asked = Message("user", f"{before}{question}{after}")
    return [Message("system", system), asked] if system else [asked]


def converse(plan: PromptPlan, question: str, turns: Sequence[tuple[str, str]]) -> list[Message]:
    """The messages that ask `question` after `turns`, pairs of a user message and the reply to it.

    What `plan` says in front of a question to state memories is said at the very start and acknowledged; the rest of
    its texts stays around the question. Retrieved memories stay in front of the question they were retrieved for.
    """
    between = [
        message for user, assistant in turns for message in (Message("user", user), Message("assistant", assistant))
    ]
    told = [part for part in plan.before.split(PARAGRAPH) if MEMORIES in part]
    if not told or not plan.memories or plan.retriever != "all":
        *first, asked = compose(plan, question)
        return [*first, *between, asked]
    statement = PARAGRAPH.join(told).replace(MEMORIES, "\n".join(plan.memories)).strip()
    rest = PARAGRAPH.join(part for part in plan.before.split(PARAGRAPH) if MEMORIES not in part)
    *first, asked = compose(plan.model_copy(update={"before": rest}), question)
    return [*first, Message("user", statement), Message("assistant", ACKNOWLEDGEMENT), *between, asked]


def _chosen(plan: PromptPlan, question: str) -> list[str]:
    if plan.retriever == "bm25":
        return bm25(question, plan.memories, plan.top_k)
    if plan.retriever == "dense":
        return dense(question, plan.memories, plan.top_k)
    return list(plan.memories)
