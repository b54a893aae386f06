"""Planted identifiers that redaction must find, in chat text, and ordinary text that it must leave alone.

`python -m benchmarks.pii`. The identifiers are made up from a seed in the formats people type (spaces, dots, brackets,
no separators, several countries), each planted into a sentence, with and without a word that announces it. Recall
counts an identifier as found when no character of it is left; precision is the share of redactions that touch a
planted identifier, over the planted sentences and a list of harmless ones full of numbers.
"""

from __future__ import annotations

import random
import string
from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import typer

from benchmarks.claims import Claim, write
from pipeline.mine.pii import Identifier, find_identifiers

EACH = 60
"""Identifiers a type."""
SEED = 20250101

FIRST = "Amara Bjorn Chidi Daria Emeka Farah Gustavo Hana Ingrid Jamal Katarzyna Liam Mei Nadia Omar Priya".split()
LAST = "Okafor Lindqvist Moreau Tanaka Kowalska Haddad Brennan Silva Novak Petrov Iyer Schneider Costa Walsh".split()
STREETS = ("Maple Street", "Old Mill Road", "Station Rd", "5th Avenue", "St. James Place", "Sunset Blvd", "Hill Lane")
CITIES = ("Springfield, IL 62704", "Leeds", "Austin, TX 78701", "Dublin", "Portland")
NEUTRAL = (
    "Here it is: {}",
    "so {} is what they gave me, can you write the letter?",
    "I put {} in the form but it says invalid.",
    "Please add {} to the footer of my page.",
    "{}",
    "I moved last year (now {}) and love my new garden.",
)
HARMLESS = (
    "I have 3 kids aged 4, 7 and 12 and a 2012 Honda with 180,000 km.",
    "My rent is $1,450 and I earn 3.200,50 EUR before tax, about 12% more than in 2021.",
    "I run 10 km in 52:30 and want to do a 4:00:00 marathon on 17.04.2023.",
    "I was born in 1987, moved in 2009-2011 and again on 2015-06-30.",
    "I use Python 3.11.4, CUDA 12.1 and torch 2.1.0+cu118 on Ubuntu 22.04.",
    "My room is 3.5 x 4.2 m and the ceiling is 2600 mm high.",
    "I follow a 16/8 fast, eat 2,928 kcal a day and weigh 165 lbs at 6'0\".",
    "It happens at 10:45:12 each day, in about 1 of 100000 requests.",
    "I work from 9-17 on 5 days, 40 hours a week, 48 weeks a year.",
    "I teach chapters 3-7 and pages 120-145 to 2 groups of 25 students.",
    "I live in New York and work for Microsoft in the Azure team.",
    "My favourite opening is 1. e4 e5 2. Nf3 Nc6 3. Bb5.",
    "I have read One Hundred Years of Solitude 4 times.",
    "We sold 1 234 567 units in 2022, up from 987 654 in 2021.",
    "I'm Catholic, from Spain, and a big fan of Real Madrid.",
    "I am Senior Engineer at a bank and I love Sherlock Holmes.",
    "I read docs.python.org and asp.net pages every day.",
    "The song is 3:45 long and was number 1 for 12 weeks in 1984.",
    "The call is on 23/02/2023 09:40, the next one on 2023-03-14 16:05:12.",
    "My docker container 481920573316 stops after a minute.",
    "I import @mui/material and @babel/preset-env in my app.",
    "Write a poem about my friend Tensorflow and his layers.",
)


class Planted(NamedTuple):
    """A sentence with one identifier in it."""

    kind: Identifier
    """Type of the identifier."""
    text: str
    """The sentence."""
    start: int
    """First character of the identifier."""
    end: int
    """One past its last character."""


def digits(draw: random.Random, count: int) -> str:
    """A string of `count` digits that does not begin with zero."""
    return str(draw.randint(1, 9)) + "".join(str(draw.randint(0, 9)) for _ in range(count - 1))


def pattern(draw: random.Random, form: str) -> str:
    """`form` with each # replaced by a digit (the first of them not zero)."""
    filled = iter(digits(draw, form.count("#")))
    return "".join(next(filled) if character == "#" else character for character in form)


def email(draw: random.Random) -> str:
    """An e-mail address."""
    first, last = draw.choice(FIRST).lower(), draw.choice(LAST).lower()
    user = draw.choice(
        [f"{first}.{last}", f"{first[0]}{last}{draw.randint(1, 99)}", f"{first}_{last}", f"{first}+shop"]
    )
    at, dot = draw.choice([("@", ".")] * 5 + [(" [at] ", " [dot] "), (" (at) ", ".")])
    host = draw.choice(["gmail", "mail.example", "uni-example", "proton"])
    return f"{user}{at}{host}{dot}{draw.choice(['com', 'org', 'de'])}"


def phone(draw: random.Random) -> str:
    """A telephone number of one of several countries, as people type it."""
    forms = ("+1 415 ### ####", "(212) 5##-####", "646-5##-####", "312.5##.####", "+44 20 7### ####", "07700 9#####")
    more = ("+49 30 #######", "0171 #######", "+33 6 12 ## ## ##", "+91 98### #####", "98########", "+34 612 ### ###")
    return pattern(draw, draw.choice(forms + more + ("+5511#########", "+1-202-5##-####", "415 5## ####")))


