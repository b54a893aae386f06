"""The published evaluation beside ours, on the published questions: which findings hold, and what decides it.

`python -m benchmarks.reproduction --records balanced_subset_cluster9.json` imports the official balanced subset (never
part of this repository), personalises one checkpoint with every method, and asks and judges under both protocols:
`published` (benchmarks/published_protocol.py) and `ours` (docs/protocol.md). Finished groups of users are kept under
.cache/reproduction, so a stopped run goes on. Ends with benchmarks/results/reproduction.json, from which
docs/reproduction.md takes its tables: `python -m benchmarks.claims`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import published_protocol
from benchmarks.claims import ROOT, Claim, write
from editing.judges.base import Item
from editing.judges.config import JudgeConfig
from editing.judges.registry import load_judge
from editing.lm.load import LM, load
from editing.lm.prompt import Message, PromptBuilder
from editing.methods.base import Resources, User
from editing.methods.registry import create, load_config
from editing.metrics.bootstrap import Plan
from editing.metrics.estimate import Estimate
from editing.metrics.scores import KINDS, N_TARGET, count, kind_scores, share_estimates
from editing.patches.apply import BARE, Responder, applied
from editing.patches.patch import PromptPlan
from editing.runner import EditSettings, code_sha256, read_split, user_of
from pipeline.core.config import load_section
from pipeline.core.progress import console, progress
from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import TARGET_KINDS, Preference, Question, QuestionKind, Record, content_id
from pipeline.core.tables import read_jsonl, write_jsonl
from pipeline.embedding import embed
from pipeline.generate.config import GenerateConfig
from pipeline.importers import stage as importers
from pipeline.importers.controls import with_controls
from pipeline.sources.base import SourceSettings
from pipeline.sources.sharegpt import ShareGPT
from pipeline.validate.config import ValidateConfig

PARAMS = ROOT / "params.yaml"
MODEL = "smollm2-135m-instruct"
CACHE = Path(".cache/reproduction")
GROUP = 10
"""Users fitted and asked together; what is kept of a stopped run."""
CLUSTERED = "members=9,mode=sequential"
METHODS = {
    "none": "none",
    "in_context": "in_context",
    "ft_m": "ft_m",
    "ft_l": "ft_l",
    "grace": "grace",
    "rome": "rome_identity",
    "lora": "lora",
    "ft_m_cluster_9": f"pe_ft_m@{CLUSTERED}",
    "rome_cluster_9": f"pe_rome@{CLUSTERED},covariance=none,steps=25,value_contexts=4",
}
"""Name in the tables -> method, as the paper ran it: ROME without a covariance, clusters of one and of nine."""
TURNS = (0, 4, 10)
"""Turns of other people's talk between the statement and the question."""
FADING = ("in_context", "ft_m")
"""Methods asked after other turns."""
MOST_WORDS = 40
"""Longest message of a distractor turn; longer ones make ten turns take minutes a user."""


class Protocol(StrEnum):
    """How answers are asked for and judged."""

    PUBLISHED = "published"
    """As the paper's released code does it."""
    OURS = "ours"
    """docs/protocol.md."""


class Said(Record):
    """One answer and what its protocol's judges make of it."""

    user_id: str
    """The user."""
    kind: QuestionKind
    """Kind of question."""
    turns: int
    """Distractor turns in front of it."""
    text: str
    """The text that was judged."""
    right: dict[str, bool]
    """Whether it is right, by judge."""


@dataclass(frozen=True)
class Case:
    """A preference with its questions."""

    preference: Preference
    questions: list[Question]


@dataclass(frozen=True)
class AfterTurns(PromptBuilder):
    """The chat template with `turns` of other talk between what a method says first and the question."""

    turns: tuple[Message, ...] = ()

    def render(self, messages: Sequence[Message]) -> str:
        """The text of a conversation; a statement in front of the question becomes a turn of its own."""
        *before, asked = messages
        statement, _, question = asked.content.rpartition("\n\n")
        told = [Message("user", statement), Message("assistant", "Thank you, noted.")] if statement else []
        return super().render([*before, *told, *self.turns, Message("user", question)])


