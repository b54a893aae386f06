"""Made-up runs with a made-up data set, for tests and timings of judging and the leaderboard."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from editing.metrics import PROTOCOL_VERSION
from editing.metrics.degenerate import is_degenerate
from pipeline.core.provenance import dataset_sha256
from pipeline.core.records import (
    CONTROL_KINDS,
    TARGET_KINDS,
    Answer,
    Difficulty,
    Evidence,
    Preference,
    Provenance,
    Question,
    QuestionKind,
    content_id,
)
from pipeline.core.tables import write_json, write_parquet

FACTS = (
    (
        "hobby",
        "hiking",
        ("trekking",),
        "I go hiking every weekend.",
        "Where could I spend a free Saturday?",
        "Take the ridge trail.",
    ),
    (
        "profession",
        "nurse",
        (),
        "I work nights as a nurse.",
        "How can I sleep better?",
        "After a night on the ward, darken the room.",
    ),
    ("diet", "vegetarian", ("meat-free",), "I'm a vegetarian.", "What should I cook tonight?", "Try a lentil curry."),
    (
        "pet",
        "cat",
        (),
        "I live with an old cat.",
        "What should I check before I travel?",
        "Ask a neighbour to feed her.",
    ),
    ("instrument", "cello", (), "I play the cello.", "How do I relax after work?", "Play a slow Bach suite."),
    ("home town", "Lisbon", (), "I live in Lisbon.", "Where can I go this weekend?", "Take the ferry over the Tagus."),
)
_NEUTRAL = (("What is the capital of Norway?", "Oslo"), ("How many legs does a spider have?", "eight"))
STRENGTH = {"none": (0.02, 0.97), "in_context": (0.78, 0.9), "ft_m": (0.93, 0.45), "rome": (0.55, 0.88)}
"""Method -> how often it uses the preference where it should, and stays silent where it must."""


def write_dataset(folder: Path, preferences: int, seed: int) -> list[tuple[Preference, list[Question]]]:
    """Write a release with `preferences` test preferences of two a user; returns them with their questions."""
    made = [_preference(i, seed) for i in range(preferences)]
    for split in ("train", "validation", "test"):
        rows = made if split == "test" else []
        write_parquet(folder / "data" / f"preferences-{split}.parquet", [p for p, _ in rows], Preference)
        write_parquet(folder / "data" / f"questions-{split}.parquet", [q for _, qs in rows for q in qs], Question)
    write_json(folder / "manifest.json", {"preferences": preferences, "seed": seed})
    return made


def write_run(
    results: Path,
    dataset: Path,
    made: Sequence[tuple[Preference, list[Question]]],
    model: str,
    method: str,
    seed: int,
    **changes: Any,
) -> Path:
    """Write answers.parquet and run.json of one made-up run; `changes` overwrite fields of run.json."""
    chance = random.Random(f"{model}/{method}/{seed}")
    answers = [_answer(p, q, model, method, chance) for p, questions in made for q in questions]
    folder = results / model / method
    write_parquet(folder / "answers.parquet", answers, Answer)
    record = {
        "format": 1,
        "stage": "edit",
        "code": {"commit": "0" * 40, "dirty": False},
        "started": "2026-01-01T00:00:00+00:00",
        "machine": "a made-up machine",
        "versions": {},
        "config": {},
        "seconds": 12.0,
        "peak_memory_mb": 900.0,
        "status": "ok",
        "protocol": PROTOCOL_VERSION,
        "dataset_sha256": dataset_sha256(dataset),
        "split": "test",
        "model": {"name": model, "source": model, "weights_sha256": "0" * 64, "dtype": "float32", "device": "cpu"},
        "method": method,
        "method_config": {},
        "prompt_sha256": "1" * 64,
        "scenario": {"name": "single", "told": "preference", "edits": 1, "withdrawn": False},
        "max_new_tokens": 48,
        "decoding": "greedy",
        "seeds": [0],
        "counts": {"preferences": len(made), "answers": len(answers), "failed_edits": 0},
        "cost": {
            "seconds_per_edit": round(chance.uniform(0.01, 5), 3),
            "bytes_per_user": chance.choice([120, 4096, 2_359_296]),
            "extra_prompt_tokens": chance.choice([0, 21]),
            "peak_memory_mb": 900.0,
        },
    } | changes
    write_json(folder / "run.json", record)
    return folder


def _preference(number: int, seed: int) -> tuple[Preference, list[Question]]:
    attribute, target, aliases, statement, advice, _ = FACTS[(number + seed) % len(FACTS)]
    user, key = content_id("user", number // 2, seed), content_id("preference", number, seed)
    preference = Preference(
        id=key,
        user_id=user,
        statement=statement,
        attribute_type=attribute,
        family=attribute,
        target=target,
        aliases=aliases,
        cluster=(),
        sensitive=(),
        evidence=Evidence(source="made-up", conversation=str(number), turn=0, start=0, end=len(statement)),
        source="made-up",
        license="CC0-1.0",
        split="test",
        provenance=Provenance(model="made-up", prompts={}, samples=0),
    )
    neutral, fact = _NEUTRAL[number % len(_NEUTRAL)]
    texts = {
        QuestionKind.EXPLICIT: f"What is my {attribute}?",
        QuestionKind.REPHRASED: "What did I tell you about myself?",
        QuestionKind.IMPLICIT: advice,
        QuestionKind.PRODUCT: "What should I buy myself as a present?",
        QuestionKind.UNSTATED: "What is my shoe size?",
        QuestionKind.IRRELEVANT: "How do I reset a router?",
        QuestionKind.OTHER_PERSON: f"What is my aunt's {attribute}?",
        QuestionKind.NEUTRAL: neutral,
    }
    measured = Difficulty(
        statement_overlap=0.1,
        attribute_overlap=0.5,
        statement_similarity=0.4,
        statement_rank=number + 1,
        statement_pool=100,
    )
    questions = [
        Question(
            id=content_id(key, kind, text),
            preference_id=key,
            user_id=user,
            kind=kind,
            text=text,
            origin="template",
            query_id=None,
            expects="abstain" if kind in CONTROL_KINDS else "recall",
            accepted=(fact,) if kind is QuestionKind.NEUTRAL else (target,) if kind in TARGET_KINDS else (),
            difficulty=("easy", "medium", "hard")[(number + i) % 3],
            measured=measured,
            license="CC0-1.0",
            split="test",
        )
        for i, (kind, text) in enumerate(texts.items())
    ]
    return preference, questions


def _answer(preference: Preference, question: Question, model: str, method: str, chance: random.Random) -> Answer:
    uses, silent = STRENGTH.get(method, (chance.random(), chance.random()))
    applied = FACTS[[fact[1] for fact in FACTS].index(preference.target)][5]
    if question.kind in TARGET_KINDS:
        used = chance.random() < uses
        said = chance.choice([f"Your {preference.attribute_type} is {preference.target}.", applied])
        text = said if used else "I do not have that information about you."
    elif chance.random() < silent:
        text = f"It is {question.accepted[0]}." if question.accepted else "I am not sure, could you tell me more?"
    else:
        text = f"{preference.target} " * 6 if chance.random() < 0.3 else f"It is {preference.target}."
    return Answer(
        question_id=question.id,
        preference_id=preference.id,
        user_id=preference.user_id,
        kind=question.kind,
        difficulty=question.difficulty,
        model=model,
        method=method,
        prompt_sha256="2" * 64,
        text=text,
        finish="stop",
        tokens=len(text.split()),
        degenerate=is_degenerate(text),
        base_text="I am not sure, could you tell me more?" if question.kind in CONTROL_KINDS else None,
        kl=round(chance.expovariate(4), 6) if question.kind in CONTROL_KINDS else None,
    )
