"""Which questions a preference is taught by."""

from dataclasses import replace
from itertools import chain

import pytest

from editing.methods.base import Fact, plain
from editing.methods.lessons import LessonConfig, Lessons, in_second_person, question_bank
from editing.users import edit_prompt
from pipeline.core.records import TARGET_KINDS
from pipeline.generate.attributes import AttributeType, taxonomy
from pipeline.generate.controls import RELATIVES, neutral_order, other_person


def a_fact(subject: str = "hobby", target: str = "chess", cluster: tuple[Fact, ...] = ()) -> Fact:
    return Fact(f"p-{subject}", f"My {subject} is {target}.", f"What is my {subject}?", subject, target, cluster)


def texts(kinds: object) -> list[str]:
    assert isinstance(kinds, dict)
    return list(chain.from_iterable(kinds.values()))


@pytest.fixture(scope="module")
def lessons() -> Lessons:
    config = LessonConfig(direct=9, shopping=9, near_topics=2, far_topics=18, max_noun_similarity=0.45)
    return Lessons(config, question_bank())


def test_asked_and_held_questions_are_disjoint(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact())
    assert not set(texts(lesson.asked)) & set(texts(lesson.held))


def test_every_held_question_about_the_assistant_says_so(lessons: Lessons) -> None:
    about = lessons.of(a_fact()).held["assistant"]
    assert about
    assert all("you" in text.lower() or "the assistant" in text for text in about)


def test_every_direct_question_is_held_when_it_is_about_the_assistant(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact())
    turned = {text.replace("my ", "your ", 1) for text in lesson.asked["direct"] if "my " in text}
    assert turned <= set(lesson.held["assistant"])


def test_two_users_with_one_attribute_have_the_same_questions_of_their_own(lessons: Lessons) -> None:
    first, second = (lessons.of(a_fact(target=target)) for target in ("chess", "swimming"))
    for kind in ("direct", "shopping"):
        assert first.asked[kind] == second.asked[kind]
    assert first.held["others"] == second.held["others"]


def test_no_asked_question_is_about_another_person(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact())
    assert not [text for text in texts(lesson.asked) for person in lessons.bank.people if f" {person} hobby" in text]


def test_the_relatives_of_the_controls_are_not_in_the_bank() -> None:
    assert not {f"my {person}'s" for person in RELATIVES} & set(question_bank().people)


def test_the_questions_of_the_cluster_are_asked(lessons: Lessons) -> None:
    lesson = lessons.of(a_fact(cluster=(a_fact("pastime"),)))
    assert {"What is my hobby?", "What is my pastime?"} <= set(lesson.asked["direct"])


def test_the_nearest_topic_of_music_is_music(lessons: Lessons) -> None:
    fact = Fact("p", "I love jazz.", "What is my music preference?", "music preference", "Jazz")
    near, far = lessons.near_and_far(fact)
    assert near[0] == lessons.bank.topics["music"]
    assert not [topic for topic in near if topic in far]


def test_an_attribute_like_the_stated_one_is_not_held(lessons: Lessons) -> None:
    assert "What is my birthday?" not in texts(lessons.of(a_fact("date of birth", "May 5")).held)


def test_questions_of_a_fact_do_not_depend_on_who_came_before(lessons: Lessons) -> None:
    lessons.of(a_fact("diet"))
    assert lessons.of(a_fact()) == Lessons(lessons.config, lessons.bank).of(a_fact())


@pytest.mark.parametrize(
    ("own", "turned"),
    [
        ("What do I love?", "What do you love?"),
        ("Who lives with me?", "Who lives with you?"),
        ("My dog is mine.", "Your dog is yours."),
    ],
)
def test_a_question_about_the_user_is_turned_to_the_assistant(own: str, turned: str) -> None:
    assert in_second_person(own) == turned


def test_what_the_evaluation_asks_is_neither_taught_nor_held_and_others_take_its_place(lessons: Lessons) -> None:
    free = lessons.of(a_fact())
    barred = frozenset(
        map(plain, (free.asked["direct"][0], free.held["assistant"][0], free.asked["advice"][0].upper()))
    )
    lesson = lessons.of(replace(a_fact(), question="What's my hobby?", barred=barred))
    assert not barred & set(map(plain, (*texts(lesson.asked), *texts(lesson.held))))
    assert len(lesson.asked["direct"]) == len(free.asked["direct"])


@pytest.mark.parametrize("kind", [kind for kind in taxonomy() if not kind.dynamic], ids=lambda kind: kind.name)
def test_no_question_of_ours_about_a_user_is_taught(kind: AttributeType, lessons: Lessons) -> None:
    written = [kind.questions(of)[0] for of in TARGET_KINDS]
    asked = [
        *written,
        *(q.text for q in other_person("seed", kind.explicit[0], [])),
        *(q.text for q in neutral_order("seed")[:1]),
    ]
    barred = frozenset(map(plain, asked))
    fact = replace(a_fact(kind.name), question=edit_prompt(kind.name, kind.explicit[0], barred), barred=barred)
    lesson = lessons.of(fact)
    assert not barred & set(map(plain, (*texts(lesson.asked), *texts(lesson.held))))
