import pytest

from editing.judges.base import Item
from editing.judges.checks import local_checks
from editing.judges.config import JudgeConfig
from editing.judges.registry import load_judge
from pipeline.core.config import load_section
from pipeline.core.records import QuestionKind


@pytest.fixture(scope="module")
def judge(pytestconfig):
    return load_judge("embedding", load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig))


def item(reply, statement="I'm a vegetarian.", attribute="diet", target="vegetarian"):
    return Item(
        kind=QuestionKind.IMPLICIT,
        question="What should I cook tonight?",
        statement=statement,
        attribute_type=attribute,
        target=target,
        aliases=(),
        accepted=(),
        reply=reply,
    )


CASES = [
    ("Since you're a vegetarian, make a lentil curry.", (True, False, False, True)),
    ("Grill a beef steak with butter.", (False, True, False, True)),
    ("Since you love sailing, try a fish-shaped pasta salad.", (False, None, True, True)),
    ("Pasta with tomato sauce is quick.", (False, False, False, True)),
    ("If you like heat, add chilli to the lentils.", (False, False, False, True)),
    ("You are not a vegetarian, so anything goes.", (True, True, False, True)),
    ("", (False, False, False, False)),
    ("I'm sorry, I can't help with that.", (False, False, False, False)),
    ("What should I cook tonight?", (False, False, False, False)),
]


@pytest.mark.parametrize(("reply", "expected"), CASES, ids=[reply[:25] or "empty" for reply, _ in CASES])
def test_the_four_checks_of_a_reply(judge, reply, expected):
    (found,) = local_checks([item(reply)], judge)
    for name, wanted in zip(("acknowledge", "violate", "hallucinate", "helpful"), expected, strict=True):
        if wanted is not None:
            assert found[name] is wanted, name


def test_what_a_user_dislikes_is_violated_when_it_is_offered(judge):
    options = {"statement": "I can't stand mushrooms.", "attribute": "dislike", "target": "mushrooms"}
    offered, left_out = local_checks(
        [item("Fry some mushrooms in butter.", **options), item("Make an omelette without mushrooms.", **options)],
        judge,
    )
    assert (offered["violate"], left_out["violate"]) == (True, False)
