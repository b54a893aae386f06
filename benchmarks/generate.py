"""How many statements become valid preferences, how many of those are good, and what a kill costs.

`python -m benchmarks.generate measure` writes benchmarks/results/generate.json from data/generated, data/upqa and the
labels. `python -m benchmarks.generate sheet` prints 50 random valid preferences for reading, without saying what wrote
them; `python -m benchmarks.generate beyond` first makes more of them, from the statements that `mine` found beyond its
cap. `python -m benchmarks.generate compare` asks the local models of params.yaml for the same statements and sets what
they write beside our own questions.
"""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import typer
import yaml

from benchmarks.claims import ROOT, Claim, write
from pipeline.core.config import load_section
from pipeline.core.progress import console
from pipeline.core.records import (
    TARGET_KINDS,
    Dropped,
    Preference,
    Query,
    Question,
    QuestionKind,
    Statement,
    content_id,
)
from pipeline.core.tables import atomic_write, read_parquet, write_parquet
from pipeline.embedding import embed
from pipeline.generate.composer import Composer, ours
from pipeline.generate.config import GenerateConfig
from pipeline.generate.topics import Topic, find_topics
from pipeline.generate.writer import Writer
from pipeline.llm.client import Client
from pipeline.llm.config import load_llm
from pipeline.llm.testing import fake_endpoint, request_key
from pipeline.validate.config import ValidateConfig

LABELS = ROOT / "benchmarks" / "labels" / "generated_preferences.jsonl"
"""One label a line: id and content hash of a preference, four yes-or-no answers of the reader, which kinds of question
are not answerable, and the round. Each round read what no earlier one had; faults were removed between them."""
ASPECTS = ("true_fact", "target_right", "answerable", "no_leak")
"""A preference is good when all four hold.

true_fact: the statement says this of the user themself, as something lasting; an inference is not enough.
target_right: the target is the user's value of the attribute type, not a fragment or a word for any such value.
answerable: the target answers the rephrased question, and a good answer to the implicit and the product question
depends on it; a question that presupposes something the statement contradicts is not answerable.
no_leak: no question holds the target or gives it away.
"""
HELD_OUT = "89abcdef"
"""First digits of the users whose statements were not looked at when taxonomy.yaml was revised last."""
READ_BEFORE = ROOT / "benchmarks" / "labels" / "statements_read_before.txt"
"""Places of the statements that were read in earlier rounds, hashed: what was revised since may fit them."""
BEYOND = Path("data/beyond")
COMPARED = ROOT / "benchmarks" / "labels" / "compared_questions.jsonl"
"""One label a line: id of a question in the sheet of `compare`, and whether it is good."""
JOBS = "baker nurse plumber lawyer pilot dentist farmer teacher painter librarian architect translator".split()

app = typer.Typer(add_completion=False)


def wilson(good: int, n: int) -> tuple[float, float]:
    """The 95% Wilson interval of a share."""
    z = 1.96
    centre = (good + z * z / 2) / (n + z * z)
    half = z * math.sqrt(good * (n - good) / n + z * z / 4) / (n + z * z)
    return centre - half, centre + half


def released(dataset: Path) -> list[tuple[Preference, list[Question]]]:
    """Every valid preference of all splits with its questions, by id; updates that we wrote included."""
    preferences = [
        p for path in sorted((dataset / "preferences").glob("*.parquet")) for p in read_parquet(path, Preference)
    ]
    questions: dict[str, list[Question]] = {preference.id: [] for preference in preferences}
    for path in sorted((dataset / "questions").glob("*.parquet")):
        for question in read_parquet(path, Question):
            questions[question.preference_id].append(question)
    return [(p, questions[p.id]) for p in sorted(preferences, key=lambda p: p.id)]


def readable(datasets: Sequence[Path]) -> list[tuple[Preference, list[Question]]]:
    """The mined preferences of users that are held out, without statements that were read in earlier rounds."""
    before = set(READ_BEFORE.read_text(encoding="utf-8").split())
    return [
        (preference, questions)
        for dataset in datasets
        for preference, questions in released(dataset)
        if preference.origin == "mined" and preference.user_id[0] in HELD_OUT and place(preference) not in before
    ]


def place(preference: Preference) -> str:
    """Where the statement stands, hashed: the same whatever attribute type and target it is given."""
    return content_id(preference.evidence.model_dump())