def cases_of(records: Path, most: int, folder: Path) -> tuple[list[Case], str]:
    """Up to `most` preferences of the published file, with control questions of ours, and the hash of their rows."""
    validate = load_section(PARAMS, "validate", ValidateConfig)
    matching = load_section(PARAMS, "generate", GenerateConfig).matching
    out = folder / sha256_file(records)[:16]
    if not (out / "manifest.json").is_file():
        found = importers.read("upqa", records, first_person=True)
        drafts = with_controls(found.drafts, embed, matching, validate.rules)
        importers.write("upqa", importers.dataset(drafts, embed, validate.rules, validate.difficulty), records, out)
    preferences, questions = read_split(out, "test", most)
    return [Case(p, questions[p.id]) for p in preferences], dataset_sha256(out)


def run(lm: LM, cases: Sequence[Case], method: str, protocol: Protocol, key: str) -> list[Said]:
    """Answers of one method under one protocol; groups that were finished before are read."""
    folder = CACHE / content_id(key, method, load_config(method, MODEL).model_dump(mode="json"), protocol)
    said: list[Said] = []
    with progress(f"{protocol}: {method}", len(cases), "users") as advance:
        for at in range(0, len(cases), GROUP):
            group = cases[at : at + GROUP]
            file = folder / f"{at:03}.jsonl"
            if not file.is_file():
                write_jsonl(file, _asked(lm, group, method, protocol))
            said += read_jsonl(file, Said)
            advance(len(group))
    return said


def _asked(lm: LM, group: Sequence[Case], method: str, protocol: Protocol) -> Iterator[Said]:
    settings = load_section(PARAMS, "edit", EditSettings)
    questions = [question for case in group for question in case.questions]
    model = published_protocol.published(lm, questions) if protocol is Protocol.PUBLISHED else lm
    users = [
        published_protocol.edited_user(case.preference, case.questions)
        if protocol is Protocol.PUBLISHED
        else user_of(case.preference, case.questions)
        for case in group
    ]
    # A method that estimates statistics would need texts of other users, and the file has test rows only.
    fitted = create(method, load_config(method, MODEL), Resources(())).fit(model, users)
    nobody = create("none", load_config("none"), Resources(())).fit(model, [User("nobody", ())])
    with applied(model, [*fitted, *nobody]) as responder:
        if protocol is Protocol.PUBLISHED:
            plans = [patch.manifest.plan or BARE for patch in [*fitted, *nobody]]
            yield from _published(model, responder, plans, group, settings)
        else:
            every = [(at, question) for at, case in enumerate(group) for question in case.questions]
            yield from _ours(responder, group, every, settings)
    if protocol is Protocol.OURS and method in FADING:
        asked = [(at, q) for at, case in enumerate(group) for q in case.questions if q.kind is QuestionKind.EXPLICIT]
        for turns in TURNS[1:]:
            # The patches were made without distractors, as everywhere; only the questions meet them.
            behind = replace(lm, prompts=AfterTurns(lm.tokenizer, lm.prompts.form, distractors(turns)))
            with applied(behind, [*fitted, *nobody]) as responder:
                yield from _ours(responder, group, asked, settings, turns)


def _published(
    lm: LM, responder: Responder, plans: Sequence[PromptPlan], group: Sequence[Case], settings: EditSettings
) -> Iterator[Said]:
    rows = [
        published_protocol.Asked(at, question, case.preference.target)
        for at, case in enumerate(group)
        for question in case.questions
        if question.kind in TARGET_KINDS
    ]
    texts = published_protocol.answers(lm, responder, plans, len(group), rows, settings.batch_size)
    lenient = published_protocol.lenient(texts, [row.target for row in rows])
    for row, text, near in zip(rows, texts, lenient, strict=True):
        right = {"lenient": near, "substring": published_protocol.substring(text, row.target)}
        yield Said(user_id=row.question.user_id, kind=row.question.kind, turns=0, text=text, right=right)


def _ours(
    responder: Responder,
    group: Sequence[Case],
    asked: Sequence[tuple[int, Question]],
    settings: EditSettings,
    turns: int = 0,
) -> Iterator[Said]:
    replies = responder.answer(
        [at for at, _ in asked],
        [question.text for _, question in asked],
        max_new_tokens=settings.max_new_tokens,
        batch_size=settings.batch_size,
    )
    items = [
        Item(
            kind=question.kind,
            question=question.text,
            statement=group[at].preference.statement,
            attribute_type=group[at].preference.attribute_type,
            target=group[at].preference.target,
            aliases=group[at].preference.aliases,
            accepted=question.accepted,
            reply=reply.text,
        )
        for (at, question), reply in zip(asked, replies, strict=True)
    ]
    config = load_section(PARAMS, "judge", JudgeConfig)
    ruled = {name: load_judge(name, config).rule(items) for name in ("embedding", "exact")}
    for number, ((_, question), reply) in enumerate(zip(asked, replies, strict=True)):
        right = {name: rulings[number].verdict == "correct" for name, rulings in ruled.items()}
        yield Said(user_id=question.user_id, kind=question.kind, turns=turns, text=reply.text, right=right)


