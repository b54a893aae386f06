"""What a method gets and gives."""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from torch import Tensor

from editing.lm.load import LM
from editing.patches.patch import Manifest, Patch, PatchKind, PromptPlan
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError

CACHE = Path(".cache")
"""Where statistics that many runs share are kept."""


@dataclass(frozen=True)
class Fact:
    """One preference to remember, with the prompt it is edited through."""

    preference_id: str
    """Id of the preference."""
    statement: str
    """The statement, self-contained."""
    question: str
    """The direct question an edit is made on; none of the evaluation questions where another phrasing exists."""
    subject: str
    """The words of the question an edit attaches to: the attribute type."""
    target: str
    """The answer to store."""
    cluster: tuple[Fact, ...] = ()
    """The other members of the preference cluster."""
    barred: frozenset[str] = frozenset()
    """What the model with the edit will be asked, as `plain` texts: nothing is fitted on these very sentences."""

    def bars(self, text: str) -> bool:
        """Whether `text` is one of the questions that will be asked."""
        return plain(text) in self.barred


def plain(text: str) -> str:
    """A question without what makes no other question of it: case, and space around it."""
    return text.casefold().strip()


@dataclass(frozen=True)
class User:
    """One user with what is to be remembered."""

    user_id: str
    """The user."""
    facts: tuple[Fact, ...]
    """Preferences to store; none leaves the base model."""
    history: tuple[str, ...] = ()
    """All that the user is known to have said, for methods that retrieve."""


@dataclass(frozen=True)
class Resources:
    """What a method may use beside the model and the users."""

    texts: Sequence[str]
    """Texts that hold no test user's words, for statistics of the model."""
    cache: Path = CACHE
    """Folder for statistics, keyed by their inputs."""


C = TypeVar("C", bound=Section)


class Method(ABC, Generic[C]):
    """A way to personalise a model."""

    kind: ClassVar[PatchKind]
    """Kind of the patches it makes."""
    Config: ClassVar[type[Section]]
    """Its hyper-parameters, as in editing/configs/<name>.yaml."""

    def __init__(self, name: str, config: C, resources: Resources) -> None:
        """A method under the name it is registered by."""
        self.name, self.config, self.resources = name, config, resources

    def prepare(self, lm: LM) -> None:
        """Compute and keep the statistics of the unedited model, before it holds edits that they would be of."""

    @abstractmethod
    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        """One patch a user, in order. An edit that fails is an empty patch that says why."""


def config_sha256(config: Section) -> str:
    """Hex sha256 of a configuration."""
    return hashlib.sha256(json.dumps(config.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def layer_index(layer: int | float, lm: LM) -> int:
    """The decoder layer for a configured `layer`: an index, or the share of layers below it.

    Raises:
        ConfigError: the model has no such layer.
    """
    count = len(lm.structure.layers)
    if isinstance(layer, float) and 0 <= layer < 1:
        return int(layer * count)
    if not (isinstance(layer, int) and -count <= layer < count):
        raise ConfigError(
            f"layer: {layer} is out of range; {lm.name} has layers 0 to {count - 1} (or a share from 0.0 to below 1.0)."
        )
    return layer % count


def layer_range(first: int | float, last: int | float, lm: LM) -> list[int]:
    """The decoder layers from configured `first` to `last`, both included.

    Raises:
        ConfigError: the model has no such layers, or none lies between them.
    """
    low, high = layer_index(first, lm), layer_index(last, lm)
    if low > high:
        raise ConfigError(f"The first layer, {low}, lies above the last, {high}.")
    return list(range(low, high + 1))


@dataclass
class Maker:
    """Builds the patches of one call of `fit`, with the wall time shared among its users."""

    lm: LM
    method: str
    kind: PatchKind
    config: Section
    started: float = field(default_factory=time.perf_counter)

    def patch(
        self,
        user: User,
        tensors: Mapping[str, Tensor] | None = None,
        *,
        plan: PromptPlan | None = None,
        gate: float | None = None,
        metrics: Mapping[str, float] | None = None,
        failure: str | None = None,
        share: int = 1,
    ) -> Patch:
        """The patch of one of `share` users fitted together."""
        manifest = Manifest(
            kind=self.kind,
            method=self.method,
            config_sha256=config_sha256(self.config),
            config=self.config.model_dump(mode="json"),
            model=self.lm.name,
            source=self.lm.source,
            weights_sha256=self.lm.weights_sha256,
            user_id=user.user_id,
            preference_ids=tuple(fact.preference_id for fact in user.facts),
            plan=plan,
            gate=gate,
            metrics=dict(metrics or {}),
            seconds=(time.perf_counter() - self.started) / share,
            failure=failure,
        )
        return Patch(manifest, tensors or {})


def unique(texts: Iterable[str]) -> tuple[str, ...]:
    """`texts` without repetitions, in order."""
    return tuple(dict.fromkeys(texts))
