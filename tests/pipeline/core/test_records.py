from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.core.records import CONTROL_KINDS, RELEASED, TARGET_KINDS, QuestionKind, Turn, content_id


@given(st.lists(st.text(), max_size=4))
def test_equal_parts_give_equal_ids_and_other_parts_other_ids(parts: list[str]) -> None:
    assert content_id(*parts) == content_id(*list(parts))
    assert content_id(*parts) != content_id(*parts, "more")


def test_parts_do_not_run_into_each_other() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")


def test_every_kind_is_a_target_kind_or_a_control() -> None:
    assert sorted([*TARGET_KINDS, *CONTROL_KINDS]) == sorted(QuestionKind)


def test_a_record_is_frozen_and_refuses_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        Turn.model_validate({"role": "user", "text": "x", "mood": "good"})
    with pytest.raises(ValidationError):
        Turn(role="user", text="x").text = "y"  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_every_field_says_what_it_is(name: str) -> None:
    undocumented = [field for field, info in RELEASED[name].model_fields.items() if not info.description]
    assert not undocumented
