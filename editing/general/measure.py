"""Perplexity and tasks before and after personalization, with the patches a run left behind."""

from __future__ import annotations

import importlib.util
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from editing.dialogue.asking import read_models
from editing.exchanges import is_held_out, read_exchanges
from editing.general.measured import AbilityMeasured, ReplyMeasured, TaskMeasured
from editing.lm.load import LM, load
from editing.patches.apply import Responder, applied
from editing.runs import read_run
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.provenance import dataset_sha256
from pipeline.core.records import Exchange, Preference
from pipeline.core.tables import read_parquet, write_json


class AbilitySettings(Section):
    """Section `ability` of params.yaml."""

    users: int = Field(gt=0)
    """Models of the run that are measured, in its order; where each user has one, users."""
    exchanges: Path
    """Held-out conversations: a file of stage `exchanges`, or a JSON file in PrefEval's form."""
    replies: int = Field(gt=0)
    """Most replies whose perplexity is measured."""
    tasks: tuple[str, ...]
    """Tasks of lm-evaluation-harness; none needs no harness."""
    task_folders: tuple[Path, ...]
    """Folders with tasks of your own."""
    task_items: int | None
    """Most items of each task; null: all."""
    batch_size: int
    """Answers of one batch in tasks that generate."""
    seed: int
    """Seed of the choice of replies."""


def measure_run(settings: AbilitySettings, dataset: Path, run: Path) -> AbilityMeasured:
    """Write ability.json into the folder of a run; returns what it holds.

    Raises:
        InputError: the run, its patches, the data set or the exchanges are missing or do not belong together.
        ConfigError: a task is unknown, or lm-evaluation-harness is not installed.
    """
    record = read_run(run)
    if settings.tasks and importlib.util.find_spec("lm_eval") is None:
        raise ConfigError(
            "ability.tasks: lm-evaluation-harness is not installed; pip install 'upqa[eval]', or tasks: []."
        )
    if record["dataset_sha256"] != dataset_sha256(dataset):
        raise InputError(f"{run}: was made with another data set than {dataset}; run `edit` again.")
    patches = [patch for _, patch in itertools.islice(read_models(run, record, dataset), settings.users)]
    replies = held_out(settings, dataset, record["split"])
    model = record["model"]
    lm = load(model["source"], name=model["name"], dtype=model["dtype"], device=model["device"])
    users = list(range(len(patches)))
    with applied(lm, patches) as responder:
        measured = AbilityMeasured(
            users=len(patches),
            replies=tuple(measured_replies(lm, responder, users, replies)),
            tasks=tuple(_tasks(lm, responder, users, settings, record)),
        )
    write_json(run / "ability.json", measured.model_dump(mode="json"))
    return measured


def held_out(settings: AbilitySettings, dataset: Path, split: str) -> list[Exchange]:
    """Exchanges of people outside the evaluated split, drawn with the seed.

    Raises:
        InputError: there are none.
    """
    evaluated = {p.user_id for p in read_parquet(dataset / "data" / f"preferences-{split}.parquet", Preference)}
    found = read_exchanges(settings.exchanges)
    others = [e for e in found if e.user_id not in evaluated and e.assistant.strip() and is_held_out(e)]
    if not others:
        raise InputError(f"{settings.exchanges}: every exchange is of an evaluated user; read more of them.")
    return random.Random(settings.seed).sample(sorted(others, key=lambda e: e.id), min(settings.replies, len(others)))


def measured_replies(
    lm: LM, responder: Responder, users: Sequence[int], exchanges: Sequence[Exchange]
) -> list[ReplyMeasured]:
    """Negative log probability of every reply after its message, under the base model and under each user's."""
    questions = [exchange.user for exchange in exchanges]
    targets = [lm.prompts.answer_ids(exchange.assistant) for exchange in exchanges]

    def lost(user: int) -> list[float]:
        return [-log_p for log_p, _ in responder.score_answers([user] * len(questions), questions, targets)]

    before, after = lost(responder.nobody), [lost(user) for user in users]
    return [
        ReplyMeasured(
            exchange_id=exchange.id,
            tokens=len(targets[i]),
            before=before[i],
            after=tuple(own[i] for own in after),
        )
        for i, exchange in enumerate(exchanges)
    ]


def _tasks(
    lm: LM, responder: Responder, users: Sequence[int], settings: AbilitySettings, record: dict[str, Any]
) -> list[TaskMeasured]:
    if not settings.tasks:
        return []
    from editing.general.harness import run_tasks

    return run_tasks(
        lm,
        responder,
        users,
        tasks=settings.tasks,
        folders=settings.task_folders,
        limit=settings.task_items,
        max_new_tokens=record["max_new_tokens"],
        batch_size=settings.batch_size,
    )
