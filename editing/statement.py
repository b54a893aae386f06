"""From a typed statement to a fact, by a short list of patterns; anything else needs the two values spelled out.

The dataset does not use this: its attribute types and targets come from the stages that build it.
"""

from __future__ import annotations

import re

from editing.methods.base import Fact
from pipeline.core.errors import InputError
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
