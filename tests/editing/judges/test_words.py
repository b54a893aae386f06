import pytest
from hypothesis import given
from hypothesis import strategies as st

from editing.judges.words import base_forms, find, same, tokens


@pytest.mark.parametrize(
    "forms",
    [
        "hike hikes hiked hiking",
        "run runs running ran",
        "study studies studied studying",
        "box boxes boxed boxing",
        "nurse nurses nurse's nursed",
        "dance dancing danced",
        "cat cats cat's",
        "child children",
    ],
)
def test_forms_of_one_word_are_the_same(forms):
    first, *others = (tokens(form)[0] for form in forms.split())
    assert all(same(other, first) and same(first, other) for other in others)
    assert base_forms(forms.split()[0])


@pytest.mark.parametrize("pair", ["nurse nursery", "car care", "new news", "bus busy", "bee be", "cat cattle"])
def test_other_words_do_not(pair):
    first, second = tokens(pair)
    assert not same(first, second)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("You are a NURSE.", "nurse"),
        ("you love Café au lait", "cafe au lait"),
        ("riding your horses", "horse riding"),
        ("Your low-carb diet", "low carb diet"),
        ("You have 2 kids", "two kids"),
        ("You are twenty-seven", "27"),
        ("You play guitar", "play the guitar"),
        ("You are a keen hiker", "hiking"),
        ("你喜欢爬山", "爬山"),
        ("O\u2019Brien\u2019s stout", "O'Brien's stout"),
        ("You use C++.", "c++"),
        ("You use C++, Java", "C++"),
        ("**C#**", "C#"),
        ("You read and/or write C#!", "C#"),
        ("You work in IT.", "IT"),
        ("IT's your field", "IT"),
        ("one of the VIPs", "VIP"),
        ("You live in the US", "the US"),
        ("Go is your language", "Go"),
        ("you may, in May", "May"),
        ("No, you don't.", "no"),
        ("You like hiking", "HIKING"),
        ("a hollywood tv editor", "hollywood TV editor"),
    ],
)
def test_a_phrase_is_found_in_its_other_forms(text, phrase):
    assert find(tokens(text), phrase)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("the nursery", "nurse"),
        ("hitchhiking", "hiking"),
        ("You are 270", "27"),
        ("You use C.", "C++"),
        ("You use C++.", "C"),
        ("You use C#.", "C"),
        ("You use C#.", "C++"),
        ("It could be anything.", "IT"),
        ("Tell us.", "US"),
        ("Go there, or go home", "IT"),
        ("you go", "Go"),
        ("you may", "May"),
        ("Oh, I see", "OH"),
        ("in the end", "dining"),
        ("anything", ""),
        ("a ride; later you saw one more of all those horses", "horse riding"),
    ],
)
def test_a_phrase_is_not_found_inside_other_words(text, phrase):
    assert not find(tokens(text), phrase)


@given(st.text(max_size=80))
def test_any_text_can_be_read_and_found_positions_are_inside_it(text):
    given_tokens = tokens(text)
    for start, end in find(given_tokens, text):
        assert 0 <= start < end <= len(given_tokens)


@given(st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=1, max_size=4))
def test_every_phrase_is_found_in_itself(words):
    phrase = " ".join(words)
    content = [token for token in tokens(phrase) if token.text not in {"the", "some", "our", "his", "her"}]
    assert find(tokens(f"well {phrase} indeed"), phrase) or not content or not find(tokens(phrase), phrase)
