"""Redaction: nothing that identifies a person passes, and ordinary numbers and words stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mine.pii import find_identifiers, redact

IDENTIFIERS = [
    ("EMAIL", "ines.okafor+news@mail.example.org"),
    ("EMAIL", "bob [at] example [dot] com"),
    ("PHONE", "+49 30 901820"),
    ("PHONE", "(415) 555-2671"),
    ("IP", "192.168.17.204"),
    ("IP", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
    ("CARD", "4111 1111 1111 1111"),
    ("IBAN", "DE89 3704 0044 0532 0130 00"),
    ("SSN", "536-90-4399"),
    ("URL", "https://social.example.com/people/ines.okafor"),
    ("SECRET", "sk-" + "a1B2c3D4" * 4),
    ("SECRET", "ghp_" + "a1B2c3D4" * 4),
    ("SECRET", "AKIA" + "ABCDEFGH12345678"),
    ("ADDRESS", "221 Rosewood Avenue"),
    ("ADDRESS", "Lindenstraße 14"),
    ("HANDLE", "@ines_okafor"),
]
HARMLESS = [
    "I have 3 cats and 12 hens, and I am 34 years old.",
    "I was born in 1984 and moved here in 2010-2015.",
    "My laptop is a ThinkPad X1 with 16 GB and Python 3.11.4.",
    "I work at Google and live in New York.",
    "I am Catholic and a teacher.",
    "I ran 10.5 km in 0:49:12 and weigh 82.5 kg.",
    "I earn 45,000 dollars a year, about 30% more than before.",
    "I use node.js and asp.net, mostly on github.com.",
    "I am Senior Manager at a bank.",
]


@pytest.mark.parametrize(("kind", "value"), IDENTIFIERS)
@pytest.mark.parametrize("frame", ["I can be found under {}.", "{}", "here: {}, thanks", "({})"])
def test_an_identifier_is_replaced_by_its_type(kind: str, value: str, frame: str) -> None:
    redacted = redact(frame.format(value))
    assert redacted.text == frame.format(f"[{kind}]")
    assert [entry.kind for entry in redacted.log] == [kind]


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("My name is Ines Okafor and I paint.", "My name is [PERSON] and I paint."),
        ("my name is ines, nice to meet you", "my name is [PERSON], nice to meet you"),
        ("I'm Ines, a nurse.", "I'm [PERSON], a nurse."),
        ("My wife Amara is vegan.", "My wife [PERSON] is vegan."),
        ("my friend, Tom Baker, sails", "my friend, [PERSON], sails"),
        ("Hi, I'm Lena from Ghent.", "Hi, I'm [PERSON] from Ghent."),
        ("You can call me Bo.", "You can call me [PERSON]."),
        ("I see Dr. Menon every week.", "I see Dr. [PERSON] every week."),
    ],
)
def test_a_private_name_is_found_by_what_stands_around_it(text: str, redacted: str) -> None:
    assert redact(text).text == redacted


@pytest.mark.parametrize(
    "text",
    [
        "my password is tiger!42",
        "API key: 93hf-aa81-xx",
        "the account number is 00921884",
        "passport no. C01X00T47",
        "call me: 555 0199",
    ],
)
def test_a_word_before_it_makes_a_number_or_word_an_identifier(text: str) -> None:
    assert redact(text).log


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_numbers_and_names_stay(text: str) -> None:
    assert redact(text).text == text


@given(st.text(alphabet="abcI @.:/-+0123456789éß\n#", max_size=80))
def test_the_log_points_at_the_placeholders_and_the_rest_is_untouched(text: str) -> None:
    redacted = redact(text)
    found = find_identifiers(text)
    assert [redacted.text[e.start : e.end] for e in redacted.log] == [f"[{e.kind}]" for e in redacted.log]
    kept, last = "", 0
    for one in found:
        kept, last = kept + text[last : one.start], one.end
    rest, last = "", 0
    for entry in redacted.log:
        rest, last = rest + redacted.text[last : entry.start], entry.end
    assert (
        kept + text[found[-1].end if found else 0 :]
        == rest + redacted.text[redacted.log[-1].end if redacted.log else 0 :]
    )


def test_the_log_holds_no_value() -> None:
    assert "okafor" not in repr(redact("write to ines.okafor@example.org").log)


def test_identifiers_do_not_overlap() -> None:
    found = find_identifiers("https://x.example.com/a?mail=ines@example.org&card=4111111111111111 or +4930901820")
    assert all(left.end <= right.start for left, right in zip(found, found[1:], strict=False))
