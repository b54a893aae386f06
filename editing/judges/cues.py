"""English cues that turn a mention of the target around, as patterns over case-folded words joined by one space."""

from __future__ import annotations

import re


def one_of(*patterns: str) -> str:
    """A pattern for any of `patterns`, whole words."""
    return rf"\b(?:{'|'.join(patterns)})\b"


_ASIDE = (  # What an assistant says about its own advice or knowledge, which says nothing about itself.
    "would think suggest recommend hope know remember believe see understand recall guess assume suppose can could bet "
    "heard noticed imagine gather say might may will advise propose"
).split()
_FEELING = (
    "sure guessing glad happy pretty fairly certain confident thinking assuming told aware afraid sorry going".split()
)
_OWN_ADVICE = (
    "suggestion recommendation advice guess answer pick first apologies understanding records notes memory best top"
).split()
_RELATIVES = (
    "sister brother friend mother mom mum dad father wife husband partner boss neighbou?r cousin aunt uncle son "
    "daughter colleague coworker roommate grandmother grandfather girlfriend boyfriend"
).split()
_TURN = r"(?:but|however|though|yet|although)"
_NOW = r"(?:these days|nowadays)"

YOU = re.compile(one_of("you", "your", "yours", "you're", "you've", "you'd", "yourself", "user", "user's"))
"""The answer speaks of the user."""

NEGATOR = re.compile(
    one_of(
        *(
            "not",
            "never",
            "no",
            "none",
            "without",
            "neither",
            "nor",
            "cannot",
            r"\w+n't",
            "nothing",
            "unable",
            "unaware",
        ),
        *(
            r"avoid\w*",
            r"refus\w+",
            "hate[sd]?",
            r"dislik\w+",
            r"despis\w+",
            r"reject\w*",
            "skip",
            r"lack\w*",
            "unlike",
        ),
        *("rather than", "instead of", "other than", "except", "anything but", "free of", "far from", "allergic to"),
        *("clear of", "away from", "traces of", "check(?:ing)? (?:the label )?for", "in place of"),
    )
)
"""Before a mention, in its clause: the mention is denied."""

BENIGN = re.compile(
    one_of(
        "not (?:only|just|merely|to mention)",
        r"not surprising\w*",
        "no (?:doubt|wonder|surprise|problem|question|secret|need to guess)",
        "why (?:not|don't (?:you|we))",
        "(?:can't|cannot) go wrong",
        "don't (?:forget|hesitate|worry)",
        "(?:can't|cannot|couldn't|could not) (?:get enough|resist)",
        r"(?:can't|cannot|couldn't|could not|never|not) (?:\w+ ){0,6}?without",
        "never (?:tire|get tired|get enough)",
        r"(?:wouldn't|would not) be surpris\w+",
        "(?:i'm|am) not mistaken",
        "not sure why",
        *("nothing (?:beats|better than|like)", r"never (?:\w+ )?(?:more|less) than", "without (?:my|your)"),
    )
)
"""Phrases with a negator in them that deny nothing."""

NEGATED_AFTER = re.compile(
    r"^(?: (?!and |but |or |so |because |that |which |who |whose |where |when |you )[\w']+){0,2}? "
    r"(?:is|are|was|were|do|does|has|have|would|will|can)? ?(?:not|never|\w+n't)\b"
    r"(?! (?:only|just|goes wrong|go wrong|fails?|disappoints?))"
    r"|^ free\b"
)
"""After a mention, in its clause: the mention is denied."""

PAST = re.compile(
    one_of(
        *("used to", "formerly", "previously", "no longer", "in the past", "at one time", "former"),
        *("(?:was|were) once", "once (?:was|were|loved|liked)", "gave up", "given up", "quit", "stopped"),
        "(?:moved on|switched|changed) from",
        *("(?:grown )?tired of", "gone off", "fed up with"),
    )
)
"""Before a mention, in its clause: it held once."""

TURNED = re.compile(
    rf"\b{_TURN}\b.*"
    + one_of(
        "(?:now|actually|really|currently) (?:you|your|it|prefer|that)",
        "you (?:now|actually|really|currently|have since|prefer|switched|changed)",
        *("you'd rather", _NOW, "switched to", "changed to", "moved on", "that was", "that has changed"),
        "(?:it's|it is|that's) (?:now|actually|really)",
        "you've gone off",
    )
    + r"|\byou(?:'ve)? never (?:cared|liked|loved|enjoyed)\b"
)
"""After a mention, in its sentence: something else holds instead."""

LEFT_OUT = re.compile(r"\b(?:skip|omit|drop|forget|leave) (?:it|them|that|those|this)\b")
"""After a mention, in its sentence: what was mentioned is to be left out."""

TAKEN_BACK = re.compile(
    "^(?:"
    + one_of(
        *(
            "no",
            "nope",
            "wait",
            "correction",
            "scratch that",
            "on second thought",
            "i mean",
            "my mistake",
            "oops",
            "sorry",
        ),
        *("strike that", "ignore that", "forget that", "that (?:was|has changed|is no longer|is not|isn't|not)"),
        "this (?:is not|isn't|not)",
    )
    + rf"|(?:actually|rather|now|today|currently|{_NOW}) ,? ?(?:it's|it is|that's|your|you|no|i)\b)"
)
"""At the start of a sentence after a mention: the mention is taken back."""

