from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.wording import stems
from pipeline.generate.aliases import aliases


@pytest.mark.parametrize(
    ("target", "loose", "expected"),
    [
        ("nurse", False, ()),
        ("two daughters", False, ("2 daughters",)),
        ("3 cats", False, ("three cats",)),
        ("6'0", False, ()),
        ("$50,000", False, ()),
        ("vegan", False, ("plant-based",)),
        ("sales & marketing", False, ("sales and marketing",)),
        ("become a pilot", True, ("pilot",)),
        ("small organic vegetable farm", False, ("vegetable farm",)),
    ],
)
def test_aliases(target: str, loose: bool, expected: tuple[str, ...]) -> None:
    assert aliases(target, loose=loose) == expected


@given(st.text(max_size=40), st.booleans())
def test_an_alias_is_never_the_target_again(target: str, loose: bool) -> None:
    forms = aliases(target, loose=loose)
    assert tuple(stems(target)) not in [tuple(stems(form)) for form in forms]
