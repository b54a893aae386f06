"""The published evaluation beside ours, on the published questions: which findings hold, and what decides it.

`python -m benchmarks.reproduction --records balanced_subset_cluster9.json` imports the official balanced subset (never
part of this repository), personalises one checkpoint with every method, and asks under both protocols: `published`
(benchmarks/published_protocol.py) and `ours` (docs/protocol.md). The judges of both rule on the answers of both, which
tells what the questions decide from what the judges decide.

Answers are kept under .cache/reproduction in groups of users, so a stopped run goes on where it was and judging again
asks nothing. The result, benchmarks/results/reproduction.json, holds every method whose users are all answered, in
whichever run that was; `python -m benchmarks.claims` makes the tables of docs/reproduction.md from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import published_protocol
from benchmarks.claims import HOLDS, ROOT, Claim, write
from editing.judges.config import JudgeConfig
from editing.judges.registry import load_judge
from editing.judging import item_of
from editing.lm.load import LM, load
from editing.methods.base import Resources
from editing.methods.registry import create, load_config
from editing.metrics.bootstrap import Floats, Plan, draws, harmonic, interval, shares
from editing.metrics.estimate import Estimate
from editing.metrics.scores import KINDS, N_TARGET, Counts, count, kind_scores
from editing.patches.apply import Responder, applied
from editing.runner import EditSettings, code_sha256
from editing.users import read_split, user_of
from pipeline.core.config import load_section
from pipeline.core.errors import unknown_name
from pipeline.core.progress import console, progress
from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import TARGET_KINDS, Preference, Question, QuestionKind, Record, content_id
from pipeline.core.tables import read_jsonl, write_jsonl
from pipeline.embedding import embed
from pipeline.generate.config import GenerateConfig
from pipeline.importers import stage as importers
from pipeline.importers.controls import with_controls
from pipeline.validate.config import ValidateConfig

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
CACHE = Path(".cache/reproduction")
GROUP = 10
"""Users fitted and asked together; what is kept of a stopped run."""
CLUSTERED = "members=9,mode=sequential"
ROME = "covariance=none,steps=25,value_contexts=4,full_stop=false"
"""The setting of the published runs, where it is not that of rome.yaml."""
METHODS = {
    "none": "none",
    "in_context": "in_context",
    "ft_m": "ft_m",
    "ft_l": "ft_l",
    "grace": "grace",
    "rome": f"rome@{ROME}",
    "lora": "adalora",
    "ft_m_cluster_9": f"pe_ft_m@{CLUSTERED}",
    "rome_cluster_9": f"pe_rome@{CLUSTERED},{ROME}",
}
"""Name in the tables -> method, as the paper ran it: ROME without a covariance, clusters of one and of nine."""
SINGLE = ("in_context", "ft_m", "ft_l", "grace", "rome", "lora")
"""What the paper compares on one question a preference."""


class Protocol(StrEnum):
    """How answers are asked for."""

    PUBLISHED = "published"
    """As the paper's released code does it."""
    OURS = "ours"
    """docs/protocol.md."""


JUDGES = {Protocol.PUBLISHED: ("lenient", "substring"), Protocol.OURS: ("embedding", "exact")}
"""The judges of each protocol; all of them rule on the answers of both."""


class Said(Record):
    """One answer."""

    question_id: str
    """The question."""
    text: str
    """The text that is judged."""


@dataclass(frozen=True)
class Case:
    """A preference with its questions."""

    preference: Preference
    questions: list[Question]


Table = Mapping[tuple[Protocol, str, str], Counts]
"""Right answers by protocol, judge and method, counted by user and kind."""


def cases_of(records: Path, most: int, folder: Path) -> tuple[list[Case], str]:
    """Up to `most` preferences of the published file, with control questions of ours, and the hash of all its rows."""
    validate = load_section(PARAMS, "validate", ValidateConfig)
    matching = load_section(PARAMS, "generate", GenerateConfig).matching
    out = folder / sha256_file(records)[:16]
    if not (out / "manifest.json").is_file():
        found = importers.read("upqa", records, first_person=True)
        drafts = with_controls(found.drafts, embed, matching, validate.rules)
        importers.write("upqa", importers.dataset(drafts, embed, validate.rules, validate.difficulty), records, out)
    preferences, questions = read_split(out, "test", most)
    return [Case(p, questions[p.id]) for p in preferences], dataset_sha256(out)