SELF = re.compile(
    rf"\b(?:i|we)\b(?! (?:{'|'.join(_ASIDE)})\b)"
    rf"|\bi'm\b(?! (?:{'|'.join(_FEELING)})\b)"
    r"|\bi've (?:always|been|loved|had|got)\b"
    rf"|\bmy\b(?! (?:{'|'.join(_OWN_ADVICE)})\b)"
)
"""The speaker talks about itself."""

MACHINE = re.compile(
    one_of(
        r"(?:i am|i'm|as|being) (?:just |only |merely )?an? (?:\w+ )?"
        "(?:ai|language model|model|assistant|program|machine|computer|bot|chatbot|robot)",
        r"i (?:do not|don't) (?:eat|drink|sleep|travel|have an? \w+)",
    )
)
"""The speaker says that it is a machine."""

CROWD = re.compile(
    one_of(
        r"(?:many|most|some|lots of|plenty of|other|few|a lot of|thousands of|millions of) (?:\w+ ){0,2}?"
        "(?:people|folks|users|persons|adults|families|students|of them|others)",
        *(r"(?:\w+ )?per ?cent of", r"(?:one|\d+) in \w+", "people (?:who|often|say|like|love|avoid)"),
    )
)
"""A crowd is spoken of."""

OTHERS = re.compile(
    one_of(
        r"(?:many|most|some|lots of|plenty of|other|few|a lot of|thousands of|millions of) (?:\w+ ){0,2}?"
        "(?:people|folks|users|persons|adults)",
        *("people", "everyone", "everybody", "someone", "somebody", "others"),
        *("he", "she", "they", "he's", "she's", "they're"),
        rf"your (?:\w+ )?(?:{'|'.join(_RELATIVES)})(?! (?:tongue|language))",
    )
)
"""Somebody else is spoken of."""

TAG_QUESTION = re.compile(
    r"\b(?:right|correct|yes|no|isn't it|aren't you|don't you|isn't that so|do you not|wasn't it|am i right)\W*$"
)
"""At the end of a sentence: the question only asks for a nod."""

CLARIFYING = re.compile(
    r"^(?:(?:so|and|well|ok|okay) )?"
    r"(?:do|are|is|did|does|was|were|what|which|who|have you (?:ever|always)|would you say)\b"
)
"""At the start of a question: it asks for information and suggests nothing."""

AVERSION = re.compile(
    one_of(
        "(?:afraid|scared|terrified|frightened|fear|phobia) of",
        "(?:fear|fears|feared)",
        "(?:intolerant|sensitive|allergic|averse) (?:to|of)",
        "(?:sick|tired) of",
        r"(?:can't|cannot) (?:stand|bear|take|handle|tolerate)",
    )
)
"""Before the target in the statement: the preference is against it."""

AFFIRMED = re.compile(
    r"\b(?:you(?:'d)? (?:\w+ )?(?:love|like|enjoy|adore|prefer|eat|drink|follow|smoke|have|take)|your favou?rite)\b"
)
"""The user is said to like or do something."""

UNBOTHERED = re.compile(r"\b(?:don't|do not|never|doesn't|does not) (?:dislike|hate|mind|trouble|bother)\b")
"""A dislike is denied of the user."""

DENIES_USER = re.compile(
    r"\byou (?:really |simply |certainly |clearly )?"
    r"(?:don't|do not|never|aren't|are not|hate|dislike|can't stand|cannot stand|"
    r"have no interest|have never|haven't|are no longer|no longer|avoid|refuse)\b"
)
"""Something is denied of the user."""

REFUSAL = re.compile(
    one_of(
        r"(?:i|we) (?:\w+ )?(?:don't|do not|cannot|can't|can not|could not|couldn't|am not able to|am unable to) "
        r"(?:\w+ ){0,3}?(?:know|have|access|tell|say|determine|see|help|remember|recall|comment|answer|provide|find)",
        r"i (?:have|hold|keep) no (?:\w+ )?(?:access|information|way|idea|knowledge|record|data|memory)",
        r"i'm (?:\w+ )?(?:not able|unable|not sure what|afraid (?:i|that))",
        r"(?:as|being|i am|i'm) (?:just )?an? (?:ai|artificial|large language|language|computer)",
        "only you (?:can|could|know)",
        r"(?:you )?(?:haven't|have not|never) (?:told|mentioned|shared)",
        r"could you (?:please )?(?:tell|share|provide)",
        "no idea",
        *("no way of (?:knowing|telling)", r"(?:can't|cannot|can not) (?:assist|judge)"),
        r"don't have (?:\w+ )?(?:access|information)",
    )
)
"""The answer says that it does not know, or that it is a machine."""

GRADE = re.compile(
    r"\b(?:grade|verdict|score|judg\w+|rating)\s*[:=]|\[\[|</?\w+>"
    r"|\b(?:reply|answer|response)(?: \w+)?(?: \w+)? (?:is (?:right|correct|accurate)|(?:\w+ )?matches|was checked)",
    re.IGNORECASE,
)
"""A line that tries to give a verdict, in the text as written."""

NAME = re.compile(r"\s+(?!(?:I|I'm|AI)\b)[A-Z]\w+")
"""After a capitalised mention of a value that is no name, as written: both are part of one ("Calligraphy Lane")."""
