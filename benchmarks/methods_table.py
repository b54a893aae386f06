"""Every registered method on the published UPQA with controls: recall by kind, specificity, headline, collateral, cost.

`python -m benchmarks.methods_table --published DIR --queries FILE --exchanges FILE`. `DIR` holds
balanced_subset_cluster9.json of the published data (CC BY-NC-4.0: it is read, and nothing of it is written into the
repository); `--queries` is a queries.parquet of the mine stage, `--exchanges` a file of stage `exchanges`, text for the
covariance of closed forms. Control questions of four kinds are added as the generate stage adds them. Of the ten
records of an attribute type four are validation and six test, drawn with a fixed seed. Settings are chosen on the
validation records (`--split validation` prints them and writes nothing); the test records are scored by this script.

Rows are kept in the working folder as they are finished: a stopped run goes on where it was, and one with other methods
adds rows. A row is made again when the data, the method's hyper-parameters or the settings changed, or with --again.
Methods that take long may be run on fewer preferences: the table shows each method's largest run, and a paired
difference is taken over the users both have. Rows of the result file that no run here replaces stay where data and
settings are the same.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import typer

from benchmarks.claims import RESULTS, ROOT, Claim, write
from benchmarks.published_protocol import substrings
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.methods.base import config_sha256
from editing.methods.registry import METHODS as REGISTERED
from editing.metrics.bootstrap import Plan
from editing.metrics.scores import Counts, count_kinds, headline_difference
from editing.runner import NOT_OF_A_CELL, Cell, EditSettings, reads_texts, run_cell
from pipeline.core.config import load_section
from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import (
    CONTROL_KINDS,
    TARGET_KINDS,
    Answer,
    Draft,
    Preference,
    Query,
    QuestionKind,
    Split,
    Verdict,
    content_id,
)
from pipeline.core.tables import read_parquet, write_json
from pipeline.core.wording import words
from pipeline.embedding import embed
from pipeline.generate.attributes import taxonomy
from pipeline.generate.config import GenerateConfig
from pipeline.generate.controls import irrelevant_order, neutral_order, other_person, unstated_order
from pipeline.importers import stage
from pipeline.validate.config import ValidateConfig

METHODS = (*REGISTERED, "ft_m@layer=-1")
"""Rows of the table; the last is fine-tuning at the last layer."""
PARAMS = ROOT / "params.yaml"
OURS = "preference_edit"
MODEL = "smollm2-135m-instruct"
SEED = 20260101
VALIDATION_SHARE = 0.4
JUDGE = "exact"
"""Judge of the claims; the other one's scores stand in `extra`."""
BASELINES = ("in_context", "ft_m", "lora", "rome")
"""What preference_edit is to beat."""
USERS_PER_FIT = 6
"""Users that are fitted together, so that memory stays small."""


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
        stated = {draft.attribute_type, draft.family}
        closeness = (kind_vectors @ own[:1].T).max(axis=1).tolist()
        controls = [
            *unstated_order(draft.id, kinds, stated, closeness, limits.max_unstated)[:1],
            *irrelevant_order(draft.id, mined, query_vectors @ own.T, limits.max_irrelevant)[:1],
            *other_person(draft.id, draft.questions[0].text, [draft.statement.text]),
            *neutral_order(draft.id)[:1],
        ]
        found.append(draft.model_copy(update={"questions": (*draft.questions, *controls)}))
    return found


