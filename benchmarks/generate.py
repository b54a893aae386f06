"""How many statements become valid preferences, how many of those are good, and what a kill costs.

`python -m benchmarks.generate measure` writes benchmarks/results/generate.json from data/generated, data/upqa, the
labels and data/chitchat, which `python -m benchmarks.generate chitchat` makes: preferences of a corpus that was not
read while the rules were written. `python -m benchmarks.generate sheet` writes 50 of them for a reader, without saying
what wrote them, and `python -m benchmarks.generate label` keeps the reader's answers. `python -m benchmarks.generate
compare` asks the local models of params.yaml for the same statements and sets what they write beside our own questions.
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
from collections.abc import Iterable, Iterator, Sequence
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

LABELS = {
    name: ROOT / "benchmarks" / "labels" / f"{name}_preferences.jsonl" for name in ("sharegpt", "chitchat", "demo")
}
"""One label a line: id and content hash of a preference, four yes-or-no answers of the reader, which kinds of question
are not answerable, and the round. Each round read what no earlier one had, and faults were removed between them; that
of the demo, 0, read what was there."""
ASPECTS = {
    "true_fact": "the statement says this of the user themself, as something lasting; an inference is not enough",
    "target_right": "the target is the user's value of the attribute type, not a fragment or a word for any such value",
    "answerable": "the target answers the rephrased question, and a good answer to the implicit and to the product "
    "question depends on it; a question that presupposes something the statement contradicts is not answerable",
    "no_leak": "no question holds the target or gives it away",
}
"""What a reader judges; a preference is good when all four hold."""
CHITCHAT = Path("data/chitchat")
POOLS = ("0123", "4567", "89ab", "cdef", "cdef", "cdef")
"""First digits of the users of each reading pool of the chitchat corpus, in the order in which they are read: round 1
is the first. The rules are revised between rounds: round 5 read the pool of round 4 again once its rows had changed, by
another reader, and a rule was revised for what it found; round 6 reads what is left of that pool, rows that nobody has
read."""
EVERYBODY = "0123456789abcdef"
"""Round 0 reads any user."""
UNREAD = frozenset([6])
"""Rounds that leave out what was read in a round before."""
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


def readable(dataset: Path, pool: str) -> list[tuple[Preference, list[Question]]]:
    """The mined preferences of the users whose id begins with a digit of `pool`."""
    return [row for row in released(dataset) if row[0].origin == "mined" and row[0].user_id[0] in pool]


def content_hash(preference: Preference, questions: Sequence[Question]) -> str:
    """What a label is about; a label of another content does not count."""
    texts = sorted((q.kind, q.text) for q in questions if q.kind in TARGET_KINDS)
    said = (preference.id, preference.statement, preference.attribute_type, preference.target, preference.aliases)
    return content_id(*said, texts)


@app.command()
def chitchat(
    path: Path | None = None,
    params: Path = Path("params.yaml"),
    cache: Path = Path(".cache/mine"),
    out: Path = CHITCHAT,
) -> None:
    """Make preferences of the chitchat corpus with the settings of params.yaml, all that there are.

    `path` is its dataset.json where the package chitchat-dataset is not installed.
    """
    source = {
        "name": "chitchat",
        "path": path and str(path),
        "strict": True,
        "license": None,
        "max_conversations": None,
    }
    settings = yaml.safe_load(params.read_text(encoding="utf-8"))
    settings["mine"] |= {"sources": [source], "max_statements": None, "max_queries": None}
    settings["generate"] |= {"max_statements": 1_000_000, "updates": 0}
    with atomic_write(out / "params.yaml", "w") as file:
        file.write(yaml.safe_dump(settings))
    mined, generated = ["--mined", out / "mined"], ["--generated", out / "generated"]
    for stage, options in (
        ("mine", ["--out", out / "mined", "--cache", cache]),
        ("generate", [*mined, "--out", out / "generated"]),
        ("validate", [*mined, *generated, "--out", out / "upqa"]),
    ):
        command = [sys.executable, "-m", f"pipeline.{stage}", *options, "--params", out / "params.yaml"]
        subprocess.run(list(map(str, command)), check=True)


@app.command()
def sheet(
    dataset: Path = CHITCHAT / "upqa",
    reading: int = len(POOLS),
    count: int = 50,
    seed: int = 0,
    out: Path = Path("data/sheet"),
) -> None:
    """Write random preferences of the pool of round `reading` to `out`/sheet.jsonl, what to judge to criteria.md.

    Round 0 is a pool of everybody.
    """
    rows = readable(dataset, POOLS[reading - 1] if reading else EVERYBODY)
    if reading in UNREAD:
        read = {label["id"] for number, own in _rounds("chitchat").items() if number < reading for label in own}
        rows = [row for row in rows if row[0].id not in read]
    chosen = random.Random(seed).sample(rows, min(count, len(rows)))
    with atomic_write(out / "sheet.jsonl", "w") as file:
        for preference, questions in chosen:
            file.write(json.dumps(_shown(preference, questions), ensure_ascii=False) + "\n")
    with atomic_write(out / "criteria.md", "w") as file:
        file.write(_criteria(len(chosen)))
    typer.echo(f"{len(chosen)} of {len(rows)} preferences of round {reading} -> {out}")


def _shown(preference: Preference, questions: Sequence[Question]) -> dict[str, Any]:
    """What a reader needs, and nothing of what wrote it."""
    return {
        "id": preference.id,
        "content": content_hash(preference, questions),
        "statement": preference.statement,
        "attribute_type": preference.attribute_type,
        "target": preference.target,
        "aliases": list(preference.aliases),
        "questions": {q.kind.value: q.text for q in questions if q.kind in TARGET_KINDS},
    }


def _criteria(count: int) -> str:
    aspects = "\n".join(f"- `{name}`: {meaning}." for name, meaning in ASPECTS.items())
    kinds = ", ".join(f"`{kind.value}`" for kind in TARGET_KINDS[1:])
    example = {"id": "...", **dict.fromkeys(ASPECTS, True), "bad_kinds": []}
    return f"""# Reading {count} preferences

