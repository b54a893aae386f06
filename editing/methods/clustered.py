"""Personalization Editing: an editor made to write a whole preference cluster instead of one question.

Source: Huang et al., Towards Effective Model Editing for LLM Personalization (2025), clustering-based preference
representation: the subject stands for a set of synonyms, each with its direct question, and an edit is applied for each
member. `sequential` is theirs: each member is edited on the model that the members before it have left. `joint` is
ours: all members in one objective (trained editors), or in one least-squares problem (closed forms).

The preference itself is edited last, after its synonyms, so that no later edit wears it away. A cluster with fewer
members than asked for is edited with those it has; the patch's metric `members` says how many.

Speed: joint edits and sequential trained ones fit all users side by side. A sequential closed form reads keys on the
user's own edited model, so there users follow one another.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt

from editing.lm.load import LM
from editing.methods.base import Fact, Maker, Method, User
from editing.methods.emmet import Emmet
from editing.methods.fine_tune import FineTune, FineTuneConfig
from editing.methods.lora import Lora, LoraConfig
from editing.methods.memit import Memit, MemitConfig
from editing.methods.rome import Rome, RomeConfig
from editing.methods.training import Trained
from editing.patches.patch import Patch, PatchKind
from editing.patches.stack import holding, stacked
from pipeline.core.config import Section


class ClusterConfig(Section):
    """What a clustered method has beside the hyper-parameters of the method under it."""

    members: PositiveInt
    """Most members of a cluster that are edited, the preference itself included."""
    mode: Literal["joint", "sequential"]
    """joint: all members at once. sequential: one after another."""
    targets: Literal["shared", "own"]
    """shared: every member stores the preference's target. own: each stores its own synonym of it."""


class Clustered(Method[Any]):
    """A method over preference clusters."""

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One patch a user that holds all members of the clusters of the user's facts."""
        maker = Maker(lm, self.name, self.kind, self.config)
        members = [self._members(user) for user in users]
        fitted = self.joint(lm, users, members) if self.config.mode == "joint" else self.in_turn(lm, users, members)
        patches = []
        for user, own, patch in zip(users, members, fitted, strict=True):
            metrics = {**patch.manifest.metrics, "members": len(own)} if own else {}
            failure = patch.manifest.failure
            patches.append(maker.patch(user, patch.tensors, metrics=metrics, failure=failure, share=len(users)))
        return patches

    @abstractmethod
    def joint(self, lm: LM, users: Sequence[User], members: Sequence[Sequence[Fact]]) -> list[Patch]:
        """Patches with each user's members written at once."""

    @abstractmethod
    def in_turn(self, lm: LM, users: Sequence[User], members: Sequence[Sequence[Fact]]) -> list[Patch]:
        """Patches with each user's members written one after another."""

    def _members(self, user: User) -> list[Fact]:
        return [member for fact in user.facts for member in chosen(fact, self.config)]

    def _under(self, method: type[Method[Any]]) -> Any:
        """The method that is clustered, with its share of the hyper-parameters."""
        values = {name: getattr(self.config, name) for name in method.Config.model_fields}
        return method(self.name, method.Config.model_validate(values), self.resources)


def chosen(fact: Fact, config: ClusterConfig) -> list[Fact]:
    """The members of a fact's cluster that are edited, the fact itself last."""
    synonyms = fact.cluster[: config.members - 1]
    if config.targets == "shared":
        synonyms = tuple(replace(member, target=fact.target) for member in synonyms)
    return [*synonyms, replace(fact, cluster=())]


class ClusteredTraining(Clustered):
    """A trained method over clusters."""

    trained: ClassVar[type[Trained[Any]]]
    """The method under it."""

    def joint(self, lm: LM, users: Sequence[User], members: Sequence[Sequence[Fact]]) -> list[Patch]:
        """The mean loss over the members falls."""
        fitted: list[Patch] = self._under(self.trained).fit_in_turn(lm, users, [members])
        return fitted

    def in_turn(self, lm: LM, users: Sequence[User], members: Sequence[Sequence[Fact]]) -> list[Patch]:
        """The same tensors are trained on one member after another."""
        longest = max((len(own) for own in members), default=0)
        turns = [[own[turn : turn + 1] for own in members] for turn in range(longest)]
        fitted: list[Patch] = self._under(self.trained).fit_in_turn(lm, users, turns)
        return fitted


class ClusteredClosedForm(Clustered):
    """A closed form over clusters; each member adds rank one."""

    kind: ClassVar[PatchKind] = "low_rank"
    together: ClassVar[type[Rome]]
    """Solves all members at once."""
    alone: ClassVar[type[Rome]]
    """Solves one member."""

    def prepare(self, lm: LM) -> None:
        """The covariances."""
        self._under(self.alone).prepare(lm)

    def joint(self, lm: LM, users: Sequence[User], members: Sequence[Sequence[Fact]]) -> list[Patch]:
        """All members are the columns of one least-squares problem."""
        whole = [replace(user, facts=tuple(own)) for user, own in zip(users, members, strict=True)]
        fitted: list[Patch] = self._under(self.together).fit(lm, whole)
        return fitted

    def in_turn(self, lm: LM, users: Sequence[User], members: Sequence[Sequence[Fact]]) -> list[Patch]:
        """Each member is solved on the model that the user's members before it have left."""
        method = self._under(self.alone)
        # The first fit computes the model's statistics, which belong to the unedited weights.
        return [self._one_by_one(method, lm, user, own) for user, own in zip(users, members, strict=True)]

    def _one_by_one(self, method: Rome, lm: LM, user: User, members: Sequence[Fact]) -> Patch:
        steps: list[Patch] = []
        for member in members:
            with holding(lm, steps):
                (step,) = method.fit(lm, [replace(user, facts=(member,))])
            if step.manifest.failure:
                return step
            steps.append(step)
        return stacked(steps) if steps else method.fit(lm, [replace(user, facts=())])[0]


class ClusteredFineTuneConfig(FineTuneConfig, ClusterConfig):
    """Hyper-parameters of fine-tuning over clusters."""


class ClusteredFineTune(ClusteredTraining):
    """FT-M over clusters."""

    kind: ClassVar[PatchKind] = "dense"
    Config: ClassVar[type[Section]] = ClusteredFineTuneConfig
    trained = FineTune


class ClusteredLoraConfig(LoraConfig, ClusterConfig):
    """Hyper-parameters of LoRA over clusters."""


class ClusteredLora(ClusteredTraining):
    """LoRA over clusters."""

    kind: ClassVar[PatchKind] = "low_rank"
    Config: ClassVar[type[Section]] = ClusteredLoraConfig
    trained = Lora


class ClusteredRomeConfig(RomeConfig, ClusterConfig):
    """Hyper-parameters of ROME over clusters."""


class ClusteredRome(ClusteredClosedForm):
    """ROME over clusters; jointly, that is EMMET."""

    Config: ClassVar[type[Section]] = ClusteredRomeConfig
    together, alone = Emmet, Rome


class ClusteredMemitConfig(MemitConfig, ClusterConfig):
    """Hyper-parameters of MEMIT over clusters."""


class ClusteredMemit(ClusteredClosedForm):
    """MEMIT over clusters."""

    Config: ClassVar[type[Section]] = ClusteredMemitConfig
    together = alone = Memit
