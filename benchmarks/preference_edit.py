"""`preference_edit` against its baselines on the published UPQA, with controls: headline, specificity, margin.

`python -m benchmarks.preference_edit --published DIR --queries FILE`. `DIR` holds balanced_subset_cluster9.json of the
published data (CC BY-NC-4.0: it is read, and nothing of it is written into the repository); `FILE` is a
queries.parquet of the mine stage. Control questions of four kinds are added as the generate stage adds them. Of the ten
records of an attribute type four are validation and six test, drawn with a fixed seed. Settings are chosen on the
validation records; the test records are scored by this script.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from benchmarks.claims import ROOT, Claim, write
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import count_kinds, headline_difference
from editing.runner import Cell, EditSettings, run_cell
from pipeline.core.config import load_section
from pipeline.core.records import Draft, DraftQuestion, Query, QuestionKind, Split, Verdict
from pipeline.core.tables import read_parquet
from pipeline.core.wording import contains_phrase, words
from pipeline.embedding import embed
from pipeline.generate.attributes import taxonomy
from pipeline.generate.config import GenerateConfig
from pipeline.generate.controls import RELATIVES, irrelevant_order, neutral_order, rotated, unstated_order
from pipeline.importers import stage
from pipeline.validate.config import ValidateConfig

PARAMS = ROOT / "params.yaml"
OURS = "preference_edit"
MODEL = "smollm2-135m-instruct"
SEED = 20260101
VALIDATION_SHARE = 0.4
JUDGE = "exact"
"""Judge of the claims; the other one's scores stand in `extra`."""


def build_dataset(published: Path, queries: Path, out: Path) -> None:
    """Write the published records with control questions, split 40 validation and 60 test, as a dataset folder."""
    found = stage.read("upqa", published / "balanced_subset_cluster9.json", first_person=True)
    config = load_section(PARAMS, "validate", ValidateConfig)
    mined = [query for query in read_parquet(queries, Query) if 5 <= len(words(query.text)) <= 25]
    drafts = {draft.id: draft for draft in _with_controls(list(found.drafts.values()), mined)}
    rows = stage.dataset(drafts, embed, config.rules, config.difficulty)
    split_of = splits({p.id: p.attribute_type for p in rows.preferences})
    split = stage.Dataset(
        [p.model_copy(update={"split": split_of[p.id]}) for p in rows.preferences],
        [q.model_copy(update={"split": split_of[q.preference_id]}) for q in rows.questions],
    )
    stage.write("upqa", split, published / "balanced_subset_cluster9.json", out)


def splits(attribute_of: Mapping[str, str]) -> dict[str, Split]:
    """Validation or test for each preference, drawn within each attribute type."""
    by_type: dict[str, list[str]] = defaultdict(list)
    for preference, attribute in sorted(attribute_of.items()):
        by_type[attribute].append(preference)
    found: dict[str, Split] = {}
    for attribute, own in sorted(by_type.items()):
        random.Random(f"{SEED} {attribute}").shuffle(own)
        cut = round(VALIDATION_SHARE * len(own))
        for at, preference in enumerate(own):
            found[preference] = "validation" if at < cut else "test"
    return found


def _with_controls(drafts: Sequence[Draft], mined: Sequence[Query]) -> list[Draft]:
    limits = load_section(PARAMS, "generate", GenerateConfig).matching
    kinds = taxonomy()
    query_vectors = embed([query.text for query in mined])
    kind_vectors = embed([kind.explicit[0] for kind in kinds])
    found = []
    for draft in drafts:
        own = embed([draft.statement.text, *(q.text for q in draft.questions)])
        stated = {draft.attribute_type, draft.statement.family}
        closeness = (kind_vectors @ own[:1].T).max(axis=1).tolist()
        controls = [
            *unstated_order(draft.id, kinds, stated, closeness, limits.max_unstated)[:1],
            *irrelevant_order(draft.id, mined, query_vectors @ own.T, limits.max_irrelevant)[:1],
            *_other_person(draft),
            *neutral_order(draft.id)[:1],
        ]
        found.append(draft.model_copy(update={"questions": (*draft.questions, *controls)}))
    return found


