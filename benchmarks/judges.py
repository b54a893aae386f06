"""How accurate the judges are on hand-labelled replies, and how long judging takes.

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


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="fit the embedding judge on the development part")
    parser.add_argument("--writers", action="store_true", help="measure on development writers left out of the fit")
    parser.add_argument("--timing", action="store_true", help="time judging 10,000 answers")
    parser.add_argument("--fresh", action="store_true", help="measure on the replies held apart, and nothing else")
    arguments = parser.parse_args()
    config = load_section(Path("params.yaml"), "judge", JudgeConfig)
    if arguments.fresh:
        fresh(config)
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
    for name, rule in judges(config).items():
        claims += measure(name, rule, rows, config)
    write("judges", "python -m benchmarks.judges", claims)


def fresh(config: JudgeConfig) -> None:
    """Claims about every judge on the replies held apart."""
    rows = list(read_calibration("fresh", FRESH))
    claims: list[Claim] = []
    for name, rule in judges(config).items():
        for suffix, places in _parts(rows).items():
            claims += measure(name, rule, [rows[i] for i in places], config, prefix=f"judge.fresh{suffix}")
    write("judges_fresh", "python -m benchmarks.judges --fresh", claims)


def writers(config: JudgeConfig) -> None:
    """Claims about the judge `embedding` on development replies whose writer it was not fitted on."""
    rows, rulings = rulings_on_writers_left_out(config)
    claims: list[Claim] = []
    for suffix, places in _parts(rows).items():
        own = [rulings[i] for i in places]
        claims += measure(
            "embedding", lambda _, own=own: own, [rows[i] for i in places], config, prefix=f"judge.writers{suffix}"
        )
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


def judges(config: JudgeConfig) -> dict[str, Callable[[Sequence[Item]], list[Ruling]]]:
    """Every local judge, and two baselines to see what they are worth."""
    found = {name: load_judge(name, config).rule for name in ("exact", "embedding")}
    return found | {"substring": _substring}


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
    prefix: str = "judge",
) -> list[Claim]:
    """Claims about one judge: accuracy, false accept and false reject, over all and by class and kind."""
    plan = Plan(config.bootstrap_samples, config.seed, config.confidence)
    said = [ruling.verdict == "correct" for ruling in rule([row.item() for row in rows])]
    wanted = [row.label == "correct" for row in rows]
    right = [a == b for a, b in zip(said, wanted, strict=True)]
    triples: dict[str, list[tuple[str, str, bool | None]]] = {}
    for row, good in zip(rows, right, strict=True):
        error = "false_reject" if row.label == "correct" else "false_accept"
        for part in ("", f".{row.group}", f".{row.kind}"):
            triples.setdefault(f"accuracy{part}", []).append((row.preference, "all", good))
            triples.setdefault(f"{error}{part}", []).append((row.preference, "all", not good))
    claims = []
    for figure, observed in triples.items():
        (estimate,) = share_estimates(count(observed, ("all",)), plan)
        claims.append(claim(f"{prefix}.{name}.{figure}", estimate, config, name))
        if name == config.judges[-1] and figure in ("accuracy", "false_accept"):
            # The default local judge stands for the project.
            claims.append(claim(f"{prefix}.{figure}", estimate, config, name))
        console.print(
            f"{prefix:20} {name:10} {figure:24} {estimate.value:.3f} "
            f"[{estimate.low:.3f}, {estimate.high:.3f}] n={estimate.n}"
        )
    return claims


def claim(name: str, estimate: Estimate, config: JudgeConfig, judge: str) -> Claim:
    """One measured figure in the form of all claims."""
    sha256 = judge_sha256(judge, config) if judge in config.judges else None
    return Claim(
        name,
        round(estimate.value or 0.0, 4),
        "share",
        round(estimate.low or 0.0, 4),
        round(estimate.high or 0.0, 4),
        estimate.n,
        extra={"judge_sha256": sha256},
    )


def timing(config: JudgeConfig) -> Claim:
    """Seconds to judge 10,000 different answers with all judges of params.yaml."""
    source = [row.item() for split in ("development", "test") for row in read_calibration(split)]
    items = []
    for i in range(10_000):
        item = source[i % len(source)]
        # Every answer is a different text, as the answers of models are.
        items.append(Item(**{**item.__dict__, "reply": f"{item.reply} Option {i} is also worth a look."}))
    started = time.perf_counter()
    for name in config.judges:
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
