"""The cheap part of the detector: patterns that pick the few sentences worth an embedding."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from pipeline.core.records import Turn
from pipeline.mine.sentences import Span, sentences
from pipeline.mine.structure import TurnFilter, TurnShape, structural_filter, turn_shape

Kind = Literal["statement", "query"]
KINDS: tuple[Kind, Kind] = ("statement", "query")
LONGEST_SENTENCE = 400
"""Characters; longer "sentences" are lists and unpunctuated prose."""
SHORTEST_SENTENCE = 8
"""Characters."""
MOST_PER_TURN = 8
"""Candidates of a kind taken from one message: more is a questionnaire or a pasted text."""

_MARKER = re.compile(
    r"\b(?:i|i['’]?m|i['’]ve|ive|my|we|our|me|mine)\b|\?|\bsuggest|\brecommend|\bideas?\b|\btips\b|\badvice",
    re.IGNORECASE,
)

_ADVERBS = (
    r"(?:(?:also|really|usually|often|always|never|currently|mostly|generally|still|just|mainly|absolutely|personally"
    r"|have|actually|only"
    r"|now|typically|sometimes|rarely|kinda|already|myself|both|do|tend\s+to|would\s+say|am|was|had|recently|now"
    r"|don['’]?t|do\s+not|can['’]?t|cannot|can)\s+){0,3}"
)
_VERBS = (
    r"live[ds]?|living|work(?:ed)?|working|lov(?:e|ed)|like|likes|enjoy(?:ed)?|prefer|hate|dislike|own(?:ed)?|study"
    r"|studied|studying|speak|play(?:ed)?|teach"
    r"|taught|teaching|grew|moved|run|runs|collect|believe\s+(?:in|that)|drive|eat|drink|cook|bake|suffer|struggle"
    r"|stand|born|diagnosed"
    r"|graduated|majored|used\s+to|read\s+(?:a\s+lot|books|mostly)|write\s+(?:a\s+blog|poetry|stories|fiction|music)"
    r"|sleep|smoke|drank|quit|practi[cs]e|train|learn(?:ed|ing|t)?\b"
    r"|know\s+(?:how|some|a\s+(?:little|bit)|python|java|english|french|spanish|german)|raised|retired|married"
    r"|divorced|belong|volunteer|manage|lead|founded|started\s+(?:a|my)"
    r"|care\s+(?:about|for)|value|fear|worry|procrastinate|exercise|workout|work\s+out|swim|hike|travel|garden|paint"
    r"|draw|sing|dance|game|code\s+in|program\s+in|bought|have\s+experience"
    r"|commute|weigh|identify|vote|follow|follow\s+a|save|earn|make\s+\$|rent|share\s+(?:a|an)|serve[ds]?|specialize"
    r"|specialise"
)
_RELATIVES = (
    r"wife|husband|partner|girlfriend|boyfriend|gf|bf|fianc\w+|spouse|ex|son|sons|daughter|daughters|kids?|children"
    r"|child|baby|toddler|mother|father|mom|mum|dad|parents|brother|sister|family"
    r"|grandm\w+|grandf\w+|uncle|aunt|cousin|nephew|niece|friends?|dog|cat|pets?|puppy|kitten|horse|roommate"
)
_ATTRIBUTES = (
    r"job|career|boss|manager|employer|company|startup|business|shop|store|practice|clients|students|pupils|team"
    r"|hobby|hobbies|favou?rites?|hometown|house|home|apartment|flat|room|garden|yard|balcony|car|bike"
    r"|degree|major|thesis|dissertation|phd|school|college|university|native|mother\s+tongue|first\s+language|english"
    r"|age|goals?|dream|background|experience|skills?|diet|health|doctor|therapist|blog"
    r"|channel|podcast|field|profession|passion|name|budget|salary|income|religion|faith|country|city|town|weight"
    r"|height|sleep|schedule|routine|anxiety|depression|laptop|phone|pc|computer|gpu|hair|skin|eyes"
    r"|birthday|language|wedding|interests?|personality|niche|audience|industry|role|position|work|guitar|camera"
    r"|style|specialty|expertise|life|training"
)
_STATEMENT = re.compile(
    rf"\b(?:i\s+am|i['’]?m|im|we\s+are|we['’]re|i\s+was\s+(?:born|raised|diagnosed))\s+(?!going|gonna|getting"
    rf"|trying\s+to\s+(?:fix|run|get|use|create|make|write|add|install|understand)|using|sorry|asking|wondering"
    rf"|not\s+sure|sure"
    r"|thinking|writing|sending|giving|seeing|referring|talking|having|doing|glad|happy\s+(?:to|with)|curious"
    r"|confused|aware|afraid\s+that|here|done|back|ready|still\s+(?:getting|not)|just\s+(?:going|trying|wondering"
    r"|asking|curious)|able|unable|stuck"
    r"|assuming|expecting|about\s+to|facing|creating|developing|adding|calling|passing|receiving|missing"
    r"|in\s+the\s+process|seeking|looking\s+(?:at|forward|to\s+(?:create|write|make|add|build))|excited\s+to)\w"
    rf"|\bi\s+{_ADVERBS}(?:{_VERBS})\b"
    rf"|\bwe\s+{_ADVERBS}(?:live|own|run|sell|moved|work|have\s+(?:a|an|two|three|four|\d)|offer|are|specialize"
    rf"|manage|serve|provide|bought)\b"
    r"|\b(?:i|we)\s+(?:also\s+|only\s+|currently\s+|already\s+|still\s+|just\s+|do\s+|don['’]?t\s+|do\s+not\s+"
    r"|never\s+)*have\s+(?!to\b|the\b|this\b|that\b|these\b|added|tried|attached|provided|updated|created|written"
    r"|a\s+question"
    r"|an?\s+(?:error|issue|problem|function|table|list|array|string|file|code|script|class|dataset|csv|json|query"
    r"|method|dataframe|data\s+frame|few\s+questions|idea|meeting|column|component|variable|object|question|text|task"
    r"|sentence))\w"
    r"|\bi['’]?ve\s+(?:been|always|never|got|worked|lived|played|had|loved|wanted|struggled|recently|also|only"
    r"|just\s+(?:moved|started|bought|become|graduated|turned))\b"
    rf"|\bm[yi]\s+(?:\w+\s+){{0,2}}?(?:{_RELATIVES}|{_ATTRIBUTES})\b"
    r"|\b(?:as|being|since\s+i['’ ]?a?m)\s+an?\s+(?!result|whole|list|table|example|reminder|function|json|string"
    r"|bonus|side|follow|starting|single|language|matter|expert\b|if)\w+.{0,60}?\b(?:i|me|my|we|our)\b"
    r"|\bi\s+(?:really\s+|also\s+|would\s+|just\s+|have\s+|always\s+|do\s+|am\s+)*(?:want(?:ed|ing)?|plan|planning"
    r"|hope|hoping|dream|aim|intend|wish|looking|like|love)\s+(?:to|of|on)\s+(?:learn|become|becoming|be\s+a"
    r"|be\s+able|start(?:ing)?\s+(?:a|my|learning|an)|get\s+(?:better|into|a\s+job|in\s+shape|fit|healthy)"
    r"|improve|lose|gain|move|build\s+(?:a\s+career|muscle)|study|travel|visit|buy|switch|change\s+(?:my|career|job)"
    r"|open\s+a|retire|quit|stop|save|master|launch|grow|publish|write\s+a\s+(?:book|novel)|pursue|apply|transition"
    r"|go\s+(?:to|back))"
    r"|\b(?:call\s+me|people\s+call\s+me|named\s+after|works?\s+for\s+me\s+because|for\s+someone\s+like\s+me"
    r"|makes\s+me\s+(?:happy|anxious|sad)|i['’]?d\s+rather|i\s+can['’]?t\s+(?:eat|stand|drink|afford|drive|sleep"
    r"|speak|swim|walk|see|hear|have))\b",
    re.IGNORECASE,
)
_NOT_STATEMENT = re.compile(
    r"^\W*(?:i\s+(?:want|need|would\s+like|['’]?d\s+like|expect|request|ask|order)\s+you\b|(?:i|we)\s+will\s+(?:give"
    r"|provide|send|ask|paste|type|tell|write)|please\s|can\s+you|could\s+you|write\b|act\s+as"
    r"|create\b|generate\b|give\s+me|rewrite\b|make\s+(?:it|a)|you\s+are\b|let['’]?s\b|how\s+(?:do|can|to|would"
    r"|should)\b|what\s+(?:is|are|should|would|can|does)\b|why\b|where\b|which\b|when\s+i\s+(?:run|try|click|use)"
    r"|is\s+(?:it|there|this)\b|should\b|do\s+you\b|does\b|are\s+(?:you|there)\b|//|\#|<|\{|import\b|def\b)",
    re.IGNORECASE,
)
_CLAUSE_FACT = re.compile(
    rf"\b(?:(?:because|since|as|though|but|and|so|if|when|,|;|\.|-)\s*)(?:i\s+am|i['’]?m|im)\s+(?:an?|the|from"
    rf"|in\s+my|allergic|vegan|vegetarian|married|single|divorced|retired|pregnant|into|fluent|new\s+to|living|based"
    rf"|working|studying|\d+)\b"
    rf"|\bas\s+an?\s+\w+\b|\bmy\s+(?:\w+\s+)?(?:{_RELATIVES}|hobby|job|business|company|startup|budget|house|garden"
    rf"|car|thesis|diet|health|blog|channel|podcast|home|school|apartment)\b"
    r"|\bi\s+(?:live|work\s+(?:as|at|for|in)|own|study|teach|play|have\s+(?:an?|two|three|four|\d+)\s+\w+|suffer|love"
    r"|hate|prefer|enjoy)\b|\bi['’]?ve\s+(?:been|always|never)\b|\b(?:for|with)\s+(?:me"
    r"|myself)\b.{0,20}\b(?:an?\s+\w+|\d+)",
    re.IGNORECASE,
)
_QUERY = re.compile(
    r"\b(?:should\s+(?:i|we)\b|(?:can|could|would|will)\s+you\s+(?:please\s+)?(?:suggest|recommend|advise|plan"
    r"|give\s+(?:me|us)\s+(?:some\s+|an?\s+|a\s+few\s+)?(?:advice|tips|ideas|suggestions?|recommendations?|plan"
    r"|itinerary))"
    r"|(?:please\s+|do\s+you\s+)?(?:recommend|suggest)\s+(?:me|us|some|an?|any|the|few|\d+|other|good|more|which|what"
    r"|books?|movies?|places?|names?)\b|any\s+(?:advice|tips|suggestions|recommendations|ideas)"
    r"|give\s+(?:me|us)\s+(?:some\s+|a\s+few\s+|\d+\s+|more\s+|an?\s+|good\s+|the\s+best\s+)*(?:advice|tips"
    r"|suggestions|recommendations|ideas|recipes?|meal|workout|plan|itinerary)"
    r"|what(?:['’]?s|\s+is|\s+are|\s+would\s+be)\s+(?:a|an|the|some|your)?\s*(?:good|best|great|cheap|easy|fun|nice"
    r"|healthy|better|most\s+\w+|top)\b.{0,80}?\b(?:for\s+me|i\b|me\b|my\b|we\b|to\s+(?:buy|learn|get|visit|read"
    r"|watch|eat|cook|start|make\s+money|lose|live|travel|study|invest|sleep))"
    r"|which\s+(?:\w+\s+){0,4}(?:should|would|do\s+you|is\s+(?:better|best)|to\s+(?:buy|choose|learn))"
    r"|where\s+(?:should|can|could|do)\s+(?:i|we)|what\s+(?:\w+\s+){0,3}(?:should|could|can|do)\s+(?:i|we)\s+(?:do"
    r"|cook|eat|wear|buy|get|make|watch|read|play|say|learn|study|visit|give|name|call|write\s+about|focus|choose|use"
    r"|try|start|take|bring|pack|see|go)"
    r"|how\s+(?:can|could|do|should|would)\s+(?:i|we)\s+(?:\w+\s+)?(?:improve|become|learn|lose|gain|stop|deal|cope"
    r"|make\s+(?:money|friends|more)|get\s+(?:better|over|rid|in|into|more|a\s+job|started|my|along)|prepare|sleep"
    r"|save|find|start|grow|increase|handle|overcome|manage|invest|choose|decide|convince|tell|ask|plan|build"
    r"|be\s+(?:more|a\s+better|happy|less)|stay|quit|reduce|teach|help|motivate|approach|avoid|promote|market|earn"
    r"|monetize|balance|relax|meet|talk|know\s+if)"
    r"|is\s+it\s+(?:worth|a\s+good\s+idea|better|ok(?:ay)?|safe|normal|healthy|possible)\s+(?:for\s+(?:me|us)|to"
    r"|buying|learning|if\s+i)|worth\s+(?:it|buying|learning)|help\s+me\s+(?:to\s+)?(?:choose|decide|find|plan|pick"
    r"|figure\s+out|come\s+up|learn|prepare|become|lose|get)"
    r"|i\s+(?:need|want|would\s+like|['’]?d\s+like)\s+(?:some\s+|your\s+)?(?:advice|recommendations?|suggestions?"
    r"|tips|help\s+(?:choosing|deciding|planning|finding))|plan\s+(?:a|my|our|me)\s+(?:\w+\s+){0,4}(?:trip|vacation"
    r"|holiday|party|wedding|meal|week|day|date|itinerary|workout|diet)"
    r"|(?:i['’]?m|i\s+am|we\s+are)\s+looking\s+for\s+(?:an?|some|good|recommendations|suggestions|ideas))",
    re.IGNORECASE,
)
_NOT_QUERY = re.compile(
    r"\b(?:code|function|class|array|column|table|regex|query|sql|api|endpoint|json|script|method|variable|compile"
    r"|compiler|exception|stack\s?trace|css|html|div|npm|docker|kubernetes|git|repo|commit|sentence|paragraph|essay"
    r"|abstract|section|chapter|slide|above|following|below|previous|your\s+(?:answer|response)|customers?\s+ask"
    r"|character|protagonist|excel|spreadsheet|formula|dataframe|pandas|react|django|laravel|typescript|swift"
    r"|component|server|database)\b",
    re.IGNORECASE,
)


class Candidate(NamedTuple):
    """One sentence worth an embedding, with what is known about its place."""

    kind: Kind
    """Which record it may become."""
    turn: int
    """Index of the message in the conversation."""
    span: Span
    """Characters of the message."""
    text: str
    """The sentence as written."""
    before: str
    """The sentence before it in the same message; empty for the first."""
    position: int
    """Number of sentences before it in the message."""
    shape: TurnShape
    """Shape of its message."""
    opening: TurnShape
    """Shape of the user's first message: role-play and writing orders colour the whole conversation."""