def _other_person(draft: Draft) -> list[DraftQuestion]:
    """The explicit question about a relative, and about the assistant."""
    direct = draft.questions[0].text
    person = next(p for p in rotated(draft.id, RELATIVES) if not contains_phrase(draft.statement.text, p))
    return [
        DraftQuestion(
            kind=QuestionKind.OTHER_PERSON,
            text=direct.replace("my ", f"{whose} ", 1),
            origin="template",
            query_id=None,
            accepted=(),
        )
        for whose in (f"my {person}'s", "your")
    ]


def compare(dataset: Path, results: Path, preferences: int, only: Sequence[str], cache: Path) -> dict[str, Any]:
    """Run and judge all methods on the test records; the scores of each, and preference_edit's paired margins.

    Finished groups of users are kept in `cache`, so a stopped run goes on where it was.
    """
    settings = load_section(PARAMS, "edit", EditSettings)
    changes = {"split": "test", "max_preferences": preferences, "users_per_fit": 6, "dtype": "float32"}
    settings = settings.model_copy(update=changes)
    judge = load_section(PARAMS, "judge", JudgeConfig)
    scores: dict[str, Any] = {}
    counts: dict[str, dict[str, Any]] = {}
    for method in only:
        run = results / method
        record = run_cell(Cell(settings, MODEL, method), dataset, run, cache)
        scores[method] = {**judge_run(dataset, run, judge, cache / "judge"), "cost": record["cost"]}
        verdicts = list(read_parquet(run / "verdicts.parquet", Verdict))
        counts[method] = {name: count_kinds(v for v in verdicts if v.judge == name) for name in judge.judges}
        typer.echo(json.dumps({method: _row(scores[method])}))
    plan = Plan(judge.bootstrap_samples, judge.seed, judge.confidence)
    margins = {
        method: {
            name: asdict(difference)
            for name in judge.judges
            if (difference := headline_difference(counts[OURS][name], counts[method][name], plan)) is not None
        }
        for method in only
        if method != OURS
    }
    return {"scores": scores, "margins": margins}


def _row(scores: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of one method, for each judge."""
    row: dict[str, Any] = {"degenerate": scores["degenerate_rate"]["value"], **scores["cost"]}
    for name, found in scores["judges"].items():
        row[name] = {key: round(found[key]["value"], 3) for key in ("recall", "specificity", "headline")}
        row[name] |= {kind: round(estimate["value"], 3) for kind, estimate in found["by_kind"].items()}
    return row


def claims(found: dict[str, Any], preferences: int) -> list[Claim]:
    """Headline and specificity of preference_edit, and its margin over the best baseline."""
    ours = found["scores"][OURS]["judges"][JUDGE]
    headlines = {m: s["judges"][JUDGE]["headline"]["value"] for m, s in found["scores"].items() if m != OURS}
    best = max(headlines, key=lambda method: headlines[method])
    margin = found["margins"][best][JUDGE]
    table = {method: _row(scores) for method, scores in found["scores"].items()}
    note = f"test records of the published UPQA, {preferences} users, judge {JUDGE}"
    return [
        *(
            Claim(f"edit.preference_edit_{name}", e["value"], "share", e["low"], e["high"], preferences, note)
            for name, e in ((name, ours[name]) for name in ("headline", "specificity", "recall"))
        ),
        Claim(
            "edit.preference_edit_margin",
            margin["low"],
            "share",
            margin["low"],
            margin["high"],
            preferences,
            f"lower end of the paired interval of the headline's difference to {best}, the best baseline; {note}",
            {"difference": margin, "table": table, "margins": found["margins"]},
        ),
    ]


def main() -> None:
    """Measure and write the claims."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, required=True, help="folder of the published data")
    parser.add_argument("--queries", type=Path, default=Path("data/mined/queries.parquet"), help="mined queries")
    parser.add_argument("--work", type=Path, default=Path(".cache/preference_edit_benchmark"), help="working folder")
    parser.add_argument("--preferences", type=int, default=60, help="test records, in the order of their ids")
    parser.add_argument("--methods", nargs="+", default=[OURS, "in_context", "ft_m", "rome"])
    options = parser.parse_args()
    dataset = options.work / "dataset"
    if not (dataset / "manifest.json").is_file():
        build_dataset(options.published, options.queries, dataset)
    found = compare(dataset, options.work / "results", options.preferences, options.methods, options.work / "cache")
    write("preference_edit", "python -m benchmarks.preference_edit", claims(found, options.preferences))


if __name__ == "__main__":
    main()