def content_hash(preference: Preference, questions: Sequence[Question]) -> str:
    """What a label is about; a label of another content does not count."""
    texts = sorted((q.kind, q.text) for q in questions if q.kind in TARGET_KINDS)
    return content_id(preference.attribute_type, preference.target, texts)


@app.command()
def beyond(mined: Path = Path("data/mined"), params: Path = Path("params.yaml"), out: Path = BEYOND) -> None:
    """Make preferences of the statements beyond the cap of `mine`, which nothing else reads."""
    over = [row for row in read_parquet(mined / "dropped.parquet", Dropped) if row.reason == "over_cap"]
    found = [json.loads(row.row) for row in over]
    statements = [Statement.model_validate(row) for row in found if "self_contained" in row]
    write_parquet(out / "mined" / "statements.parquet", statements, Statement)
    write_parquet(out / "mined" / "queries.parquet", read_parquet(mined / "queries.parquet", Query), Query)
    settings = yaml.safe_load(params.read_text(encoding="utf-8"))
    settings["generate"] |= {"max_statements": len(statements), "updates": 0}
    (out / "params.yaml").write_text(yaml.safe_dump(settings))
    common = ["--mined", out / "mined", "--params", out / "params.yaml"]
    for stage, more in (
        ("generate", ["--out", out / "generated"]),
        ("validate", ["--generated", out / "generated", "--out", out / "upqa"]),
    ):
        subprocess.run([sys.executable, "-m", f"pipeline.{stage}", *map(str, [*common, *more])], check=True)


@app.command()
def sheet(dataset: Path = Path("data/upqa"), more: Path = BEYOND / "upqa", count: int = 50, seed: int = 0) -> None:
    """Print random mined preferences as JSON lines, ready to be labelled.

    Only users of the half that was not read while the questions were written, and no statement read before.
    """
    rows = readable([dataset, more])
    for preference, questions in random.Random(seed).sample(rows, min(count, len(rows))):
        shown = {q.kind: q.text for q in questions if q.kind in TARGET_KINDS}
        row = {"id": preference.id, "content": content_hash(preference, questions), "said": preference.statement}
        typer.echo(json.dumps({**row, "type": preference.attribute_type, "target": preference.target, **shown}))


@app.command()
def measure(
    mined: Path = Path("data/mined"),
    generated: Path = Path("data/generated"),
    dataset: Path = Path("data/upqa"),
    more: Path = BEYOND / "upqa",
) -> None:
    """Write the claims."""
    claims = [valid_rate(mined, generated, dataset), repeated_calls_after_kill()]
    good = good_rate(dataset, more)
    write("generate", "python -m benchmarks.generate measure", [*claims, *([good] if good else [])])


def valid_rate(mined: Path, generated: Path, dataset: Path) -> Claim:
    """Share of mined statements that become a valid preference; where the others were lost is in `extra`."""
    statements = sum(1 for _ in read_parquet(mined / "statements.parquet", Statement))
    rows = [(preference, asked) for preference, asked in released(dataset) if preference.origin == "mined"]
    report = json.loads((generated / "report.json").read_text(encoding="utf-8"))
    validated = json.loads((dataset / "report.json").read_text(encoding="utf-8"))
    origins = Counter(f"{q.kind}.{q.origin}" for _, questions in rows for q in questions if q.kind in TARGET_KINDS)
    low, high = wilson(len(rows), statements)
    return Claim(
        "generate.valid_rate",
        len(rows) / statements,
        "share",
        low,
        high,
        statements,
        "statements of the sharegpt corpus that become a valid preference",
        {
            "users": len({preference.user_id for preference, _ in rows}),
            "seconds": report["seconds"],
            "dropped_by_generate": report["counts"]["dropped_by_reason"],
            "samples_rejected_by_rule": report["counts"]["samples_rejected_by_rule"],
            "model_errors": report["counts"]["model_errors"],
            "replies": report["counts"]["replies"],
            "validate": validated.get("counts", {}),
            "questions_by_kind_and_origin": dict(sorted(origins.items())),
        },
    )