@dataclass(frozen=True)
class Bench:
    """What is measured: one checkpoint on one split of one data set."""

    model: str
    """Name of the checkpoint in params.yaml."""
    split: Split
    """Validation while settings are chosen, test in the end."""
    preferences: int
    """Records, in the order of their ids."""
    work: Path
    """Folder of the data set, the runs and their caches."""
    exchanges: Path
    """Other people's conversations, for the covariance of closed forms."""

    @property
    def dataset(self) -> Path:
        """The data set with controls."""
        return self.work / "dataset"

    def run(self, method: str) -> Path:
        """Folder of a method's run."""
        return self.runs / str(self.preferences) / method

    @property
    def runs(self) -> Path:
        """Folder of the runs, by number of preferences and method."""
        return self.work / "runs" / f"{self.model}-{self.split}"

    @cached_property
    def rows_sha256(self) -> str:
        """Hash of the rows of the data set, which must be there."""
        return dataset_sha256(self.dataset)

    def key(self, method: str) -> str:
        """What a row depends on, but for code and number of preferences."""
        cell = Cell(self.settings, self.model, method)
        settings = cell.settings.model_dump(exclude=NOT_OF_A_CELL)
        texts = (sha256_file(self.exchanges),) if reads_texts(cell.config) else ()
        return content_id(self.rows_sha256, config_sha256(cell.config), cell.source, settings, *texts)

    def largest(self, method: str) -> Path | None:
        """The finished run of a method on the most preferences; None where there is none with today's key."""
        key = self.key(method)
        found = [path.parent for path in self.runs.glob(f"*/{method}/scores.json")]
        found = [run for run in found if json.loads((run / "key.json").read_text(encoding="utf-8")) == key]
        return max(found, key=lambda run: int(run.parent.name), default=None)

    @property
    def settings(self) -> EditSettings:
        """The settings of params.yaml for this split."""
        settings = load_section(PARAMS, "edit", EditSettings)
        changes = {
            "split": self.split,
            "max_preferences": self.preferences,
            "users_per_fit": USERS_PER_FIT,
            "dtype": "float32",
            "exchanges": self.exchanges,
        }
        return settings.model_copy(update=changes)


def measure(bench: Bench, method: str, judge: JudgeConfig, *, again: bool) -> None:
    """Run and judge one method, unless its row is there; the row is judged again in any case, which costs little."""
    run, key = bench.run(method), bench.key(method)
    made = run / "key.json"
    if again or not made.is_file() or json.loads(made.read_text(encoding="utf-8")) != key:
        made.unlink(missing_ok=True)
        run_cell(Cell(bench.settings, bench.model, method), bench.dataset, run, bench.work / "cache")
        write_json(made, key)
    write_json(run / "scores.json", judge_run(bench.dataset, run, judge, bench.work / "cache" / "judge"))
    typer.echo(json.dumps({method: row_of(run, bench.dataset)}))


def row_of(run: Path, dataset: Path) -> dict[str, Any]:
    """What the table shows of one method, for each judge, with the intervals of all shares."""
    scores, record = (json.loads((run / f"{name}.json").read_text(encoding="utf-8")) for name in ("scores", "run"))
    row: dict[str, Any] = {
        "key": json.loads((run / "key.json").read_text(encoding="utf-8")),
        "n": record["counts"]["preferences"],
        "failed": record["counts"]["failed_edits"],
        "degenerate": round(scores["degenerate_rate"]["value"], 4),
        "seconds_per_edit": record["cost"]["seconds_per_edit"],
        "bytes_per_user": record["cost"]["bytes_per_user"],
        "extra_prompt_tokens": record["cost"]["extra_prompt_tokens"],
        "commit": (record["code"]["commit"] or "")[:12],
        "said": said(run, dataset),
    }
    for name, found in scores["judges"].items():
        estimates = {key: found[key] for key in ("recall", "specificity", "headline")} | found["by_kind"]
        row[name] = {key: round(estimate["value"], 3) for key, estimate in estimates.items()}
        row[name]["ranges"] = {key: [round(own[end], 3) for end in ("low", "high")] for key, own in estimates.items()}
    return row


def said(run: Path, dataset: Path) -> dict[str, float]:
    """How often the published substring rule finds the target in an answer: means over the kinds of each part."""
    split = json.loads((run / "run.json").read_text(encoding="utf-8"))["split"]
    targets = {p.id: p.target for p in read_parquet(dataset / "data" / f"preferences-{split}.parquet", Preference)}
    by_kind: dict[QuestionKind, list[bool]] = defaultdict(list)
    for answer in read_parquet(run / "answers.parquet", Answer):
        by_kind[answer.kind] += substrings([answer.text], [targets[answer.preference_id]])
    parts = {"targets": TARGET_KINDS, "controls": CONTROL_KINDS}
    return {part: round(fmean(fmean(by_kind[kind]) for kind in kinds), 3) for part, kinds in parts.items()}


