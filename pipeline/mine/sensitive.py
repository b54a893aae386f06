"""Sensitive categories a statement touches, by word lists: broad on purpose, a missing tag costs more."""

from __future__ import annotations

import re

_WORDS = {
    "health": r"adhd|(?-i:ADD)|autis\w+|asperger\w*|depress\w+|anxi\w+|bipolar|schizo\w+|ptsd|ocd|trauma\w*|therap\w+"
    r"|psychiat\w+"
    r"|diabet\w+|cancer\w*|tumou?rs?|leuka?emia|lymphoma|melanoma|chemo|chemotherapy|asthma\w*|arthrit\w+|epilep\w+"
    r"|lupus|dementia|alzheimer\w*|parkinson\w*|sclerosis|fibromyalgia|crohn\w*|psoriasis|thyroid\w*|hepatitis"
    r"|hypertensi\w+|hypotensi\w+|an(?:a)?emi[ac]\w*|gout|dialysis|tinnitus|glaucoma|concussions?"
    r"|migraines?|allerg\w+|disab\w+|disorders?|diseases?|syndrome|illness\w*|ill\b|sick|chronic|pain|injur\w+"
    r"|surger\w+|transplant\w*|operation|hospital(?:s|i[sz]\w+)?|medicat\w+|antidepress\w+|ssris?|insulin|prescribed"
    r"|prozac|zoloft|xanax|valium|lexapro|adderall|ritalin|ozempic|metformin|methadone|statins?|painkillers?|viagra"
    r"|wheel-?chair\w*|prosthe\w+|amput\w+|paraly[sz]\w+|(?:para|quadri)pleg\w+|cerebral\s+palsy|hearing\s+(?:aids?|loss)"
    r"|panic\s+attacks?|anorexi\w+|bulimi\w+|neurodiver\w+|stutter\w*|mental(?:ly)?\s+(?:health|ill)"
    r"|pregnan\w+|miscarr\w+|ivf|infertil\w+|menopaus\w+|obes\w+|overweight|underweight|weigh(?:s|ed|ing)?|kg|lbs|bmi|blood\s+(?:pressure|sugar)"
    r"|(?:los[et]\w*|losing|gain\w*|shed\w*|drop\w*|reduc\w+|body)\s+(?:\w+\s+){0,3}weight|weight\s+(?:loss|gain)"
    r"|cholesterol|hiv|covid|insomnia\w*|addict(?:s|ed|ions?)?|alcoholi\w+|sober|sobriety|rehab|suicid\w+|self-harm"
    r"|deaf(?:ness)?|blind(?:ness)?|dyslexi\w+|intoleran\w+|celiac|coeliac|ibs|pcos|endometriosis|diagnos\w+|symptoms?|doctors?|patients?"
    r"|eczema|acne|burnout|strokes?|heart\s+(?:attacks?|disease|failure|condition)|hair\s+loss",
    "religion": r"christian\w*|catholic\w*|protestant\w*|orthodox|evangelical\w*|baptists?|methodists?|mormon\w*"
    r"|jehovah\w*|muslim\w*"
    r"|islam\w*|sunnis?|shias?|shi'?ites?|jew(?:ish|s)?\b|judaism|hindu\w*|buddhis\w+|sikh\w*"
    r"|atheis\w+|agnostic\w*|pagan\w*|wicca\w*|relig\w+|church(?:es)?|mosques?|synagogues?|temples?|pray(?:s|ed|ing|ers?)?|bibles?|biblical|quran|koran"
    r"|torah|gods?\b|jesus|allah|faith|spiritual\w*|halal|kosher|ramadan|bapti[sz]\w+|pastors?|priests?|imams?|rabbis?",
    "sexuality": r"gays?|lesbians?|bisexual\w*|bi\b(?=.{0,10}(?:sexual|man|woman))|queers?|lgbt\w*"
    r"|trans(?:gender|sexual|\s+(?:man|woman|girl|boy))|non-?binary|asexual|pansexual|homosexual\w*|heterosexual\w*|straight\s+(?:man|woman|guy)"
    r"|sex(?:ual\w*|uality)?\b|porn\w*|kink\w*|fetish\w*|polyamor\w*|erect\w+|libido|virgin\b|gender\s+(?:identity"
    r"|dysphoria)",
    "politics": r"republican\w*|democrats?\b|conservativ\w+|liberals?\b|libertarian\w*|socialis\w+|communis\w+"
    r"|marxis\w+"
    r"|anarch\w+|fascis\w+|left-wing|right-wing|leftist|far[\s-](?:left|right)|trump|biden|obama|putin"
    r"|brexit|vote[ds]?\b|voting|voters?|politic\w+|party\s+members?|feminis\w+|abortions?|pro-(?:life|choice)"
    r"|gun\s+control|immigra\w+|activis\w+|union\s+members?|labour\s+party|tory|tories|green\s+party",
}
_CATEGORIES = {name: re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for name, words in _WORDS.items()}


def sensitive_categories(text: str) -> tuple[str, ...]:
    """The categories among health, religion, sexuality and politics that `text` touches, sorted."""
    return tuple(sorted(name for name, pattern in _CATEGORIES.items() if pattern.search(text)))
