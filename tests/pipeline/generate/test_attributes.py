from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.records import QuestionKind
from pipeline.core.wording import contains_phrase, words
from pipeline.generate.attributes import AttributeType, clip, find_attribute, taxonomy

FOUND = [
    ("I'm a nurse in a children's hospital.", "profession", "profession", "nurse"),
    ("I am a senior backend developer at a bank.", "profession", "profession", "senior backend developer"),
    ("I'm solo programmer, doing projects for myself.", "profession", "profession", "solo programmer"),
    ("I have been working as a pastry chef since May.", "profession", "profession", "pastry chef"),
    ("I am the head of customer support at a bank.", "profession", "profession", "head of customer support"),
    ("I run a small bakery with three employees.", "profession", "business", "small bakery"),
    ("We are a web design agency in Oslo.", "profession", "business", "web design agency"),
    ("I work at a hospital.", "profession", "employer", "hospital"),
    ("I work in marketing as a team lead.", "profession", "field of work", "marketing"),
    ("I study mechanical engineering in Porto.", "studies", "field of study", "mechanical engineering"),
    ("I have a bachelor's degree in physics and need a job.", "studies", "degree subject", "physics"),
    ("I am a CS student.", "studies", "field of study", "CS"),
    ("i am in 10th grade", "studies", "year of study", "10th grade"),
    ("I am new to programming.", "skill", "weak area", "programming"),
    ("I am a Python beginner.", "skill", "weak area", "Python"),
    ("I'm quite good at public speaking.", "skill", "main skill", "public speaking"),
    ("I mostly write my backends in Go.", "skill", "programming language", "Go"),
    ("I play the cello in an amateur orchestra.", "hobby", "musical instrument", "cello"),
    ("I love hiking in the mountains on weekends.", "hobby", "hobby", "hiking"),
    ("I collect vintage postcards.", "hobby", "collection", "vintage postcards"),
    ("I really enjoy playing badminton!", "hobby", "sport", "badminton"),
    ("My favourite colour is teal.", "taste", "favourite colour", "teal"),
    ("I hate coriander.", "taste", "dislike", "coriander"),
    ("I love spicy Thai food.", "taste", "interest", "spicy Thai food"),
    ("I live in Saint Louis.", "location", "place of residence", "Saint Louis"),
    ("i am from india.", "location", "place of origin", "india"),
    ("I have two daughters, aged four and seven.", "family", "children", "two daughters"),
    ("I have a golden retriever called Biscuit.", "pet", "pet", "golden retriever"),
    ("I drive a 2012 Honda Civic.", "possession", "vehicle", "2012 Honda Civic"),
    ("I'm allergic to penicillin.", "health", "allergy", "penicillin"),
    ("I have type 1 diabetes.", "health", "health condition", "type 1 diabetes"),
    ("I'm vegan.", "diet", "diet", "vegan"),
    ("I don't eat pork.", "diet", "avoided food", "pork"),
    ("I am afraid of flying.", "constraint", "fear", "flying"),
    ("I am an atheist.", "belief", "religion", "atheist"),
    ("I want to become a pilot.", "goal", "goal", "become a pilot"),
    ("I get up at five every morning.", "habit", "habit", "get up at five every morning"),
    ("My native language is Polish.", "language", "native language", "Polish"),
    ("I'm 34 years old.", "identity", "age", "34"),
    ("I'm an introvert and a perfectionist.", "identity", "personality trait", "introvert"),
    ("I have a plumbing and heating business.", "profession", "business", "plumbing and heating business"),
    ("Our company is an agent for exchange students.", "profession", "business", "agent for exchange students"),
    ("I run a blog about old clocks.", "hobby", "online project", "blog about old clocks"),
    ("We are a team of six.", "profession", "team size", "six"),
    ("I'm studying for the bar exam.", "studies", "upcoming challenge", "bar exam"),
    ("My thesis is about bird migration in Europe.", "studies", "research topic", "bird migration in Europe"),
    ("I'm learning Python.", "skill", "learning subject", "Python"),
    ("I never miss a walk with my 4 year old son.", "family", "children", "4 year old son"),
    ("I'm lactose intolerant.", "diet", "avoided food", "lactose"),
    ("I never eat breakfast.", "habit", "habit", "never eat breakfast"),
    ("I want to start a newsletter writing about old clocks.", "goal", "goal", "start a newsletter"),
    ("I am in financial maths undergrad.", "studies", "field of study", "financial maths"),
    ("My favourite show is the office.", "taste", "favourite show", "the office"),
    ("I love the ocean.", "taste", "interest", "the ocean"),
    ("My favorite book is a tale of two cities by the sea.", "taste", "favorite book", "tale of two cities"),
    ("I'm from Orange county.", "location", "place of origin", "Orange county"),
    ("I live in seoul but I work in busan.", "location", "place of residence", "seoul"),
    ("I have been bouldering for two years.", "hobby", "sport", "bouldering"),
    ("I like watching The Simpsons.", "taste", "interest", "watching The Simpsons"),
    ("I love old maps <3 I draw some myself.", "taste", "interest", "old maps"),
    ("I love maps haha.", "taste", "interest", "maps"),
    ("I love plums and hate apples.", "taste", "interest", "plums"),
    ("I love plums I work on Sundays.", "taste", "interest", "plums"),
    ("My major is geology emphasizing in caves.", "studies", "field of study", "geology"),
    ("I drive a 1990 Lada.", "possession", "vehicle", "1990 Lada"),
    ("I study botany my first year.", "studies", "field of study", "botany"),
    ("I work at Siemens btw.", "profession", "employer", "Siemens"),
    ("I work at a preschool rn and love it.", "profession", "employer", "preschool"),
    ("I'm a fan of chess mostly.", "taste", "fandom", "chess"),
    ("I'm technically an economics major.", "studies", "field of study", "economics"),
    ("My favorite smell is by far fresh bread.", "taste", "favorite smell", "fresh bread"),
    ("I like to run even though I am slow.", "taste", "interest", "run"),
    ("I love speaking in rhymes as well.", "taste", "interest", "speaking in rhymes"),
    ("I love the smell of rain.", "taste", "interest", "the smell of rain"),
    ("I've always wanted to be a baker ever since school.", "goal", "goal", "be a baker"),
    ("I hate slow walkers like on the stairs.", "taste", "dislike", "slow walkers"),
    ("I don't like maths nor chess.", "taste", "dislike", "maths"),
    ("I don't like rap either.", "taste", "dislike", "rap"),
    ("I'm studying in the graphic design major.", "studies", "field of study", "graphic design"),
    ("I'm studying botany and zoology--double major.", "studies", "field of study", "botany and zoology"),
    ("I'm good at playing chess and talking to people.", "skill", "main skill", "playing chess"),
    ("I have vast experience in tax law and a large network.", "skill", "main skill", "tax law"),
]

