"""Questions written by a model: a small one has one narrow task at a time, a large one writes all kinds at once."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.core.records import DraftQuestion, QuestionKind
from pipeline.generate.config import GenerateConfig
from pipeline.generate.controls import rotated
from pipeline.generate.topics import Topic
from pipeline.llm.client import Client, Estimate
from pipeline.llm.messages import Reply, Request
from pipeline.llm.prompts import Example, Prompt, load_prompt

K = QuestionKind
Read = Callable[[dict[str, Any], Topic], list[DraftQuestion]]


class Task(NamedTuple):
    """One prompt with what its reply means."""

    prompt: str
    """Name of the prompt in prompts/generate."""
    kinds: frozenset[QuestionKind]
    """Kinds it writes."""
    read: Read
    """From a reply to candidates."""
    schema: Callable[[dict[str, Any], Topic], dict[str, Any]]
    """The prompt's schema, narrowed to a topic."""


class Written(NamedTuple):
    """What the replies for one topic gave."""

    topic: Topic
    questions: tuple[DraftQuestion, ...]
    """Candidates; empty when the replies were unusable."""
    prompts: dict[str, str]
    """Id to sha256 of each prompt that was sent."""
    replies: int
    """Replies spent."""
    errors: tuple[str, ...]
    """Types of the errors that made replies unusable."""


class Writer:
    """Asks the generator role for questions."""

    def __init__(self, client: Client, prompts: Path, config: GenerateConfig) -> None:
        """Load the prompts of `config.writer`.

        Raises:
            ConfigError: a prompt file is missing or ill-formed.
        """
        self._client = client
        self._tasks = [(task, load_prompt(prompts, f"generate/{task.prompt}")) for task in _TASKS[config.writer]]
        self._max_tokens = config.max_tokens

    @property
    def model(self) -> str:
        """Name of the model that writes."""
        return self._client.role.model

    def write(
        self, wanted: Sequence[tuple[Topic, frozenset[QuestionKind]]], repeat: int, advance: Callable[[float], None]
    ) -> list[Written]:
        """Sample `repeat` of the prompts that write a wanted kind, for each topic.

        Args:
            wanted: Topics, each with the kinds it lacks.
            repeat: Index of the sample.
            advance: Told of each reply.

        Raises:
            LLMError: the endpoint is down, refuses the key, or the budget is used up; finished calls are kept.
        """
        asked = self._asked(wanted)
        requests = [self._request(wanted[i][0], task, prompt, repeat) for i, task, prompt in asked]
        questions: list[list[DraftQuestion]] = [[] for _ in wanted]
        errors: list[list[str]] = [[] for _ in wanted]
        for (i, task, _), outcome in zip(asked, self._client.run(requests, advance), strict=True):
            if isinstance(outcome, Reply):
                questions[i] += task.read(outcome.value, wanted[i][0])
            else:
                errors[i].append(type(outcome).__name__)
        sent: list[dict[str, str]] = [{} for _ in wanted]
        for i, _, prompt in asked:
            sent[i][prompt.id] = prompt.sha256
        replies = Counter(i for i, _, _ in asked)
        return [
            Written(topic, tuple(questions[i]), sent[i], replies[i], tuple(errors[i]))
            for i, (topic, _) in enumerate(wanted)
        ]

    def calls(self, wanted: Sequence[tuple[Topic, frozenset[QuestionKind]]]) -> int:
        """How many replies `write` would ask for."""
        return len(self._asked(wanted))

    def _asked(self, wanted: Sequence[tuple[Topic, frozenset[QuestionKind]]]) -> list[tuple[int, Task, Prompt]]:
        """Index of the topic, task and prompt of each call.

        Prompt by prompt, so that the server's prefix cache holds the examples from one call to the next.
        """
        return [(i, task, p) for task, p in self._tasks for i, (_, kinds) in enumerate(wanted) if task.kinds & kinds]

    def estimate(self, wanted: Sequence[tuple[Topic, frozenset[QuestionKind]]]) -> Estimate:
        """What the first `write` would take."""
        return self._client.estimate([self._request(wanted[i][0], task, p, 0) for i, task, p in self._asked(wanted)])

    def _request(self, topic: Topic, task: Task, prompt: Prompt, repeat: int) -> Request:
        known = _variables(topic, repeat)
        values = {name: known[name] for name in prompt.variables}
        messages = prompt.render(values, self.examples(prompt, values))
        return Request(messages, task.schema(prompt.schema, topic), self._max_tokens, repeat)

    def examples(self, prompt: Prompt, values: Mapping[str, str]) -> Sequence[Example]:
        """The worked examples that are shown: all, always the same, so that a prefix cache holds them."""
        return prompt.examples


def _variables(topic: Topic, repeat: int) -> Mapping[str, str]:
    return {
        "statement": topic.statement.self_contained,
        "attribute": topic.kind.name,
        "target": topic.target,
        "question": rotated(f"{topic.kind.name}{repeat}", topic.kind.rephrased)[0],
    }


_NOUN = re.compile(r"^(?:Which|What) ([a-z -]{3,30}?) should I buy")
_ANY_NOUN = "[a-z -]{3,30}"


def _ideas_schema(schema: dict[str, Any], topic: Topic) -> dict[str, Any]:
    """The schema with the thing to buy narrowed to the things in our shopping questions for the attribute type."""
    nouns = sorted({match.group(1) for text in topic.kind.product if (match := _NOUN.match(text))})
    if not nouns:
        return schema
    narrowed = copy.deepcopy(schema)
    shopping = narrowed["properties"]["shopping"]
    shopping["pattern"] = shopping["pattern"].replace(_ANY_NOUN, f"({'|'.join(nouns)})")
    return narrowed


def _generated(kind: QuestionKind, text: str, topic: Topic) -> DraftQuestion:
    text = " ".join(text.split())
    # A model that repeats a question of ours word for word has not written it.
    origin: Literal["template", "generated"] = "template" if text in topic.kind.questions(kind) else "generated"
    accepted = (topic.target, *topic.aliases)
    return DraftQuestion(kind=kind, text=text, origin=origin, query_id=None, accepted=accepted)


def _as_it_is(schema: dict[str, Any], topic: Topic) -> dict[str, Any]:
    return schema


def _read_ideas(value: dict[str, Any], topic: Topic) -> list[DraftQuestion]:
    return [_generated(K.IMPLICIT, value["advice"], topic), _generated(K.PRODUCT, value["shopping"], topic)]


def _read_rephrase(value: dict[str, Any], topic: Topic) -> list[DraftQuestion]:
    return [_generated(K.REPHRASED, value["question"], topic)]


def _read_questions(value: dict[str, Any], topic: Topic) -> list[DraftQuestion]:
    return [_generated(kind, value[kind.value], topic) for kind in (K.REPHRASED, K.IMPLICIT, K.PRODUCT)]


_TASKS = {
    "ideas": (
        Task("ideas", frozenset([K.IMPLICIT, K.PRODUCT]), _read_ideas, _ideas_schema),
        Task("rephrase", frozenset([K.REPHRASED]), _read_rephrase, _as_it_is),
    ),
    "questions": (Task("questions", frozenset([K.REPHRASED, K.IMPLICIT, K.PRODUCT]), _read_questions, _as_it_is),),
}
"""Prompts of each writer."""