Each line of sheet.jsonl is a statement that a user made in a chat, the attribute type and the user's value (target,
with other forms of it as aliases) that a program took from it, and questions that the user may ask a model later. The
`explicit` question is a fixed form and is not judged for its style; `rephrased` must be answered by the target;
`implicit` and `product` are questions for advice, whose good answer should depend on the target.

For each line say yes (true) or no (false) to all four:

{aspects}

In `bad_kinds` list the kinds ({kinds}) that are not answerable; `answerable` is false exactly when it is not empty.
Judge every line on its own, from the line alone.

Write one JSON line for each, in any order, as answers.jsonl:

{json.dumps(example)}
"""


@app.command()
def label(sheet: Path, answers: Path, reading: int = len(POOLS), labels: Path = LABELS["chitchat"]) -> None:
    """Keep the answers to a sheet as the labels of round `reading`, in place of older ones of that round."""
    contents = {row["id"]: row["content"] for row in _lines(sheet)}
    given = list(_lines(answers))
    if sorted(row["id"] for row in given) != sorted(contents):
        raise typer.BadParameter(f"{answers} must answer each of the {len(contents)} lines of {sheet} once.")
    kept = [row for row in _lines(labels) if row["round"] != reading] if labels.exists() else []
    for row in given:
        says = {aspect: row[aspect] for aspect in ASPECTS}
        bad = sorted(row["bad_kinds"])
        if not all(isinstance(value, bool) for value in says.values()) or says["answerable"] is bool(bad):
            raise typer.BadParameter(
                f"{answers}, {row['id']}: four times true or false, `answerable` as `bad_kinds` says."
            )
        if not set(bad) <= {kind.value for kind in TARGET_KINDS[1:]}:
            raise typer.BadParameter(f"{answers}, {row['id']}: unknown kind in {bad}.")
        kept.append({"id": row["id"], "content": contents[row["id"]], **says, "bad_kinds": bad, "round": reading})
    with atomic_write(labels, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in sorted(kept, key=lambda row: (row["round"], row["id"])))


@app.command()
def measure(
    mined: Path = Path("data/mined"),
    generated: Path = Path("data/generated"),
    dataset: Path = Path("data/upqa"),
    unread: Path = CHITCHAT / "upqa",
) -> None:
    """Write the claims."""
    claims = [valid_rate(mined, generated, dataset), repeated_calls_after_kill()]
    claims += filter(None, [good_rate(unread), good_rate_sharegpt(), good_rate_demo(dataset)])
    write("generate", "python -m benchmarks.generate measure", claims)


@app.command("yield")
def yield_by_rule(
    mined: Path = Path("data/mined"), generated: Path = Path("data/generated"), dataset: Path = Path("data/upqa")
) -> None:
    """Write benchmarks/results/generate_yield.json: how many statements each step keeps, and what each rule refuses."""
    write("generate_yield", "python -m benchmarks.generate yield", [steps(mined, generated, dataset)])


def steps(mined: Path, generated: Path, dataset: Path) -> Claim:
    """Share of mined statements that are accepted; in `extra` what is left after each step, and refusals by rule."""
    statements = sum(1 for _ in read_parquet(mined / "statements.parquet", Statement))
    wrote = json.loads((generated / "report.json").read_text(encoding="utf-8"))["counts"]
    validated = json.loads((dataset / "report.json").read_text(encoding="utf-8"))["counts"]
    accepted = _accepted(preference for preference, _ in released(dataset))
    drafted = wrote["statements"]["out"]
    low, high = wilson(accepted, statements)
    return Claim(
        "yield.accepted",
        accepted / statements,
        "share",
        low,
        high,
        statements,
        "statements of the demo that become a valid preference",
        {
            "left": {
                "mined": statements,
                "with an attribute type and a target": drafted + wrote["dropped_by_reason"].get("not_sampled", 0),
                "drafted": drafted,
                "accepted": accepted,
            },
            "refused": {
                "statements by generate": wrote["dropped_by_reason"],
                "drafts and questions by validate, updates included": validated["rejected_by_reason"],
                "samples of the model": wrote["samples_rejected_by_rule"],
            },
            "replies": wrote["replies"],
        },
    )


def _accepted(preferences: Iterable[Preference]) -> int:
    """How many mined statements stand behind `preferences`; one that says what changed gives two of them."""
    return len({preference.evidence for preference in preferences if preference.origin == "mined"})


def valid_rate(mined: Path, generated: Path, dataset: Path) -> Claim:
    """Share of mined statements that become a valid preference; where the others were lost is in `extra`."""
    statements = sum(1 for _ in read_parquet(mined / "statements.parquet", Statement))
    rows = [(preference, asked) for preference, asked in released(dataset) if preference.origin == "mined"]
    report = json.loads((generated / "report.json").read_text(encoding="utf-8"))
    validated = json.loads((dataset / "report.json").read_text(encoding="utf-8"))
    origins = Counter(f"{q.kind}.{q.origin}" for _, questions in rows for q in questions if q.kind in TARGET_KINDS)
    valid = _accepted(preference for preference, _ in rows)
    low, high = wilson(valid, statements)
    return Claim(
        "generate.valid_rate",
        valid / statements,
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


def good_rate(dataset: Path) -> Claim | None:
    """Share of the preferences of the last round on chitchat that are good; None where it is not read as it stands."""
    rounds = _rounds("chitchat")
    note = (
        "chitchat corpus, where people chat with each other: preferences that nobody had read; read once, blind, by a "
        "language model that wrote none of it"
    )
    earlier = {number: _good_of(rows) for number, rows in sorted(rounds.items()) if number < len(POOLS)}
    extra = {"corpus": "chitchat", "earlier_rounds": earlier}
    return _good_as_it_stands("generate.good_rate", rounds[len(POOLS)], readable(dataset, POOLS[-1]), note, extra)


def good_rate_demo(dataset: Path) -> Claim | None:
    """Share of the demo's preferences that are good; None where they are not read as they stand."""
    note = (
        "random preferences of the demo, all of which the rules were written with in view; read once, blind, by a "
        "language model that wrote none of them"
    )
    rows = readable(dataset, EVERYBODY)
    return _good_as_it_stands("generate.good_rate_demo", _rounds("demo")[0], rows, note, {"corpus": "sharegpt"})