def good_rate(dataset: Path, more: Path) -> Claim | None:
    """Share of the preferences of the last round that are good; None where their questions have changed since."""
    of_the_demo, beyond_its_cap = (
        {
            content_hash(preference, questions): {
                q.kind.value: q.origin for q in questions if q.kind in TARGET_KINDS[1:]
            }
            for preference, questions in readable([folder])
        }
        for folder in (dataset, more)
    )
    contents = of_the_demo | beyond_its_cap
    rounds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        label = json.loads(line)
        rounds[label["round"]].append(label)
    last = rounds[max(rounds)]
    strays = sum(label["content"] not in contents for label in last)
    if strays:
        # Without them the figure would be too good: what was bad is what was changed.
        console.print(
            f"generate.good_rate: {strays} of {len(last)} labels fit no preference any more; read a new sheet."
        )
        return None
    good = _good(last)
    low, high = wilson(good, len(last))
    failed = {aspect: sum(not label[aspect] for label in last) for aspect in ASPECTS}
    read, bad = Counter[str](), Counter[str]()
    for label in last:
        for kind, origin in contents[label["content"]].items():
            read[f"{kind}.{origin}"] += 1
            bad[f"{kind}.{origin}"] += kind in label["bad_kinds"]
    return Claim(
        "generate.good_rate",
        good / len(last),
        "share",
        low,
        high,
        len(last),
        "random preferences of users whose statements were not read while the questions were written; all but those in "
        "`of_the_demo` lie beyond its cap; read once by the language model that wrote the templates; origin not shown",
        {
            "of_the_demo": _good_of(label for label in last if label["content"] in of_the_demo),
            "earlier_rounds": {number: _good_of(labels) for number, labels in sorted(rounds.items())[:-1]},
            "failed_by_aspect": failed,
            "not_answerable_by_kind_and_origin": {key: [bad[key], read[key]] for key in sorted(read)},
        },
    )


def _good(labels: Iterable[dict[str, Any]]) -> int:
    return sum(all(label[aspect] for aspect in ASPECTS) for label in labels)


def _good_of(labels: Iterable[dict[str, Any]]) -> list[int]:
    """How many are good, and of how many."""
    found = list(labels)
    return [_good(found), len(found)]


def repeated_calls_after_kill(kill_after: Sequence[int] = (3, 7, 11)) -> Claim:
    """Calls made again although they had finished, over several kills of the same stage."""

    def answer(body: dict[str, Any]) -> str:
        if len(endpoint.requests) in kills:
            kills.discard(len(endpoint.requests))
            running[-1].send_signal(signal.SIGKILL)
            running[-1].wait()
        advice = {
            "advice": "How should I get through the day?",
            "shopping": "Which tools should I buy for summer days?",
        }
        return json.dumps(
            advice if "shopping" in json.dumps(body["response_format"]) else {"question": "What do I do?"}
        )

    kills, running = set(kill_after), []
    with tempfile.TemporaryDirectory() as folder, fake_endpoint(answer) as endpoint:
        root = Path(folder)
        write_parquet(root / "mined" / "statements.parquet", [_made_up(job) for job in JOBS], Statement)
        write_parquet(root / "mined" / "queries.parquet", [], Query)
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        params["generate"] |= {"writer": "ideas", "samples": 1}
        params["generate"]["ranking"]["ours_first"] = False
        params["llm"] |= {"cache": str(root / "calls.sqlite"), "concurrency": 1}
        params["llm"]["roles"]["generator"] |= {"base_url": endpoint.base_url}
        (root / "params.yaml").write_text(yaml.safe_dump(params))
        options = ["--mined", root / "mined", "--out", root / "out", "--params", root / "params.yaml"]
        code = 1
        while code != 0 and len(running) <= len(kill_after):
            running.append(subprocess.Popen([sys.executable, "-m", "pipeline.generate", *map(str, options)], cwd=ROOT))
            code = running[-1].wait()
        times = Counter(request_key(body) for body in endpoint.requests)
        # The call in flight at a kill had not finished; anything beyond one such repeat a kill is a finished call.
        repeated = sum(times.values()) - len(times) - (len(kill_after) - len(kills))
    return Claim(
        "generate.repeated_calls_after_kill",
        repeated,
        "calls",
        None,
        None,
        len(times),
        f"SIGKILL while calls {kill_after} were in flight; those {len(kill_after)} calls had not finished",
    )


def _made_up(job: str) -> Statement:
    text = f"I'm a {job} in Oslo."
    evidence = {"source": "jsonl", "conversation": job, "turn": 0, "start": 0, "end": len(text)}
    fields = {"id": content_id(text), "user_id": job, "evidence": evidence, "text": text, "self_contained": text}
    labels = {"family": "profession", "confidence": 0.9, "sensitive": (), "language": "en", "license": "CC0-1.0"}
    return Statement.model_validate({**fields, **labels, "redactions": (), "history": ()})


