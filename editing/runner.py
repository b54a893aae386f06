"""One cell of the matrix model x method: fit a patch for every preference, ask its questions, keep the answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from pydantic import Field

from editing.drift import base_answers, divergences
from editing.exchanges import read_exchanges, statistics_texts
from editing.lm.load import LM, DType, load
from editing.methods.base import CACHE, Method, Resources, config_sha256
from editing.methods.registry import create, load_config, method_class
from editing.methods.within_memory import WithinMemory
from editing.metrics import PROTOCOL_VERSION
from editing.patches.apply import Reply, applied
from editing.patches.patch import Patch
from editing.patches.stack import GATED, holding, stacked, withdrawn
from editing.scenarios import Case, Scenario
from editing.users import SPLITS, histories, read_cases, texts_of, users_of
from editing.workers import Finish, Workers, work_through, workers_for
from pipeline.core.config import Section
from pipeline.core.errors import ConfigError, UpqaError, unknown_name
from pipeline.core.progress import progress
from pipeline.core.provenance import dataset_sha256, peak_memory_mb, run_record, sha256_file
from pipeline.core.records import Answer, Question, Record, Split, content_id
from pipeline.core.tables import read_jsonl, write_json, write_jsonl, write_parquet


class EditSettings(Section):
    """The `edit` section of params.yaml."""

    models: tuple[str, ...]
    """Checkpoints of the matrix, by name."""
    checkpoints: dict[str, str]
    """Name -> Hub id, folder, GGUF file, or package:<name>."""
    methods: tuple[str, ...]
    """Methods of the matrix, by name."""
    scenario: str
    """What the model is told before it is asked, by its name in `scenarios`."""
    scenarios: dict[str, Scenario]
    """Known scenarios by name."""
    split: Split
    """Split whose users are evaluated."""
    max_preferences: int
    """Most preferences evaluated, chosen by the order of their ids."""
    users_per_fit: int
    """Cases of the scenario that are fitted and asked together; the unit a stopped run resumes at."""
    max_new_tokens: int
    """Answer budget, the same for every method and model."""
    batch_size: int
    """Questions answered in one batch."""
    dtype: DType
    """Number format of the weights."""
    device: str
    """auto, cpu or cuda."""
    workers: Workers
    """Processes that share the groups of `users_per_fit` cases."""
    exchanges: Path | None
    """Other people's conversations, from which closed forms take the covariance: a file of stage `exchanges`, or a JSON
    file in PrefEval's form. null: the statements and questions of the splits that are not evaluated."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Seeds of methods that draw numbers (their settings have a `seed`), each fitted and asked; others run once."""


NOT_OF_A_CELL = {"models", "methods", "checkpoints", "max_preferences", "workers", "exchanges"}
"""Settings that the edits and answers of one cell do not depend on; on `exchanges` they do where it `reads_texts`."""


def reads_texts(config: Section) -> bool:
    """Whether a method with these settings takes statistics of the model from texts."""
    return getattr(config, "covariance", "none") != "none"


class Cell:
    """One model and one method, checked before anything heavy starts.

    Raises:
        ConfigError: the model, the method or the scenario is not registered, the method's YAML is wrong, or the
            scenario tells a model several things and the method's patches do not stack.
    """

    def __init__(self, settings: EditSettings, model: str, method: str) -> None:
        """The cell of `model` and `method`, both by their names in params.yaml."""
        if model not in settings.checkpoints:
            raise unknown_name("model", model, settings.checkpoints)
        method_class(method)
        if settings.scenario not in settings.scenarios:
            raise unknown_name("scenario", settings.scenario, settings.scenarios)
        self.scenario = settings.scenarios[settings.scenario]
        self.settings, self.model, self.method = settings, model, method
        self.source = settings.checkpoints[model]
        self.config = load_config(method, model)
        stacks = self.scenario.edits > 1 or self.scenario.told == "change"
        if stacks and getattr(self.config, "sentence_gate", None) is not None:
            raise ConfigError(f"{method}, scenario {settings.scenario}: {GATED}")


