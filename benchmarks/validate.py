"""100,000 synthetic drafts through the validate stage: seconds and peak memory of the command.

`python -m benchmarks.validate [--drafts 100000]`. The drafts are made up from word lists; every tenth breaks a rule.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer
import yaml

from benchmarks.claims import ROOT, Claim, write
from pipeline.core.records import (
    Draft,
    DraftQuestion,
    Evidence,
    Provenance,
    Query,
    QuestionKind,
    Statement,
    content_id,
)
from pipeline.core.tables import write_jsonl, write_parquet

K = QuestionKind
ATTRIBUTES = {
    "hobby": ("chess", "rock climbing", "pottery", "birdwatching", "baking bread", "sailing"),
    "profession": ("nurse", "electrician", "translator", "beekeeper", "civil engineer", "baker"),
    "pet": ("parrot", "greyhound", "tabby cat", "hamster", "corn snake", "goldfish"),
    "hometown": ("Lisbon", "Tromso", "Cork", "Utrecht", "Malmo", "Trieste"),
}
WORDS = "quiet rainy long early busy green narrow old sunny cheap warm strange small distant plain".split()


def drafts(count: int, seed: int) -> Iterator[Draft]:
    """Made-up drafts with seven questions each; every tenth leaks its target in the product question."""
    random_ = random.Random(seed)
    for number in range(count):
        attribute = random_.choice(sorted(ATTRIBUTES))
        target = random_.choice(ATTRIBUTES[attribute])
        scene = " ".join(random_.sample(WORDS, 3))
        text = f"On a {scene} day {number} I told everybody about {target}, as I always do."
        statement = Statement(
            id=content_id(number, text),
            user_id=content_id("user", number // 3),
            evidence=Evidence(source="jsonl", conversation=str(number // 3), turn=0, start=0, end=len(text)),
            text=text,
            self_contained=text,
            family=attribute,
            confidence=0.9,
            sensitive=(),
            language="en",
            license="CC-BY-4.0",
            redactions=(),
            history=(),
        )
        leak = target if number % 10 == 0 else "day"
        asked = (
            (K.EXPLICIT, f"What is my {attribute}?", "template"),
            (K.REPHRASED, f"What did I tell people about on that {scene} day?", "generated"),
            (K.IMPLICIT, f"How should I plan a {scene} weekend for myself?", "generated"),
            (K.PRODUCT, f"What should I buy myself for a {scene} {leak}?", "generated"),
            (K.UNSTATED, "What is my shoe size?", "template"),
            (K.OTHER_PERSON, f"What is my sister's {attribute}?", "template"),
            (K.NEUTRAL, "What is the capital of France?", "template"),
        )
        yield Draft(
            id=content_id(statement.id, attribute, target),
            statement=statement,
            attribute_type=attribute,
            family=attribute,
            target=target,
            aliases=(),
            cluster=(),
            questions=tuple(
                DraftQuestion(
                    kind=kind,
                    text=question,
                    origin=origin,  # type: ignore[arg-type]
                    query_id=None,
                    accepted=("Paris",) if kind is K.NEUTRAL else (target,),
                )
                for kind, question, origin in asked
            ),
            provenance=Provenance(model="synthetic", prompts={}, samples=1),
        )


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
        subprocess.run([sys.executable, "-m", "pipeline.validate", *arguments], cwd=folder, env=environment, check=True)
        report = json.loads((folder / "upqa" / "report.json").read_text(encoding="utf-8"))
    typer.echo(json.dumps(report["counts"], indent=2))
    valid = report["counts"]["drafts"]["out"]
    note = f"{options.drafts} synthetic drafts, {valid} valid, difficulty by hashed bags of words"
    write(
        "validate",
        "python -m benchmarks.validate",
        [
            Claim("validate.seconds_100k", report["seconds"], "s", None, None, options.drafts, note),
            Claim("validate.peak_mb", report["peak_memory_mb"], "MiB", None, None, options.drafts, note),
        ],
    )


if __name__ == "__main__":
    main()