class Reproduction:
    """One checkpoint before the cases, under every method and protocol."""

    def __init__(self, lm: LM, cases: Sequence[Case], settings: EditSettings, cache: Path = CACHE) -> None:
        """Asks nothing yet. What is answered is kept below `cache`."""
        self.lm, self.cases, self.settings, self.cache = lm, list(cases), settings, cache
        here = [sha256_file(Path(file)) for file in (__file__, str(published_protocol.__file__))]
        self._key = content_id(lm.weights_sha256, lm.prompts.sha256, code_sha256(), here, settings.max_new_tokens)

    def ask(self, name: str, protocol: Protocol) -> None:
        """Ask under the method `name` whatever no former run has asked."""
        began, asked = time.perf_counter(), 0
        with progress(f"{protocol}: {name}", len(self.cases), "users") as advance:
            for group, file in self._groups(name, protocol):
                if not file.is_file():
                    write_jsonl(file, self._answers(group, METHODS[name], protocol))
                    asked += len(group)
                advance(len(group))
        if asked:
            seconds = (time.perf_counter() - began) / asked
            console.print(f"{protocol}: {name}: {seconds:.2f} s a preference", highlight=False)

    def said(self, name: str, protocol: Protocol) -> list[Said]:
        """All answers under the method `name`; none where some cases have not been asked yet."""
        files = [file for _, file in self._groups(name, protocol)]
        if not all(file.is_file() for file in files):
            return []
        return [said for file in files for said in read_jsonl(file, Said)]

    def _groups(self, name: str, protocol: Protocol) -> Iterator[tuple[list[Case], Path]]:
        config = load_config(METHODS[name], self.lm.name).model_dump(mode="json")
        for at in range(0, len(self.cases), GROUP):
            group = self.cases[at : at + GROUP]
            rows = [[case.preference.id, *(question.id for question in case.questions)] for case in group]
            yield group, self.cache / f"{content_id(self._key, METHODS[name], config, protocol, rows)}.jsonl"

    def _answers(self, group: Sequence[Case], method: str, protocol: Protocol) -> Iterator[Said]:
        lm, users = self.lm, [user_of(case.preference, case.questions) for case in group]
        if protocol is Protocol.PUBLISHED:
            lm = published_protocol.published(lm, [question for case in group for question in case.questions])
            users = [published_protocol.edited_user(case.preference, case.questions) for case in group]
        # A method that estimates statistics would need texts of other users, and the file has test rows only.
        patches = create(method, load_config(method, lm.name), Resources(())).fit(lm, users)
        with applied(lm, patches) as responder:
            if protocol is Protocol.PUBLISHED:
                yield from published(lm, responder, group, self.settings)
            else:
                yield from ours(responder, group, self.settings)


def published(lm: LM, responder: Responder, group: Sequence[Case], settings: EditSettings) -> Iterator[Said]:
    """Answers to the four target kinds by the published protocol."""
    rows = [
        published_protocol.Asked(at, question, case.preference.target)
        for at, case in enumerate(group)
        for question in case.questions
        if question.kind in TARGET_KINDS
    ]
    texts = published_protocol.answers(lm, responder, rows, settings.batch_size)
    for row, text in zip(rows, texts, strict=True):
        yield Said(question_id=row.question.id, text=text)


def ours(responder: Responder, group: Sequence[Case], settings: EditSettings) -> Iterator[Said]:
    """Answers to all questions by docs/protocol.md."""
    rows = [(at, question) for at, case in enumerate(group) for question in case.questions]
    replies = responder.answer(
        [at for at, _ in rows],
        [question.text for _, question in rows],
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
    )
    for (_, question), reply in zip(rows, replies, strict=True):
        yield Said(question_id=question.id, text=reply.text)


def judged(said: Sequence[Said], cases: Sequence[Case], judging: JudgeConfig) -> dict[str, Counts]:
    """Right answers by user and kind, for every judge; the published judges know target kinds only."""
    asked = {question.id: (case.preference, question) for case in cases for question in case.questions}
    rows = [(*asked[one.question_id], one.text) for one in said]
    return {
        judge: count(_verdicts(judge, protocol, rows, judging), KINDS)
        for protocol, judges in JUDGES.items()
        for judge in judges
    }


