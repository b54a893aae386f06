from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import InputError
from pipeline.llm.cache import Cache
from pipeline.llm.messages import RawReply, Usage

REPLY = RawReply("text", "stop", "model", Usage(3, 4))


def test_what_is_put_is_got_by_another_process(tmp_path: Path) -> None:
    Cache(tmp_path / "a" / "calls.sqlite").put("key", {"x": 1}, REPLY)
    again = Cache(tmp_path / "a" / "calls.sqlite")
    assert again.get("key") == REPLY
    assert again.get("other") is None


def test_the_first_reply_under_a_key_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "calls.sqlite")
    cache.put("key", {}, REPLY)
    cache.put("key", {}, RawReply("other", "stop", "model", Usage(1, 1)))
    assert cache.get("key") == REPLY


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_survives(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path / "calls.sqlite")
    cache.put(text, {"payload": text}, RawReply(text, "stop", text, Usage(0, 0)))
    found = cache.get(text)
    assert found is not None and found.text == text
    cache.close()


def test_spending_adds_up_over_all_replies(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "calls.sqlite")
    assert cache.spent_usd() == 0.0
    cache.bill("a", REPLY, 0.25)
    cache.bill("a", REPLY, 0.5)
    assert Cache(tmp_path / "calls.sqlite").spent_usd() == 0.75


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_text("not a database, but long enough to look at" * 40)
    with pytest.raises(InputError, match=r"calls\.sqlite"):
        Cache(tmp_path / "calls.sqlite")
