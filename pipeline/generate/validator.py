"""Asking a model whether a fact about the user changes the good answer to a question that somebody asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.progress import progress
from pipeline.core.records import DraftQuestion
from pipeline.generate.topics import Topic
from pipeline.llm.client import Client, Estimate
from pipeline.llm.messages import Reply, Request
from pipeline.llm.prompts import load_prompt

Pair = tuple[Topic, DraftQuestion]
"""A fact, and a mined query that may be its implicit question."""
MAX_TOKENS = 16
"""Of a reply: one word in JSON."""


class Validator:
    """Asks the role `generate.matching.validator`."""

    def __init__(self, client: Client, prompts: Path) -> None:
        """Load the prompt.

        Raises:
            ConfigError: the prompt file is missing or ill-formed.
        """
        self._client = client
        self._prompt = load_prompt(prompts, "generate/depends")

    @property
    def prompts(self) -> dict[str, str]:
        """Prompt id to sha256."""
        return {self._prompt.id: self._prompt.sha256}

    def __call__(self, pairs: Sequence[Pair]) -> list[bool]:
        """Whether the good answer depends on the fact, for each pair; False where the reply is unusable.

        Raises:
            LLMError: the endpoint is down, refuses the key, or the budget is used up; finished calls are kept.
        """
        with progress("matching queries", len(pairs), "replies") as advance:
            outcomes = self._client.run(self._requests(pairs), advance)
        return [isinstance(outcome, Reply) and outcome.value["depends"] is True for outcome in outcomes]

    def estimate(self, pairs: Sequence[Pair]) -> Estimate:
        """What asking about `pairs` would take."""
        return self._client.estimate(self._requests(pairs))

    def _requests(self, pairs: Sequence[Pair]) -> list[Request]:
        return [
            Request(
                self._prompt.render({"statement": topic.statement.self_contained, "question": question.text}),
                self._prompt.schema,
                MAX_TOKENS,
                0,
            )
            for topic, question in pairs
        ]