def _verdicts(
    judge: str, protocol: Protocol, rows: Sequence[tuple[Preference, Question, str]], judging: JudgeConfig
) -> list[tuple[str, str, bool | None]]:
    """(user, kind, right) by one judge; None is unscored."""
    right: Sequence[bool | None]
    if protocol is Protocol.PUBLISHED:
        rows = [row for row in rows if row[1].kind in TARGET_KINDS]
        texts, targets = [text for *_, text in rows], [preference.target for preference, *_ in rows]
        rule = published_protocol.lenient if judge == "lenient" else published_protocol.substrings
        right = rule(texts, targets)
    else:
        items = [item_of(preference, question, text) for preference, question, text in rows]
        rulings = load_judge(judge, judging).rule(items)
        right = [None if ruling.verdict == "unscored" else ruling.verdict == "correct" for ruling in rulings]
    return [(q.user_id, str(q.kind), good) for (_, q, _), good in zip(rows, right, strict=True)]


def method_claims(table: Table, plan: Plan) -> list[Claim]:
    """A claim a method, judge and protocol: its recall, with all else in `extra["cells"]`."""
    claims = []
    for (protocol, judge, name), counts in table.items():
        scores = kind_scores(counts, plan)
        cells: dict[str, Estimate] = {**scores.by_kind, "recall": scores.recall}
        if protocol is Protocol.OURS:
            cells |= {"specificity": scores.specificity, "headline": scores.headline}
        known = {
            figure: [round(x, 4) for x in (found.value, found.low, found.high) if x is not None]
            for figure, found in cells.items()
            if found.value is not None
        }
        value, low, high = known["recall"]
        extra = {"cells": known}
        claims.append(
            Claim(f"reproduction.{protocol}.{judge}.{name}", value, "share", low, high, scores.recall.n, extra=extra)
        )
    return claims


def finding_claims(table: Table, plan: Plan) -> list[Claim]:
    """A claim a finding: how far it holds under each protocol and judge, as a paired difference in `extra["cells"]`."""
    claims = []
    for name, difference in FINDINGS.items():
        cells: dict[str, list[float]] = {}
        users = 0
        for protocol, judges in JUDGES.items():
            for judge in judges:
                own = {method: counts for (p, j, method), counts in table.items() if (p, j) == (protocol, judge)}
                if not difference.needs <= own.keys():
                    continue
                drawn = difference.of({method: _drawn(counts, plan) for method, counts in own.items()})
                found = interval(drawn[1:], plan.confidence)
                if found is not None:
                    users = len(next(iter(own.values())).users)
                    cells[f"{protocol}/{judge}{HOLDS}"] = [round(float(x), 4) for x in (drawn[0], *found)]
        if cells:
            value, low, high = next(iter(cells.values()))
            claims.append(
                Claim(f"reproduction.finding.{name}", value, "share", low, high, users, extra={"cells": cells})
            )
    return claims


def _drawn(counts: Counts, plan: Plan) -> Floats:
    """Shares of right answers by kind, in every bootstrap draw of the users: (samples + 1, kinds)."""
    return shares(draws(len(counts.users), plan), counts.right, counts.scored)


AT = {kind: at for at, kind in enumerate(KINDS)}


@dataclass(frozen=True)
class Finding:
    """A statement of the paper as a difference that is positive where the statement holds."""

    needs: frozenset[str]
    """Methods without which it cannot be read."""
    of: Callable[[Mapping[str, Floats]], Floats]
    """Shares by method, each (draws, kinds) -> the difference, (draws,)."""


def _recall(drawn: Floats) -> Floats:
    return np.asarray(drawn[:, :N_TARGET].mean(axis=1))


def _headline(drawn: Floats) -> Floats:
    return harmonic(_recall(drawn), np.asarray(drawn[:, N_TARGET:].mean(axis=1)))


