"""What a reference model makes of a question: how often it says the target with the user's statement, and without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.core.progress import progress
from pipeline.core.wording import contains_phrase, stems
from pipeline.llm.client import Client, Outcome
from pipeline.llm.messages import Message, Reply, Request
from pipeline.llm.prompts import inert
from pipeline.validate.config import ReferenceConfig


class Posed(NamedTuple):
    """A question of a target kind with what its answer rests on."""

    text: str
    """The question."""
    statement: str
    """The statement it is about, self-contained."""
    accepted: tuple[str, ...]
    """Target and aliases."""


class Rates(NamedTuple):
    """Solve rates of one question in [0, 1]; None where no reply was usable."""

    with_statement: float | None
    """Share of replies that say the target when the statement stands in the prompt."""
    without: float | None
    """The same for the bare question: what can be guessed."""


def solve_rates(client: Client, questions: Sequence[Posed], config: ReferenceConfig) -> list[Rates]:
    """The rates of every question, in order.

    A reply solves a question when an accepted answer stands in it as whole words; one that only gives the statement
    back does not. The same bare question is asked once, whoever it belongs to.

    Raises:
        LLMError: the endpoint is down, refuses the key, or the budget is used up; finished calls are kept.
    """
    told = [_requests(f"About me: {inert(q.statement)}\n\n{inert(q.text)}", config) for q in questions]
    bare = [_requests(inert(q.text), config) for q in questions]
    # By statement, then bare: a server with a prefix cache reads each statement once.
    wanted = [request for requests in (*told, *bare) for request in requests]
    with progress(f"solving with {client.role.model}", len(wanted), "replies") as advance:
        outcomes = iter(client.run(wanted, advance))
    replies = [[next(outcomes) for _ in requests] for requests in (*told, *bare)]
    count = len(questions)
    return [
        Rates(_rate(with_it, question), _rate(without, question))
        for question, with_it, without in zip(questions, replies[:count], replies[count:], strict=True)
    ]


def _requests(content: str, config: ReferenceConfig) -> list[Request]:
    messages: tuple[Message, ...] = ({"role": "user", "content": content},)
    return [Request(messages, None, config.max_tokens, repeat, keep_cut=True) for repeat in range(config.samples)]


def _rate(outcomes: Iterable[Outcome], question: Posed) -> float | None:
    usable = [outcome.text for outcome in outcomes if isinstance(outcome, Reply)]
    return sum(solves(text, question) for text in usable) / len(usable) if usable else None


def solves(reply: str, question: Posed) -> bool:
    """Whether `reply` says an accepted answer and is more than the beginning of the statement."""
    said = stems(reply)
    if said == stems(question.statement)[: len(said)]:
        return False
    return any(contains_phrase(reply, answer) for answer in question.accepted)
