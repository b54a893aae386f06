"""`self_contained`: a mined sentence rewritten by rules so that it stands alone, or found not to."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARKER = re.compile(r"^\s*(?:[-*+•·>#]+\s+|\(?\d{1,2}[.)]\s+|\(?[a-zA-Z][.)]\s+)+")
_OPENER = re.compile(
    r"^(?:(?:and|but|also|so|because|since|well|yes|yeah|yep|no|nope|ok|okay|oh|btw|by\s+the\s+way|actually|anyway"
    r"|however|plus|then|hi|hello|hey(?:\s+there)?|hmm+|lol|great|thanks|thank\s+you|sorry|please\s+note(?:\s+that)?"
    r"|note(?:\s+that)?|fyi|basically|honestly|to\s+be\s+honest|first(?:ly)?|second(?:ly)?|finally|in\s+addition"
    r"|additionally|besides|moreover|furthermore|remember(?:\s+that)?|keep\s+in\s+mind(?:\s+that)?"
    r"|consider(?:ing)?\s+that"
    r"|given\s+that|assuming(?:\s+that)?|what\s+if|if|though|although|even\s+though|ps|p\.s\.|context:|background:"
    r"|about\s+me:|(?:now\s+)?know\s+that|let['’´]?s\s+just\s+highlight\s+that)\b[\s,:;.!—–-]*)+",
    re.IGNORECASE,
)
_REQUEST = re.compile(
    # With or without punctuation before it: speaks to the assistant, or asks what to do.
    r"(?:[,;:.!-]|\s[—–])?\s*(?:\b(?:and|so|but)\s+)?(?:\b(?:can|could|would|will)\s+you\b|\bplease\b"
    r"|\b(?:(?:what|which)\s+(?:\w+\s+)?)?should\s+i\b|\bwhat\s+should\b"
    r"|\bhow\s+(?:can|could|should|do|would)\s+(?:i|we)\b|\bi\s+(?:want|need|would\s+like|['’]d\s+like)\s+you\b)"
    # Only behind punctuation or a conjunction: elsewhere these words go on with the sentence.
    r"|(?:[,;:.!?]\s*(?:(?:and|so|but)\s+)?|\s+[-—–]\s*|\s+(?:and|so|but)\s+)(?:suggest\b|recommend\b|(?:give|tell"
    r"|help|make)\s+me\b"
    r"|(?:what|how|why)\s+(?:is|are|should|can|could|would|do|does|will|to)\b|(?:which|where)\s+(?:\w+\s+)?(?:should"
    r"|can|could|do|does)\b"
    r"|do\s+you\b|is\s+(?:it|there)\b|are\s+there\b|any\s+(?:advice|ideas|tips|suggestions)\b|(?:write"
    r"|create)\s+(?:me|a|an)\b|generate\b)",
    re.IGNORECASE,
)
_AS_A = re.compile(
    r"\b(?:as|being)\s+(an?\s+[\w' -]{3,60}?)(?=\s*(?:,|\.|;|\?|$|\bwho\b|\bi\b|\bwhat\b|\bhow\b|\band\s+i\b|\bwith\b"
    r"|\bin\b|\bfor\b|\bmy\b))",
    re.IGNORECASE,
)
_FACT = re.compile(
    r"\b(?:i\s+am|i['’]m|im|i['’]ve|ive|i\s+\w+|my\s+\w+|we\s+\w+|we['’](?:re|ve)|our\s+\w+)\b", re.IGNORECASE
)
_REQUEST_FIRST = re.compile(
    r"^\W*(?:(?:can|could|would|will)\s+you|please|help\s+me|give\s+(?:me|us)|tell\s+me|suggest|recommend|what|which"
    r"|how|where|why|should|do\s+you|does|is\s+(?:it|there)|are\s+there|any|write|create|make|generate|plan|design"
    r"|list"
    r"|i\s+(?:want|need|would\s+like|['’]?d\s+like)\s+(?:you|an?|some|the|to\s+know)|explain|act|show|provide|find"
    r"|now|rewrite|describe|cost)\b",
    re.IGNORECASE,
)
_INNER_FACT = re.compile(
    r"(?:\b(?:because|since|given\s+that|considering(?:\s+that)?|even\s+though|although|though|but|and|as|if|that|who"
    r"|when|where)\b|[,;:.(—–-])\s*"
    r"(?P<fact>(?:i\s+am|i['’]m|im|i\s+(?:also\s+|only\s+|usually\s+|really\s+|currently\s+)?(?:live|work|own|study"
    r"|teach|play|have|love|hate|prefer|enjoy|suffer|like|don['’]?t|do\s+not|can['’]?t|cannot|never|always)|i['’]ve"
    r"|my\s+(?:\w+\s+){1,2}(?:is|are|has|have|was|were|lives?|works?|loves?|likes?)|we\s+(?:have|live|own"
    r"|are))\b[^?;]{4,})",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?:^|[,;:.(\"“—–-]\s*|\b(?:because|since|given\s+that|even\s+though|although|though|but|and|as|that|mention|know)\s+)"
    r"(?P<clause>(?:i\s+am|i['’]?m|i['’]?ve|i\s+(?:\w+ly\s+|also\s+|often\s+|only\s+|just\s+)?(?:live|work|own|study|teach|play"
    r"|have|had|love|hate|prefer|enjoy|suffer|like|use|run|sell|make|write|grew\s+up|used\s+to|was\s+born|advise|represent"
    r"|speak|know|believe|think|don['’]?t|do\s+not|can['’]?t|cannot|never|always)"
    r"|my\s+(?:\w+\s+){1,2}(?:is|are|has|have|was|lives?|works?|loves?|likes?)"
    r"|we\s+(?:\w+ly\s+|also\s+)?(?:are|have|live|own|run|sell|use|offer|make|provide|develop|specialize|operate|like))\b)",
    re.IGNORECASE,
)
"""Where a clause about the speaker begins."""
_CLAUSE_END = re.compile(
    r"\s*(?:[;:—–(?\"”]|\s-\s|,|\s(?:and|but|so|because|since|which|though)\s+(?:that\s+)?(?=(?:i|we|it|this|that|they|my|am)\b))",
    re.IGNORECASE,
)
_LONGEST_CLAUSE_CUTS = 4
"""Ends tried for a clause, the longest first."""
_OWNED = re.compile(
    r"\b(?P<whose>my|our)\s+(?:own\s+)?(?P<what>(?:(?!(?:that|my|our|from|to|for|with|which|of|in|is|are)\s)[\w&'’-]+\s+){0,4}?(?:business|company|start-?up|agency|shop|store|firm|bakery"
    r"|restaurant|caf[eé]|hotel|farm|brand|consultancy|school|portal|blog|(?:youtube\s+)?channel|podcast|newsletter|web\s?site"
    r"|house|apartment|garden|lawn|oaks|dogs?|cats?|pupp(?:y|ies)|kittens?|wife|husband|girlfriend|boyfriend|fianc[eé]e?|sons?|daughters?"
    r"|kids?|children|toddler|baby|brother|sister|\d+[\s-]years?[\s-]old|novel|poetry\s+book|thesis|capstone|lactose\s+intolerance)\b"
    r"(?!['’]s)(?:\s+(?:business|company|agency|store|shop)\b)?)"
    r"(?P<tail>\s+(?:called|named)\s+[\"“]?[\w' -]{2,40}[\"”]?|\s+(?:focused\s+on|selling)(?:\s+[\w-]+){1,3}"
    r"|\s+in(?-i:\s+[A-Z][\w-]+)+)?",
    re.IGNORECASE,
)
"""A belonging or relation mentioned in passing: "a slogan for my bakery"."""
_NO_ARTICLE = re.compile(r"(?:oaks|dogs|cats|puppies|kittens|sons|daughters|kids|children|intolerance)$", re.IGNORECASE)
_CUT = re.compile(r"\s*(?:,|\s)\s*\b(?:so|and)\b\s*$|[\s,;:—–-]+$")
_THIRD = re.compile(r"\b(?:it|its|it['’]s|they|them|their|he|him|his|she|her|hers)\b", re.IGNORECASE)
_ANTECEDENT = re.compile(
    r"\b(?:my|our|an?|the|some|two|three|four|five|several|many|all|\d+|of|as|love|like|enjoy|hate|prefer|play"
    r"|learn(?:ing)?|study(?:ing)?|in|on|with|about|for|when)\s+(?!it\b|them\b|they\b|he\b|she\b|this\b|that\b"
    r"|those\b|these\b)[\w'-]{2,}",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\b(?!(?:this|does|goes|was|has|is|as|us|its|his|yes|always|sometimes|perhaps)\b)[a-z]{3,}s\b", re.IGNORECASE
)
"""A plural noun, which "they" can mean."""
_DEMONSTRATIVE = re.compile(
    r"\bthis\b(?!\s+(?:year|month|week|weekend|summer|winter|spring|autumn|fall|morning|evening|afternoon|semester"
    r"|term|season|coming|upcoming|past|is\s+my|is\s+me))"
    r"|\b(?:these|those)\b(?!\s+(?:days|who|people\s+who|of\s+(?:us|you)))"
    r"|(?:^|[,;]\s*|\b(?:do|did|done|like|of|about|for|at|with|to|from|than|after|before|know|see|love|hate|want|have"
    r"|had|all|but|just|is)\s+)that(?:['’]s)?(?=\s*(?:$|[.,;!?)]|is\b|was\b|sounds?\b|one\b|way\b|kind\b|sort\b|too\b"
    r"|well\b|and\b|but\b|so\b|because\b|already\b|much\b|approach\b))"
    r"|\bthat['’]s\b|\b(?:the|your)\s+(?:above|below|following|previous|latter|former|first|second|third|fourth|last"
    r"|other|same|next)\s+(?:one|option|point|part|suggestion|example|idea|answer|question|paragraph|sentence|version"
    r"|step|list|name|topic|title|approach)s?\b"
    r"|\b(?:above|below|aforementioned|aforesaid|as\s+(?:mentioned|described|stated|said))\b|\byour\s+(?:answer"
    r"|response|suggestion|idea|list|example|last|previous|first|second)s?\b|\b(?:one|ones)\s*$|\b(?:work|live|am"
    r"|moved|been|are|come|came|arrived|stay|get|go|going|living|working)\s+(?:there|here)\b"
    r"|\b(?:this|that|which)\s+one\b|\bhere\s*$|\b(?:option|number|point|step|part|question|answer|version)\s+(?:\d+"
    r"|[a-d]|one|two|three)\b",
    re.IGNORECASE,
)
_BARE_THING = re.compile(
    r"^(?:i|we)\s+(?:\w+\s+){0,3}?(?:love|like|hate|prefer|enjoy|want|need|agree|know|understand|do|am|have|did"
    r"|can)\s*(?:too|also|both|so|not|either|all|none|some|more|most|very\s+much|a\s+lot)?\s*[.!]?$",
    re.IGNORECASE,
)
_VAGUE = re.compile(
    r"\W*(?:(?:so|and|but|ok|okay|also|then|now|well)\W+)*(?:what\s+else\b|(?:do\s+you\s+have\s+)?any\s+(?:other\s+"
    r"|more\s+)?"
    r"(?:tips|advice|suggestions?|ideas|recommendations?)\W*$|what\s+(?:else\s+)?(?:would|do)\s+you\s+(?:recommend"
    r"|suggest)\W*$"
    r"|(?:what|where|how|which)\s+(?:\w+\s+)?(?:should|can|could|do)\s+i\s+"
    r"(?:do|go|start|say|try|know|look\s+into|consider|choose|use|change|add|pick|focus\s+on)(?:\s+(?:now|next|first"
    r"|then|here))?\W*$"
    r"|what\s+(?:companies|projects|jobs)\s+(?:can|should|could)\s+i\s+(?:work\s+at|do)\W*$)",
    re.IGNORECASE,
)
"""Questions whose subject was named earlier."""
_ASKS = re.compile(
    r"\W*(?:(?:what|which|where|why|how|who|please|let|let['’]s|help|give|tell|show|send)\b"
    r"|(?:can|could|would|will|should|do|does|did)\s+(?:i|you|we|it)\b|take\s+into\s+account\b"
    r"|(?:suggest|recommend|write|create|make|generate|plan|design|list|explain|act|provide|find|rewrite|rephrase|describe|add"
    r"|update|change|remove|include|use|invent|coach|test|check|answer|ask|assume|imagine|pretend|consider|summari[sz]e|translate"
    r"|draft|compose|prepare|review|improve|rate)\b)",
    re.IGNORECASE,
)
"""Begins a question or a request: what stands there is not said of the speaker."""
_ASKS_AT_THE_END = re.compile(
    r"\b(?:what|how|why|which|where)\W*$|[,;:.–—-]\s*(?:and\s+|so\s+|but\s+)?(?:what|how|why|which|where)\s+\w+\W*$",
    re.IGNORECASE,
)
"""Ends in what is left of a question: "..., what steps"."""
_SAYS_NOTHING = re.compile(
    r"(?:i|we)\s+have\s+(?:an?|my|our)\s+(?:own\s+|new\s+|small\s+)?"
    r"(?:business|company|start-?up|agency|firm|brand|portal|web\s?site|store|shop)\W*",
    re.IGNORECASE,
)
"""A belonging without a word on what it is."""
_PLACEHOLDER = re.compile(r"\[[A-Z]+\]")
_WORD = re.compile(r"[^\W\d_]+")
_FEWEST_WORDS_LEFT = 4
"""Words a redacted text must hold besides placeholders."""
_QUOTED_BEGINNING = re.compile(r"""["“”'`][^"“”'`]+["”'`](?!\w)""")
_MARKS = " \"“”'`*_"
_FEWEST_QUESTION_WORDS = 5
_FEWEST_WORDS = 2
_FEWEST_CLAUSE_WORDS = 4


def mostly_redacted(text: str) -> bool:
    """Whether a text with placeholders has too few words beside them."""
    bare, placeholders = _PLACEHOLDER.subn(" ", text)
    return placeholders > 0 and len(_WORD.findall(bare)) < _FEWEST_WORDS_LEFT


def stands_alone(statement: str) -> bool:
    """Whether a rewritten statement names everything it speaks of: no open "it", "this" or "the second one"."""
    if (
        len(statement.split()) < _FEWEST_WORDS
        or _DEMONSTRATIVE.search(statement.rstrip(".!"))
        or _BARE_THING.match(statement)
    ):
        return False
    pronoun = _THIRD.search(statement)
    if pronoun is None or _ANTECEDENT.search(statement, 0, pronoun.start()):
        return True
    return pronoun.group().lower().startswith("the") and bool(_SEVERAL.search(statement, 0, pronoun.start()))


def asks_alone(question: str) -> bool:
    """Whether a question can be answered without the conversation around it."""
    words = question.split()
    return len(words) >= _FEWEST_QUESTION_WORDS and not _VAGUE.match(question) and stands_alone(question)


def self_contained(sentence: str) -> str | None:
    """The statement in the first person without list marker, greeting, conjunction or request around it.

    Several readings are tried, the fullest first: the sentence without the request around it, a clause of it, the role
    the speaker names ("as a nurse"), a belonging mentioned in passing ("a slogan for my bakery" -> "I have a bakery.").
    None when none of them is left as a statement that speaks for itself.
    """
    text = re.sub(r"\s+", " ", _MARKER.sub("", sentence)).strip().rstrip(_MARKS)
    if not _QUOTED_BEGINNING.match(text):
        text = text.lstrip(_MARKS)
    for reading in _readings(text):
        fact = _tidy(_OPENER.sub("", reading))
        if fact and _FACT.search(fact) and _tells(fact) and stands_alone(fact):
            return fact
    return None


def _tells(reading: str) -> bool:
    """Whether a reading tells something: no question, no request, and more than that there is a company or a name."""
    asks = _ASKS.match(reading) or _ASKS_AT_THE_END.search(reading)
    return not (asks or _SAYS_NOTHING.fullmatch(reading) or mostly_redacted(reading))


def _readings(text: str) -> Iterator[str]:
    """What the sentence may say about its speaker, the fullest reading first."""
    if _REQUEST_FIRST.match(text) or text.endswith("?"):
        fact = _from_request(text)
        if fact is not None:
            yield fact
    else:
        yield _before_request(text)
    yield from _clauses(text)
    role = _AS_A.search(text)
    if role:
        yield f"I am {role[1]}"
    owned = _OWNED.search(text)
    if owned:
        what = owned["what"] if _NO_ARTICLE.search(owned["what"]) else _with_article(owned["what"])
        yield f"{'I' if owned['whose'].lower() == 'my' else 'We'} have {what}{owned['tail'] or ''}"


def _clauses(text: str) -> Iterator[str]:
    """The clauses about the speaker, each cut at several ends, the longest first."""
    for begin in _CLAUSE.finditer(text):
        rest = text[begin.start("clause") :]
        ends = [end.start() for end in _CLAUSE_END.finditer(rest)][:_LONGEST_CLAUSE_CUTS]
        for end in [len(rest), *reversed(ends)]:
            if len(rest[:end].split()) >= _FEWEST_CLAUSE_WORDS:
                yield _before_request(rest[:end])


def _with_article(noun: str) -> str:
    return f"{'an' if re.match(r'[aeiou8]|11|18', noun, re.IGNORECASE) else 'a'} {noun}"


def _before_request(text: str) -> str:
    """The part of the sentence in front of a request, where that part holds the fact."""
    request = _REQUEST.search(text)
    if (
        request
        and request.start() > 0
        and _FACT.search(text[: request.start()])
        and len(text[: request.start()].split()) >= _FEWEST_WORDS
    ):
        return text[: request.start()]
    return text


def _from_request(text: str) -> str | None:
    """The fact inside a request or question; None when there is none."""
    fact = _INNER_FACT.search(text)
    if fact:
        return _before_request(fact["fact"])
    role = _AS_A.search(text)
    if role:
        return f"I am {role[1]}"
    before = _REQUEST.search(text)
    if before and _FACT.search(text[: before.start()]):
        return text[: before.start()]
    return None


def _tidy(text: str) -> str:
    text = _CUT.sub("", text.strip())
    role = re.match(r"(?:as|being)\s+(an?\s+[\w' -]{3,60}?),\s*(?P<rest>.*)$", text, re.IGNORECASE)
    if role:
        text = (
            f"I am {role[1]}, {role['rest']}"
            if re.match(r"(?:and|who|with)\b", role["rest"])
            else f"As {role[1]}, {role['rest']}"
        )
    text = re.sub(r"\bi\b(?=['’\s,.]|$)", "I", text)
    text = re.sub(r"\b(?:Im|im)\b(?=\s)", "I'm", text)
    text = re.sub(r"\b(?:Ive|ive)\b(?=\s)", "I've", text)
    text = re.sub(r"\bdont\b", "don't", text)
    text = re.sub(r"\bcant\b", "can't", text)
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?…" else text + "."
