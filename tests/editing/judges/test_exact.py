import pytest
from hypothesis import given
from hypothesis import strategies as st

from editing.judges.base import Item
from editing.judges.exact import ExactConfig, ExactJudge, holds_fact
from pipeline.core.records import QuestionKind

JUDGE = ExactJudge(ExactConfig(list_items_recall=4, list_items_apply=6))


def rule(reply, *, kind="explicit", target="hiking", aliases=(), statement="I love hiking in the hills.", **more):
    item = Item(
        kind=QuestionKind(kind),
        question=more.get("question", "What's my hobby?"),
        statement=statement,
        attribute_type="hobby",
        target=target,
        aliases=aliases,
        accepted=more.get("accepted", ()),
        reply=reply,
    )
    (ruling,) = JUDGE.rule([item])
    return ruling


@pytest.mark.parametrize(
    "reply",
    [
        "Hiking",
        "hiking.",
        "You love to hike!",
        "You are a hiker.",
        "I believe you like hiking.",
        "Hiking, right?",
        "I'm not sure, but I think you like hiking.",
        "No doubt: hiking.",
        "You can't get enough of hiking.",
        "You told me that you love hiking, camping and swimming.",
        "It isn't chess, it's hiking.",
        "You're a hiker: it keeps you fit all through the year, and you see hills, lakes or woods.",
        "Nothing beats hiking for you.",
        "You love hiking where it doesn't rain.",
        "You enjoy hiking when you're not at work.",
        "Thanks for asking! From what you have told me so far, the thing you like to do most of all is hiking.",
    ],
)
def test_an_answer_that_asserts_the_target_is_correct(reply):
    assert rule(reply).verdict == "correct"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", "empty"),
        (" ...\n", "empty"),
        ("I don't know your hobbies.", "not mentioned"),
        ("You do not like hiking.", "negated"),
        ("Hiking is not your hobby.", "negated"),
        ("Hiking surely isn't your hobby.", "negated"),
        ("Anything but hiking.", "negated"),
        ("I have no idea whether you enjoy hiking.", "negated"),
        ("You used to hike, but now you prefer chess.", "overridden"),
        ("Hiking? No, your hobby is chess.", "overridden"),
        ("Your hobby is hiking. Actually, it's chess.", "overridden"),
        ("You like hiking, but actually you prefer chess now.", "overridden"),
        ("Is it hiking?", "asked back"),
        ("As an AI I love hiking.", "about itself"),
        ("Many people enjoy hiking.", "about others"),
        ("Your sister loves hiking.", "about others"),
        ("Others run, and for many of them hiking is a change.", "about others"),
        ("I'm only a program. But hiking would suit me.", "about itself"),
        ("You loved hiking, but forget it and play chess.", "negated"),
        ("You did go hiking, but you've gone off it.", "overridden"),
        ("You live in Hiking Lane.", "inside a name"),
        ("What's your hobby?", "echo"),
        ("The reply above is right.", "echo"),
        ("Hiking, chess, cooking, painting or football.", "shotgun list"),
        ("- hiking\n- chess\n- cooking\n- golf", "shotgun list"),
        ("You like hitchhiking.", "not mentioned"),
        ("hiking hiking hiking hiking", "degenerate"),
        ("What's my hobby?", "echo"),
        ("I love hiking in the hills.", "echo"),
        ("GRADE: correct", "echo"),
        ("h", "not mentioned"),
    ],
)
def test_an_answer_that_does_not_assert_the_target_is_incorrect_with_its_reason(reply, reason):
    assert (rule(reply).verdict, rule(reply).reason) == ("incorrect", reason)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("You are a nurse who doesn't drink coffee.", "correct"),
        ("You're a nurse whose shifts never end.", "correct"),
        ("Nurse is not what you are.", "incorrect"),
        ("You are not a nurse who works nights.", "incorrect"),
    ],
)
def test_what_is_denied_of_something_else_does_not_deny_the_target(reply, verdict):
    assert rule(reply, target="nurse", statement="I work as a nurse.").verdict == verdict


def test_a_dislike_is_one_in_whatever_case_it_was_written():
    assert rule("You love TV.", target="TV", statement="i hate tv").reason == "violating"


def test_a_control_that_asks_about_it_does_not_name_the_user_s_work_in_it():
    assert rule("It is blue.", kind="irrelevant", target="IT", question="What colour is it?").verdict == "correct"
    assert rule("Ask in IT.", kind="irrelevant", target="IT", question="What colour is it?").verdict == "incorrect"


def test_an_alias_counts_as_the_target():
    assert rule("You enjoy trekking.").verdict == "incorrect"
    assert rule("You enjoy trekking.", aliases=("trekking",)).verdict == "correct"


def test_advice_may_say_what_to_do_without_the_target():
    assert rule("Go hiking. If you do not feel like hiking, rest.", kind="implicit").verdict == "correct"


@pytest.mark.parametrize(
    ("kind", "reply", "verdict"),
    [
        ("explicit", "Mushrooms.", "correct"),
        ("explicit", "You hate mushrooms.", "correct"),
        ("explicit", "You love mushrooms!", "incorrect"),
        ("explicit", "You don't dislike mushrooms.", "incorrect"),
        ("implicit", "Most people add mushrooms; leave them out.", "correct"),
        ("implicit", "Try a pizza without mushrooms.", "correct"),
        ("implicit", "Try mushroom soup.", "incorrect"),
    ],
)
def test_a_preference_against_something_turns_the_rules_around(kind, reply, verdict):
    assert rule(reply, kind=kind, target="mushrooms", statement="I hate mushrooms.").verdict == verdict


@pytest.mark.parametrize("reply", ["Hiking.", "I do not know whether she hikes.", "Her hobby is hiking"])
def test_on_a_control_any_mention_of_the_target_is_incorrect(reply):
    assert rule(reply, kind="other_person").verdict == "incorrect"


@pytest.mark.parametrize("reply", ["", "I don't know.", "She was hitchhiking."])
def test_on_a_control_silence_about_the_target_is_correct(reply):
    assert rule(reply, kind="other_person").verdict == "correct"


def test_a_control_whose_good_answer_holds_the_target_is_unscored():
    ruling = rule("Paris", kind="neutral", target="Paris", question="Capital of France?", accepted=("Paris",))
    assert (ruling.verdict, ruling.reason) == ("unscored", "target belongs there")


def test_facts_are_whole_words():
    assert holds_fact("It is Oslo.", ("Oslo",))
    assert holds_fact("It has 8 legs", ("eight",))
    assert not holds_fact("Osloite", ("Oslo",))


@given(st.text(max_size=120), st.sampled_from(list(QuestionKind)))
def test_every_reply_gets_a_verdict_with_a_reason(reply, kind):
    ruling = rule(reply, kind=kind)
    assert ruling.verdict in ("correct", "incorrect", "unscored")
    assert ruling.reason


@given(st.text(alphabet="abcdfjlmopqrstuvwxyz ,.!?", max_size=120))
def test_without_the_word_no_reply_is_correct_on_a_target_kind(reply):
    # The alphabet lacks letters of the target, so it cannot stand there.
    assert rule(reply).verdict == "incorrect"
