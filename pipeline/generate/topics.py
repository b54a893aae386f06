"""Statements whose attribute type and target are known: what the rest of the stage works on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.core.records import Draft, DraftQuestion, Dropped, Provenance, Statement, content_id
from pipeline.core.wording import stems
from pipeline.generate.aliases import aliases
from pipeline.generate.attributes import AttributeType, find_attribute
from pipeline.generate.cluster import build_cluster
from pipeline.generate.reasons import Reason
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import draft_faults


@dataclass(frozen=True)
class Topic:
    """A statement with its attribute type and target."""

    statement: Statement
    """The mined statement."""
    kind: AttributeType
    """What it is about, the name filled in."""
    target: str
    """The user's value."""
    aliases: tuple[str, ...]
    """Other forms of the value."""

    @property
    def id(self) -> str:
        """Id of the draft."""
        return content_id(self.statement.id, self.kind.name, self.target)

    def draft(self, questions: Sequence[DraftQuestion], provenance: Provenance, cluster_size: int) -> Draft:
        """The draft with these questions and a cluster of at most `cluster_size` members."""
        asked = tuple(questions)
        return Draft(
            id=self.id,
            statement=self.statement,
            attribute_type=self.kind.name,
            family=self.kind.families[0],
            target=self.target,
            aliases=self.aliases,
            cluster=build_cluster(self.kind, self.target, self.aliases, asked, cluster_size),
            questions=asked,
            provenance=provenance,
        )

    def bare(self) -> Draft:
        """The draft without questions, for rules that look at one question."""
        return self.draft((), Provenance(model="", prompts={}, samples=0), 1)


_MISREAD = re.compile(r"\b(?:sister|brother)s?[- ]in[- ]law\b|\b(?:his|her|their) \w+ as an?\b", re.IGNORECASE)
"""What the statement alone may no longer show: relatives by marriage, and what somebody else is."""


class Topics(NamedTuple):
    """Statements with and without a topic."""

    kept: list[Topic]
    dropped: list[Dropped]


def find_topics(statements: Sequence[Statement], limit: int, rules: RulesConfig) -> Topics:
    """The topic of each statement; at most `limit`, every user's first topic before anybody's second."""
    kept: list[Topic] = []
    dropped: list[Dropped] = []
    seen: set[tuple[object, ...]] = set()
    for statement in statements:
        misread = _MISREAD.search(statement.text) is not None
        found = None if misread else find_attribute(statement.self_contained, statement.family, rules.max_target_words)
        if found is None:
            dropped.append(_dropped(statement, Reason.NO_ATTRIBUTE, f"family {statement.family}"))
            continue
        topic = Topic(statement, found.type, found.target, aliases(found.target))
        fault = next(draft_faults(topic.bare(), rules), None)
        key = (statement.user_id, topic.kind.name, tuple(stems(topic.target)))
        if fault is not None:
            dropped.append(_dropped(statement, Reason.TARGET_FAULT, f"{fault[0]}: {fault[1]}"))
        elif key in seen:
            dropped.append(_dropped(statement, Reason.DUPLICATE, f"{topic.kind.name}: {topic.target}"))
        else:
            seen.add(key)
            kept.append(topic)
    chosen = _sampled(kept, limit)
    beyond = [
        _dropped(topic.statement, Reason.NOT_SAMPLED, "generate.max_statements")
        for index, topic in enumerate(kept)
        if index not in chosen
    ]
    return Topics([topic for index, topic in enumerate(kept) if index in chosen], dropped + beyond)


def _sampled(topics: list[Topic], limit: int) -> set[int]:
    turns: dict[str, int] = {}
    ranked: list[tuple[int, int]] = []
    for index, topic in enumerate(topics):
        turn = turns.get(topic.statement.user_id, 0)
        turns[topic.statement.user_id] = turn + 1
        ranked.append((turn, index))
    return {index for _, index in sorted(ranked)[:limit]}


def _dropped(statement: Statement, reason: Reason, detail: str) -> Dropped:
    return Dropped(id=statement.id, stage="generate", reason=reason, detail=detail, row=statement.model_dump_json())
