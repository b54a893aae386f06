"""Methods that say something around the question and leave the weights alone.

`none` says nothing: the reference of every table. `in_context` gives the model the user's statement with the question;
unlike the published implementation it does so for every kind of question.
Source: Zheng et al., Can We Edit Factual Knowledge by In-Context Learning? (2023), as the in-context baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

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
        texts = (self.config.system, self.config.before, self.config.after)
        tells = any("{memories}" in text for text in texts)
        return PromptPlan(
            system=texts[0],
            before=texts[1],
            after=texts[2],
            memories=unique(fact.statement for fact in user.facts) if tells else (),
        )
