"""Which attribute a statement is about, and the span that is its value: cues first, no model needed."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from pipeline.core.config import Section, parse_section
from pipeline.core.records import QuestionKind
from pipeline.core.wording import FUNCTION_WORDS, content_stems, words
from pipeline.generate.articles import as_said, as_said_or_counted, with_article

_MACROS = {
    "{IAM}": r"\bI(?:\s+am|['’]m|m)\s+(?:(?:also|currently|just|actually|really|now|still|basically|both)\s+)?",
    "{IHAVE}": r"\b(?:I|we)(?:\s+have|['’]ve)(?:\s+got)?\s+(?:(?:also|currently|just|actually|really|now|always)\s+)?"
    r"(?!(?:\w{3,}ed|never|no|to|done|seen|gone|made|taken|read|heard|found|thought|met|lost|given|eaten|told|grown|become|"
    r"come|had)\s)",
    "{NP}": r"(?:(?!(?:and|or|in|at|for|of|to|with|who|that|which|on|from|is|are|was|i|we|but|as|by|where|want|have|am|"
    r"work|need|like|love|live|looking|trying|about|not|called|working|"
    r"running|building|making|selling)\b)[\w&'/+#.-]+ ){0,5}",
    "{PLACE}": r"(?-i:[A-Z])[\w.'-]*(?:,? (?-i:[A-Z])[\w'-]*){0,3}"
    r"(?: (?:county|city|valley|island|beach|springs|falls)\b)?",
}
_DETERMINERS = re.compile(
    r"^(?:(?:started|founded|opened|launched|an?|the|my|our|some|any|own|one of the|kind of|sort of|like|about|around|"
    r"also|very|really|in|of|by far|technically|basically|mostly|mainly|probably|definitely|actually|honestly|"
    r"kinda|"
    r"(?:book|novel|film|movie|series|song|game|show)s?(?=\s+['‘\"]))\s+)+",
    re.IGNORECASE,
)
_HARD_STOP = re.compile(
    r"[.;:!?()\[\]{}\"“”|/]\s|[.;:!?()\[\]{}\"“”|]+$|[;:!?()\[\]{}\"“”|]|,(?!\d)|\s[-–—]+\s|--+|"
    r"['’](?=\s|$)|\s(?:that|so|very|too) much\b|\s<3|\s[xX]D\b|\s(?:lol|lmao|haha\w*|hehe\w*|tho|bc|cuz|cause)\b|"
    r"\sI(?:['’]\w+)?(?=\s|$)|\s(?:even (?:though|if|when)|ever since|nor|on campus|"
    r"like (?:on|in|at|when|if|the|that|this|with|for))\b|\s(?:as well|in general|at all|the most|the best)\b|"
    r"\s(?:but|because|since|so|although|though|which|who|where|while|if|when|however|except|unless|otherwise)\b|"
    r"\s(?:and|or)\s(?:(?:I|i|we|it|he|she|they|am|have|has|had|want|need|would|my|our|can|could|do|don't|was|will|would|"
    r"looking|working|trying|currently|also|now|then|not|is|are|live|work|like|love|hate|dislike|prefer|never|think|"
    r"usually|sometimes|maybe|even|if|when|because|since|it['’]s|that['’]s|you|this|that|there|how|what|please)\b)"
)
_SOFT_STOP = re.compile(
    r"\s(?:my|our|this|that|including|with|without|for|from|as|at|in|on|to|by|about|than|over|per|named|called|looking|working|trying|based|"
    r"speciali[sz]ing|focus(?:s?ed|s?ing)|doing|going|living|running|using|is|are|was|were|has|have|had|would|will|can|"
    r"(?:and|or) (?:an?|the|my|some)|needs?|wants?|very much|a lot|more than|right now|now|too|well|right|currently|"
    r"rn|atm|major|minor|myself|already|recently|"
    r"anymore|every|since|after|before|during|until|especially|like|such|years?|because|instead|here|there|now)\b"
)
_LOOSE_STOP = re.compile(r"\s(?:before|after|as well|too|anymore|and (?!\w+ (?:and|$))|that|with my|in order)\b")
_HYPOTHETICAL = re.compile(
    r"^\W*(?:please )?(?:assume|suppose|imagine|pretend|let's say|lets say|say i|act as|if i|you are)\b|"
    r"\b(?:my role|your role|with you as|you (?:will )?(?:act|play) (?:as|the))\b|"
    r"\b(?:double|twice|half|times) (?:my|the|his|her) age\b|\b(?:jk|j/k|(?:just|only) (?:kidding|joking)|trust me)\b",
    re.IGNORECASE,
)
"""Role-plays, riddles and jokes: what is said there need not be true of the user."""
_SPEAKER_TAG = re.compile(
    r"^\W*(?:user|human|person|speaker|customer|client|patient|student|teacher|interview\w*|assistant|bot|ai|chatgpt|gpt|me|you|q|a)"
    r"(?: ?[\dA-Z])?\s*:",
    re.IGNORECASE,
)
"""A line of a dialogue, which may be made up."""
_UNFINISHED = re.compile(r"\b(?:when|who|which|because|if|and|but|or|than|as)\W*$", re.IGNORECASE)
"""The end of a statement that was cut out of the middle of a sentence."""
_UNREAL = re.compile(
    r"(?:\b(?:if|unless|whether|until|wish(?:ed)?|pretend(?:ed|ing)?|imagined?|doubt|used to|as though|some ?day|"
    r"one day|dream(?:ed|t)?)\b|(?:n['’]?t|\bnot|\bnever) (?:think|say|said|mean)\b)[^.,;:!?]{0,20}$",
    re.IGNORECASE,
)
"""What stands in front of something that is not, or not yet, true."""
_LIST_JOINER = re.compile(r"\s+(?:and|or|&)\s+")
_FILLERS = frozenset(
    "btw lol rn atm haha tho though actually mostly kinda technically even basically definitely still yeah already "
    "okay honestly probably maybe anymore tbh imo etc again most best ever either still".split()
)
"""Words of small talk that no value ends with."""
_NAMELESS = frozenset("stuff things something someone somebody whatever peeps girls guys etc kinda sorta".split())
"""Words of a value that leave open what it is."""
_POINTS_ELSEWHERE = frozenset("you your yours yourself it them they their he him his she her hers these those".split())
"""Words of a value that only its conversation explains."""
_NO_VALUE = frozenset(
    "no not neither nor without that this almost any all every most just lots plenty other certain various different "
    "many both either each more less pretty lot anything everything something nothing being having getting always "
    "usually sometimes actually only even still".split()
)
"""Words with which no value begins: it is negated, pointed at, or a quantity of things that are not named."""
_PASSING = re.compile(
    r"[^.,;:!?]{0,80}?\b(?:right now|at the moment|today|tonight|tomorrow|yesterday|this (?:morning|afternoon|evening|"
    r"week|weekend)|last (?:night|week|weekend)|next week(?:end)?)\b",
    re.IGNORECASE,
)
"""A clause about the day and not about the person."""
_CUT_OFF_PARTICIPLE = re.compile(
    r"(?<=\w) (?:writing|selling|making|offering|providing|helping|teaching|serving|using|doing|covering|aiming|"
    r"dealing|discussing|emphasi[sz]ing|concentrating|majoring|minoring|mastering|planning|hoping|leading|taking)$",
    re.IGNORECASE,
)
"""A participle at the end of a noun phrase has lost its object: "a newsletter writing"."""
_CUT_OFF_CONJUNCT = re.compile(r"\s(?:and|or) \w+ing$", re.IGNORECASE)
"""The second of two actions, cut off from what it is done to: "playing chess and talking"."""
_HAS_ARTICLE = re.compile(r"\b(?:an?|the|my|our|own) [\w-]+ ", re.IGNORECASE)
_EMPTY_HEADS = frozenset(
    "one ones thing things stuff lot lots way ways idea ideas something anything everything everyone someone it "
    "this that  them those these kind sort type types bit part person people user users question problem issue "
    "example here able  sure new good great fine ready happy sorry glad looking trying going working using "
    "getting having being kid more".split()
)


class Update(Section):
    """How a user says that their value of a type has changed."""

    says: str
    """The sentence, with {old} and {new} in one of the forms that taxonomy.yaml names."""
    values: tuple[str, ...]
    """New values."""

    def statement(self, old: str, new: str, text: str) -> str:
        """The sentence that `old`, a span of `text`, has become `new`."""
        forms: dict[str | None, Callable[[str], str]] = {
            None: str,
            "a ": with_article,
            "an ": lambda value: as_said_or_counted(value, text),
            "the ": lambda value: as_said(value, text),
        }
        given = {"old": old, "new": new}
        return re.sub(r"\{(an? |the )?(old|new)\}", lambda match: forms[match[1]](given[match[2]]), self.says)


class AttributeType(Section):
    """One attribute type of taxonomy.yaml."""

    name: str
    """Noun phrase that names it: "profession"."""
    families: tuple[str, ...]
    """Families of the miner in which it is expected."""
    broad: bool
    """Whether its cues are too wide to trust outside its families."""
    loose: bool
    """Whether its values are phrases ("get up at five") rather than noun phrases ("nurse")."""
    dynamic: bool
    """Whether the name is taken from the statement."""
    cues: tuple[str, ...]
    """Regular expressions; the target is the group `target` or what follows the match."""
    explicit: tuple[str, ...]
    """Direct questions."""
    rephrased: tuple[str, ...]
    """Direct questions in other words."""
    implicit: tuple[str, ...]
    """Advice-seeking questions whose answer depends on it."""
    product: tuple[str, ...]
    """Shopping questions whose answer depends on it."""
    synonyms: tuple[str, ...]
    """Other names for it, the closest first."""
    prototypes: tuple[str, ...]
    """Statements of this type."""
    update: Update | None
    """How its value changes; None where a user can have several values at once, or where it does not change."""

    def named(self, name: str) -> AttributeType:
        """This dynamic type with `name` filled in; "favourite colour" also fills "{thing}" with "colour"."""
        thing = name.split(maxsplit=1)[-1]

        def fill(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(text.replace("{name}", name).replace("{thing}", thing) for text in texts)

        filled = {field: fill(getattr(self, field)) for field in (*_QUESTION_FIELDS, "synonyms")}
        return self.model_copy(update={"name": name, **filled})

    def questions(self, kind: QuestionKind) -> tuple[str, ...]:
        """The questions we wrote for one of the four target kinds."""
        texts: tuple[str, ...] = getattr(self, kind.value)
        return texts


_QUESTION_FIELDS = ("explicit", "rephrased", "implicit", "product")


@dataclass(frozen=True)
class Cue:
    """A compiled cue of one type."""

    type: AttributeType
    pattern: re.Pattern[str]


class Found(NamedTuple):
    """An attribute type with its value in a statement."""

    type: AttributeType
    """The type, its name filled in."""
    target: str
    """The value, a span of the statement."""


@functools.cache
def taxonomy() -> tuple[AttributeType, ...]:
    """All attribute types, in the order in which they are tried."""
    text = importlib.resources.files(__package__).joinpath("taxonomy.yaml").read_text(encoding="utf-8")
    unless_given = {"broad": False, "loose": False, "dynamic": False, "update": None}
    return tuple(
        parse_section({"name": name, **unless_given, **entry}, AttributeType, where=f"taxonomy.yaml: {name}")
        for name, entry in yaml.safe_load(text).items()
    )


@functools.cache
def _cues() -> tuple[Cue, ...]:
    return tuple(Cue(kind, re.compile(_expand(cue), re.IGNORECASE)) for kind in taxonomy() for cue in kind.cues)


def _expand(cue: str) -> str:
    # Cases matter only where a cue asks for a proper noun, so [A-Z] must survive the case-insensitive flag.
    cue = cue.replace("(?=[A-Z])", "(?=(?-i:[A-Z]))")
    for short, long in _MACROS.items():
        cue = cue.replace(short, long)
    return cue.replace("''", "'").replace("(?:'", "(?:['’]").replace("n'", "n['’]")


def find_attribute(text: str, family: str, max_words: int) -> Found | None:
    """The attribute type and target that the cues see in `text`; None when they see none.

    Types of the miner's family come first; other types follow unless their cues are broad.
    """
    text = " ".join(text.split())
    if _HYPOTHETICAL.search(text) or _SPEAKER_TAG.match(text) or _UNFINISHED.search(text):
        return None
    ranked = sorted(_cues(), key=lambda cue: family not in cue.type.families)
    for cue in ranked:
        if cue.type.broad and family not in cue.type.families:
            continue
        for found in _matches(cue, text, max_words):
            return found
    return None


def types_in(text: str, families: Collection[str]) -> Iterator[AttributeType]:
    """Every attribute type of which a cue stands in `text`; types with broad cues only where of `families`.

    This looks for what may have been said, whatever its value: what is hypothetical, or has no clear value, counts too.
    """
    for cue in _cues():
        if (not cue.type.broad or set(families) & set(cue.type.families)) and cue.pattern.search(text):
            yield cue.type


def _matches(cue: Cue, text: str, max_words: int) -> Iterator[Found]:
    for match in cue.pattern.finditer(text):
        if _UNREAL.search(text, 0, match.start()) or _PASSING.match(text, match.start()):
            continue
        groups = match.groupdict()
        given = groups.get("target")
        raw = given if given is not None else text[match.end() :]
        # A group is bounded by its own pattern; only what merely follows a cue must be cut at prepositions.
        target = clip(raw, loose=cue.type.loose or given is not None, max_words=max_words)
        if target is None or words(target)[0] in _BEFORE_NOUNS or (not cue.type.loose and _says_nothing(target)):
            continue
        yield Found(cue.type.named(groups["name"].casefold()) if cue.type.dynamic else cue.type, target)


def clip(text: str, *, loose: bool, max_words: int) -> str | None:
    """The short answer at the beginning of `text`; None when there is none of at most `max_words` words."""
    whole = _without_determiner(text.strip(), loose)
    text = _cut(whole, _HARD_STOP)
    if whole[len(text) :].lstrip().startswith("["):  # the value goes on with something that was taken out
        return None
    if loose and len(words(text)) > max_words:
        text = _cut(text, _LOOSE_STOP)
    if not loose or len(words(text)) > max_words:
        text = _CUT_OFF_CONJUNCT.sub("", cut) if (cut := _cut(text, _SOFT_STOP)) != text else text
    if len(words(text)) > max_words:
        text = _LIST_JOINER.split(text)[0]
    if (_POINTS_ELSEWHERE | _NAMELESS) & set(words(text)):
        return None
    text = _trim(text, loose)
    if _HAS_ARTICLE.search(text) or not loose:
        text = _trim(_CUT_OFF_PARTICIPLE.sub("", text), loose)
    if text.partition(" ")[0].casefold() in _NO_VALUE:
        return None
    count = len(words(text))
    if not 1 <= count <= max_words or not content_stems(text) - _EMPTY_HEADS or words(text)[-1] in _EMPTY_HEADS:
        return None
    return None if count == 1 and text.casefold() in _EMPTY_ALONE else text


def _says_nothing(target: str) -> bool:
    """Whether a noun phrase names no value: "new startup", "other company", "never followed"."""
    given = words(target)
    return given[0] == "never" or set(given) <= _EMPTY_ALONE | _EMPTY_HEADS


_BEFORE_NOUNS = frozenset("at on with for from by to".split())
"""Words with which a value cannot begin, for it is cut out of the middle of a phrase."""


_EMPTY_ALONE = frozenset(
    "company startup business firm agency shop store learn get always make do change start help create build work team "
    "grow save money exams exam home something first second full learning playing working dealing keep improving "
    "researching writing website site platform organization brand practice label network center centre venture "
    "school car vehicle huge diehard die hard avid massive true real lifelong watching companies "
    "businesses app project product other small big growing successful established well badly".split()
)


def _cut(text: str, stop: re.Pattern[str]) -> str:
    match = stop.search(text)
    return text[: match.start()] if match and match.start() else text


def _without_determiner(text: str, loose: bool) -> str:
    """`text` without what stands in front of its value; a phrase keeps its "the": "the office" is not "office"."""
    bare = _DETERMINERS.sub("", text)
    kept = text[: len(text) - len(bare)].split()
    return f"{kept[-1]} {bare}" if loose and kept and kept[-1].casefold() == "the" else bare


_NO_END = (FUNCTION_WORDS | _FILLERS) - {"up", "out", "off", "myself"}


def _trim(text: str, loose: bool) -> str:
    """`text` without determiners in front and function words or punctuation behind."""
    text = _without_determiner(text.strip(" ,.;:!?'\"*_-–—"), loose).strip("'‘’\"")
    parts = text.split()
    while parts and parts[-1].casefold().strip(",.") in _NO_END:
        parts.pop()
    return " ".join(parts).strip(' ,.;:!?"*_-–—')
