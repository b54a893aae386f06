"""Redaction: nothing that identifies a person passes, and ordinary numbers and words stay."""

from __future__ import annotations

import re
import time

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
    ("URL", "foo.com.au/users/jane"),
    ("URL", "linktr.ee/jane"),
    ("URL", "jane.substack.com"),
    ("URL", "https://jane.github.io"),
    ("ADDRESS", "Lindenstraße 14"),
    ("ADDRESS", "221B Baker Street"),
    ("ADDRESS", "45 elm street"),
    ("ADDRESS", "Calle Mayor 45"),
    ("ADDRESS", "calle Mayor 45"),
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
    "The meeting is on 19/01/2022 12:15, or at 14:30 3/16/2023.",
    "I saw it on 2022-01-19 12:15:33 and again on 2022-01-20 08:00.",
    "I have a docker image with ID 655716299224 and named desktop.",
    "I use @angular/core and import from '@types/node'.",
    "Write about my friend Tensorflow, who was laid off.",
    "My wife is Cuban and my boss is German.",
    "My name is not important and his name is spelled wrong.",
    "I live 10 minutes by road, on a 3 lane road, and like the 5 best street foods.",
    "I drive 45 miles down the road.",
    "I write for github.io and wordpress.com, and read www.medium.com daily.",
    "I use node.js/express from 9.am/pm, and/or vue.js/nuxt.",
    "Password: required, and the password is a string.",
    "I am the bearer of responsibilities.",
    "Our BOSS Model sells well.",
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
        ("my name is giovanni rossi and I sail", "my name is [PERSON] and I sail"),
        ("my name is jane doe and i sail", "my name is [PERSON] and i sail"),
        ("my name is Oscar agreda , i sail", "my name is [PERSON] , i sail"),
        ("My name is Robert E Lee", "My name is [PERSON]"),
        ("Mr McCarthy called.", "Mr [PERSON] called."),
        ("My name is Łukasz Żak.", "My name is [PERSON]."),
        ("My husband Łukasz cooks.", "My husband [PERSON] cooks."),
        ("My name is 李伟 and I paint.", "My name is [PERSON] and I paint."),
        ("I live with my wife 李伟.", "I live with my wife [PERSON]."),
        ("I have a dog and her name is Luna.", "I have a dog and her name is [PERSON]."),
        ("His name is Tom Baker, he sails.", "His name is [PERSON], he sails."),
        ("our son Emil is four", "our son [PERSON] is four"),
        ("Our daughter Ida sings.", "Our daughter [PERSON] sings."),
        ("My boss is Amara Okafor.", "My boss is [PERSON]."),
        ("a message for my wife of 24 years, Tissa.", "a message for my wife of 24 years, [PERSON]."),
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
        "password: correcthorse",
        "DB_PASSWORD=correcthorse",
        "AWS secret access key wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "Authorization: Bearer mF_9.B5f-4.1JqM",
        "on 19/01/2022 call 555 0199",
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


WORDS = st.sampled_from(
    "my name is jane doe and i giovanni rossi Łukasz 李伟 wife of 24 years, our son Emil Dr. McCarthy 221B Baker "
    "Street "
    "a@b.org x.github.io foo.com.au/users/jane 19/01/2022 12:15 +49 30 901820 password: tiger!42 @ines_okafor é ß _ "
    "7".split()
)


@given(st.lists(st.tuples(WORDS, st.sampled_from(["", " ", ", ", ". "])), max_size=12))
def test_no_redaction_cuts_a_word(pieces: list[tuple[str, str]]) -> None:
    text = "".join(word + gap for word, gap in pieces)
    for found in find_identifiers(text):
        for edge in (found.start, found.end):
            assert not re.fullmatch(r"\w\w", text[max(0, edge - 1) : edge + 1]), text[found.start : found.end]


@pytest.mark.parametrize(
    "piece", ["a.", "a-", "my name is ", "1 a ", "李", "Aa", "1-", "my wife of a b ", "secret key"]
)
def test_a_long_text_takes_no_time(piece: str) -> None:
    text = (piece * 4000)[:4000]
    began = time.process_time()
    find_identifiers(text)
    assert time.process_time() - began < 2


def test_the_log_holds_no_value() -> None:
    assert "okafor" not in repr(redact("write to ines.okafor@example.org").log)


def test_identifiers_do_not_overlap() -> None:
    found = find_identifiers("https://x.example.com/a?mail=ines@example.org&card=4111111111111111 or +4930901820")
    assert all(left.end <= right.start for left, right in zip(found, found[1:], strict=False))
