"""Sensitive categories a statement touches, by word lists: broad on purpose, a missing tag costs more."""

from __future__ import annotations

import re

_WORDS = {
    "health": r"adhd|(?-i:ADD)|autis\w+|asperger\w*|depress\w+|anxi\w+|bipolar|schizo\w+|ptsd|ocd|trauma\w*|therap\w+"
    r"|psychiat\w+"
    r"|diabet\w+|cancer|tumou?r|asthma|arthritis|epilep\w+"
    r"|migraines?|allerg\w+|disab\w+|disorders?|diseases?|syndrome|illness\w*|ill\b|sick|chronic|pain|injur\w+"
    r"|surger\w+|transplant\w*|operation|hospital(?:i[sz]ed)?|medicat\w+|antidepress\w+|ssri|insulin"
    r"|pregnan\w+|miscarriage|ivf|infertil\w+|menopaus\w+|obes\w+|overweight|weigh|kg|lbs|bmi|blood\s+pressure"
    r"|cholesterol|hiv|covid|insomnia|addict\w+|alcoholi\w+|sober|suicid\w+|self-harm"
    r"|deaf|blind|dyslexi\w+|intoleran\w+|celiac|coeliac|ibs|pcos|endometriosis|diagnos\w+|symptoms?|doctor|patient"
    r"|eczema|acne|burnout|stroke|heart\s+(?:attack|disease)|hair\s+loss",
    "religion": r"christian\w*|catholic\w*|protestant\w*|orthodox|evangelical\w*|baptist|methodist|mormon\w*"
    r"|jehovah\w*|muslim\w*"
    r"|islam\w*|sunni|shia|jew(?:ish|s)?\b|judaism|hindu\w*|buddhis\w+|sikh\w*"
    r"|atheis\w+|agnostic\w*|pagan\w*|wicca\w*|relig\w+|church|mosque|synagogue|temple|pray\w*|bible|quran|koran"
    r"|torah|god\b|jesus|allah|faith|spiritual\w*|halal|kosher|ramadan|baptized|pastor|priest|imam|rabbi",
    "sexuality": r"gay|lesbian|bisexual\w*|bi\b(?=.{0,10}(?:sexual|man|woman))|queer|lgbt\w*|trans(?:gender|sexual"
    r"|\s+(?:man|woman"
    r"|girl|boy))|non-?binary|asexual|pansexual|homosexual\w*|heterosexual\w*|straight\s+(?:man|woman|guy)"
    r"|sex(?:ual\w*|uality)?\b|porn\w*|kink\w*|fetish\w*|polyamor\w*|erect\w+|libido|virgin\b|gender\s+(?:identity"
    r"|dysphoria)",
    "politics": r"republican\w*|democrats?\b|conservativ\w+|liberals?\b|libertarian\w*|socialis\w+|communis\w+"
    r"|marxis\w+"
    r"|anarch\w+|fascis\w+|left-wing|right-wing|leftist|far[\s-](?:left|right)|trump|biden|obama|putin"
    r"|brexit|vote[ds]?\b|voting|voter|politic\w+|party\s+member|feminis\w+|abortion|pro-(?:life|choice)"
    r"|gun\s+control|immigra\w+|activis\w+|union\s+member|labour\s+party|tory|tories|green\s+party",
}
_CATEGORIES = {name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in _WORDS.items()}


def sensitive_categories(text: str) -> tuple[str, ...]:
    """The categories among health, religion, sexuality and politics that `text` touches, sorted."""
    return tuple(sorted(name for name, pattern in _CATEGORIES.items() if pattern.search(text)))
