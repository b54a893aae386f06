import pytest

from editing.judges.base import Item
from editing.judges.reading import sentences
from editing.judges.restrictions import Respect, respect
from pipeline.core.records import QuestionKind


def deals(reply, statement, target):
    item = Item(
        kind=QuestionKind.IMPLICIT,
        question="Where could we eat?",
        statement=statement,
        attribute_type="diet",
        target=target,
        aliases=(),
        accepted=(),
        reply=reply,
    )
    return respect(sentences(reply), item)


@pytest.mark.parametrize(
    ("statement", "target", "reply", "expected"),
    [
        ("I'm a vegetarian.", "vegetarian", "Grill a trout and a steak.", Respect.VIOLATED),
        ("I'm a vegetarian.", "vegetarian", "Try the bean burger.", Respect.UNTOUCHED),
        ("I stopped eating meat, so I'm a pescatarian.", "pescatarian", "Have the grilled cod.", Respect.UNTOUCHED),
        ("I stopped eating meat, so I'm a pescatarian.", "pescatarian", "Have the beef stew.", Respect.VIOLATED),
        ("I'm a teetotaller.", "teetotaller", "A wine bar.", Respect.VIOLATED),
        ("I'm a teetotaller.", "teetotaller", "An alcohol-free bar with great cocktails.", Respect.UNTOUCHED),
    ],
)
def test_how_advice_deals_with_what_a_preference_rules_out(statement, target, reply, expected):
    assert deals(reply, statement, target) is expected
