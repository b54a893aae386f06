"""What was measured before and after personalization, item by item; the numbers scores are made of."""

from __future__ import annotations

from pipeline.core.records import Record


class ReplyMeasured(Record):
    """One held-out reply of an assistant."""

    exchange_id: str
    """The exchange it stands in."""
    tokens: int
    """Its tokens."""
    before: float
    """Negative log probability under the base model, in nats, summed over the tokens."""
    after: tuple[float, ...]
    """The same under the model of each personalised user."""


class ItemMeasured(Record):
    """One item of a task."""

    item_id: str
    """The item, within its task."""
    before: float
    """Its score under the base model."""
    after: tuple[float, ...]
    """Its score under the model of each personalised user."""


class TaskMeasured(Record):
    """One task of lm-evaluation-harness."""

    task: str
    """Name of the task."""
    metric: str
    """Its first metric."""
    higher_is_better: bool
    """Which way is good."""
    items: tuple[ItemMeasured, ...]
    """All items."""


class AbilityMeasured(Record):
    """What ability.json holds."""

    users: int
    """Personalised models; users, where each has one."""
    replies: tuple[ReplyMeasured, ...]
    """For perplexity."""
    tasks: tuple[TaskMeasured, ...]
    """Tasks of the harness."""
