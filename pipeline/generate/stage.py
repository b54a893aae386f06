"""The generate stage: statements and queries to drafts, with every dropped statement kept and its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.core.progress import progress
from pipeline.core.records import Draft, Dropped, Provenance, Query, Statement
from pipeline.generate.composer import Composer, Encode
from pipeline.generate.config import GenerateConfig
from pipeline.generate.topics import Topic, find_topics
from pipeline.generate.updates import with_earlier, with_updates
from pipeline.generate.validator import Validator
from pipeline.generate.writer import Writer
from pipeline.validate.config import RulesConfig
from pipeline.validate.rules import check_draft


class Generated(NamedTuple):
    """What the stage passes on and what it keeps back."""

    drafts: list[Draft]
    """One a statement with a known attribute, in the order of the statements, in front of it what it says was the case
    before; then the updates of some."""
    dropped: list[Dropped]
    """Statements without a draft."""
    counts: dict[str, Any]
    """Rows in and out, drops by reason, questions by kind and origin, rules that rejected samples."""


def generate_drafts(
    statements: Sequence[Statement],
    queries: Sequence[Query],
    remarks: Mapping[str, Sequence[str]],
    writer: Writer,
    encode: Encode,
    config: GenerateConfig,
    rules: RulesConfig,
    validator: Validator | None = None,
) -> Generated:
    """Write one draft for each statement with a known attribute.

    Args:
        statements: Mined statements.
        queries: Mined advice-seeking queries.
        remarks: By user, what else they wrote: sentences that may state something although they are no statements.
        writer: Writes questions with a model.
        encode: Sentence encoder.
        config: The generate section.
        rules: Thresholds of the semantic rules.
        validator: Asked which mined queries depend on a fact; None leaves it to the encoder.

    Raises:
        LLMError: the endpoint is down, refuses the key, or the budget is used up; finished calls are kept.
    """
    found, dropped = find_topics(statements, config.max_statements, rules)
    topics = with_earlier(found, rules)
    composer = Composer(topics, statements, queries, remarks, encode, config, rules)
    prompts: dict[str, dict[str, str]] = {topic.id: {} for topic in topics}
    if validator is None:
        composer.deal_out()
    else:
        composer.deal_out(validator(composer.matches))
        prompts |= {topic.id: validator.prompts for topic, _ in composer.matches}
    replies, sent, errors = _sample(topics, writer, composer, config)
    written = [
        topic.draft(
            composer.questions(topic),
            Provenance(
                model=writer.model if replies[topic.id] else "none",
                prompts=prompts[topic.id] | sent.get(topic.id, {}),
                samples=replies[topic.id],
            ),
            config.cluster_size,
        )
        for topic in topics
    ]
    drafts, *updates = with_updates(topics, written, config.updates, config.cluster_size, rules, composer.controls)
    counts = {
        "statements": {"in": len(statements), "out": len(found), "dropped": len(dropped)},
        "updates": dict(zip(("mined", "written"), updates, strict=True)),
        "queries": len(queries),
        "users": len({draft.statement.user_id for draft in drafts}),
        "dropped_by_reason": dict(Counter(row.reason for row in dropped)),
        "questions": _by_origin(drafts),
        "replies": sum(replies.values()),
        "samples_rejected_by_rule": dict(composer.rejections.most_common()),
        "model_errors": dict(errors),
        "attribute_types": dict(Counter(draft.attribute_type for draft in drafts).most_common()),
        "drafts_that_pass_the_rules": sum(not check_draft(draft, rules) for draft in drafts),
    }
    return Generated(drafts, dropped, counts)


def _sample(
    topics: Sequence[Topic],
    writer: Writer,
    composer: Composer,
    config: GenerateConfig,
) -> tuple[Counter[str], dict[str, dict[str, str]], Counter[str]]:
    """Ask the model, again only for kinds where nothing it wrote was accepted.

    Returns:
        Replies by topic, prompts sent by topic (id to sha256), and errors by type.
    """
    replies: Counter[str] = Counter()
    sent: dict[str, dict[str, str]] = {}
    errors: Counter[str] = Counter()
    for repeat in range(config.samples):
        wanted = composer.lacking(topics)
        if not wanted:
            break
        with progress(f"writing questions, sample {repeat + 1}", writer.calls(wanted), "replies") as advance:
            samples = writer.write(wanted, repeat, advance)
        for written in samples:
            replies[written.topic.id] += written.replies
            sent.setdefault(written.topic.id, {}).update(written.prompts)
            errors.update(written.errors)
            composer.add(written.topic, written.questions)
    return replies, sent, errors


def _by_origin(drafts: Sequence[Draft]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for draft in drafts:
        for question in draft.questions:
            counts.setdefault(question.kind, Counter())[question.origin] += 1
    return {kind: dict(counter) for kind, counter in counts.items()}