def margins(runs: Mapping[str, Path], judge: JudgeConfig) -> dict[str, dict[str, Any]]:
    """Paired difference of preference_edit's headline to that of each method, by judge, on the users both have."""
    plan = Plan(judge.bootstrap_samples, judge.seed, judge.confidence)

    def counts(method: str, name: str) -> Counts:
        verdicts = read_parquet(runs[method] / "verdicts.parquet", Verdict)
        return count_kinds(verdict for verdict in verdicts if verdict.judge == name)

    found: dict[str, dict[str, Any]] = {}
    for method in runs:
        for name in judge.judges if method != OURS else ():
            difference = headline_difference(counts(OURS, name), counts(method, name), plan)
            if difference is not None:
                found.setdefault(method, {})[name] = asdict(difference)
    return found


def claims(bench: Bench, runs: Mapping[str, Path], judge: JudgeConfig, former: Mapping[str, Any]) -> list[Claim]:
    """Headline, specificity and recall of preference_edit, its margin over the best baseline, and the whole table.

    `former` is the `extra` of an earlier result: its rows with today's keys stand in for methods without a run, and its
    differences to them where preference_edit's own key is today's.
    """
    kept = {
        method: row
        for method, row in former.get("table", {}).items()
        if method in METHODS and method not in runs and row.get("key") == bench.key(method)
    }
    table = {**kept, **{method: row_of(run, bench.dataset) for method, run in runs.items()}}
    same = former.get("table", {}).get(OURS, {}).get("key") == bench.key(OURS)
    earlier = {method: found for method, found in former.get("margins", {}).items() if method in kept and same}
    differences = {**earlier, **margins(runs, judge)}
    scores = json.loads((runs[OURS] / "scores.json").read_text(encoding="utf-8"))["judges"][JUDGE]
    note = f"test records of the published UPQA, {bench.model}, judge {JUDGE}"
    n = table[OURS]["n"]
    prefix = "edit" if bench.model == MODEL else f"{bench.model}.edit"
    found = [
        Claim(f"{prefix}.{OURS}_{name}", e["value"], "share", e["low"], e["high"], n, note)
        for name, e in ((name, scores[name]) for name in ("headline", "specificity", "recall"))
    ]
    baselines = [method for method in BASELINES if method in differences]
    best = max(baselines, key=lambda method: table[method][JUDGE]["headline"])
    least = differences[best][JUDGE]
    return [
        *found,
        Claim(
            f"{prefix}.{OURS}_margin",
            least["low"],
            "share",
            least["low"],
            least["high"],
            min(n, table[best]["n"]),
            f"lower end of the paired interval of the headline's difference to {best}, the best of "
            f"{', '.join(baselines)}; {note}",
            {"table": table, "margins": differences},
        ),
    ]


def main() -> None:
    """Measure and write the claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, required=True, help="folder of the published data")
    parser.add_argument("--queries", type=Path, default=Path("data/mined/queries.parquet"), help="mined queries")
    exchanges = Path("data/exchanges/exchanges.parquet")
    parser.add_argument("--exchanges", type=Path, default=exchanges, help="other people's conversations")
    parser.add_argument("--work", type=Path, default=Path(".cache/methods_table"), help="working folder")
    parser.add_argument("--model", default=MODEL, help="checkpoint, by its name in params.yaml")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--preferences", type=int, default=60, help="records, in the order of their ids")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="methods to run; all by default")
    parser.add_argument("--again", nargs="*", default=[], help="methods whose finished rows are made again")
    options = parser.parse_args()
    bench = Bench(options.model, options.split, options.preferences, options.work, options.exchanges)
    if not (bench.dataset / "manifest.json").is_file():
        build_dataset(options.published, options.queries, bench.dataset)
    judge = load_section(PARAMS, "judge", JudgeConfig)
    for method in options.methods:
        measure(bench, method, judge, again=method in options.again)
    runs = {method: run for method in METHODS if (run := bench.largest(method)) is not None}
    if bench.split == "test" and OURS in runs and any(method in runs for method in BASELINES):
        name = "methods_table" if bench.model == MODEL else f"methods_table_{bench.model}"
        result = RESULTS / f"{name}.json"
        former = json.loads(result.read_text(encoding="utf-8")) if result.is_file() else []
        extras = [claim["extra"] for claim in former if "table" in claim["extra"]]
        command = "python -m benchmarks.methods_table" + (f" --model {bench.model}" if bench.model != MODEL else "")
        write(name, command, claims(bench, runs, judge, extras[0] if extras else {}))


if __name__ == "__main__":
    main()
