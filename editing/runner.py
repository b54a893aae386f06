"""One cell of the matrix model x method: fit a patch for every preference, ask its questions, keep the answers."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import torch
from pydantic import Field

from editing.drift import BaseAnswer, base_answers, divergences
from editing.lm.load import LM, DType, load
from editing.methods.base import CACHE, Fact, Method, Resources, User, config_sha256, unique
from editing.methods.registry import create, load_config, method_class
from editing.metrics import PROTOCOL_VERSION
from editing.patches.apply import Reply, applied, nobody
from editing.patches.patch import Patch
from pipeline.core.config import Section
from pipeline.core.errors import InputError, UpqaError, unknown_name
from pipeline.core.progress import console, progress
from pipeline.core.provenance import dataset_sha256, peak_memory_mb, run_record, sha256_file
from pipeline.core.records import Answer, Preference, Question, Record, Split, content_id
from pipeline.core.tables import read_jsonl, read_parquet, write_json, write_jsonl, write_parquet

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""Splits of a release."""


class EditSettings(Section):
    """The `edit` section of params.yaml."""

    models: tuple[str, ...]
    """Checkpoints of the matrix, by name."""
    checkpoints: dict[str, str]
    """Name -> Hub id, folder, GGUF file, or package:<name>."""
    methods: tuple[str, ...]
    """Methods of the matrix, by name."""
    split: Split
    """Split whose users are evaluated."""
    max_preferences: int
    """Most preferences evaluated, chosen by the order of their ids."""
    users_per_fit: int
    """Preferences that are fitted and asked together; the unit a stopped run resumes at."""
    max_new_tokens: int
    """Answer budget, the same for every method and model."""
    batch_size: int
    """Questions answered in one batch."""
    dtype: DType
    """Number format of the weights."""
    device: str
    """auto, cpu or cuda."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of methods that draw numbers (their settings have a `seed`), each fitted and asked; others run once."""


class Cell:
    """One model and one method, checked before anything heavy starts.

    Raises:
        ConfigError: the model or the method is not registered, or its YAML is wrong.
    """

    def __init__(self, settings: EditSettings, model: str, method: str) -> None:
        """The cell of `model` and `method`, both by their names in params.yaml."""
        if model not in settings.checkpoints:
            raise unknown_name("model", model, settings.checkpoints)
        method_class(method)
        self.settings, self.model, self.method = settings, model, method
        self.source = settings.checkpoints[model]
        self.config = load_config(method, model)


def run_cell(cell: Cell, dataset: Path, out: Path, cache: Path = CACHE) -> dict[str, Any]:
    """Write answers.parquet, patches/ and run.json of a cell below `out`; returns the run record.

    Finished groups of preferences are kept under `cache` until the run is complete, so a stopped run goes on where it
    was. A run that ends with an error leaves a run.json that says so.

    Raises:
        InputError: the dataset or the checkpoint is not usable.
    """
    record: dict[str, Any] = {}
    try:
        with run_record("edit", cell.settings, ("torch", "transformers", "safetensors")) as record:
            _run(cell, dataset, out, cache, record)
    except UpqaError as error:
        record |= {"status": "failed", "error": str(error), "method": cell.method, "model": {"name": cell.model}}
        write_json(out / "run.json", record)
        raise
    write_json(out / "run.json", record)
    return record