def distractors(turns: int) -> tuple[Message, ...]:
    """`turns` short exchanges of others with an assistant, the first of the demo's corpus; the same for all rows."""
    settings = SourceSettings(name="sharegpt", path=None, strict=False, license=None, max_conversations=None)
    source = ShareGPT(settings, "reproduction")
    short = (
        (asked.text, replied.text)
        for conversation in source.read()
        for asked, replied in zip(conversation.turns, conversation.turns[1:], strict=False)
        if (asked.role, replied.role) == ("user", "assistant")
        and all(3 <= len(turn.text.split()) <= MOST_WORDS and turn.text.isascii() for turn in (asked, replied))
    )
    return tuple(
        message
        for asked, replied in islice(short, turns)
        for message in (Message("user", asked), Message("assistant", replied))
    )


def claims_of(name: str, protocol: Protocol, said: Sequence[Said], plan: Plan) -> list[Claim]:
    """Scores of one method under one protocol, one claim a figure and judge; see `METHODS` for the names."""
    claims: list[Claim] = []

    def claim(figure: str, judge: str, found: Estimate) -> None:
        if found.value is not None:
            value, low, high = (round(float(x), 4) for x in (found.value, found.low or 0.0, found.high or 0.0))
            claims.append(Claim(f"reproduction.{protocol}.{judge}.{name}.{figure}", value, "share", low, high, found.n))

    asked = [one for one in said if one.turns == 0]
    for judge in asked[0].right:
        counts = count(((one.user_id, str(one.kind), one.right[judge]) for one in asked), KINDS)
        if protocol is Protocol.OURS:
            scores = kind_scores(counts, plan)
            for kind, found in scores.by_kind.items():
                claim(kind, judge, found)
            for figure, found in (
                ("recall", scores.recall),
                ("specificity", scores.specificity),
                ("headline", scores.headline),
            ):
                claim(figure, judge, found)
        else:
            for kind, found in zip(KINDS[:N_TARGET], share_estimates(counts, plan), strict=False):
                claim(kind, judge, found)
            # The four kinds have one question each for every user, so the mean over kinds is that over answers.
            whole = count(((one.user_id, "all", one.right[judge]) for one in asked), ("all",))
            claim("recall", judge, share_estimates(whole, plan)[0])
    for turns in sorted({one.turns for one in said} - {0}):
        for judge in asked[0].right:
            after = count(((o.user_id, "all", o.right[judge]) for o in said if o.turns == turns), ("all",))
            claim(f"explicit_after_{turns}_turns", judge, share_estimates(after, plan)[0])
    return claims


def main(
    records: Annotated[Path, typer.Option(help="The official balanced_subset_cluster9.json.")],
    most: Annotated[int, typer.Option(help="Preferences, by the order of their ids.")] = 40,
    protocol: Annotated[list[Protocol], typer.Option(help="Protocols to run.")] = list(Protocol),  # noqa: B006
    method: Annotated[list[str], typer.Option(help="Names of METHODS.")] = list(METHODS),  # noqa: B006
) -> None:
    """Write benchmarks/results/reproduction.json."""
    cases, rows_sha256 = cases_of(records, most, CACHE)
    settings = load_section(PARAMS, "edit", EditSettings)
    judging = load_section(PARAMS, "judge", JudgeConfig)
    plan = Plan(judging.bootstrap_samples, judging.seed, judging.confidence)
    lm = load(settings.checkpoints[MODEL], name=MODEL, dtype="float32", device=settings.device)
    here = [sha256_file(Path(file)) for file in (__file__, str(published_protocol.__file__))]
    key = content_id(rows_sha256, lm.weights_sha256, code_sha256(), here, settings.max_new_tokens, GROUP)
    claims: list[Claim] = []
    for name in method:
        for each in protocol:
            found = claims_of(name, each, run(lm, cases, METHODS[name], each, key), plan)
            claims += found
            shown = {c.claim.removeprefix(f"reproduction.{each}."): c.value for c in found}
            console.print(f"{each}: {shown}", highlight=False)
        # Written after every method, so that a run that is stopped leaves what it measured.
        write("reproduction", f"python -m benchmarks.reproduction --records FILE --most {most}", claims)


if __name__ == "__main__":
    typer.run(main)
