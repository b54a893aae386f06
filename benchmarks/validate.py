"""100,000 synthetic drafts through the validate stage: seconds and peak memory of the command.

`python -m benchmarks.validate [--drafts 100000]`. The drafts are made of our own questions about
made-up values, with the clusters and controls that real ones have; every tenth breaks a rule.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import typer
import yaml

from benchmarks.claims import ROOT, Claim, write
from pipeline.core.config import load_section
from pipeline.core.records import Draft, DraftQuestion, Evidence, Provenance, Query, QuestionKind, Statement, content_id
from pipeline.core.tables import write_jsonl, write_parquet
from pipeline.generate.aliases import aliases
from pipeline.generate.attributes import find_attribute, taxonomy
from pipeline.generate.composer import first_valid, ours
from pipeline.generate.config import GenerateConfig
from pipeline.generate.controls import neutral_order, other_person, turn, unstated_order
from pipeline.generate.topics import Topic

K = QuestionKind
WORDS = "quiet rainy long early busy green narrow old sunny cheap warm strange small distant plain".split()
VALUES = [" ".join(words) for count in range(3) for words in itertools.permutations(WORDS, count)]
"""What stands in front of a value, the shorter the commoner."""
FACTS = neutral_order("")
QUERIES = [f"which {one} {other} place should I go to" for one, other in itertools.permutations(WORDS, 2)]


def drafts(count: int, seed: int) -> Iterator[Draft]:
    """Drafts as the generate stage writes them, cluster and controls included; every tenth leaks its target."""
    random_ = random.Random(seed)
    facts = [
        (kind, text, found.target)
        for kind in taxonomy()
        for text in kind.prototypes
        if (found := find_attribute(text, kind.families[0], 6)) is not None and found.type.name == kind.name
    ]
    size = load_section(ROOT / "params.yaml", "generate", GenerateConfig).cluster_size
    model = Provenance(model="synthetic", prompts={"generate/rephrase": content_id("prompt") * 4}, samples=1)
    for number in range(count):
        kind, text, base = random_.choice(facts)
        # Zipf: the n-th value is said about n times less often than the first.
        value = f"{VALUES[int(len(VALUES) ** random_.random()) - 1]} {base}".strip()
        text = f"{text.replace(base, value)} On day {number} I told everybody about it."
        user = content_id("user", number // 3)
        statement = Statement(
            id=content_id(number, text),
            user_id=user,
            evidence=Evidence(source="jsonl", conversation=str(number // 3), turn=0, start=0, end=len(text)),
            text=text,
            self_contained=text,
            family=kind.families[0],
            confidence=0.9,
            sensitive=(),
            language="en",
            license="CC-BY-4.0",
            redactions=(),
            history=(content_id(number - 1),),
        )
        topic = Topic(statement, kind, value, aliases(value))
        yield topic.draft(questions(topic, leaks=number % 10 == 0), model, size)


def questions(topic: Topic, *, leaks: bool) -> list[DraftQuestion]:
    """Questions of all kinds."""
    query = QUERIES[turn(topic.id, len(QUERIES))]
    others = taxonomy()[turn(topic.id, len(taxonomy()) - 4) :][:4]
    plan = [
        *(
            [ours(topic, kind, rotate=kind is not K.EXPLICIT)]
            for kind in (K.EXPLICIT, K.REPHRASED, K.IMPLICIT, K.PRODUCT)
        ),
        [unstated_order(topic.id, others, {topic.kind.name, *topic.kind.families}, [0.0] * len(others), 1.0)],
        [[DraftQuestion(kind=K.IRRELEVANT, text=query, origin="mined", query_id=content_id(query), accepted=())]],
        [[one] for one in other_person(topic.id, topic.kind.explicit[0], [])],
        [[FACTS[turn(topic.id, len(FACTS))]]],
    ]
    chosen: list[DraftQuestion] = []
    for options in itertools.chain.from_iterable(plan):
        chosen += first_valid(options, 1, chosen, lambda question: True)
    if leaks:
        chosen[3] = chosen[3].model_copy(update={"text": f"Which {topic.target} should I buy?"})
    return chosen


def peak_of_all(process: subprocess.Popen[bytes]) -> float:
    """Wait for `process`; returns the most memory that it and its children held at a time, in MiB.

    Looked at five times a second; what processes share is counted for each.

    Raises:
        CalledProcessError: it failed.
    """
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            peak = max(peak, sum(one.memory_info().rss for one in (parent, *parent.children(recursive=True))))
        time.sleep(0.2)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return round(peak / 2**20, 1)


def main() -> None:
    """Measure and write the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drafts", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(folder / "generated" / "drafts.jsonl", drafts(options.drafts, seed=1))
        write_parquet(folder / "mined" / "queries.parquet", [], Query)
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        params["validate"]["difficulty"]["encoder"] = "hashed"
        params["validate"]["reference"] = params["validate"]["split"]["near_duplicate"] = None
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        arguments = [
            "--generated",
            "generated",
            "--mined",
            "mined",
            "--out",
            "upqa",
            "--schemas",
            str(ROOT / "schemas"),
        ]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "pipeline.validate", *arguments]
        peak = peak_of_all(subprocess.Popen(command, cwd=folder, env=environment))
        report = json.loads((folder / "upqa" / "report.json").read_text(encoding="utf-8"))
    typer.echo(json.dumps(report["counts"], indent=2))
    valid = report["counts"]["drafts"]["out"]
    note = f"{options.drafts} synthetic drafts, {valid} valid, difficulty by hashed bags of words"
    splits = report["counts"]["splits"]
    write(
        "validate",
        "python -m benchmarks.validate",
        [
            Claim("validate.seconds_100k", report["seconds"], "s", None, None, options.drafts, note),
            Claim("validate.peak_mb", peak, "MiB", None, None, options.drafts, f"{note}; all processes together"),
            Claim(
                "validate.largest_gap_to_the_share_of_a_family",
                splits["largest_gap_to_the_share_of_a_family"],
                "preferences",
                None,
                None,
                valid,
                "in any split; three preferences a user, whose values follow Zipf's law",
                {"splits": splits, "by_split": report["counts"]["by_split"]},
            ),
        ],
    )


if __name__ == "__main__":
    main()