def run_cell(cell: Cell, dataset: Path, out: Path, cache: Path = CACHE) -> dict[str, Any]:
    """Write answers.parquet, patches/ and run.json of a cell below `out`; returns the run record.

    Finished groups of preferences are kept under `cache` until the run is complete, so a stopped run goes on where it
    was. A run that ends with an error of any kind leaves a run.json that says so.

    Raises:
        InputError: the dataset or the checkpoint is not usable.
    """
    record: dict[str, Any] = {}
    try:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        with run_record("edit", cell.settings, ("torch", "transformers", "safetensors")) as record:
            _run(cell, dataset, out, cache, record)
    except Exception as error:
        # The name of an error that no message was written for is half of what it says ("KeyError: 'x'").
        told = str(error) if isinstance(error, UpqaError) else f"{type(error).__name__}: {error}"
        record |= {"status": "failed", "error": told, "method": cell.method, "model": {"name": cell.model}}
        write_json(out / "run.json", record)
        raise
    write_json(out / "run.json", record)
    return record


def _run(cell: Cell, dataset: Path, out: Path, cache: Path, record: dict[str, Any]) -> None:
    settings, desk = cell.settings, _Desk(cell, dataset, cache)
    lm, cases = desk.lm, desk.cases
    shutil.rmtree(out / "patches", ignore_errors=True)
    desk.work(partial(_another_desk, cell, dataset, cache))
    patches: list[Patch] = []
    stacks: list[Patch] = []
    asked: list[Asked] = []
    for series in desk.series:
        suffix = f".seed{series.seed}" if series.seed != settings.seeds[0] else ""
        for case in cases:
            own = series.edits(case)
            stacks.append(stacked(own))
            # Untimed, so that the files of two equal runs have the same bytes.
            stacks[-1].untimed().save(out / "patches" / f"{case.id}{suffix}.safetensors")
            patches += own
        answers = [row for group in desk.groups for row in read_jsonl(series.answers(group), Asked)]
        asked += [
            row.model_copy(update={"answer": row.answer.model_copy(update={"seed": series.seed})}) for row in answers
        ]
    write_parquet(out / "answers.parquet", (row.answer for row in asked), Answer)
    # What is kept for a stopped run must never stand in for a run of its own.
    for series in desk.series:
        shutil.rmtree(series.folder)
    record |= {
        "status": "ok",
        "protocol": PROTOCOL_VERSION,
        "dataset_sha256": desk.rows_sha256,
        "split": settings.split,
        "scenario": {"name": settings.scenario, **cell.scenario.model_dump()},
        "model": {
            "name": lm.name,
            "source": lm.source,
            "weights_sha256": lm.weights_sha256,
            "dtype": str(lm.dtype).removeprefix("torch."),
            "device": lm.device.type,
        },
        "method": cell.method,
        "kind": method_class(cell.method).kind,
        "method_config": cell.config.model_dump(mode="json"),
        "prompt_sha256": lm.prompts.sha256,
        "prompt_form": lm.prompts.form,
        "max_new_tokens": settings.max_new_tokens,
        "decoding": "greedy",
        "seeds": [series.seed for series in desk.series],
        "counts": {
            "preferences": len({question.preference_id for case in cases for question in case.questions}),
            "models": len(cases),
            "edits": len(patches),
            "answers": len(asked),
            "failed_edits": sum(patch.manifest.failure is not None for patch in patches),
            "edit_prompt_is_a_test_question": sum(_asks_literally(case, desk.told) for case in cases),
        },
        "failures": {p.manifest.preference_ids[0]: p.manifest.failure for p in patches if p.manifest.failure},
        "cost": _cost(patches, stacks, cell.scenario.edits, [row.extra_prompt_tokens for row in asked]),
    }


class Asked(Record):
    """An answer with its cost, as a stopped run keeps it."""

    answer: Answer
    """The answer."""
    extra_prompt_tokens: int
    """Prompt tokens beyond those of the bare question."""