def _run(cell: Cell, dataset: Path, out: Path, cache: Path, record: dict[str, Any]) -> None:
    settings = cell.settings
    preferences, questions = read_split(dataset, settings.split, settings.max_preferences)
    told = histories(dataset)
    users = [user_of(p, questions[p.id], told.get(p.user_id, ())) for p in preferences]
    texts = texts_of(dataset, [split for split in SPLITS if split != settings.split])
    lm = load(cell.source, name=cell.model, dtype=settings.dtype, device=settings.device)
    rows_sha256 = dataset_sha256(dataset)
    base = base_answers(
        lm,
        [question for own in questions.values() for question in own],
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
        cache=cache,
    )
    shutil.rmtree(out / "patches", ignore_errors=True)
    patches: list[Patch] = []
    asked: list[Asked] = []
    works: list[Path] = []
    for config, seed in seeded(cell.config, settings.seeds):
        torch.manual_seed(seed)
        method = create(cell.method, config, Resources(texts, cache))
        key = content_id(
            rows_sha256,
            code_sha256(),
            lm.weights_sha256,
            lm.prompts.sha256,
            cell.method,
            config_sha256(config),
            settings.model_dump(exclude={"models", "methods", "checkpoints", "max_preferences", "seeds"}),
        )
        works.append(cache / "edit" / key)
        made, answered = _work(lm, method, users, questions, base, settings, works[-1])
        for patch in made:
            suffix = f".seed{seed}" if seed != settings.seeds[0] else ""
            patch.save(out / "patches" / f"{patch.manifest.preference_ids[0]}{suffix}.safetensors")
        patches += made
        asked += [row.model_copy(update={"answer": row.answer.model_copy(update={"seed": seed})}) for row in answered]
    write_parquet(out / "answers.parquet", (row.answer for row in asked), Answer)
    # What is kept for a stopped run must never stand in for a run of its own.
    for work in works:
        shutil.rmtree(work)
    literal = sum(
        user.facts[0].question.casefold() in {q.text.casefold() for q in questions[user.facts[0].preference_id]}
        for user in users
    )
    record |= {
        "status": "ok",
        "protocol": PROTOCOL_VERSION,
        "dataset_sha256": rows_sha256,
        "split": settings.split,
        "model": {
            "name": lm.name,
            "source": lm.source,
            "weights_sha256": lm.weights_sha256,
            "dtype": str(lm.dtype).removeprefix("torch."),
            "device": lm.device.type,
        },
        "method": cell.method,
        "kind": method.kind,
        "method_config": cell.config.model_dump(mode="json"),
        "prompt_sha256": lm.prompts.sha256,
        "prompt_form": lm.prompts.form,
        "max_new_tokens": settings.max_new_tokens,
        "decoding": "greedy",
        "seeds": [seed for _, seed in seeded(cell.config, settings.seeds)],
        "counts": {
            "preferences": len(users),
            "answers": len(asked),
            "failed_edits": sum(patch.manifest.failure is not None for patch in patches),
            "edit_prompt_is_a_test_question": literal,
        },
        "failures": {p.manifest.preference_ids[0]: p.manifest.failure for p in patches if p.manifest.failure},
        "cost": _cost(patches, [row.extra_prompt_tokens for row in asked]),
    }


def code_sha256() -> str:
    """Hex sha256 of the engine's source: a stopped run does not go on under other code."""
    here = Path(__file__).parent
    files = [
        Path(__file__),
        here / "drift.py",
        *sorted(file for part in ("lm", "patches", "methods") for file in (here / part).glob("*.py")),
    ]
    return content_id(*(sha256_file(file) for file in files))


def seeded(config: Section, seeds: Sequence[int]) -> list[tuple[Section, int]]:
    """A method's settings once for each seed, where they have a `seed`; else once, with the first."""
    if "seed" not in type(config).model_fields:
        return [(config, seeds[0])]
    return [(config.model_copy(update={"seed": seed}), seed) for seed in seeds]


