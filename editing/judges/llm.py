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
Asked = tuple[Item, str]
"""An item and the prompt, of RUBRICS or check_<name>, that the judge's model gets about it."""
RUBRICS = ("give_back", "apply", "product", "control")
"""Prompts below prompts/judge that grade."""
CHECKS = ("acknowledge", "violate", "hallucinate", "helpful")
"""Yes/no questions about a reply after other turns; each a prompt check_<name> below prompts/judge."""
_VERDICT = re.compile(r"(?<![^\W_])VERDICT[\W_]{0,3}[:\uff1a][\W_]{0,5}([^\W_]+)", re.IGNORECASE)
_WORD = re.compile(rf"(?<![^\W_]){'[^a-z0-9]*'.join('verdict')}", re.IGNORECASE)
_MARKS = re.compile(r"<{2,}|>{2,}")


class LLMJudge:
    """A rubric a kind; the last verdict in the judge's reply counts, anything but the two words is unscored."""

    name = "llm"

    def __init__(self, config: LLMJudgeConfig, ask: Callable[[Sequence[Request]], list[Outcome]]) -> None:
        """A judge that sends requests with `ask` and gets one outcome for each, in order."""
        self.config = config
        self.ask = ask
        self.prompts = prompts(config)
        self.outcomes: dict[Asked, Outcome] = {}

    def prepare(self, items: Sequence[Item], checked: Sequence[Item] = ()) -> None:
        """Ask all that `rule` on `items` and `check` on `checked` need at once; a role that sends batches sends one.

        Raises:
            EndpointError, AccessError, BudgetError: nothing can be judged now; finished calls stay in the cache.
        """
        self._outcomes([*_gradings(items), *_checks(checked)])

    def rule(self, items: Sequence[Item]) -> list[Ruling]:
        """One ruling for each item, in order.

        Raises:
            EndpointError, AccessError, BudgetError: nothing can be judged now; finished calls stay in the cache.
        """
        outcomes = iter(self._outcomes(_gradings(items)))
        return [_belongs(item) or read_verdict(next(outcomes)) for item in items]

    def check(self, items: Sequence[Item]) -> list[dict[str, bool | None]]:
        """The answers to CHECKS for each item, in order; None where a check is unscored.

        Raises:
            EndpointError, AccessError, BudgetError: nothing can be judged now; finished calls stay in the cache.
        """
        outcomes = iter(self._outcomes(_checks(items)))
        answers = {"yes": True, "no": False}
        return [{name: answers.get(last_word(next(outcomes)) or "") for name in CHECKS} for _ in items]

    def _outcomes(self, asked: Sequence[Asked]) -> list[Outcome]:
        """One outcome each, in order; nothing is asked twice."""
        new = [one for one in dict.fromkeys(asked) if one not in self.outcomes]
        if new:
            self.outcomes |= zip(new, self.ask([self.request(*one) for one in new]), strict=True)
        return [self.outcomes[one] for one in asked]

    def request(self, item: Item, prompt: str) -> Request:
        """What the judge's model is asked about an item by a prompt."""
        values = {
            "statement": item.statement,
            "attribute_type": item.attribute_type,
            "target": " or ".join(item.targets),
            "question": item.question,
            "reply": harmless(item.reply) or "(empty)",
        }
        return Request(self.prompts[prompt].render(values), None, self.config.max_tokens)


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
    """The judge bound to its role; the client and an embedded server live no longer than the requests sent together."""
    from pipeline.llm.client import Client

    def ask(requests: Sequence[Request]) -> list[Outcome]:
        with Client(config.role, llm) as client:
            return client.run(requests)

    return LLMJudge(config, ask)


def _gradings(items: Sequence[Item]) -> list[Asked]:
    return [(item, rubric(item)) for item in items if _belongs(item) is None]


def _checks(items: Sequence[Item]) -> list[Asked]:
    return [(item, f"check_{name}") for item in items for name in CHECKS]


def rubric(item: Item) -> str:
    """Which rubric an item is graded by."""
    if item.is_control:
        return "control"
    if item.kind in RECALL_KINDS:
        return "give_back"
    return "product" if item.kind is QuestionKind.PRODUCT else "apply"


def harmless(reply: str) -> str:
    """`reply` without what could pass for the marks around it or, where the judge quotes it, for a verdict."""
    return _WORD.sub("ruling", _MARKS.sub(" ", reply)).strip()


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