class _Desk:
    """A cell opened for work: its data, its checkpoint and what is done already; one in every process that helps."""

    def __init__(self, cell: Cell, dataset: Path, cache: Path) -> None:
        """Read the data and load the checkpoint."""
        settings = self.settings = cell.settings
        self.cases = read_cases(dataset, cell.scenario, settings.split, settings.max_preferences)
        size = settings.users_per_fit
        self.groups = [self.cases[at : at + size] for at in range(0, len(self.cases), size)]
        self.told = histories(dataset)
        self.lm = load(cell.source, name=cell.model, dtype=settings.dtype, device=settings.device)
        self.rows_sha256 = dataset_sha256(dataset)
        self.base = base_answers(
            self.lm,
            [question for case in self.cases for question in case.questions],
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            cache=cache,
        )
        texts = self._texts(dataset) if reads_texts(cell.config) else ()
        self.series = [self._series(cell, config, seed, texts, cache) for config, seed in seeded(cell)]
        self.parts = [(series, group) for series in self.series for group in self.groups]

    def _series(self, cell: Cell, config: Section, seed: int, texts: Sequence[str], cache: Path) -> _Series:
        key = content_id(
            self.rows_sha256,
            code_sha256(),
            self.lm.weights_sha256,
            self.lm.prompts.sha256,
            cell.method,
            config_sha256(config),
            cell.scenario.model_dump(),
            self.settings.model_dump(exclude=NOT_OF_A_CELL | {"scenarios", "seeds"}),
            texts,
        )
        method = create(cell.method, config, Resources(texts, cache))
        return _Series(seed, WithinMemory(method, self.lm), cache / "edit" / key)

    def _texts(self, dataset: Path) -> tuple[str, ...]:
        """Texts without a word of an evaluated user."""
        settings = self.settings
        if settings.exchanges is None:
            return texts_of(dataset, [split for split in SPLITS if split != settings.split])
        evaluated = {question.user_id for case in self.cases for question in case.questions}
        return statistics_texts(read_exchanges(settings.exchanges), evaluated)

    def work(self, opener: Callable[[], Finish]) -> None:
        """Do every part, with other processes where that helps; `opener` makes `finish` in one of them."""
        edits = [sum(len(case.told) for case in group) for _, group in self.parts]
        done = 0
        with progress(f"{self.series[0].fitter.method.name} on {self.lm.name}", sum(edits), "edits") as advance:

            def tick() -> None:
                nonlocal done
                there = (series.answers(group).is_file() for series, group in self.parts)
                now = sum(compress(edits, there))
                advance(now - done)
                done = now

            workers = workers_for(self.settings.workers, len(self.parts), self.lm)
            work_through(len(self.parts), self.finish, opener, workers, tick)

    def finish(self, part: int) -> None:
        """Fit and ask the group of users of one part, unless its answers are there."""
        series, group = self.parts[part]
        finished = series.answers(group)
        if finished.is_file():
            return
        torch.manual_seed(series.seed)
        stacks = [
            withdrawn(self.lm, stacked(own)) if case.withdrawn else stacked(own)
            for case, own in zip(group, self._fitted(series, group), strict=True)
        ]
        write_jsonl(finished, self._ask(series.fitter.method, stacks, group))

    def _fitted(self, series: _Series, group: Sequence[Case]) -> list[list[Patch]]:
        """The edits of these cases, each saved as soon as it is there.

        First edits are fitted together, and again together where one of them is missing: the same batch gives the same
        bytes. Every later one is fitted alone, on the model with those before it in place.
        """
        users = [users_of(case, self.told) for case in group]
        if any(len(people) > 1 for people in users):
            series.fitter.method.prepare(self.lm)
        firsts = [series.edit(case, 0) for case in group]
        if not all(file.is_file() for file in firsts):
            for file, patch in zip(firsts, series.fitter.fit([people[0] for people in users]), strict=True):
                patch.save(file)
        made = [[Patch.load(file)] for file in firsts]
        for case, own, people in zip(group, made, users, strict=True):
            for at, user in enumerate(people[1:], start=1):
                file = series.edit(case, at)
                if not file.is_file():
                    with holding(self.lm, own):
                        (patch,) = series.fitter.fit([user])
                    patch.save(file)
                own.append(Patch.load(file))
        return made

    def _ask(self, method: Method[Any], patches: Sequence[Patch], group: Sequence[Case]) -> Iterator[Asked]:
        settings, base = self.settings, self.base
        rows = [(at, question) for at, case in enumerate(group) for question in case.questions]
        controls = [(at, question) for at, question in rows if question.id in base]
        with applied(self.lm, patches) as responder:
            replies = responder.answer(
                [at for at, _ in rows],
                [question.text for _, question in rows],
                max_new_tokens=settings.max_new_tokens,
                batch_size=settings.batch_size,
            )
            found = divergences(
                responder,
                [at for at, _ in controls],
                [question.text for _, question in controls],
                [base[question.id] for _, question in controls],
            )
        kl = {question.id: value for (_, question), value in zip(controls, found, strict=True)}
        for (_, question), reply in zip(rows, replies, strict=True):
            answer = _answer(self.lm, method, settings.scenario, question, reply)
            if question.id in base:
                answer = answer.model_copy(update={"base_text": base[question.id].text, "kl": kl[question.id]})
            yield Asked(answer=answer, extra_prompt_tokens=reply.extra_prompt_tokens)