def _cost(patches: Sequence[Patch], extra_tokens: Sequence[int]) -> dict[str, float]:
    good = [patch for patch in patches if patch.manifest.failure is None] or list(patches)
    accelerator = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return {
        "seconds_per_edit": round(fmean(patch.manifest.seconds for patch in good), 4),
        "bytes_per_user": round(fmean(patch.nbytes for patch in good), 1),
        "extra_prompt_tokens": round(fmean(extra_tokens), 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "peak_accelerator_mb": round(accelerator, 1),
    }


class Asked(Record):
    """An answer with its cost, as a stopped run keeps it."""

    answer: Answer
    """The answer."""
    extra_prompt_tokens: int
    """Prompt tokens beyond those of the bare question."""


def _work(
    lm: LM,
    method: Method[Any],
    users: Sequence[User],
    questions: dict[str, list[Question]],
    base: Mapping[str, BaseAnswer],
    settings: EditSettings,
    work: Path,
) -> tuple[list[Patch], list[Asked]]:
    """Patches and answers of all users; groups that a former run finished are read from `work`."""
    patches: list[Patch] = []
    asked: list[Asked] = []
    with progress(f"{method.name} on {lm.name}", len(users), "preferences") as advance:
        for at in range(0, len(users), settings.users_per_fit):
            group = users[at : at + settings.users_per_fit]
            ids = [user.facts[0].preference_id for user in group]
            finished = work / f"{content_id(*ids)}.jsonl"
            files = [work / f"{preference}.safetensors" for preference in ids]
            if not finished.is_file():
                for patch, file in zip(_fitted(lm, method, group, files), files, strict=True):
                    patch.save(file)
                fresh = [Patch.load(file) for file in files]
                write_jsonl(finished, _ask(lm, method, fresh, [questions[i] for i in ids], base, settings))
            patches += [Patch.load(file) for file in files]
            asked += read_jsonl(finished, Asked)
            advance(len(group))
    return patches, asked


def _fitted(lm: LM, method: Method[Any], users: Sequence[User], files: Sequence[Path]) -> list[Patch]:
    """The patches of these users, from disk where a run was stopped between fitting and asking."""
    if all(file.is_file() for file in files):
        return [Patch.load(file) for file in files]
    return method.fit(lm, users)


def _ask(
    lm: LM,
    method: Method[Any],
    patches: Sequence[Patch],
    questions: Sequence[list[Question]],
    base: Mapping[str, BaseAnswer],
    settings: EditSettings,
) -> Iterator[Asked]:
    rows = [(at, question) for at, own in enumerate(questions) for question in own]
    controls = [(at, question) for at, question in rows if question.id in base]
    with applied(lm, [*patches, nobody(lm)]) as responder:
        replies = responder.answer(
            [at for at, _ in rows],
            [question.text for _, question in rows],
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
        )
        found = divergences(
            responder,
            [at for at, _ in controls],
            len(patches),
            [question.text for _, question in controls],
            [base[question.id] for _, question in controls],
        )
    kl = {question.id: value for (_, question), value in zip(controls, found, strict=True)}
    for (_, question), reply in zip(rows, replies, strict=True):
        answer = _answer(lm, method, question, reply)
        if question.id in base:
            answer = answer.model_copy(update={"base_text": base[question.id].text, "kl": kl[question.id]})
        yield Asked(answer=answer, extra_prompt_tokens=reply.extra_prompt_tokens)


def _answer(lm: LM, method: Method[Any], question: Question, reply: Reply) -> Answer:
    return Answer(
        question_id=question.id,
        preference_id=question.preference_id,
        user_id=question.user_id,
        kind=question.kind,
        difficulty=question.difficulty,
        model=lm.name,
        method=method.name,
        prompt_sha256=reply.prompt_sha256,
        text=reply.text,
        finish=reply.finish,
        tokens=reply.tokens,
        degenerate=reply.degenerate,
    )


def read_split(dataset: Path, split: Split, most: int) -> tuple[list[Preference], dict[str, list[Question]]]:
    """Up to `most` preferences of a released split, in the order of their ids, and the questions of each.

    A preference that replaces another is left out: it is asked about where preferences change.

    Raises:
        InputError: the dataset is missing, or the split has no preferences or a preference without questions.
    """
    data = dataset / "data"
    released = sorted(read_parquet(data / f"preferences-{split}.parquet", Preference), key=lambda p: p.id)
    updates = {preference.superseded_by for preference in released}
    found = [preference for preference in released if preference.id not in updates][:most]
    if not found:
        raise InputError(f"{data}/preferences-{split}.parquet: no preferences; evaluate another split.")
    questions: dict[str, list[Question]] = {preference.id: [] for preference in found}
    for question in read_parquet(data / f"questions-{split}.parquet", Question):
        if question.preference_id in questions:
            questions[question.preference_id].append(question)
    for preference, own in questions.items():
        if not own:
            raise InputError(f"{data}/questions-{split}.parquet: preference {preference} has no questions.")
    return found, questions


def texts_of(dataset: Path, splits: Sequence[Split]) -> tuple[str, ...]:
    """Statements and questions of some splits, for statistics of a model; missing splits have none."""
    texts: list[str] = []
    for split in splits:
        file = dataset / "data" / f"preferences-{split}.parquet"
        if file.is_file():
            texts += [preference.statement for preference in read_parquet(file, Preference)]
            texts += [q.text for q in read_parquet(dataset / "data" / f"questions-{split}.parquet", Question)]
    return unique(texts)


def histories(dataset: Path) -> dict[str, tuple[str, ...]]:
    """All released statements of each user, for methods that retrieve; without those that replace another."""
    told: dict[str, list[str]] = {}
    for split in SPLITS:
        file = dataset / "data" / f"preferences-{split}.parquet"
        released = list(read_parquet(file, Preference)) if file.is_file() else []
        updates = {preference.superseded_by for preference in released}
        for preference in released:
            if preference.id not in updates:
                told.setdefault(preference.user_id, []).append(preference.statement)
    return {user: tuple(statements) for user, statements in told.items()}


def user_of(preference: Preference, questions: Sequence[Question], history: Sequence[str] = ()) -> User:
    """The user who holds one preference, with the prompt it is edited through.

    The edit prompt is a direct question that names the attribute type: of the preference's own direct question (the
    first of its cluster) and two fixed phrasings, the first that is not literally one of its evaluation questions.
    """
    members = preference.cluster or ()
    asked = {question.text.casefold().strip() for question in questions}
    facts = [
        Fact(
            preference_id=preference.id,
            statement=preference.statement,
            question=edit_prompt(attribute, own, asked),
            subject=attribute,
            target=target,
        )
        for attribute, own, target in [
            (preference.attribute_type, members[0].question if members else "", preference.target),
            *((m.attribute_type, m.question, m.target) for m in members[1:]),
        ]
    ]
    main = replace(facts[0], cluster=tuple(facts[1:]))
    return User(preference.user_id, (main,), tuple(history))


def edit_prompt(attribute_type: str, own: str, asked: Collection[str]) -> str:
    """The direct question to edit on: names the attribute type, and is not in `asked` where that is possible."""
    phrasings = [own, f"What is my {attribute_type}?", f"What's my {attribute_type}?"]
    named = [text for text in phrasings if attribute_type.casefold() in text.casefold()]
    return next((text for text in named if text.casefold().strip() not in asked), named[0])


class Before(NamedTuple):
    """One question with its answers before and after an edit."""

    question: str
    """The question."""
    before: str
    """Answer of the unedited model."""
    after: str
    """Answer of the personalised model."""


def before_and_after(
    settings: EditSettings, model: str, method: str, fact: Fact, questions: Sequence[str], dataset: Path
) -> tuple[list[Before], Patch]:
    """Answers to `questions` without and with `fact`, and its patch.

    `model` is a name in the settings or any source of a checkpoint. Without a dataset there are no texts to estimate a
    covariance from; a method that asks for one then takes the identity, and that is said.
    """
    config = load_config(method, model)
    texts = texts_of(dataset, SPLITS)
    if not texts and getattr(config, "covariance", "none") != "none":
        console.print(f"No dataset at {dataset}: {method} uses the identity for its covariance.", highlight=False)
        config = config.model_copy(update={"covariance": "none"})
    lm = load(settings.checkpoints.get(model, model), name=model, dtype=settings.dtype, device=settings.device)
    patches = create(method, config, Resources(texts)).fit(lm, [User("you", (fact,))])
    with applied(lm, [nobody(lm), *patches]) as responder:
        asked = [question for question in questions for _ in range(2)]
        replies = responder.answer(
            [0, 1] * len(questions), asked, max_new_tokens=settings.max_new_tokens, batch_size=settings.batch_size
        )
    pairs = zip(questions, replies[::2], replies[1::2], strict=True)
    return [Before(question, before.text, after.text) for question, before, after in pairs], patches[0]
