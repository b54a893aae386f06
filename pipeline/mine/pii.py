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

_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_DATE = re.compile(rf"(?<![\d.])(?:{_DAY}[-/.]{_DAY}[-/.](?:19|20)\d\d|(?:19|20)\d\d[-/.]{_DAY}[-/.]{_DAY})(?!\d)")
"""A date; what stands beside it is mostly a time, and together they look like a telephone number."""
_MACHINE_WORD = re.compile(
    r"\b(?:docker|container|image|pod|commit|build|process|pid|kernel|instance|volume)\b", re.IGNORECASE
)
_PERSONAL_HOST = re.compile(
    r"(?<![\w.-])(?:https?://)?(?!www\.)[\w-]+\.(?:substack\.com|git(?:hub|lab)\.io|wordpress\.com|blogspot\.com"
    r"|tumblr\.com|medium\.com|livejournal\.com|deviantart\.com|bandcamp\.com|wixsite\.com|weebly\.com|carrd\.co"
    r"|netlify\.app|vercel\.app|herokuapp\.com|myshopify\.com|itch\.io|notion\.site|bsky\.social)(?![\w-]|\.\w)",
    re.IGNORECASE,
)
"""A host that bears its user's name."""
_TOP_LEVEL = (
    r"(?:com|net|org|edu|gov|mil|info|app|dev|biz|name|pro|xyz|site|website|online|page|blog|shop|store|link|club|bio"
    r"|social|live|space|cloud|tech|art|studio|media|(?!am|an|cs|db|he|if|js|md|or|py|rb|rs|ts|vb|we)[a-z]{2})"
)
"""Ends of host names: any country, but no ending of code files and no word that a lost space brings there."""
_NO_PLAIN_WORD = r"(?=[^\s\"'`,]*(?:[^\s\"'`,.;:?!)a-z]|[.;:?!)]\w))"
"""Looks ahead for a sign inside a word, or a digit: "the password is weak." names none."""
_NO_STREET = (
    r"(?:a|an|and|are|at|bed|bedroom|blocks?|busy|by|cars?|days?|different|down|feet|foot|for|from|hours?|in|is|km|lanes?"
    r"|long|meters?|miles?|min|mins|minutes?|more|new|of|on|or|other|per|percent|quiet|the|times?|to|up|way|ways"
    r"|weeks?|years?)"
)
"""Words that stand between a number and "road" where no address is meant: "10 minutes by road"."""

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
            r"\b(?:https?://|www\.)[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]"
            rf"|\b(?:[\w-]+\.)+{_TOP_LEVEL}/[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]",
            re.IGNORECASE,
        ),
    ),
    (Identifier.URL, _PERSONAL_HOST),
    # A secret that is announced comes before the shapes of secrets, which may fit a part of it only.
    (
        Identifier.SECRET,
        re.compile(
            r"(?<![^\W_])(?:password|passwd|passcode|pwd|api[\s_-]?key|secret(?:[\s_-]?access)?(?:[\s_-]?key)?"
            r"|access[\s_-]?token|auth[\s_-]?token|token|pin(?:\s+code)?)\b[\"'`]?(?:\s+(?:is|was|for\s+\w+\s+is)"
            rf"|\s*[:=])\s*[\"'`]?(?P<value>{_NO_PLAIN_WORD}[^\s\"'`,]{{4,}})",
            re.IGNORECASE,
        ),
    ),
    (
        Identifier.SECRET,
        re.compile(
            r"(?<![^\W_])(?:password|passwd|passcode|passphrase|pwd)[\"'`]?\s*[:=]\s*[\"'`]?"
            r"(?P<value>(?!(?:required|optional|string|str|text|none|null|true|false|hidden|unknown|change|reset)\b)"
            r"[^\s\"'`,]{4,})"
            r"|\bsecret[\s_-]?(?:access[\s_-]?)?key\W{1,4}(?P<key>[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+]))"
            r"|\bbearer\s+(?P<bearer>(?=[^\s\d]*\d)[\w.~+/-]{12,}=*)",
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
            r"\b\d{1,5}[A-Za-z]?\s+(?:[NSEW]\.?\s+|(?:North|South|East|West)\s+)?(?:[A-Z][\w.'-]*\s+|\d{1,3}(?:st|nd|rd"
            r"|th)\s+){1,4}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square"
            r"|Sq|Terrace|Way|Parkway|Pkwy|Crescent|Close|Highway|Hwy|Circle|Cir|Trail|Gardens|Mews|Row|Hill|Grove"
            r"|Alley)\b(?:\.(?=,))?"
            r"(?:,?\s+(?:Apt|Apartment|Unit|Suite|Flat|No"
            r"|#)\.?\s*\w{1,6})?(?:,\s*[A-Z][\w .'-]{1,30}?(?:,\s*[A-Z]{2})?(?:\s+\d{5}(?:-\d{4})?)?(?=[\s.,;!?]|$))?"
            rf"|\b\d{{1,5}}[A-Za-z]?\s+(?:(?!{_NO_STREET}\b)[a-z'.-]+\s+){{1,2}}"
            r"(?:street|avenue|road|boulevard|blvd|lane)\b(?!\s+(?:art|artists?|bikes?|cars?|changes?|clothes|danc\w+"
            r"|dogs?|fashion|fight\w+|foods?|lamps?|lights?|maps?|markets?|names?|performers?|photo\w*|rac\w+|safety"
            r"|signs?|smart|style|tax|trips?|users?|vehicles?|vendors?|wear|work\w*)\b)"
            r"|\b(?:[A-ZÄÖÜ][\wäöüß.-]*(?:\s+[A-ZÄÖÜ][\wäöüß.-]*)?[\s-])?[A-ZÄÖÜ]?[\wäöüß-]*(?:[Ss]tra(?:ß|ss)e|str\."
            r"|[Ww]eg|[Pp]latz|[Aa]llee|[Gg]asse|[Dd]amm|[Uu]fer)\s+\d{1,4}\s?[a-z]?\b(?:,?\s+\d{4,5}\s+[A-ZÄÖÜ][\wäöüß-]+)?"
            r"|\b\d{1,4}(?:\s?(?:bis|ter))?,?\s+(?i:rue|avenue|boulevard|place|impasse|chemin"
            r"|quai)\s+(?:d[eu]s?\s+(?:la\s+)?|de\s+l['’]"
            r"|l['’])?[\w'’-]+(?:\s+[A-Z][\w'’-]+)*(?:,?\s+\d{5}\s+[A-Z][\w-]+)?"
            r"|\b(?i:calle|via|viale|piazza|avenida|rua|plaza)\s+(?:d[eio]l?\s+"
            r"|d[ao]s?\s+)?[A-Z][\w.'-]*(?:\s+[A-Z][\w.'-]*)*,?\s+\d{1,4}\b"
            r"|\bP\.?\s?O\.?\s+Box\s+\d+|\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b"
            r"|\b[A-Z][a-z]+,?\s+[A-Z]{2}\s+\d{5}(?:-\d{4})?\b",
        ),
    ),
    (
        Identifier.HANDLE,
        re.compile(
            r"(?<![\w@./])@[A-Za-z_]\w{2,29}\b(?![./]\w)|\b(?:u|r)/[A-Za-z]\w{2,20}\b|\b\w{2,32}#\d{4}\b"
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

_LETTERS = [chr(code) for code in range(0x41, 0x530)]
_UPPER = "".join(letter for letter in _LETTERS if letter.isupper())
_LOWER = "".join(letter for letter in _LETTERS if letter.islower())
_TITLE = r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof)"
_CAPITALIZED = rf"(?!{_TITLE}\b)[{_UPPER}][{_LOWER}]+(?:[-'’][{_UPPER}]?[{_LOWER}]+|[{_UPPER}][{_LOWER}]+)*"
_UNCASED = r"[\u0590-\u10ff\u1100-\u1cff\u3040-\ua63f\uac00-\ud7ff]+"
"""A word of a script without capitals: Arabic, Hebrew, those of India, Thai, Korean, Japanese, Chinese."""
_NAME = rf"(?:{_CAPITALIZED}|{_UNCASED})"
_NAMES = rf"{_NAME}(?:\s+(?:(?:van|von|de|del|della|da|bin|al|el|la|le)\s+)?(?:{_NAME}|[A-Z]\b\.?)){{0,3}}"
_NAME_IS = r"name(?:['’]s|\s+is|\s*:)"
_AFTER_A_NAME = r"(?:and|but|from|i|im|a|an|the|who|with|my|so|can|please|what|how|nice)\b"
_WORD_OF_A_NAME = rf"(?!{_AFTER_A_NAME})[^\W\d_]+(?:[-'’][^\W\d_]+)*"
_PERSON_RELATIVE = (
    r"(?:wife|husband|partner|girlfriend|boyfriend|fianc[eé]+|spouse|ex|son|daughter|kid|child|baby|mother|father|mom"
    r"|mum|dad|brother|sister|grandm\w+|grandf\w+|uncle|aunt|cousin|nephew|niece|friend|boss|manager|colleague"
    r"|coworker"
    r"|co-worker|roommate|neighbou?r|teacher|professor|doctor|therapist|client|coach|landlord|mentor|supervisor)s?"
)
_PERSONS = (
    # In any case, as far as a word or sign shows where the name ends: "my name is giovanni rossi and ...".
    re.compile(
        rf"\b(?i:(?:my|her|his|their)\s+(?:full\s+|first\s+|last\s+|real\s+|own\s+)?{_NAME_IS})\s+"
        rf"(?P<value>(?i:{_WORD_OF_A_NAME}(?:\s+{_WORD_OF_A_NAME}){{0,2}}))(?=\s*(?:[.,;!?()]|$)|\s+(?i:{_AFTER_A_NAME}))"
    ),
    re.compile(
        rf"\b(?i:(?:my|her|his|their)\s+(?:full\s+|first\s+|last\s+|real\s+|own\s+)?{_NAME_IS}|i\s+am\s+called"
        rf"|i['’]m\s+called|(?:people|friends|they|everyone|you\s+can|please|just)\s+call\s+me|call\s+me|i\s+go\s+by"
        rf"|signed|sincerely,|regards,|this\s+is)\s+(?P<value>{_NAMES})"
    ),
    re.compile(
        rf"\b(?i:my\s+(?:\w+\s+)?{_PERSON_RELATIVE}(?:\s+of\s+(?:\w+\s+){{1,3}}years)?"
        r"|our\s+(?:\w+\s+)?(?:son|daughter|child|baby|kid)s?)"
        rf"(?:,|\s+(?i:is\s+named|is\s+called|named|called)|(?<!client)(?<!clients)\s+is|(?i:['’]s\s+name\s+is)"
        rf"|\s+name\s+is)?\s+(?P<value>(?!I\b|Is\b)(?:{_TITLE}\.?\s+)?{_NAMES})"
    ),
    re.compile(
        rf"\b(?i:a\s+friend|a\s+colleague|someone|a\s+guy|a\s+girl|a\s+woman|a\s+man|child|son|daughter"
        rf"|kid)\s+(?i:named|called)\s+(?P<value>{_NAMES})"
    ),
    re.compile(rf"\b{_TITLE}\.?\s+(?P<value>{_NAMES})"),
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
    december new york san los las north south east west united kingdom states jamaican cuban haitian ethiopian
    ghanaian lebanese syrian jordanian afghan nepali taiwanese cambodian croatian serbian bulgarian slovak
    tensorflow pytorch keras numpy pandas react angular vue laravel docker kubernetes excel photoshop chatgpt gpt
    openai common rare spelled spelt pronounced misspelled written mentioned listed known already still important
    too long short hard difficult easy unknown private irrelevant missing wrong here
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
    for found in (_whole_words(text, found) for found in _all(text)):
        if all(found.end <= other.start or found.start >= other.end for other in taken):
            taken.append(found)
    return sorted(taken, key=lambda found: found.start)


def _whole_words(text: str, found: Found) -> Found:
    """`found`, widened where it would cut a word: the rest of a name would give the name away."""
    start, end = found.start, found.end
    while start and _in_word(text[start - 1]) and _in_word(text[start]):
        start -= 1
    while end < len(text) and _in_word(text[end - 1]) and _in_word(text[end]):
        end += 1
    return Found(found.kind, start, end)


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _all(text: str) -> Iterator[Found]:
    digits = any(character.isdigit() for character in text)
    undated = _DATE.sub(lambda date: "x" * len(date.group()), text) if digits else text
    for kind, pattern in _PATTERNS:
        if digits or kind in _WITHOUT_DIGITS:
            for match in pattern.finditer(undated if kind is Identifier.ACCOUNT else text):
                start, end = match.span(match.lastgroup or 0)
                if _CHECKS.get(kind, _always)(text[start:end]) and not _of_a_machine(kind, text, start, end):
                    yield Found(kind, start, end)
        if digits and kind is Identifier.ADDRESS:
            yield from _phones(undated)
    yield from _persons(text)


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE_LIKE.finditer(text):
        value = match.group()
        count = sum(character.isdigit() for character in value)
        if not 7 <= count <= 15 or _YEARS.fullmatch(value.strip()):
            continue
        said = bool(_PHONE_WORD.search(text, max(0, match.start() - 30), match.start()))
        likely = count >= 9 and not _of_a_machine(Identifier.PHONE, text, *match.span()) and _valid_phone(value)
        if said or likely:
            yield Found(Identifier.PHONE, match.start(), match.end())


def _of_a_machine(kind: Identifier, text: str, start: int, end: int) -> bool:
    """Whether a number is said to be that of an image, a process or the like: "docker image 655716299224"."""
    if kind not in (Identifier.PHONE, Identifier.ACCOUNT) or not text[start:end].isdigit():
        return False
    return bool(_MACHINE_WORD.search(text, max(0, start - 30), start))


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
    return bool(_PERSONAL_HOST.search(value)) or not _BARE_DOMAIN.fullmatch(value)


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
