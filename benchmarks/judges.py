"""How accurate the judges are on hand-labelled replies, beside two baselines, and how long judging takes.

All judges of params.yaml are measured; `llm` asks the endpoint of its role, and every call is kept in its cache.

python -m benchmarks.judges            measures on the test part, writes benchmarks/results/judges.json
python -m benchmarks.judges --fit      only fits editing/judges/embedding_head.json, prints thresholds for params.yaml
python -m benchmarks.judges --writers  measures on each writer of development replies what the others' replies teach,
                                       writes results/judges_writers.json
python -m benchmarks.judges --timing   only times judging 10,000 answers
python -m benchmarks.judges --fresh    measures on the replies held apart instead, writes results/judges_fresh.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.claims import Claim, write
from benchmarks.judge_head import fit, rulings_on_writers_left_out
from editing.judges.base import Item, Ruling
from editing.judges.calibration import FRESH, LabelledReply, read_calibration
from editing.judges.config import JudgeConfig
from editing.judges.registry import judge_sha256, load_judge
from editing.metrics.bootstrap import Plan
from editing.metrics.estimate import Estimate
from editing.metrics.scores import count, share_estimates
from pipeline.core.config import load_section
from pipeline.core.progress import console
from pipeline.core.records import CONTROL_KINDS, TARGET_KINDS
from pipeline.embedding import embed
from pipeline.llm.config import LLMConfig, load_llm

DEFAULT = "embedding"
"""The judge that stands for the project."""


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit the embedding judge on the development part")
    parser.add_argument("--writers", action="store_true", help="measure on development writers left out of the fit")
    parser.add_argument("--timing", action="store_true", help="time judging 10,000 answers")
    parser.add_argument("--fresh", action="store_true", help="measure on the replies held apart, and nothing else")
    arguments = parser.parse_args()
    config = load_section(Path("params.yaml"), "judge", JudgeConfig)
    llm = load_llm(Path("params.yaml")) if "llm" in config.judges else None
    if arguments.fresh:
        fresh(config, llm)
        return
    if arguments.fit:
        fit(config)
        return
    if arguments.timing:
        write("judges_timing", "python -m benchmarks.judges --timing", [timing(config)])
        return
    if arguments.writers:
        writers(config)
        return
    rows = list(read_calibration("test"))
    claims: list[Claim] = []
    for name, rule in judges(config, llm).items():
        claims += measure(name, rule, rows, config, llm)
    write("judges", "python -m benchmarks.judges", claims)


def fresh(config: JudgeConfig, llm: LLMConfig | None) -> None:
    """Claims about every judge on the replies held apart."""
    rows = list(read_calibration("fresh", FRESH))
    claims: list[Claim] = []
    for name, rule in judges(config, llm).items():
        for suffix, places in _parts(rows).items():
            claims += measure(name, rule, [rows[i] for i in places], config, llm, prefix=f"judge.fresh{suffix}")
    write("judges_fresh", "python -m benchmarks.judges --fresh", claims)


def writers(config: JudgeConfig) -> None:
    """Claims about the judge `embedding` on development replies whose writer it was not fitted on."""
    rows, rulings = rulings_on_writers_left_out(config)
    claims: list[Claim] = []
    for suffix, places in _parts(rows).items():

        def given(_: Sequence[Item], places: Sequence[int] = places) -> list[Ruling]:
            return [rulings[i] for i in places]

        claims += measure("embedding", given, [rows[i] for i in places], config, prefix=f"judge.writers{suffix}")
    write("judges_writers", "python -m benchmarks.judges --writers", claims)


def _parts(rows: Sequence[LabelledReply]) -> dict[str, list[int]]:
    """Places in `rows` by suffix of the claims: replies to the target kinds, those of each writer, and all others."""
    real = [i for i, row in enumerate(rows) if row.group != "swapped"]
    targets = [i for i in real if rows[i].kind in TARGET_KINDS]
    parts = {"": targets, ".controls": [i for i in real if rows[i].kind not in TARGET_KINDS]}
    for writer in sorted({row.writer for row in rows}):
        parts[f".{writer}"] = [i for i in targets if rows[i].writer == writer]
    swapped = [i for i, row in enumerate(rows) if row.group == "swapped"]
    return {**parts, ".swapped": swapped} if swapped else parts


Rule = Callable[[Sequence[Item]], list[Ruling]]
"""What a judge does with items."""


def judges(config: JudgeConfig, llm: LLMConfig | None) -> dict[str, Rule]:
    """Every judge of params.yaml, and two baselines to see what they are worth."""
    found = {name: load_judge(name, config, llm).rule for name in config.judges}
    return found | {"substring": _substring, "cosine": cosine(list(read_calibration("development")))}


def cosine(replies: Sequence[LabelledReply]) -> Rule:
    """The baseline that accepts what is near to the target, from the cosine that is most often right on `replies`."""
    own = [row for row in replies if row.kind in TARGET_KINDS]
    near, good = nearness([row.item() for row in own]), np.array([row.label == "correct" for row in own])
    threshold = max(np.unique(near), key=lambda least: ((near >= least) == good).mean())

    def rule(items: Sequence[Item]) -> list[Ruling]:
        accepted = (nearness(items) >= threshold) != [item.is_control for item in items]
        return [Ruling("correct" if one else "incorrect", "cosine") for one in accepted]

    return rule


def nearness(items: Sequence[Item]) -> npt.NDArray[np.float32]:
    """Cosine of each whole reply to the nearest form of its target, to 4 digits, shape (items,)."""
    texts = sorted({text for item in items for text in (item.reply, *item.targets)})
    vectors = dict(zip(texts, embed(texts), strict=True))
    found = [max(vectors[item.reply] @ vectors[target] for target in item.targets) for item in items]
    return np.round(np.array(found), 4).astype(np.float32)


def _substring(items: Sequence[Item]) -> list[Ruling]:
    # On a control the target must not show up.
    return [
        Ruling(
            "correct" if (item.target.lower() in item.reply.lower()) != (item.kind in CONTROL_KINDS) else "incorrect",
            "substring",
        )
        for item in items
    ]


def measure(
    name: str,
    rule: Callable[[Sequence[Item]], list[Ruling]],
    rows: Sequence[LabelledReply],
    config: JudgeConfig,
    llm: LLMConfig | None = None,
    prefix: str = "judge",
) -> list[Claim]:
    """Claims about one judge: accuracy, false accept and false reject, over all and by class and kind.

    What the judge left unscored is counted apart and is neither right nor wrong.
    """
    plan = Plan(config.bootstrap_samples, config.seed, config.confidence)
    triples: dict[str, list[tuple[str, str, bool | None]]] = {}
    for row, ruling in zip(rows, rule([row.item() for row in rows]), strict=True):
        good = None if ruling.verdict == "unscored" else ruling.verdict == row.label
        error = "false_reject" if row.label == "correct" else "false_accept"
        for part in ("", f".{row.group}", f".{row.kind}"):
            triples.setdefault(f"accuracy{part}", []).append((row.preference, "all", good))
            triples.setdefault(f"{error}{part}", []).append((row.preference, "all", None if good is None else not good))
    claims = []
    for figure, observed in triples.items():
        (estimate,) = share_estimates(count(observed, ("all",)), plan)
        if estimate.value is None:
            continue
        sha256 = judge_sha256(name, config, llm) if name in config.judges else None
        claims.append(claim(f"{prefix}.{name}.{figure}", estimate, sha256))
        if name == DEFAULT and figure in ("accuracy", "false_accept"):
            claims.append(claim(f"{prefix}.{figure}", estimate, sha256))
        console.print(
            f"{prefix:20} {name:10} {figure:24} {estimate.value:.3f} "
            f"[{estimate.low:.3f}, {estimate.high:.3f}] n={estimate.n}"
        )
    return claims


def claim(name: str, estimate: Estimate, judge_sha256: str | None) -> Claim:
    """One measured figure in the form of all claims."""
    assert estimate.value is not None
    return Claim(
        name,
        round(estimate.value, 4),
        "share",
        round(estimate.low or 0.0, 4),
        round(estimate.high or 0.0, 4),
        estimate.n,
        extra={"judge_sha256": judge_sha256, "n_unscored": estimate.n_unscored},
    )


def timing(config: JudgeConfig) -> Claim:
    """Seconds to judge 10,000 different answers with the local judges."""
    source = [row.item() for split in ("development", "test") for row in read_calibration(split)]
    items = []
    for i in range(10_000):
        item = source[i % len(source)]
        # Every answer is a different text, as the answers of models are.
        items.append(Item(**{**item.__dict__, "reply": f"{item.reply} Option {i} is also worth a look."}))
    started = time.perf_counter()
    for name in ("exact", DEFAULT):
        judge = load_judge(name, config)
        for start in range(0, len(items), config.chunk):
            judge.rule(items[start : start + config.chunk])
    seconds = round(time.perf_counter() - started, 1)
    console.print(f"judge.seconds_10k {seconds}")
    return Claim(
        "judge.seconds_10k", seconds, "s", None, None, len(items), note="exact and embedding, one after the other"
    )


if __name__ == "__main__":
    main()