def _above_the_best(score: Callable[[Floats], Floats]) -> Callable[[Mapping[str, Floats]], Floats]:
    def difference(drawn: Mapping[str, Floats]) -> Floats:
        others = [score(drawn[name]) for name in SINGLE if name in drawn and name != "ft_m"]
        return score(drawn["ft_m"]) - max(others, key=lambda draws: float(np.nan_to_num(draws[0], nan=-1.0)))

    return difference


def _kinds(drawn: Floats, *kinds: QuestionKind) -> Floats:
    return np.asarray(drawn[:, [AT[str(kind)] for kind in kinds]].mean(axis=1))


DIRECT = (QuestionKind.EXPLICIT,)
INDIRECT = (QuestionKind.REPHRASED, QuestionKind.IMPLICIT, QuestionKind.PRODUCT)
ADVICE = (QuestionKind.IMPLICIT, QuestionKind.PRODUCT)
FINDINGS = {
    "ft_m_has_the_best_recall": Finding(frozenset(SINGLE), _above_the_best(_recall)),
    "ft_m_has_the_best_headline": Finding(frozenset(SINGLE), _above_the_best(_headline)),
    "rome_does_not_generalise": Finding(
        frozenset({"rome"}), lambda drawn: _kinds(drawn["rome"], *DIRECT) - _kinds(drawn["rome"], *INDIRECT)
    ),
    "clusters_help_ft_m_on_implicit": Finding(
        frozenset({"ft_m", "ft_m_cluster_9"}),
        lambda drawn: (
            _kinds(drawn["ft_m_cluster_9"], QuestionKind.IMPLICIT) - _kinds(drawn["ft_m"], QuestionKind.IMPLICIT)
        ),
    ),
    "clusters_help_rome_on_implicit": Finding(
        frozenset({"rome", "rome_cluster_9"}),
        lambda drawn: (
            _kinds(drawn["rome_cluster_9"], QuestionKind.IMPLICIT) - _kinds(drawn["rome"], QuestionKind.IMPLICIT)
        ),
    ),
    "prompting_trails_ft_m_on_advice": Finding(
        frozenset({"in_context", "ft_m"}),
        lambda drawn: _kinds(drawn["ft_m"], *ADVICE) - _kinds(drawn["in_context"], *ADVICE),
    ),
}
"""Name -> how it is read. A headline exists under our protocol only, which asks controls."""


def main(
    records: Annotated[Path, typer.Option(help="The official balanced_subset_cluster9.json.")],
    most: Annotated[int, typer.Option(help="Preferences, by the order of their ids.")] = 40,
    protocol: Annotated[list[Protocol], typer.Option(help="Protocols to ask under.")] = list(Protocol),  # noqa: B006
    method: Annotated[list[str], typer.Option(help="Methods to ask under, by their names here.")] = list(METHODS),  # noqa: B006
    show: Annotated[int, typer.Option(help="Answers of each method and protocol to print.")] = 0,
) -> None:
    """Write benchmarks/results/reproduction.json."""
    for name in method:
        if name not in METHODS:
            raise unknown_name("method", name, METHODS)
    cases, _ = cases_of(records, most, CACHE)
    settings = load_section(PARAMS, "edit", EditSettings)
    judging = load_section(PARAMS, "judge", JudgeConfig)
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    lm = load(settings.checkpoints[MODEL], name=MODEL, dtype="float32", device=settings.device)
    reproduction = Reproduction(lm, cases, settings)
    for name in method:
        for each in protocol:
            reproduction.ask(name, each)
            _show(reproduction.said(name, each)[:show], cases)
    table = {
        (each, judge, name): counts
        for name in METHODS
        for each in Protocol
        if (said := reproduction.said(name, each))
        for judge, counts in judged(said, cases, judging).items()
    }
    claims = [*finding_claims(table, plan), *method_claims(table, plan)]
    write("reproduction", f"python -m benchmarks.reproduction --records FILE --most {most}", claims)


def _show(said: Sequence[Said], cases: Sequence[Case]) -> None:
    asked = {question.id: (case.preference, question) for case in cases for question in case.questions}
    for one in said:
        preference, question = asked[one.question_id]
        console.print(
            f"[{preference.target}] {question.kind}: {question.text} -> {one.text}", highlight=False, markup=False
        )


if __name__ == "__main__":
    typer.run(main)
