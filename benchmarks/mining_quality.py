"""Precision and recall of what `mine` finds, on sentences labelled by reading.

`python -m benchmarks.mining_quality`. Five-fold cross-validation by user: every label is judged by a prefilter and
heads trained on the other users' labels. Each label stands for as many sentences of the corpus as its stratum holds
per label, so the figures are estimates for the whole labelled half. Intervals: 1,000 bootstrap samples of users.
A hit is a row that the stage would write: found by the filters, probable enough, standing alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import typer

from benchmarks.claims import ROOT, Claim, write
from pipeline.core.config import load_section
from pipeline.mine.candidates import KINDS, Kind
from pipeline.mine.config import MineSettings
from pipeline.mine.detector import head_from
from pipeline.mine.labelled import FOLDS, Labelled, labelled
from pipeline.mine.pii import redact
from pipeline.mine.prefilter import prefilter_from
from pipeline.mine.rewrite import asks_alone, self_contained
from pipeline.mine.train import seed_candidates, train_head, train_prefilter, training_features

SAMPLES = 1000
"""Bootstrap samples."""


class Judged(NamedTuple):
    """One label with what the detector says about it."""

    row: Labelled
    """The label."""
    score: float
    """The head's probability; 0 where the filters, the prefilter or the rewriting take the sentence out."""


def judged(kind: Kind) -> list[Judged]:
    """The labels drawn at random, each judged by a detector that has not seen its user."""
    rows = labelled(kind)
    features = training_features(kind, rows)
    seeds = len(seed_candidates(kind)[0])
    found: list[Judged] = []
    for fold in range(FOLDS):
        train = [i for i, row in enumerate(rows) if row.fold != fold and row.reachable]
        chosen = np.concatenate([features[:seeds], features[[seeds + i for i in train]]])
        arrays = train_head(kind, [rows[i] for i in train], chosen)
        prefilter = None
        if kind == "statement":
            prefilter = prefilter_from(train_prefilter([rows[i] for i in train]))
        head = head_from(arrays, kind)
        probabilities = head.probability(features[seeds:])
        for number, row in enumerate(rows):
            if row.fold == fold and row.weight:
                passes = row.reachable and (prefilter is None or prefilter.keeps(row.candidate))
                text = redact(row.candidate.text).text
                alone = asks_alone(text) if kind == "query" else self_contained(text) is not None
                found.append(Judged(row, float(probabilities[number]) if passes and alone else 0.0))
    return found


def rates(
    weights: npt.NDArray[np.float64], hit: npt.NDArray[np.bool_], positive: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Weighted precision and recall; nan where there is nothing to divide by."""
    right = (weights * (hit & positive)).sum()
    hits, positives = (weights * hit).sum(), (weights * positive).sum()
    return right / hits if hits else float("nan"), right / positives if positives else float("nan")


def estimate(rows: Sequence[Judged], threshold: float) -> dict[str, list[float]]:
    """Precision and recall, each as [value, low, high]."""
    weights = np.array([one.row.weight for one in rows])
    hit = np.array([one.score >= threshold for one in rows])
    positive = np.array([one.row.positive for one in rows])
    users = np.unique([one.row.user for one in rows], return_inverse=True)[1]
    generator = np.random.default_rng(20250101)
    drawn = []
    for _ in range(SAMPLES):
        times = np.bincount(generator.integers(0, users.max() + 1, users.max() + 1), minlength=users.max() + 1)
        drawn.append(rates(weights * times[users], hit, positive))
    low, high = np.nanpercentile(np.array(drawn), [2.5, 97.5], axis=0)
    value = rates(weights, hit, positive)
    return {name: [float(value[i]), float(low[i]), float(high[i])] for i, name in enumerate(("precision", "recall"))}


def main() -> None:
    """Measure and write benchmarks/results/mining_quality.json."""
    settings = load_section(Path(ROOT / "params.yaml"), "mine", MineSettings)
    claims: list[Claim] = []
    for kind in KINDS:
        threshold = settings.statement_threshold if kind == "statement" else settings.query_threshold
        rows = judged(kind)
        whole = estimate(rows, threshold)
        extra = {"threshold": threshold, "by_stratum": _by_stratum(rows, threshold)}
        if kind == "statement":
            extra["recall_by_family"] = _recall_by_family(rows, threshold)
        name = "mine" if kind == "statement" else "query"
        for rate in ("precision", "recall"):
            value, low, high = whole[rate]
            counted = [one for one in rows if (one.score >= threshold if rate == "precision" else one.row.positive)]
            note = "estimate for the labelled half of sharegpt, 5-fold cross-validation by user"
            claims.append(Claim(f"{name}.{rate}", value, "share", low, high, len(counted), note, extra))
            typer.echo(f"{name}.{rate} = {value:.3f} ({low:.3f} to {high:.3f}), n = {len(counted)}")
    write("mining_quality", "python -m benchmarks.mining_quality", claims)


def _by_stratum(rows: Sequence[Judged], threshold: float) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for name in sorted({one.row.stratum for one in rows}):
        part = [one for one in rows if one.row.stratum == name]
        hits = [one for one in part if one.score >= threshold]
        table[name] = {
            "labels": len(part),
            "positive": sum(one.row.positive for one in part),
            "hits": len(hits),
            "right": sum(one.row.positive for one in hits),
        }
    return table


def _recall_by_family(rows: Sequence[Judged], threshold: float) -> dict[str, dict[str, int]]:
    positive = [one for one in rows if one.row.positive]
    return {
        family: {
            "positive": sum(one.row.group == family for one in positive),
            "found": sum(one.row.group == family and one.score >= threshold for one in positive),
        }
        for family in sorted({one.row.group for one in positive})
    }


if __name__ == "__main__":
    typer.run(main)
