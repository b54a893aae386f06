"""Identifiers found in chat text and replaced by typed placeholders before anything is written.

Own patterns with checksums (Luhn, IBAN mod 97) plus `phonenumbers`: presidio without a downloaded language model finds
no names either, takes about ten times as long and brings spaCy. Names of private persons are found by what
people write around them ("my name is ...", "my wife ..."), not by a model: names in free text are missed.
Where a wrong redaction costs a word and a missed one costs a person, the patterns prefer the wrong redaction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from pipeline.core.records import Redaction


class Identifier(StrEnum):
    """Types of identifiers; the placeholder of a type is "[TYPE]"."""

    EMAIL = "EMAIL"
    """E-mail address."""
    URL = "URL"
    """Web address with a path, a query or a user part; a bare domain names no person."""
    SECRET = "SECRET"
    """API key, token, password."""
    IBAN = "IBAN"
    """International bank account number with a valid checksum."""
    CARD = "CARD"
    """Payment card number with a valid checksum."""
    SSN = "SSN"
    """US social security number."""
    IP = "IP"
    """IPv4 or IPv6 address."""
    PHONE = "PHONE"
    """Telephone number."""
    ACCOUNT = "ACCOUNT"
    """Other long number: customer, passport, bank account, order."""
    ADDRESS = "ADDRESS"
    """Street with house number, or a postal code behind a place."""
    HANDLE = "HANDLE"
    """User name on a platform."""
    PERSON = "PERSON"
    """Name of a private person."""


class Found(NamedTuple):
    """One identifier in a text."""

    kind: Identifier
    """Its type."""
    start: int
    """First character."""
    end: int
    """One past the last character."""


class Redacted(NamedTuple):
    """A text without its identifiers."""

    text: str
    """The text with placeholders."""
    log: tuple[Redaction, ...]
    """What was replaced, with the places of the placeholders in `text`; never the values."""


_REGIONS = ("US", "GB", "DE", "FR", "IN", "AU", "ES", "IT", "BR")
_PHONE_LIKE = re.compile(r"(?<![\w.$€£/-])(?:\+|00)?\(?\d(?:[\d\s().\-/\u2011]{5,20})\d(?![\w%])")
_PHONE_WORD = re.compile(
    r"\b(?:phone|tel|mobile|cell|call|text|whatsapp|number|fax|contact|reach|signal|sms|dial|ring)\b", re.IGNORECASE
)
_YEARS = re.compile(
    r"(?:1[89]|20)\d\d\s*[-/–.]\s*(?:1[89]|20)?\d\d(?:\s*[-/.]\s*\d\d?)?|\d\d?\s*[-/.]\s*\d\d?\s*[-/.]\s*(?:1[89]"
    r"|20)\d\d"
)

_PATTERNS: tuple[tuple[Identifier, re.Pattern[str]], ...] = (
    (
        Identifier.EMAIL,
        re.compile(
            r"[\w.+%'-]+(?:@|\s?\[at\]\s?|\s?\(at\)\s?)[\w-]+(?:(?:\.|\s?\[dot\]\s?|\s?\(dot\)\s?)[\w-]+)+",
            re.IGNORECASE,
        ),
    ),
    (
        Identifier.URL,
        re.compile(
            r"\b(?:https?://|www\.)[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]|\b(?:[\w-]+\.)+(?:com|net|org|io|me|co|de|uk|fr"
            r"|in|app|dev|ai|gg|tv|ru|edu|gov|info|be)(?:/[^\s<>\"')\]]*[^\s<>\"')\].,;:!?])",
            re.IGNORECASE,
        ),
    ),
    (
        Identifier.SECRET,
        re.compile(
            r"\b(?:sk|pk|rk)[-_](?:live[-_]|test[-_]|proj[-_]|ant[-_])?[A-Za-z0-9_-]{16,}|\bAKIA[0-9A-Z]{16}\b"
            r"|\bASIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}\b|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
            r"|\bxox[abprs]-[\w-]{10,}"
            r"|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}|\bhf_[A-Za-z0-9]{20,}|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
            r"|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bSG\.[\w-]{16,}\.[\w-]{16,}|\b[0-9a-fA-F]{32,}\b"
            r"|\b(?=\w*\d)(?=\w*[a-z])(?=\w*[A-Z])\w{32,}\b"
        ),
    ),
    (
        Identifier.SECRET,
        re.compile(
            r"\b(?:password|passwd|passcode|pwd|api[\s_-]?key|secret(?:\s+key)?|access[\s_-]?token|auth[\s_-]?token"
            r"|token|pin(?:\s+code)?)\b(?:\s+(?:is|was|for\s+\w+\s+is)"
            r"|\s*[:=])\s*[\"'`]?(?P<value>(?=\S*[\d\W_])[^\s\"'`,]{4,})",
            re.IGNORECASE,
        ),
    ),
    (Identifier.IBAN, re.compile(r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b", re.IGNORECASE)),
    (Identifier.CARD, re.compile(r"(?<![\d.-])\d(?:[ -]?\d){12,18}(?![\d-])")),
    (Identifier.SSN, re.compile(r"(?<![\d-])(?!000|666|9\d\d)\d{3}[- ](?!00)\d{2}[- ](?!0000)\d{4}(?![\d-])")),
    (
        Identifier.IP,
        re.compile(
            r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d]|\.\d)(?::\d{2,5})?"
        ),
    ),
    (
        Identifier.IP,
        re.compile(
            r"(?<![\w:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![\w:])"
            r"|(?<![\w:])(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}(?![\w:])"
            r"|(?<![\w:])(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}(?![\w:])",
            re.IGNORECASE,
        ),
    ),
    (
        Identifier.ADDRESS,
        re.compile(
            r"\b\d{1,5}[a-z]?\s+(?:[NSEW]\.?\s+|(?:North|South|East|West)\s+)?(?:[A-Z][\w.'-]*\s+|\d{1,3}(?:st|nd|rd"
            r"|th)\s+){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square"
            r"|Sq|Terrace|Way|Parkway|Pkwy|Crescent|Close|Highway|Hwy|Circle|Cir|Trail|Gardens|Mews|Row|Hill|Grove"
            r"|Alley)\b(?:\.(?=,))?"
            r"(?:,?\s+(?:Apt|Apartment|Unit|Suite|Flat|No"
            r"|#)\.?\s*\w{1,6})?(?:,\s*[A-Z][\w .'-]{1,30}?(?:,\s*[A-Z]{2})?(?:\s+\d{5}(?:-\d{4})?)?(?=[\s.,;!?]|$))?"
            r"|\b(?:[A-ZÄÖÜ][\wäöüß.-]*(?:\s+[A-ZÄÖÜ][\wäöüß.-]*)?[\s-])?[A-ZÄÖÜ]?[\wäöüß-]*(?:[Ss]tra(?:ß|ss)e|str\."
            r"|[Ww]eg|[Pp]latz|[Aa]llee|[Gg]asse|[Dd]amm|[Uu]fer)\s+\d{1,4}\s?[a-z]?\b(?:,?\s+\d{4,5}\s+[A-ZÄÖÜ][\wäöüß-]+)?"
            r"|\b\d{1,4}(?:\s?(?:bis|ter))?,?\s+(?:rue|avenue|boulevard|place|impasse|chemin"
            r"|quai)\s+(?:d[eu]s?\s+(?:la\s+)?|de\s+l['’]"
            r"|l['’])?[\w'’-]+(?:\s+[A-Z][\w'’-]+)*(?:,?\s+\d{5}\s+[A-Z][\w-]+)?"
            r"|\b(?:calle|via|viale|piazza|avenida|rua|plaza)\s+(?:d[eio]l?\s+"
            r"|d[ao]s?\s+)?[A-Z][\w.'-]*(?:\s+[A-Z][\w.'-]*)*,?\s+\d{1,4}\b"
            r"|\bP\.?\s?O\.?\s+Box\s+\d+|\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b"
            r"|\b[A-Z][a-z]+,?\s+[A-Z]{2}\s+\d{5}(?:-\d{4})?\b",
        ),
    ),
    (
        Identifier.HANDLE,
        re.compile(
            r"(?<![\w@./])@[A-Za-z_]\w{2,29}\b(?!\.\w)|\b(?:u|r)/[A-Za-z]\w{2,20}\b|\b\w{2,32}#\d{4}\b"
            r"|\b(?:my\s+)?(?:user\s?name|handle|gamertag|screen\s?name|instagram|insta|twitter|snapchat|discord"
            r"|telegram|tiktok|github|reddit)(?:\s+(?:name|handle|user|account|id))?(?:\s+is"
            r"|\s*:)\s+(?P<value>@?[\w.-]*[\d_.][\w.-]*\w)",
            re.IGNORECASE,
        ),
    ),
    (
        Identifier.ACCOUNT,
        re.compile(
            r"\b(?:account|acct|customer|member(?:ship)?|order|passport|licen[cs]e|policy|routing|sort\s+code|tax"
            r"|insurance|employee|student|patient|case|invoice|booking|reference|id|nhs|ssn|ein|vat|imei|vin"
            r"|serial)\s*(?:card\s*)?(?:number|no\.?|num|code|id|#)?\s*(?:is|:|="
            r"|#)?\s*#?(?P<value>(?=[A-Z-]*\d)[A-Z0-9](?:[A-Z0-9]|[- ](?=\d)){5,24}\b)",
            re.IGNORECASE,
        ),
    ),
    (Identifier.ACCOUNT, re.compile(r"(?<![\w.$€£,-])\d(?:[ -]?\d){8,29}(?![\w%]|[.,]\d)")),
)

_NAME = r"[A-Z][a-zà-öø-ÿ]+(?:[-'’][A-Z]?[a-zà-öø-ÿ]+)?"
_NAMES = rf"{_NAME}(?:\s+(?:(?:van|von|de|del|della|da|bin|al|el|la|le)\s+)?(?:{_NAME}|[A-Z]\.)){{0,3}}"
_PERSON_RELATIVE = (
    r"(?:wife|husband|partner|girlfriend|boyfriend|fianc[eé]+|spouse|ex|son|daughter|kid|child|baby|mother|father|mom"
    r"|mum|dad|brother|sister|grandm\w+|grandf\w+|uncle|aunt|cousin|nephew|niece|friend|boss|manager|colleague"
    r"|coworker"
    r"|co-worker|roommate|neighbou?r|teacher|professor|doctor|therapist|client|coach|landlord|mentor|supervisor)s?"
)
_PERSONS = (
    re.compile(
        rf"\b(?i:my\s+(?:full\s+|first\s+|last\s+|real\s+|own\s+)?name(?:['’]s|\s+is|\s*:)|i\s+am\s+called"
        rf"|i['’]m\s+called|(?:people|friends|they|everyone|you\s+can|please|just)\s+call\s+me|call\s+me|i\s+go\s+by"
        rf"|signed|sincerely,|regards,|this\s+is)\s+(?P<value>{_NAMES})"
    ),
    re.compile(
        r"\b(?i:my\s+(?:full\s+|first\s+|last\s+|real\s+)?name(?:['’]s|\s+is"
        r"|\s*:))\s+(?P<value>[a-z][\w'-]{1,20})(?=\s*(?:[.,;!?]|$|and\b|i\b))"
    ),
    re.compile(
        rf"\b(?i:my\s+(?:\w+\s+)?{_PERSON_RELATIVE})(?:,|\s+(?i:is\s+named|is\s+called|named|called)"
        rf"|(?i:['’]s\s+name\s+is)|\s+name\s+is)?\s+(?P<value>(?!I\b|Is\b)(?:(?:Mr|Mrs|Ms|Dr|Prof)\.?\s+)?{_NAMES})"
    ),
    re.compile(
        rf"\b(?i:a\s+friend|a\s+colleague|someone|a\s+guy|a\s+girl|a\s+woman|a\s+man|child|son|daughter"
        rf"|kid)\s+(?i:named|called)\s+(?P<value>{_NAMES})"
    ),
    re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof)\.?\s+(?P<value>{_NAMES})"),
    re.compile(
        rf"(?:^|[.!?]\s+)(?i:hi|hello|hey|hiya|greetings)[,!.]?\s+(?i:i['’]?m|i\s+am|im|this\s+is"
        rf"|it['’]s)\s+(?P<value>{_NAMES})(?=\s*(?:[.,;!?]|$|here\b|from\b|and\b))"
    ),
    re.compile(
        rf"\b(?:I\s+am|I['’]m)\s+(?P<value>{_NAME}\s+(?:(?:van|von|de|bin|al)\s+)?{_NAME})(?=\s*(?:[.,;!?(]|$|and\b"
        rf"|from\b|a\b|an\b|the\b))"
    ),
    re.compile(
        rf"\b(?:I\s+am|I['’]m)\s+(?P<value>{_NAME})(?=,?\s+(?:and\s+I\b|a\s|an\s|from\s|\d+\s+years|the\s+\w+\s+of))"
    ),
)
_NO_PERSON = frozenset(
    """
    american british english irish scottish welsh canadian australian indian chinese japanese korean german
    french italian spanish portuguese brazilian mexican dutch belgian swiss austrian swedish norwegian danish
    finnish polish russian ukrainian turkish greek romanian hungarian czech israeli iranian iraqi egyptian
    moroccan nigerian kenyan african asian european arab latino latina hispanic black white pakistani
    bangladeshi indonesian malaysian singaporean filipino vietnamese thai argentinian colombian peruvian chilean
    christian catholic muslim jewish hindu buddhist sikh protestant mormon orthodox atheist agnostic senior
    junior lead chief head vice director manager president ceo cto cfo founder software product project data
    marketing sales business web mobile full front back machine human customer account assistant associate
    general executive principal python java javascript linux windows mac google microsoft amazon apple facebook
    the a an my not in on at from to very so also just really currently god jesus monday tuesday wednesday
    thursday friday saturday sunday january february march april may june july august september october november
    december new york san los las north south east west united kingdom states
    """.split()
)
_BARE_DOMAIN = re.compile(r"(?:https?://)?(?:www\.)?[\w.-]+/?", re.IGNORECASE)


def redact(text: str) -> Redacted:
    """`text` with every identifier replaced by its placeholder, and the log of what was replaced."""
    parts: list[str] = []
    log: list[Redaction] = []
    last = length = 0
    for found in find_identifiers(text):
        placeholder = f"[{found.kind}]"
        length += found.start - last
        parts += [text[last : found.start], placeholder]
        log.append(Redaction(kind=found.kind.value, start=length, end=length + len(placeholder)))
        length += len(placeholder)
        last = found.end
    return Redacted("".join(parts) + text[last:], tuple(log))


def find_identifiers(text: str) -> list[Found]:
    """The identifiers in `text`, in order, disjoint; where two overlap the type named first in `Identifier` wins."""
    taken: list[Found] = []
    for found in _all(text):
        if all(found.end <= other.start or found.start >= other.end for other in taken):
            taken.append(found)
    return sorted(taken, key=lambda found: found.start)


def _all(text: str) -> Iterator[Found]:
    digits = any(character.isdigit() for character in text)
    for kind, pattern in _PATTERNS:
        if digits or kind in _WITHOUT_DIGITS:
            for match in pattern.finditer(text):
                start, end = match.span("value") if "value" in pattern.groupindex and match["value"] else match.span()
                if _CHECKS.get(kind, _always)(text[start:end]):
                    yield Found(kind, start, end)
        if digits and kind is Identifier.ADDRESS:
            yield from _phones(text)
    yield from _persons(text)


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE_LIKE.finditer(text):
        value = match.group()
        count = sum(character.isdigit() for character in value)
        if not 7 <= count <= 15 or _YEARS.fullmatch(value.strip()):
            continue
        said = bool(_PHONE_WORD.search(text, max(0, match.start() - 30), match.start()))
        if said or (count >= 9 and _valid_phone(value)):
            yield Found(Identifier.PHONE, match.start(), match.end())


def _valid_phone(value: str) -> bool:
    import phonenumbers

    for region in (None,) if value.lstrip().startswith("+") else _REGIONS:
        try:
            if phonenumbers.is_possible_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def _persons(text: str) -> Iterator[Found]:
    for pattern in _PERSONS:
        for match in pattern.finditer(text):
            first = match["value"].split()[0].lower().rstrip(".")
            if first not in _NO_PERSON:
                yield Found(Identifier.PERSON, *match.span("value"))


def _luhn(value: str) -> bool:
    digits = [int(character) for character in value if character.isdigit()][::-1]
    doubled = [d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


def _iban(value: str) -> bool:
    compact = re.sub(r"[ -]", "", value).upper()
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _names_a_person(value: str) -> bool:
    return not _BARE_DOMAIN.fullmatch(value)


def _not_a_date(value: str) -> bool:
    return not _YEARS.fullmatch(value.strip())


def _always(value: str) -> bool:
    return bool(value)


_WITHOUT_DIGITS = frozenset({Identifier.EMAIL, Identifier.URL, Identifier.SECRET, Identifier.HANDLE})
_CHECKS: dict[Identifier, Callable[[str], bool]] = {
    Identifier.CARD: _luhn,
    Identifier.IBAN: _iban,
    Identifier.URL: _names_a_person,
    Identifier.ACCOUNT: _not_a_date,
}
