from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.wording import stems
from pipeline.generate.aliases import aliases


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("nurse", ()),
        ("two daughters", ("2 daughters",)),
        ("3 cats", ("three cats",)),
        ("6'0", ()),
        ("$50,000", ()),
        ("vegan", ("plant-based",)),
        ("sales & marketing", ("sales and marketing",)),
        ("become a pilot", ("pilot",)),
        ("small organic vegetable farm", ()),
        ("9 year old daughter", ("nine year old daughter",)),
    ],
)
def test_aliases(target: str, expected: tuple[str, ...]) -> None:
    assert aliases(target) == expected


@given(st.text(max_size=40))
def test_an_alias_is_never_the_target_again(target: str) -> None:
    forms = aliases(target)
    assert tuple(stems(target)) not in [tuple(stems(form)) for form in forms]
