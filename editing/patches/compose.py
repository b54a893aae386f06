"""The conversation a prompt patch makes of a question."""

from __future__ import annotations

from editing.lm.prompt import Message
from editing.patches.patch import PromptPlan

MEMORIES = "{memories}"
"""Stands in a plan's texts for the user's statements; braces in the statements themselves are inert."""


def compose(plan: PromptPlan, question: str) -> list[Message]:
    """The messages that ask `question` under `plan`; the bare question for an empty plan."""
    memories = "\n".join(plan.memories)
    system, before, after = (text.replace(MEMORIES, memories) for text in (plan.system, plan.before, plan.after))
    asked = Message("user", f"{before}{question}{after}")
    return [Message("system", system), asked] if system else [asked]
