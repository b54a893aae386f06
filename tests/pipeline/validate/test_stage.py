from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.core.records import Draft, DraftQuestion, Dropped, QuestionKind
from pipeline.core.schemas import generated
from pipeline.validate.config import ValidateConfig
from pipeline.validate.stage import check, parse_drafts

SCHEMA = generated()["draft.schema.json"]


def test_rows_in_are_rows_out_plus_rejected(
    draft: Callable[..., Draft], make_question: Callable[..., DraftQuestion], config: ValidateConfig
) -> None:
    leaky = draft("u3")
    leaky = leaky.model_copy(
        update={"questions": (*leaky.questions, make_question(QuestionKind.IMPLICIT, "Should I play chess tonight?"))}
    )
    result = check([draft("u1"), draft("u2", target="tennis"), leaky], config)
    assert result.counts["drafts"] == {"in": 3, "out": 2, "rejected": 1}
    assert result.counts["questions"] == {"in": 19, "out": 18, "rejected": 1}
    assert len(result.rejected) == 2
    assert result.counts["rejected_by_reason"] == {"leaks_target": 1, "target_not_grounded": 1}


def test_a_rejected_draft_is_kept_whole_with_every_reason(draft: Callable[..., Draft], config: ValidateConfig) -> None:
    bad = draft(target="tennis", attribute_type="tennis")
    (row,) = check([bad], config).rejected
    assert Draft.model_validate_json(row.row) == bad
    assert "target_not_grounded" in row.detail
    assert "explicit_lacks_attribute" in row.detail


def test_the_same_fact_of_the_same_user_counts_once(draft: Callable[..., Draft], config: ValidateConfig) -> None:
    result = check([draft("u1"), draft("u1"), draft("u2")], config)
    assert len(result.kept) == 2
    assert result.counts["rejected_by_reason"] == {"duplicate": 1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("target"), "'target' is a required property"),
        (lambda d: d.update(mood="good"), "Additional properties"),
        (lambda d: d["questions"][0].update(kind="riddle"), "$.questions[0].kind"),
        (lambda d: d["statement"].update(confidence=2), "$.statement.confidence"),
    ],
)
def test_a_line_of_the_wrong_form_is_kept_with_line_path_and_rule(
    draft: Callable[..., Draft], change: Callable[[dict[str, Any]], object], told: str
) -> None:
    value = json.loads(draft().model_dump_json())
    change(value)
    good, bad = parse_drafts([draft().model_dump_json().encode(), json.dumps(value).encode()], SCHEMA)
    assert isinstance(good, Draft)
    assert isinstance(bad, Dropped)
    assert bad.reason == "schema"
    assert bad.detail.startswith("line 2: at $")
    assert told in bad.detail


def test_a_line_that_is_not_json_is_kept_and_the_rest_goes_on(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    lines = [b"{\n", b"\xff\xfe\n", b"\n", draft().model_dump_json().encode()]
    result = check(parse_drafts(lines, SCHEMA), config)
    assert result.counts["drafts"] == {"in": 3, "out": 1, "rejected": 2}


def test_an_update_without_its_earlier_preference_is_rejected(
    draft: Callable[..., Draft], config: ValidateConfig
) -> None:
    old, new = draft(), draft(text="I used to play chess, but now I do pottery.", target="pottery", origin="template")
    old = old.model_copy(update={"superseded_by": new.id})
    result = check([old.model_copy(update={"target": "tennis"}), new], config)
    assert result.counts["rejected_by_reason"] == {"nothing_to_replace": 1, "target_not_grounded": 1}