def card(draw: random.Random) -> str:
    """A card number with a valid Luhn digit."""
    body = draw.choice(["4", "51", "37", "6011"])
    body += "".join(str(draw.randint(0, 9)) for _ in range((14 if body == "37" else 15) - len(body)))
    total = sum(sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(reversed(body)))
    number = body + str(-total % 10)
    gap = draw.choice(["", " ", "-"])
    return gap.join(number[i : i + 4] for i in range(0, len(number), 4))


def iban(draw: random.Random) -> str:
    """An IBAN with valid check digits."""
    country, form = draw.choice(
        [("DE", "#" * 18), ("GB", "BARC" + "#" * 14), ("FR", "#" * 23), ("NL", "INGB" + "#" * 10)]
    )
    body = pattern(draw, form)
    value = int("".join(str(int(c, 36)) for c in body + country + "00"))
    number = f"{country}{98 - value % 97:02d}{body}"
    return number if draw.random() < 0.4 else " ".join(number[i : i + 4] for i in range(0, len(number), 4))


def ssn(draw: random.Random) -> str:
    """A US social security number."""
    return f"{draw.randint(100, 665)}{(gap := draw.choice('- '))}{draw.randint(10, 99)}{gap}{draw.randint(1000, 9999)}"


def ip_address(draw: random.Random) -> str:
    """An IPv4 or IPv6 address, or a hardware address."""
    if draw.random() < 0.7:
        return ".".join(str(draw.randint(1, 254)) for _ in range(4))
    if draw.random() < 0.5:
        return ":".join(f"{draw.randint(0, 65535):x}" for _ in range(8))
    return ":".join(f"{draw.randint(0, 255):02x}" for _ in range(6))


def url(draw: random.Random) -> str:
    """A web address that names a user."""
    user = f"{draw.choice(FIRST)}{draw.choice(LAST)}{draw.randint(1, 99)}".lower()
    forms = (
        "https://www.linkedin.com/in/{}",
        "instagram.com/{}",
        "https://github.com/{}/notes",
        "http://x.example.org/?u={}",
    )
    more = ("facebook.com/{}", "https://docs.example.com/d/{}/edit#x", "blog.example.com.au/users/{}", "linktr.ee/{}")
    return draw.choice((*forms, *more, "{}.substack.com", "https://{}.github.io")).format(user)


def secret(draw: random.Random) -> str:
    """An API key, a token or a password announced as such."""
    body = "".join(draw.choice(string.ascii_letters + string.digits) for _ in range(36))
    body = "a1B" + body
    forms = (
        f"sk-{body}",
        f"sk-proj-{body}",
        f"ghp_{body}",
        "AKIA" + "".join(draw.choices(string.ascii_uppercase, k=16)),
    )
    more = (f"hf_{body[:34]}", f"AIza{body[:35]}", f"xoxb-{digits(draw, 11)}-{body[:20]}", f"glpat-{body[:20]}")
    return draw.choice(
        (
            *forms,
            *more,
            f"eyJhbGciOi{body[:9]}.eyJzdWIi{body[:9]}.{body[:12]}",
            "".join(draw.choices("0123456789abcdef", k=40)),
        )
    )


def announced_secret(draw: random.Random) -> str:
    """A key that only the words before it give away: 40 characters in base64."""
    return "".join(draw.choice(string.ascii_letters + string.digits + "+/") for _ in range(40))


def password(draw: random.Random) -> str:
    """A password of plain words."""
    return f"{draw.choice(LAST)}{draw.choice(FIRST)}".lower()


def account(draw: random.Random) -> str:
    """A long number of a customer, passport or order."""
    return pattern(
        draw,
        draw.choice(["##########", "#### #### ##", "############", "C01X##T##4", "AB#######", "###-#######-#######"]),
    )


def address(draw: random.Random) -> str:
    """A street with a house number."""
    plain = f"{draw.randint(1, 2400)}{draw.choice(['', '', '', 'A', 'b'])} {draw.choice(STREETS)}"
    german = f"{draw.choice(['Lindenstraße', 'Am Marktplatz', 'Goetheweg', 'Lange Gasse'])} {draw.randint(1, 200)}"
    french = f"{draw.randint(1, 90)} rue de la {draw.choice(['Paix', 'Gare', 'République'])}"
    spanish = f"{draw.choice(['Calle', 'calle', 'Avenida'])} {draw.choice(['Mayor', 'Real'])} {draw.randint(1, 90)}"
    lower = f"{draw.randint(1, 900)} {draw.choice(['elm street', 'old oak road', 'garden lane'])}"
    return draw.choice(
        [
            *(plain, f"{plain}, Apt {draw.randint(1, 40)}", f"{plain}, {draw.choice(CITIES)}"),
            *(german, french, spanish, lower),
        ]
    )


def handle(draw: random.Random) -> str:
    """A user name with its @."""
    first, last = draw.choice(FIRST).lower(), draw.choice(LAST).lower()
    return f"@{first}{draw.choice(['_', ''])}{last}{draw.choice(['', '7', '_x'])}"


