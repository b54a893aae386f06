from __future__ import annotations

from pipeline.core.records import (
    ClusterMember,
    Difficulty,
    Evidence,
    Preference,
    Provenance,
    Question,
    QuestionKind,
)
from pipeline.release.export import FIELDS, upqa_rows


def preference(name: str, cluster: tuple[ClusterMember, ...] = ()) -> Preference:
    return Preference(
        id=name,
        user_id="u",
        statement="I play chess.",
        attribute_type="hobby",
        family="hobby",
        target="chess",
        aliases=(),
        cluster=cluster,
        sensitive=(),
        evidence=Evidence(source="jsonl", conversation="c", turn=0, start=0, end=5),
        source="jsonl",
        license="CC-BY-4.0",
        split="test",
        provenance=Provenance(model="m", prompts={}, samples=1),
    )


def questions(of: str, kinds: tuple[QuestionKind, ...]) -> list[Question]:
    return [
        Question(
            id=f"{of}-{kind}-{number}",
            preference_id=of,
            user_id="u",
            kind=kind,
            text=f"{kind} {number}?",
            origin="generated",
            query_id=None,
            expects="recall",
            accepted=("chess",),
            difficulty="easy",
            measured=Difficulty(statement_overlap=0, attribute_overlap=1, statement_similarity=0, statement_rank=1),
            license="CC-BY-4.0",
            split="test",
        )
        for kind in kinds
        for number in (2, 1)
    ]


def test_a_row_has_the_published_fields_and_the_first_question_of_each_kind() -> None:
    (row,) = upqa_rows([preference("p")], questions("p", tuple(FIELDS)), clusters=False)
    assert row == {
        "input_attribute": "I play chess.",
        "attribute_type": "hobby",
        "question": "explicit 1?",
        "question_paraphrased": "rephrased 1?",
        "implicit_question": "implicit 1?",
        "product_recommendation_question": "product 1?",
        "target": "chess",
    }


def test_a_preference_without_all_four_kinds_is_left_out() -> None:
    rows = upqa_rows([preference("p"), preference("q")], questions("q", (QuestionKind.EXPLICIT,)), clusters=False)
    assert rows == []


def test_a_clustered_row_has_the_original_last() -> None:
    cluster = (
        ClusterMember(attribute_type="hobby", question="What is my hobby?", target="chess"),
        ClusterMember(attribute_type="pastime", question="What is my pastime?", target="the game of chess"),
    )
    (row,) = upqa_rows([preference("p", cluster)], questions("p", tuple(FIELDS)), clusters=True)
    assert row["attribute_type"] == ["pastime", "hobby"]
    assert row["question"][-1] == "What is my hobby?"
    assert row["target"] == ["the game of chess", "chess"]