NOTHING = [
    "I am looking for a restaurant.",
    "Assume I am a construction lawyer.",
    "Imagine I'm a customer who wants a refund.",
    "I'm sourcing for a software engineer in Bangalore.",
    "I want to learn more.",
    "I work for a company.",
    "We have a new startup.",
    "I have a brand.",
    "I am a natural leader.",
    "I am a fluent English speaker.",
    "My sister was double my age, now I'm 25.",
    "I am a psychologist and my role is to interview you.",
    "I run a small business.",
    "I am studying the city Male.",
    "I have three hours in Lisbon.",
    "I'm working in Denmark.",
    "User: I am a nurse.",
    "Student 2: I am a nurse.",
    "Q: I have a dog.",
    "I am interested in your cooking classes.",
    "I love these songs.",
    "I love it when they sing.",
    "My companies website is companies website.",
    "I am interested in a passive method to earn money.",
    "I'm interested in starting a bakery.",
    "I love to visit Lisbon next year.",
    "I like to buy a horse.",
    "I have no dogs.",
    "I wish I had a dog, I wish I am a nurse.",
    "If I live in Oslo, where should I eat?",
    "I don't think I am a nurse.",
    "I used to think I am a nurse.",
    "I have a high school.",
    "I love almost any kind of film.",
    "I love pizza, just kidding.",
    "I am studying for the bar exam tonight.",
    "I have never followed a strict diet.",
    "I'm a diehard fan.",
    "I've always wanted a dog.",
    "I live in a large city.",
    "I live in student housing.",
    "I've been skiing and it was fun.",
    "I am studying at Oxford.",
    "I drive a lot of places.",
    "I have a car.",
    "I'm good at always knowing the way.",
    "I don't know much about the genre.",
    "I like using paint to change them.",
    "I really like Dr [PERSON] from the bank.",
    "I love being able to swim.",
    "I'm into anything old.",
    "I started school.",
    "My favorite books are by Agatha Christie.",
    "I am already a student at a college.",
    "I am a transfer student.",
    "I am a BYU student currently.",
    "There are some movies that I know really well.",
    "I really like girls that pull off short hair.",
    "I enjoy the professors.",
    "I like to cook stuff like soup.",
    "I am a weight loss doctor when.",
    "I'm really good at napping.",
    "My favorite film IA is Marvin.",
    "Trust me, I am a dentist for dragons.",
    "Thank you for the answer.",
    "",
]


