"""Questions written by a model: a small one adds to questions we wrote, a large one writes all kinds from the fact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.core.records import DraftQuestion, QuestionKind
from pipeline.generate.config import GenerateConfig
from pipeline.generate.controls import rotated
from pipeline.generate.topics import Topic
from pipeline.llm.client import Client, Estimate
from pipeline.llm.messages import Reply, Request
from pipeline.llm.prompts import load_prompt


class Written(NamedTuple):
    """What one reply gave for one topic."""

    topic: Topic
    questions: tuple[DraftQuestion, ...]
    """Candidates; empty when the reply was unusable."""
    error: str | None
    """Type of the error that made it unusable."""


class Writer:
    """Asks the generator role for questions."""

    def __init__(self, client: Client, prompts: Path, config: GenerateConfig) -> None:
        """Load the prompt of `config.writer`.

        Raises:
            ConfigError: the prompt file is missing or ill-formed.
        """
        self._client = client
        self._prompt = load_prompt(prompts, f"generate/{config.writer}")
        self._read = _READERS[config.writer]
        self._max_tokens = config.max_tokens

    @property
    def model(self) -> str:
        """Name of the model that writes."""
        return self._client.role.model

    @property
    def prompts(self) -> dict[str, str]:
        """Prompt id to sha256."""
        return {self._prompt.id: self._prompt.sha256}

    def write(self, topics: Sequence[Topic], repeat: int, advance: Callable[[float], None]) -> list[Written]:
        """One reply for each topic, the sample `repeat`.

        Raises:
            LLMError: the endpoint is down, refuses the key, or the budget is used up; finished calls are kept.
        """
        written = []
        outcomes = self._client.run([self._request(topic, repeat) for topic in topics], advance)
        for topic, outcome in zip(topics, outcomes, strict=True):
            if isinstance(outcome, Reply):
                written.append(Written(topic, tuple(self._read(outcome.value, topic)), None))
            else:
                written.append(Written(topic, (), type(outcome).__name__))
        return written

    def estimate(self, topics: Sequence[Topic]) -> Estimate:
        """What one sample for each topic would take."""
        return self._client.estimate([self._request(topic, 0) for topic in topics])

    def _request(self, topic: Topic, repeat: int) -> Request:
        known = {
            "statement": topic.statement.self_contained,
            "attribute": topic.kind.name,
            "target": topic.target,
            "advice": " ".join(rotated(f"{topic.id}{repeat}", topic.kind.implicit)[:2]),
            "shopping": " ".join(rotated(f"{topic.id}{repeat}", topic.kind.product)[:2]),
        }
        values = {name: known[name] for name in self._prompt.variables}
        return Request(self._prompt.render(values), self._prompt.schema, self._max_tokens, repeat)


def _generated(kind: QuestionKind, text: str, topic: Topic) -> DraftQuestion:
    text = " ".join(text.split())
    # A model that repeats a question of ours word for word has not written it.
    origin = "template" if text in topic.kind.questions(kind) else "generated"
    return DraftQuestion(
        kind=kind,
        text=text,
        origin=origin,
        query_id=None,
        accepted=(topic.target, *topic.aliases),
    )


def _read_more(value: dict[str, Any], topic: Topic) -> list[DraftQuestion]:
    return [
        _generated(QuestionKind.IMPLICIT, value["advice"], topic),
        _generated(QuestionKind.PRODUCT, value["shopping"], topic),
    ]


def _read_questions(value: dict[str, Any], topic: Topic) -> list[DraftQuestion]:
    kinds = (QuestionKind.REPHRASED, QuestionKind.IMPLICIT, QuestionKind.PRODUCT)
    return [_generated(kind, value[kind.value], topic) for kind in kinds]


_READERS = {"more": _read_more, "questions": _read_questions}