def _good_as_it_stands(
    name: str,
    labels: Sequence[dict[str, Any]],
    rows: Sequence[tuple[Preference, list[Question]]],
    note: str,
    extra: dict[str, Any],
) -> Claim | None:
    contents = {content_hash(*row): row[1] for row in rows}
    strays = sum(label["content"] not in contents for label in labels)
    if strays or not labels:
        # Without them the figure would be too good: what was bad is what was changed.
        console.print(f"{name}: not read, or {strays} of {len(labels)} labels fit no preference any more.")
        return None
    read, bad = Counter[str](), Counter[str]()
    for label in labels:
        for question in contents[label["content"]]:
            if question.kind in TARGET_KINDS[1:]:
                read[f"{question.kind}.{question.origin}"] += 1
                bad[f"{question.kind}.{question.origin}"] += question.kind in label["bad_kinds"]
    unanswerable = {key: [bad[key], read[key]] for key in sorted(read)}
    more = {**extra, "accepted": len(contents), "not_answerable_by_kind_and_origin": unanswerable}
    return _good_claim(name, labels, note, more)


def good_rate_sharegpt() -> Claim:
    """The figure of the last round on sharegpt, where nothing is left unread."""
    rounds = _rounds("sharegpt")
    last = max(rounds)
    note = (
        "sharegpt corpus, as the rules before wrote it: the last of its rows that nobody had read; read once by the "
        "language model that wrote the templates"
    )
    earlier = {number: _good_of(rows) for number, rows in sorted(rounds.items()) if number < last}
    return _good_claim(
        "generate.good_rate_sharegpt", rounds[last], note, {"corpus": "sharegpt", "earlier_rounds": earlier}
    )


def _good_claim(name: str, rows: Sequence[dict[str, Any]], note: str, extra: dict[str, Any]) -> Claim:
    good = _good(rows)
    low, high = wilson(good, len(rows))
    failed = {aspect: sum(not row[aspect] for row in rows) for aspect in ASPECTS}
    return Claim(name, good / len(rows), "share", low, high, len(rows), note, {**extra, "failed_by_aspect": failed})


def _rounds(corpus: str) -> dict[int, list[dict[str, Any]]]:
    """The labels of a corpus by round; none where it was never read."""
    rounds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _lines(LABELS[corpus]) if LABELS[corpus].exists() else ():
        rounds[row["round"]].append(row)
    return rounds


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


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

    kills = set(kill_after)
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder, fake_endpoint(answer) as endpoint:
        root = Path(folder)
        write_parquet(root / "mined" / "statements.parquet", [_made_up(job) for job in JOBS], Statement)
        write_parquet(root / "mined" / "queries.parquet", [], Query)
        write_parquet(root / "mined" / "dropped.parquet", [], Dropped)
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
        composer = Composer(topics, statements, [], {}, encode, asked_for_all, rules)
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