@pytest.mark.parametrize(("text", "family", "name", "target"), FOUND)
def test_type_and_target_are_found(text: str, family: str, name: str, target: str) -> None:
    found = find_attribute(text, family, 6)
    assert found is not None
    assert (found.type.name, found.target) == (name, target)


@pytest.mark.parametrize("text", NOTHING)
def test_nothing_is_found_where_nothing_durable_is_said(text: str) -> None:
    assert find_attribute(text, "profession", 6) is None


def test_the_miners_family_decides_between_two_facts() -> None:
    text = "I am a tech entrepreneur from Kentucky who lives in Austin."
    names = {family: find_attribute(text, family, 6) for family in ("profession", "location")}
    assert {family: found and found.type.name for family, found in names.items()} == {
        "profession": "profession",
        "location": "place of residence",
    }


def test_curly_apostrophes_are_apostrophes() -> None:
    found = find_attribute("I’m a serial entrepreneur.", "profession", 6)
    assert found is not None and found.target == "serial entrepreneur"


@given(st.text(max_size=120), st.sampled_from(["profession", "taste", "goal", "health"]))
def test_a_target_is_a_short_span_of_the_statement(text: str, family: str) -> None:
    found = find_attribute(f"I love {text}", family, 6)
    if found is not None:
        assert found.target in " ".join(f"I love {text}".split())
        assert 1 <= len(words(found.target)) <= 6


@given(st.text(max_size=80), st.booleans())
def test_clipping_never_lengthens(text: str, loose: bool) -> None:
    clipped = clip(text, loose=loose, max_words=6)
    assert clipped is None or " ".join(clipped.split()) in " ".join(text.split())


@pytest.mark.parametrize("kind", taxonomy(), ids=lambda kind: kind.name)
def test_every_type_keeps_the_rules_in_the_questions_we_wrote(kind: AttributeType) -> None:
    filled = kind.named("favourite band") if kind.dynamic else kind
    assert len(filled.synonyms) == 8
    for text in filled.explicit:
        assert contains_phrase(text, filled.name)
    for group in (QuestionKind.REPHRASED, QuestionKind.IMPLICIT, QuestionKind.PRODUCT):
        for text in filled.questions(group):
            assert not contains_phrase(text, filled.name), text
            assert {"i", "my", "me"} & set(words(text)), text
            assert not {"your", "yours"} & set(words(text))
            assert text.endswith("?") and text.count("?") == 1


@pytest.mark.parametrize("kind", taxonomy(), ids=lambda kind: kind.name)
def test_every_prototype_of_a_type_is_recognised_as_that_type(kind: AttributeType) -> None:
    for text in kind.prototypes:
        found = find_attribute(text, kind.families[0], 6)
        assert found is not None
        assert found.type.name == kind.name or kind.dynamic