def is_statement_candidate(sentence: str) -> bool:
    """Whether the sentence may say something durable about its writer."""
    if not _STATEMENT.search(sentence):
        return False
    asks = _NOT_STATEMENT.match(sentence) or sentence.rstrip().endswith("?")
    return not asks or bool(_CLAUSE_FACT.search(sentence))


def is_query_candidate(sentence: str) -> bool:
    """Whether the sentence may ask for advice."""
    return bool(_QUERY.search(sentence)) and not _NOT_QUERY.search(sentence)


def is_candidate(kind: Kind, sentence: str) -> bool:
    """Whether the lexical patterns let a sentence through as a candidate of `kind`."""
    accepts = is_statement_candidate if kind == "statement" else is_query_candidate
    return SHORTEST_SENTENCE <= len(sentence) <= LONGEST_SENTENCE and accepts(sentence)


def candidates(turns: Sequence[Turn], removed: Counter[str]) -> Iterator[Candidate]:
    """The candidates in a conversation; `removed` counts the user's messages that each filter takes out."""
    opening: TurnShape | None = None
    for index, turn in enumerate(turns):
        if turn.role != "user":
            continue
        reason = turn_filter(turn.text)
        if reason is not None:
            removed[reason] += 1
            continue
        found = [(kind, number, spans) for kind in KINDS for number, spans in _in_turn(kind, turn.text)]
        if found:
            opening = opening or _opening(turns)
            shape = turn_shape(turn.text)
            for kind, number, (before, span) in found:
                yield _candidate(kind, index, turn.text, number, before, span, shape, opening)


