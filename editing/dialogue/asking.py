"""The questions of a run asked again after distractor turns, with the patches the run left behind."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from editing.dialogue.answers import TurnAnswer
from editing.exchanges import draw, read_exchanges
from editing.lm.load import LM, load
from editing.patches.apply import Responder, applied
from editing.patches.compose import converse
from editing.patches.patch import Patch
from editing.patches.stack import emptied
from editing.runner import code_sha256
from editing.runs import read_record
from editing.scenarios import Case, Scenario
from editing.users import read_cases
from pipeline.core.config import Section
from pipeline.core.errors import InputError
from pipeline.core.progress import progress
from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import Exchange, Question, QuestionKind, content_id
from pipeline.core.tables import read_jsonl, write_jsonl, write_parquet


class MultiturnSettings(Section):
    """Section `multiturn` of params.yaml."""

    turns: tuple[int, ...]
    """Numbers of distractor turns between statement and question; none asks nothing."""
    exchanges: Path
    """Where distractors come from: a file of stage `exchanges`, or a JSON file in PrefEval's form."""
    kinds: tuple[QuestionKind, ...]
    """Kinds of question that are asked; a mean over kinds needs all of them."""
    max_preferences: int
    """Most preferences of the run that are asked about, in its order."""
    batch_size: int
    """Questions answered in one batch; the prompts are long."""
    seed: int
    """Seed of the distractors."""


def ask_run(settings: MultiturnSettings, dataset: Path, run: Path, cache: Path) -> list[TurnAnswer]:
    """Write multiturn.parquet into the folder of a run; returns its rows, none where no turns are asked for.

    Finished groups of questions are kept below `cache` until the file is complete.

    Raises:
        InputError: the run, its patches, the data set or the distractors are missing or do not belong together.
    """
    record = read_record(run)
    answers: list[TurnAnswer] = []
    if settings.turns and record["status"] == "ok":
        answers = _ask_run(settings, record, dataset, run, cache)
    write_parquet(run / "multiturn.parquet", answers, TurnAnswer)
    return answers


def _ask_run(
    settings: MultiturnSettings, record: dict[str, Any], dataset: Path, run: Path, cache: Path
) -> list[TurnAnswer]:
    rows_sha256 = dataset_sha256(dataset)
    if record["dataset_sha256"] != rows_sha256:
        raise InputError(f"{run}: was made with another data set than {dataset}; run `edit` again.")
    exchanges = read_exchanges(settings.exchanges)
    patches: list[Patch] = []
    questions: list[list[Question]] = []
    left = settings.max_preferences
    for case, patch in read_models(run, record, dataset):
        chosen = list(dict.fromkeys(question.preference_id for question in case.questions))[:left]
        patches.append(patch)
        questions.append([q for q in case.questions if q.preference_id in chosen and q.kind in settings.kinds])
        left -= len(chosen)
        if not left:
            break
    model = record["model"]
    lm = load(model["source"], name=model["name"], dtype=model["dtype"], device=model["device"])
    key = content_id(
        rows_sha256,
        settings.model_dump(mode="json", exclude={"turns"}),
        record["max_new_tokens"],
        sha256_file(settings.exchanges),
        [patch.sha256 for patch in patches],
        code_sha256(),
        hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
    )
    work = cache / "multiturn" / key
    groups = [
        (turns, at) for turns in settings.turns for at in range(0, len(patches), int(record["config"]["users_per_fit"]))
    ]
    size = int(record["config"]["users_per_fit"])
    answers: list[TurnAnswer] = []
    with progress(f"{record['method']} after other turns", len(groups), "groups") as advance:
        for turns, at in groups:
            file = work / f"{turns}-{at}.jsonl"
            if not file.is_file():
                group = slice(at, at + size)
                write_jsonl(file, _ask(lm, record, patches[group], questions[group], turns, exchanges, settings))
            answers += read_jsonl(file, TurnAnswer)
            advance(1)
    shutil.rmtree(work, ignore_errors=True)
    return answers


def read_models(run: Path, record: dict[str, Any], dataset: Path) -> Iterator[tuple[Case, Patch]]:
    """The models of a run in its order: what each was told and asked, and its patch (of the first seed).

    The patch of a model that was asked after everything was withdrawn is empty, as it was then.

    Raises:
        InputError: a patch is missing, or the dataset is not that of the run.
    """
    scenario = Scenario.model_validate({key: value for key, value in record["scenario"].items() if key != "name"})
    for case in read_cases(dataset, scenario, record["split"], record["config"]["max_preferences"]):
        path = run / "patches" / f"{case.id}.safetensors"
        if not path.is_file():
            raise InputError(f"{path}: no such patch; run `edit` again.")
        patch = Patch.load(path)
        yield case, emptied(patch) if case.withdrawn else patch


def _ask(
    lm: LM,
    record: dict[str, Any],
    patches: Sequence[Patch],
    questions: Sequence[list[Question]],
    turns: int,
    exchanges: Sequence[Exchange],
    settings: MultiturnSettings,
) -> Iterator[TurnAnswer]:
    rows = [(at, question) for at, own in enumerate(questions) for question in own]
    most = max(settings.turns)
    drawn = [draw(exchanges, q.user_id, q.id, most, settings.seed)[:turns] for _, q in rows]
    between = [[(exchange.user, exchange.assistant) for exchange in own] for own in drawn]
    with applied(lm, patches) as responder:
        fits = [
            _fits(lm, responder, at, question.text, own, record["max_new_tokens"])
            for (at, question), own in zip(rows, between, strict=True)
        ]
        asked = [i for i, fit in enumerate(fits) if fit]
        replies = responder.answer(
            [rows[i][0] for i in asked],
            [rows[i][1].text for i in asked],
            turns=[between[i] for i in asked],
            max_new_tokens=record["max_new_tokens"],
            batch_size=settings.batch_size,
        )
    by_row = dict(zip(asked, replies, strict=True))
    for i, (_, question) in enumerate(rows):
        reply = by_row.get(i)
        yield TurnAnswer(
            question_id=question.id,
            preference_id=question.preference_id,
            user_id=question.user_id,
            kind=question.kind,
            difficulty=question.difficulty,
            scenario=record["scenario"]["name"],
            model=lm.name,
            method=record["method"],
            prompt_sha256=reply.prompt_sha256 if reply else "",
            text=reply.text if reply else "",
            finish=reply.finish if reply else "stop",
            tokens=reply.tokens if reply else 0,
            degenerate=reply.degenerate if reply else False,
            turns=turns,
            overflow=reply is None,
            distractors=tuple(exchange.id for exchange in drawn[i]),
        )


def _fits(
    lm: LM, responder: Responder, user: int, question: str, turns: Sequence[tuple[str, str]], max_new_tokens: int
) -> bool:
    """Whether the conversation fits the model's context, with all its answers and the plan's later turns."""
    context = context_tokens(lm)
    if context is None:
        return True
    plan = responder.plan(user)
    later = sum(len(lm.prompts.ask(turn).ids) for turn in plan.turns)
    needed = len(lm.prompts.prompt(converse(plan, question, turns)).ids) + later
    return needed + max_new_tokens * (1 + len(plan.turns)) <= context


def context_tokens(lm: LM) -> int | None:
    """Tokens the model was built for, prompt and answer together; None where its configuration does not say."""
    config: Any = lm.model.config
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = getattr(text, "max_position_embeddings", None)
    return int(found) if found else None
