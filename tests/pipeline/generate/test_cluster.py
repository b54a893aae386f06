from __future__ import annotations

import pytest

from pipeline.core.records import DraftQuestion, QuestionKind
from pipeline.core.wording import words
from pipeline.generate.attributes import AttributeType, taxonomy
from pipeline.generate.cluster import build_cluster

KINDS = {kind.name: kind for kind in taxonomy()}


def asked(text: str) -> DraftQuestion:
    return DraftQuestion(kind=QuestionKind.REPHRASED, text=text, origin="template", query_id=None, accepted=())


@pytest.mark.parametrize("kind", taxonomy(), ids=lambda kind: kind.name)
def test_a_cluster_has_nine_members_in_the_first_person_and_the_original_leads(kind: AttributeType) -> None:
    filled = kind.named("favourite band") if kind.dynamic else kind
    cluster = build_cluster(filled, "zzz", ("yyy",), (), 9)
    assert len(cluster) == 9
    assert (cluster[0].attribute_type, cluster[0].question, cluster[0].target) == (
        filled.name,
        filled.explicit[0],
        "zzz",
    )
    assert all("my" in words(member.question) for member in cluster)
    assert not any({"your", "yours"} & set(words(member.question)) for member in cluster)
    assert len({member.question for member in cluster}) == 9


def test_targets_alternate_between_target_and_aliases() -> None:
    cluster = build_cluster(KINDS["profession"], "nurse", ("registered nurse",), (), 4)
    assert [member.target for member in cluster] == ["nurse", "registered nurse", "nurse", "registered nurse"]


def test_a_question_of_the_evaluation_is_not_in_the_cluster() -> None:
    cluster = build_cluster(KINDS["profession"], "nurse", (), (asked("What is my job?"),), 9)
    assert "What is my job?" not in [member.question for member in cluster]


def test_a_synonym_that_gives_the_target_away_is_left_out() -> None:
    cluster = build_cluster(KINDS["hobby"], "recreation", (), (), 9)
    assert "recreation" not in [member.attribute_type for member in cluster]
