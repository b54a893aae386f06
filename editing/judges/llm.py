"""Judge `llm`: a language model behind the role `judge` reads a rubric, the question, the statement and the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from editing.judges.base import RECALL_KINDS, Item, Ruling
from editing.judges.config import LLMJudgeConfig
from editing.judges.exact import rule_control
from pipeline.core.records import QuestionKind
from pipeline.llm.config import LLMConfig
from pipeline.llm.errors import LLMError
from pipeline.llm.messages import Reply, Request
from pipeline.llm.prompts import Prompt, load_prompt

Outcome = Reply | LLMError
"""What one request gives."""
RUBRICS = ("give_back", "apply", "product", "control")
"""Prompts below prompts/judge that grade."""
CHECKS = ("acknowledge", "violate", "hallucinate", "helpful")
"""Yes/no questions about a reply after other turns; each a prompt check_<name> below prompts/judge."""
_VERDICT = re.compile(r"VERDICT\W{1,5}(\w+)", re.IGNORECASE)
_MARKS = re.compile(r"<{2,}|>{2,}")


class LLMJudge:
    """A rubric a kind; the last verdict in the judge's reply counts, anything but the two words is unscored."""

    name = "llm"

    def __init__(self, config: LLMJudgeConfig, ask: Callable[[Sequence[Request]], list[Outcome]]) -> None:
        """A judge that sends requests with `ask` and gets one outcome for each, in order."""
        self.config = config
        self.ask = ask
        self.prompts = prompts(config)

    def rule(self, items: Sequence[Item]) -> list[Ruling]:
        """One ruling for each item, in order.

        Raises:
            EndpointError, AccessError, BudgetError: nothing can be judged now; finished calls stay in the cache.
        """
        outcomes = iter(self.ask([self.request(item) for item in items if _belongs(item) is None]))
        return [_belongs(item) or read_verdict(next(outcomes)) for item in items]

    def check(self, items: Sequence[Item]) -> list[dict[str, bool | None]]:
        """The answers to CHECKS for each item, in order; None where a check is unscored.

        Raises:
            EndpointError, AccessError, BudgetError: nothing can be judged now; finished calls stay in the cache.
        """
        outcomes = iter(self.ask([self.request(item, f"check_{name}") for item in items for name in CHECKS]))
        answers = {"yes": True, "no": False}
        return [{name: answers.get(last_word(next(outcomes)) or "") for name in CHECKS} for _ in items]

    def request(self, item: Item, prompt: str | None = None) -> Request:
        """What the judge's model is asked about an item: to grade it, or what `prompt` asks."""
        values = {
            "statement": item.statement,
            "attribute_type": item.attribute_type,
            "target": " or ".join(item.targets),
            "question": item.question,
            "reply": harmless(item.reply) or "(empty)",
        }
        return Request(self.prompts[prompt or rubric(item)].render(values), None, self.config.max_tokens)


def prompts(config: LLMJudgeConfig) -> dict[str, Prompt]:
    """The rubrics and checks by name."""
    names = (*RUBRICS, *(f"check_{name}" for name in CHECKS))
    return {name: load_prompt(config.prompts, f"judge/{name}") for name in names}


def identity(config: LLMJudgeConfig, llm: LLMConfig) -> list[object]:
    """What a verdict of this judge depends on: endpoint, model, sampling, rubrics."""
    role = llm.role(config.role)
    bound = [role.base_url, role.model, role.sampling.model_dump(mode="json"), config.max_tokens]
    return [*bound, {name: prompt.sha256 for name, prompt in prompts(config).items()}]


def open_llm_judge(config: LLMJudgeConfig, llm: LLMConfig) -> LLMJudge:
    """The judge bound to its role; the client and an embedded server live no longer than one chunk of answers."""
    from pipeline.llm.client import Client

    def ask(requests: Sequence[Request]) -> list[Outcome]:
        with Client(config.role, llm) as client:
            return client.run(requests)

    return LLMJudge(config, ask)


def rubric(item: Item) -> str:
    """Which rubric an item is graded by."""
    if item.is_control:
        return "control"
    if item.kind in RECALL_KINDS:
        return "give_back"
    return "product" if item.kind is QuestionKind.PRODUCT else "apply"


def harmless(reply: str) -> str:
    """`reply` without what could pass for the marks around it or for a verdict of the judge."""
    return _VERDICT.sub(r"verdict \1", _MARKS.sub(" ", reply)).strip()


def read_verdict(outcome: Outcome) -> Ruling:
    """The last verdict in the judge's reply; unscored where there is none, another word, or no reply."""
    if isinstance(outcome, LLMError):
        return Ruling("unscored", type(outcome).__name__)
    last = last_word(outcome)
    if last is None:
        return Ruling("unscored", "no verdict")
    if last == "correct":
        return Ruling("correct", "judged")
    return Ruling("incorrect", "judged") if last == "incorrect" else Ruling("unscored", "another word than the two")


def last_word(outcome: Outcome) -> str | None:
    """The word of the last verdict in the judge's reply, in lower case; None without one."""
    found = [] if isinstance(outcome, LLMError) else _VERDICT.findall(outcome.text)
    return found[-1].lower() if found else None


def _belongs(item: Item) -> Ruling | None:
    """The unscored ruling on a control whose good answer holds the target; None elsewhere."""
    ruling = rule_control(item) if item.is_control else None
    return ruling if ruling is not None and ruling.verdict == "unscored" else None
