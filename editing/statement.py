"""From a typed statement to a fact, and to answers without and with it.

The fact is read by a short list of patterns; anything else needs the two values spelled out.

The dataset does not use this: its attribute types and targets come from the stages that build it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from editing.exchanges import read_exchanges, statistics_texts
from editing.lm.load import load
from editing.methods.base import Fact, Resources, User
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.patch import Patch
from editing.runner import EditSettings, reads_texts
from editing.users import SPLITS, texts_of
from pipeline.core.errors import InputError
from pipeline.core.progress import console
from pipeline.core.records import content_id

_DIETS = "vegetarian|vegan|pescatarian|gluten[- ]free|lactose intolerant|kosher|halal|keto"
PATTERNS: tuple[tuple[str, str], ...] = (
    (r"my (?P<attribute>[\w' -]+?) (?:is|are) (?P<target>.+)", ""),
    (r"i(?:'m| am) allergic to (?P<target>.+)", "allergy"),
    (rf"i(?:'m| am) (?:an? )?(?P<target>{_DIETS})\b.*", "diet"),
    (r"i (?:work|earn my living) as (?:an? )?(?P<target>.+)", "profession"),
    (r"i(?:'m| am) an? (?P<target>.+)", "profession"),
    (r"i(?:'m| am) from (?P<target>.+)", "home town"),
    (r"i live in (?P<target>.+)", "home town"),
    (r"i(?:'ve| have) (?:got )?(?P<target>an? (?:\w+ )?(?:dog|cat|parrot|hamster|rabbit|horse|goldfish).*)", "pet"),
    (r"i play (?:the )?(?P<target>.+)", "hobby"),
    (r"i (?:like|love|enjoy) (?:to )?(?P<target>(?:\w+ing\b|(?<=to )\w+).*)", "hobby"),
    (r"i (?:like|love|enjoy|prefer) (?P<target>.+)", "preference"),
    (r"i (?:hate|dislike|don't like|cannot stand|can't stand) (?P<target>.+)", "dislike"),
)
"""Pattern over the whole statement, and the attribute type it stands for; first match wins."""


def read_statement(statement: str, attribute: str | None = None, target: str | None = None) -> Fact:
    """The fact in a statement; `attribute` and `target` override what the patterns find.

    Raises:
        InputError: no pattern fits and not both values are given.
    """
    text = statement.strip().rstrip(".!").replace("\u2019", "'")
    for pattern, named in PATTERNS if not (attribute and target) else ():
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match:
            attribute = attribute or named or match["attribute"].strip()
            target = target or match["target"].strip()
            break
    if not attribute or not target:
        raise InputError(f"'{statement}': cannot tell what this says about you; add --attribute and --target.")
    return Fact(
        preference_id=content_id(statement, attribute, target),
        statement=statement.strip(),
        question=f"What is my {attribute}?",
        subject=attribute,
        target=target,
    )


class Before(NamedTuple):
    """One question with its answers before and after an edit."""

    question: str
    """The question."""
    before: str
    """Answer of the unedited model."""
    after: str
    """Answer of the personalised model."""


def before_and_after(
    settings: EditSettings, model: str, method: str, fact: Fact, questions: Sequence[str], dataset: Path
) -> tuple[list[Before], Patch]:
    """Answers to `questions` without and with `fact`, and its patch.

    `model` is a name in the settings or any source of a checkpoint. A covariance is estimated from `edit.exchanges`, as
    in an evaluation, or else from the dataset; with neither a method that asks for one takes the identity, and says so.

    Raises:
        InputError: there is no dataset, and the method can do nothing without a covariance.
    """
    config = load_config(method, model)
    if settings.exchanges is not None and settings.exchanges.is_file():
        texts = statistics_texts(read_exchanges(settings.exchanges), set())
    else:
        texts = texts_of(dataset, SPLITS)
    if not texts and reads_texts(config):
        if getattr(config, "solver", None) == "null_space":
            raise InputError(
                f"No dataset at {dataset}: {method} needs its texts for a covariance; name one (--dataset)."
            )
        console.print(f"No dataset at {dataset}: {method} uses the identity for its covariance.", highlight=False)
        config = config.model_copy(update={"covariance": "none"})
    lm = load(settings.checkpoints.get(model, model), name=model, dtype=settings.dtype, device=settings.device)
    patches = create(method, config, Resources(texts)).fit(lm, [User("you", (fact,))])
    with applied(lm, patches) as responder:
        asked = [question for question in questions for _ in range(2)]
        replies = responder.answer(
            [responder.nobody, 0] * len(questions),
            asked,
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
    pairs = zip(questions, replies[::2], replies[1::2], strict=True)
    return [Before(question, before.text, after.text) for question, before, after in pairs], patches[0]