def in_context(kind: Kind, turns: Sequence[Turn], turn: int, start: int, end: int) -> Candidate:
    """The sentence at `turn`, `start`..`end` as a candidate, whether the patterns let it through or not."""
    text = turns[turn].text
    earlier = [span for span in sentences(text) if span.end <= start]
    before = earlier[-1] if earlier else Span(0, 0)
    return _candidate(kind, turn, text, len(earlier), before, Span(start, end), turn_shape(text), _opening(turns))


def turn_filter(text: str) -> TurnFilter | None:
    """Why no sentence of the message is read; None when its sentences are."""
    if not text.strip():
        return TurnFilter.EMPTY
    if not _MARKER.search(text):
        return TurnFilter.NO_MARKER
    return structural_filter(text)


def _opening(turns: Sequence[Turn]) -> TurnShape:
    return turn_shape(next(turn.text for turn in turns if turn.role == "user"))


def _in_turn(kind: Kind, text: str) -> list[tuple[int, tuple[Span, Span]]]:
    """(sentences before it, (sentence before it, the sentence)) of each candidate in a message."""
    found: list[tuple[int, tuple[Span, Span]]] = []
    before = Span(0, 0)
    for number, span in enumerate(sentences(text)):
        if is_candidate(kind, text[span.start : span.end]):
            found.append((number, (before, span)))
            if len(found) == MOST_PER_TURN:
                break
        before = span
    return found


def _candidate(
    kind: Kind, turn: int, text: str, number: int, before: Span, span: Span, shape: TurnShape, opening: TurnShape
) -> Candidate:
    return Candidate(
        kind=kind,
        turn=turn,
        span=span,
        text=text[span.start : span.end],
        before=text[before.start : before.end],
        position=number,
        shape=shape,
        opening=opening,
    )
