"""Ways of getting more out of the small local model, compared on users outside the test split.

`python -m benchmarks.generate_choices` asks the generator role about the same statements with fixed examples and with
the most similar ones, takes the best of one and of four samples, and sets attribute types chosen by embedding beside
those of our cues. It needs data/mined and data/upqa.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import typer

from benchmarks.claims import ROOT, Claim, write
from benchmarks.generate import released, wilson
from pipeline.core.config import load_section
from pipeline.core.provenance import cores
from pipeline.core.records import TARGET_KINDS, Statement
from pipeline.core.tables import read_parquet
from pipeline.embedding import embed
from pipeline.generate.attributes import find_attribute, taxonomy, types_in
from pipeline.generate.composer import Composer
from pipeline.generate.config import GenerateConfig
from pipeline.generate.topics import Topic, find_topics
from pipeline.generate.writer import Writer
from pipeline.llm.client import Client
from pipeline.llm.config import LLMConfig, load_llm
from pipeline.llm.prompts import Example, Prompt
from pipeline.validate.config import RulesConfig, ValidateConfig

SHOWN = 4
"""Examples that are shown where not all are."""
SAMPLES = 4
"""Best of this many."""
TEMPERATURE = 0.8
"""Of several samples."""
PARAMS = ROOT / "params.yaml"


class FewFixed(Writer):
    """Shows the first examples."""

    def examples(self, prompt: Prompt, values: Mapping[str, str]) -> Sequence[Example]:
        """The same ones for every statement."""
        return prompt.examples[:SHOWN]


class Similar(Writer):
    """Shows the examples that are closest to the statement, the closest last."""

    def examples(self, prompt: Prompt, values: Mapping[str, str]) -> Sequence[Example]:
        """Those whose variables are closest by embedding."""
        close = embed([" ".join(e.variables.values()) for e in prompt.examples]) @ embed([" ".join(values.values())])[0]
        return [prompt.examples[int(i)] for i in close.argsort()[-SHOWN:]]


def main(mined: Path = Path("data/mined"), dataset: Path = Path("data/upqa"), count: int = 60) -> None:
    """Measure and write benchmarks/results/generate_choices.json."""
    test = {preference.user_id for preference, _ in released(dataset) if preference.split == "test"}
    statements = [s for s in read_parquet(mined / "statements.parquet", Statement) if s.user_id not in test]
    rules = load_section(PARAMS, "validate", ValidateConfig).rules
    topics = find_topics(statements, count, rules).kept
    ask = partial(_accepted, topics, statements, rules)
    claims = [
        *ask("examples.all_fixed", Writer),
        *ask(f"examples.{SHOWN}_fixed", FewFixed),
        *ask(f"examples.{SHOWN}_most_similar", Similar),
        *ask("samples", Writer, samples=SAMPLES, temperature=TEMPERATURE),
        *_types(random.Random(0).sample(statements, count), rules),
    ]
    write("generate_choices", f"python -m benchmarks.generate_choices --count {count}", claims)


def _accepted(
    topics: Sequence[Topic],
    statements: Sequence[Statement],
    rules: RulesConfig,
    name: str,
    make: Callable[[Client, Path, GenerateConfig], Writer],
    samples: int = 1,
    temperature: float | None = None,
) -> list[Claim]:
    """Share of fields (a rephrased, an implicit and a product question a statement) with an accepted sample.

    One claim after the first sample and, where there are more, one after the last. No call is answered from a cache.
    """
    config = load_section(PARAMS, "generate", GenerateConfig)
    config = config.model_copy(update={"ranking": config.ranking.model_copy(update={"ours_first": False})})
    composer = Composer(topics, statements, [], {}, partial(embed, dtype=config.encoder_dtype), config, rules)
    claims, seconds, replies = [], 0.0, 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Client(config.role, _settings(config.role, Path(folder), temperature)) as client,
    ):
        writer = make(client, ROOT / "prompts", config)
        for repeat in range(samples):
            started = time.monotonic()
            written = writer.write(composer.lacking(topics), repeat, lambda done: None)
            seconds += time.monotonic() - started
            replies += sum(item.replies for item in written)
            for item in written:
                composer.add(item.topic, item.questions)
            if repeat in (0, samples - 1):
                suffix = f".best_of_{repeat + 1}" if samples > 1 else ""
                claims += _claims(f"{name}{suffix}", composer, topics, seconds, replies, temperature)
    return claims


def _settings(role: str, folder: Path, temperature: float | None) -> LLMConfig:
    settings = load_llm(PARAMS)
    chosen = settings.role(role)
    if temperature is not None:
        chosen = chosen.model_copy(update={"sampling": chosen.sampling.model_copy(update={"temperature": temperature})})
    # Threads without a core of their own wait for each other; the replies are the same.
    local = settings.local.model_copy(update={"threads": min(settings.local.threads, cores())})
    return settings.model_copy(update={"cache": folder / "calls.sqlite", "roles": {role: chosen}, "local": local})


def _claims(
    name: str, composer: Composer, topics: Sequence[Topic], seconds: float, replies: int, temperature: float | None
) -> list[Claim]:
    kinds = [question.kind.value for topic in topics for question in composer.written(topic)]
    n = len(topics) * len(TARGET_KINDS[1:])
    extra: dict[str, Any] = {
        "replies": replies,
        "temperature": temperature,
        "accepted": {kind.value: kinds.count(kind.value) for kind in TARGET_KINDS[1:]},
        "rejected_by_rule": dict(composer.rejections.most_common()),
    }
    low, high = wilson(len(kinds), n)
    return [
        Claim(f"choices.{name}", len(kinds) / n, "share", low, high, n, "fields with an accepted sample", extra),
        Claim(f"choices.{name}.seconds", seconds, "s", None, None, replies, "for all replies, none cached"),
    ]


def _types(statements: Sequence[Statement], rules: RulesConfig) -> list[Claim]:
    """Share of statements with a type and a value, when the cues choose the type and when the embedding does.

    The embedding takes the type with the closest prototype; the value can then only be what a cue of that type finds.
    """
    started = time.monotonic()
    found = [find_attribute(s.self_contained, s.family, rules.max_target_words) for s in statements]
    by_cues = time.monotonic() - started
    started = time.monotonic()
    prototypes = [(kind, text) for kind in taxonomy() for text in kind.prototypes]
    close = embed([s.self_contained for s in statements]) @ embed([text for _, text in prototypes]).T
    nearest = [prototypes[int(i)][0] for i in close.argmax(axis=1)]
    by_embedding = time.monotonic() - started
    fits = [kind in types_in(s.self_contained, kind.families) for s, kind in zip(statements, nearest, strict=True)]
    same = sum(item is not None and item.type == kind for item, kind in zip(found, nearest, strict=True))
    yields = {"cues": (sum(item is not None for item in found), by_cues), "embedding": (sum(fits), by_embedding)}
    return [
        Claim(
            f"choices.attribute_type.{name}",
            valid / len(statements),
            "share",
            *wilson(valid, len(statements)),
            len(statements),
            "random statements that get an attribute type and a value of it",
            {"seconds": round(seconds, 1), "both_choose_the_same": same},
        )
        for name, (valid, seconds) in yields.items()
    ]


if __name__ == "__main__":
    typer.run(main)
