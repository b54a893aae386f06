"""Methods that say something around the question and leave the weights alone.

- `none` says nothing: the reference of every table.
- `in_context` gives the model the user's statement with the question. Unlike the published implementation it does so
  for every kind of question. Source: Zheng et al., Can We Edit Factual Knowledge by In-Context Learning? (2023).
- `reminder`, `chain_of_thought`, `self_critic`: baselines of Zhao et al., Do LLMs Recognize Your Preferences? (2025),
  in our words: one line that reminds of the statement, a request to reason first, a second turn that revises.
- `profile` puts all statements of the user into the system message; `rag_bm25` and `rag_dense` put the `top_k` nearest
  ones in front of the question. Source of the ranking: Robertson and Zaragoza, The Probabilistic Relevance Framework
  (2009), eq. 3.15; cosine of MiniLM sentence embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from editing.lm.load import LM
from editing.methods.base import Maker, Method, User, unique
from editing.patches.patch import Patch, PatchKind, PromptPlan
from pipeline.core.config import Section


class PromptingConfig(Section):
    """Texts around the question; {memories} stands for the user's statements."""

    system: str
    """System message; empty keeps the template's own."""
    before: str
    """Text in front of the question."""
    after: str
    """Text behind the question."""
    turns: tuple[str, ...]
    """User messages after the first answer; the last answer counts."""
    remember: Literal["nothing", "facts", "history"]
    """Statements the texts may hold: none, those of the preferences to store, or all of the user's."""
    retriever: Literal["all", "bm25", "dense"]
    """Which of them a question gets."""
    top_k: int
    """How many a retriever returns."""


class Prompting(Method[PromptingConfig]):
    """Puts fixed texts and the user's statements around the question."""

    kind: ClassVar[PatchKind] = "prompt"
    Config: ClassVar[type[Section]] = PromptingConfig

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One prompt patch a user; a user without facts gets the bare question."""
        maker = Maker(lm, self.name, self.kind, self.config)
        return [maker.patch(user, plan=self._plan(user), share=len(users)) for user in users]

    def _plan(self, user: User) -> PromptPlan:
        if not user.facts:
            return PromptPlan()
        facts = [fact.statement for fact in user.facts]
        memories = {"nothing": [], "facts": facts, "history": [*facts, *user.history]}[self.config.remember]
        return PromptPlan(
            system=self.config.system,
            before=self.config.before,
            after=self.config.after,
            turns=self.config.turns,
            memories=unique(memories),
            retriever=self.config.retriever,
            top_k=self.config.top_k,
        )