@dataclass(frozen=True)
class _Series:
    """A method with one seed, and where its edits and answers are kept until the run is complete."""

    seed: int
    fitter: WithinMemory
    folder: Path

    def edit(self, case: Case, at: int) -> Path:
        """File of one edit of a case."""
        return self.folder / case.id / f"{at}.safetensors"

    def edits(self, case: Case) -> list[Patch]:
        """The finished edits of a case."""
        return [Patch.load(self.edit(case, at)) for at in range(len(case.told))]

    def answers(self, group: Sequence[Case]) -> Path:
        """File of the answers of a group of cases, written when all are there."""
        return self.folder / f"{content_id(*(case.id for case in group))}.jsonl"


def _another_desk(cell: Cell, dataset: Path, cache: Path) -> Finish:
    return _Desk(cell, dataset, cache).finish


def code_sha256() -> str:
    """Hex sha256 of the engine's source: a stopped run does not go on under other code."""
    here = Path(__file__).parent
    files = [
        Path(__file__),
        here / "drift.py",
        here / "scenarios.py",
        here / "users.py",
        *sorted(file for part in ("lm", "patches", "methods") for file in (here / part).glob("*.py")),
    ]
    return content_id(*(sha256_file(file) for file in files))


def seeded(cell: Cell) -> list[tuple[Section, int]]:
    """A method's settings once for each seed, where they have a `seed`; else once, with the first."""
    config, seeds = cell.config, cell.settings.seeds
    if "seed" not in type(config).model_fields:
        return [(config, seeds[0])]
    return [(config.model_copy(update={"seed": seed}), seed) for seed in seeds]


def _cost(edits: Sequence[Patch], stacks: Sequence[Patch], users: int, extra_tokens: Sequence[int]) -> dict[str, float]:
    """What an edit and a user cost; `users` is how many share each of the stacks. Failed edits do not count."""
    good = [patch for patch in edits if patch.manifest.failure is None] or list(edits)
    kept = [stack for stack in stacks if stack.manifest.failure is None] or list(stacks)
    accelerator = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
    return {
        "seconds_per_edit": round(fmean(patch.manifest.seconds or 0.0 for patch in good), 4),
        "bytes_per_user": round(fmean(stack.nbytes / users for stack in kept), 1),
        "extra_prompt_tokens": round(fmean(extra_tokens), 2),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "peak_accelerator_mb": round(accelerator, 1),
    }


def _answer(lm: LM, method: Method[Any], scenario: str, question: Question, reply: Reply) -> Answer:
    return Answer(
        question_id=question.id,
        preference_id=question.preference_id,
        user_id=question.user_id,
        kind=question.kind,
        difficulty=question.difficulty,
        model=lm.name,
        method=method.name,
        scenario=scenario,
        prompt_sha256=reply.prompt_sha256,
        text=reply.text,
        finish=reply.finish,
        tokens=reply.tokens,
        degenerate=reply.degenerate,
    )


def _asks_literally(case: Case, told: Mapping[str, Sequence[str]]) -> int:
    """How many of a case's edits have no phrasing of their direct question, or a cluster's, that is not also asked."""
    facts = [fact for user in users_of(case, told) for fact in user.facts]
    return sum(any(own.bars(own.question) for own in (fact, *fact.cluster)) for fact in facts)