@app.command()
def compare(
    mined: Path = Path("data/mined"),
    count: int = 40,
    params: Path = Path("params.yaml"),
    sheet: Path = Path("data/compared.jsonl"),
) -> None:
    """Write benchmarks/results/generate_models.json: what each local model gets accepted, and how much of it is good.

    The accepted questions and our own for the same statements stand in `sheet`, mixed and without saying what wrote
    them. A second call, with their labels in benchmarks/labels/compared_questions.jsonl, adds the shares of good ones.
    """
    config = load_section(params, "generate", GenerateConfig)
    rules = load_section(params, "validate", ValidateConfig).rules
    settings = load_llm(params)
    statements = list(read_parquet(mined / "statements.parquet", Statement))
    topics = find_topics(statements, count, rules).kept
    encode = partial(embed, dtype=config.encoder_dtype)
    asked_for_all = config.model_copy(update={"ranking": config.ranking.model_copy(update={"ours_first": False})})
    kinds = TARGET_KINDS[1:]
    texts: dict[str, list[Compared]] = {
        "templates": [Compared(t, k, ours(t, k, rotate=True)[0].text) for t in topics for k in kinds]
    }
    claims = []
    for model, entry in settings.local.models.items():
        role = settings.role(config.role).model_copy(update={"base_url": "local", "model": model})
        composer = Composer(topics, statements, [], encode, asked_for_all, rules)
        with Client(config.role, settings.model_copy(update={"roles": {config.role: role}})) as client:
            written = Writer(client, ROOT / "prompts", config).write(composer.lacking(topics), 0, lambda done: None)
        for item in written:
            composer.add(item.topic, item.questions)
        chosen = [q for topic in topics for q in composer.written(topic)]
        texts[model] = [Compared(t, q.kind, q.text) for t in topics for q in composer.written(t)]
        asked = len(topics) * len(kinds)
        low, high = wilson(len(chosen), asked)
        claims.append(
            Claim(
                f"generate.models.{model}.accepted",
                len(chosen) / asked,
                "share",
                low,
                high,
                asked,
                "questions of the first sample that pass the rules and the ranking",
                {
                    "license": entry.license,
                    "accepted": dict(Counter(q.kind.value for q in chosen)),
                    "rejected_by_rule": dict(composer.rejections.most_common()),
                    "unusable_replies": sum(len(item.errors) for item in written),
                    "topics": len(topics),
                },
            )
        )
    _write_sheet(sheet, [row for rows in texts.values() for row in rows])
    claims += [claim for origin, rows in texts.items() if (claim := _good_share(origin, rows)) is not None]
    write("generate_models", f"python -m benchmarks.generate compare --count {count}", claims)


class Compared(NamedTuple):
    """A question for a topic."""

    topic: Topic
    kind: QuestionKind
    text: str

    @property
    def id(self) -> str:
        """What a label is about."""
        return content_id(self.topic.id, self.kind, self.text)


def _write_sheet(path: Path, rows: Sequence[Compared]) -> None:
    """The questions in an order that tells nothing about what wrote them."""
    distinct = {row.id: row for row in rows}
    with atomic_write(path, "w") as file:
        for id_, row in sorted(distinct.items()):
            said, kind = row.topic.statement.self_contained, row.topic.kind.name
            shown = {"id": id_, "said": said, "type": kind, "target": row.topic.target, row.kind.value: row.text}
            file.write(json.dumps(shown) + "\n")


def _good_share(origin: str, rows: Sequence[Compared]) -> Claim | None:
    """Share of the questions of one origin that were read as good; None unless all of them were read."""
    if not COMPARED.exists():
        return None
    labels = {row["id"]: row["good"] for row in map(json.loads, COMPARED.read_text(encoding="utf-8").splitlines())}
    if not rows or not all(row.id in labels for row in rows):
        return None
    good = sum(labels[row.id] for row in rows)
    low, high = wilson(good, len(rows))
    by_kind = {
        kind.value: [sum(labels[r.id] for r in own), len(own)]
        for kind in TARGET_KINDS[1:]
        for own in [[r for r in rows if r.kind is kind]]
    }
    note = "the target answers a rephrased question, a good answer to the others depends on it; origin hidden"
    return Claim(
        f"generate.models.{origin}.good", good / len(rows), "share", low, high, len(rows), note, {"by_kind": by_kind}
    )


if __name__ == "__main__":
    app()