def person(draw: random.Random) -> str:
    """A name of a private person."""
    return f"{draw.choice(FIRST)} {draw.choice(LAST)}" if draw.random() < 0.6 else draw.choice(FIRST)


MAKERS: tuple[tuple[Identifier, Callable[[random.Random], str], tuple[str, ...]], ...] = (
    (Identifier.EMAIL, email, NEUTRAL),
    (Identifier.URL, url, NEUTRAL),
    (Identifier.SECRET, secret, NEUTRAL),
    (
        Identifier.SECRET,
        announced_secret,
        ("My AWS secret access key is {}", "aws_secret_access_key = {}", "send Authorization: Bearer {} with it"),
    ),
    (Identifier.SECRET, password, ("password: {}", "My mail has the login ann and the password: {}")),
    (Identifier.IBAN, iban, NEUTRAL),
    (Identifier.CARD, card, NEUTRAL),
    (Identifier.SSN, ssn, NEUTRAL),
    (Identifier.IP, ip_address, NEUTRAL),
    (Identifier.PHONE, phone, (*NEUTRAL, "Call me on {} after six.", "my number is {}.", "WhatsApp {} please")),
    (
        Identifier.ACCOUNT,
        account,
        (
            "My account number is {}.",
            "passport no. {}",
            "customer id: {}",
            "order #{} never arrived",
            "policy {} ends in May",
        ),
    ),
    (
        Identifier.ADDRESS,
        address,
        ("I live at {}.", "Send it to {} please.", "My shop is at {} and it is small.", "{}"),
    ),
    (Identifier.HANDLE, handle, ("I'm {} on there.", "follow {} for more", "{} is my account", "ask {}")),
)
"""Structured types: how to make one, and the sentences it is planted into."""
PERSON_FRAMES = (
    "My name is {} and I paint.",
    "Hi, I'm {}, a nurse from Ghent.",
    "I live with my wife {} and two dogs.",
    "my friend {} told me to try it",
    "You can call me {}.",
    "My son {} starts school in May.",
    "My boss, {}, wants it tomorrow.",
    "I see Dr. {} every month.",
    "It was {} who taught me to sail.",
    "Write a birthday poem for {}.",
    "I have a neighbour, her name is {}.",
    "our daughter {} plays the flute",
    "My boss is {} and I like the work.",
    "A toast to my wife of 12 years, {}.",
)


def planted(kind: Identifier, maker: Callable[[random.Random], str], frames: tuple[str, ...]) -> list[Planted]:
    """EACH sentences with one identifier of `kind`, made by `maker`."""
    draw = random.Random(f"{SEED}/{kind}")
    found = []
    for number in range(EACH):
        before, _, after = frames[number % len(frames)].partition("{}")
        value = maker(draw)
        found.append(Planted(kind, before + value + after, len(before), len(before) + len(value)))
    return found


def covered(one: Planted) -> bool:
    """Whether every letter and digit of the identifier is replaced, whatever type it was taken for."""
    gone = {i for found in find_identifiers(one.text) for i in range(found.start, found.end)}
    return all(i in gone for i in range(one.start, one.end) if one.text[i].isalnum())


def needless(one: Planted) -> tuple[int, int]:
    """Redactions in the sentence, and those of them that touch no planted identifier."""
    found = find_identifiers(one.text)
    return len(found), sum(1 for hit in found if hit.end <= one.start or hit.start >= one.end)


def main() -> None:
    """Measure and write benchmarks/results/pii.json."""
    structured: dict[Identifier, list[Planted]] = defaultdict(list)
    for kind, maker, frames in MAKERS:
        structured[kind] += planted(kind, maker, frames)
    persons = planted(Identifier.PERSON, person, PERSON_FRAMES)
    by_type = {kind.value: sum(map(covered, rows)) / len(rows) for kind, rows in structured.items()}
    everything = [one for rows in structured.values() for one in rows]
    recall = sum(map(covered, everything)) / len(everything)
    counts = [needless(one) for one in [*everything, *persons]]
    harmless = sum(len(find_identifiers(text)) for text in HARMLESS)
    total = sum(found for found, _ in counts) + harmless
    precision = 1 - (sum(wrong for _, wrong in counts) + harmless) / total
    person_recall = sum(map(covered, persons)) / len(persons)
    for name, value in sorted(by_type.items()):
        typer.echo(f"{name}: {value:.3f}")
    typer.echo(f"structured recall {recall:.4f}, persons {person_recall:.3f}, precision {precision:.4f}")
    extra = {"by_type": by_type, "redactions_in_harmless_sentences": harmless}
    claims = [
        Claim("pii.recall_structured", recall, "share", None, None, len(everything), "planted identifiers", extra),
        Claim("pii.precision", precision, "share", None, None, total, "redactions that touch a planted identifier"),
        Claim(
            "pii.recall_person", person_recall, "share", None, None, len(persons), "names, two of fourteen frames bare"
        ),
    ]
    write("pii", "python -m benchmarks.pii", claims)


if __name__ == "__main__":
    typer.run(main)
