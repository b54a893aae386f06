"""Preferences that change: the same user says later that something else holds now."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.core.records import CONTROL_KINDS, Draft, DraftQuestion, Provenance, QuestionKind, content_id
from pipeline.core.wording import contains_phrase, content_stems, stems
from pipeline.generate.aliases import aliases
from pipeline.generate.attributes import find_attribute
from pipeline.generate.composer import first_valid, ours
from pipeline.generate.controls import rotated
from pipeline.generate.topics import Topic
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import draft_faults, question_faults

_CHANGE = re.compile(r"\b(?:used to|no longer|any ?more|now|these days|nowadays|switched|changed)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[,.;:!?]|\b(?:and|but|while|because|so)\b", re.IGNORECASE)
_ONCE = re.compile(
    r"\b(?:I|we) (?:used to|no longer|(?P<was>was|were)(?= (?:an?|the) [^.!?]*\bnow\b)|"
    r"(?:don['’]?t|do not)(?=[^,.;:!?]* any ?more\b)) "
    r"(?P<fact>[^,.;:!?]+?)(?= any ?more\b|[,.;:!?]|\s(?:but|and|until|before|so)\b|$)",
    re.IGNORECASE,
)
"""A clause that says what was the case and is no more."""


def with_earlier(topics: Sequence[Topic], rules: RulesConfig) -> list[Topic]:
    """`topics`, in front of each what its statement says was the case before ("I used to live in Paris, now ...").

    The statement of such a topic is that clause as it was said then: "I live in Paris."
    """
    stated = {_fact(topic) for topic in topics}
    found: list[Topic] = []
    for topic in topics:
        before = _earlier(topic, rules)
        if before is not None and _fact(before) not in stated:
            stated.add(_fact(before))
            found.append(before)
        found.append(topic)
    return found


def _fact(topic: Topic) -> tuple[object, ...]:
    return topic.statement.user_id, topic.kind.name, stems(topic.target)


def _earlier(topic: Topic, rules: RulesConfig) -> Topic | None:
    text = topic.statement.self_contained
    if topic.kind.update is None or not _CHANGE.search(text):
        return None
    for clause in _ONCE.finditer(text):
        fact = re.sub(r"^be\b", "am", clause["fact"])
        said = f"I am {fact}." if clause["was"] else f"I {fact}."
        found = find_attribute(said, topic.statement.family, rules.max_target_words)
        if found is None or found.type.name != topic.kind.name:
            continue
        changes = {"id": content_id(topic.statement.id, said), "self_contained": said}
        before = Topic(topic.statement.model_copy(update=changes), topic.kind, found.target, aliases(found.target))
        if next(draft_faults(before.bare(), rules), None) is None:
            return before
    return None


class Changed(NamedTuple):
    """Drafts with their changes."""

    drafts: list[Draft]
    """The given drafts, those that no longer hold marked `superseded_by`, then the updates that we wrote."""
    mined: int
    """Pairs in which the user said both."""
    written: int
    """Pairs whose later statement is a sentence of ours."""


Controls = Callable[[Topic, QuestionKind], Sequence[DraftQuestion]]
"""The control questions of a kind that suit a topic, those to prefer first."""


def with_updates(
    topics: Sequence[Topic],
    drafts: Sequence[Draft],
    limit: int,
    size: int,
    rules: RulesConfig,
    controls: Controls,
) -> Changed:
    """Mark changes that users stated, and write an update for up to `limit` other preferences.

    An update asks the questions of the preference it replaces, so that the same question has a new answer; those a
    model wrote for the old value are replaced by ours, and controls that do not suit the new value by others. It stands
    in the same split, for it has the same user.

    Args:
        topics: The topics of `drafts`, in the same order, a user's own in order of appearance.
        drafts: Drafts that may change.
        limit: Updates to write at most; which preferences get one depends on their ids alone.
        size: Members of an update's cluster.
        rules: Thresholds of the semantic rules.
        controls: The control questions that suit a topic.
    """
    later = dict(_stated(topics))
    taken = {*later, *later.values()}
    chosen = sorted((t.id for t in topics if t.kind.update is not None and t.id not in taken), key=content_id)[:limit]
    written: dict[str, Draft] = {}
    for topic, draft in zip(topics, drafts, strict=True):
        if topic.id in chosen:
            written[topic.id] = _update(topic, draft, size, rules, controls)
    replaced: Mapping[str, str] = {**later, **{old: new.id for old, new in written.items()}}
    kept = [draft.model_copy(update={"superseded_by": replaced.get(draft.id)}) for draft in drafts]
    return Changed([*kept, *written.values()], len(later), len(written))


def _stated(topics: Iterable[Topic]) -> Iterator[tuple[str, str]]:
    """Ids of the earlier and the later topic where a user says that a value has changed.

    Earlier is what the corpus holds earlier: keys of conversations are hashes more often than times.
    """
    last: dict[tuple[str, str], Topic] = {}
    for topic in topics:
        key = (topic.statement.user_id, topic.kind.name)
        before = last.get(key)
        if before is not None and topic.kind.update is not None and _says_change(topic, before):
            yield before.id, topic.id
        last[key] = topic


def _says_change(topic: Topic, before: Topic) -> bool:
    """Whether a statement says that its value is new: in the clause of the new value, or of the one from before.

    A value that shares a word with the one before may be the same in more words.
    """
    if content_stems(topic.target) & content_stems(before.target):
        return False
    values = (topic.target, before.target)
    clauses = _CLAUSE.split(topic.statement.self_contained)
    return any(_CHANGE.search(clause) and any(contains_phrase(clause, v) for v in values) for clause in clauses)


def _update(old: Topic, draft: Draft, size: int, rules: RulesConfig, controls: Controls) -> Draft:
    assert old.kind.update is not None
    known = {stem for form in (old.target, *old.aliases) for stem in content_stems(form)}
    values = rotated(f"{old.id}update", old.kind.update.values)
    new = next((value for value in values if not known & content_stems(value)), values[0])
    text = old.kind.update.statement(old.target, new, old.statement.self_contained)
    statement = old.statement.model_copy(
        update={
            "id": content_id(old.statement.id, text),
            "text": text,
            "self_contained": text,
            "redactions": (),
            "history": (*old.statement.history, old.statement.id),
        }
    )
    target = re.sub(r"^(?:an?|the) ", "", new)
    topic = Topic(statement, old.kind, target, aliases(target))
    questions = tuple(_questions(topic, draft.questions, rules, controls))
    nothing_asked = Provenance(model="none", prompts={}, samples=0)
    return topic.draft(questions, nothing_asked, size).model_copy(update={"origin": "template"})


def _questions(
    topic: Topic, before: Sequence[DraftQuestion], rules: RulesConfig, controls: Controls
) -> Iterator[DraftQuestion]:
    bare = topic.bare()
    taken: list[DraftQuestion] = []
    for question in before:
        if question.kind in CONTROL_KINDS:
            suited = controls(topic, question.kind)
            # World facts and other people suit whatever the value is.
            keep = question.kind in (QuestionKind.NEUTRAL, QuestionKind.OTHER_PERSON) or question in suited
            options = [*([question] if keep else []), *suited]
        else:
            again = question.model_copy(update={"accepted": (topic.target, *topic.aliases)})
            same = [] if question.origin == "generated" else [again]
            options = [*same, *ours(topic, question.kind, rotate=True)]
        found = first_valid(options, 1, taken, lambda q: not any(True for _ in question_faults(bare, q, rules)))
        taken += found
        yield from found
