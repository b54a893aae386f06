"""Claims are files: what was measured, how, where and when.

A script ends with `write("mine", claims)`; the tables of the README are made from the files by
`python -m benchmarks.claims`, and a test fails when they differ.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.core.provenance import code_revision, machine
from pipeline.core.tables import write_json
from pipeline.sources.registry import table as sources_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
HOLDS = "/holds?"
"""End of a cell's name that holds how far a statement holds, as a difference."""
FEWEST = 6
"""Users from which a finding may be said to hold or not: with five that all agree, a sign test still has p = 0.06."""


@dataclass(frozen=True)
class Claim:
    """One measured figure."""

    claim: str
    """Id that says what is measured, e.g. "mine.seconds_125mb"."""
    value: float
    """The figure: a median where there were several runs."""
    unit: str
    """Its unit, e.g. "s", "MiB", "ratio", "share"."""
    low: float | None
    """Lower end of the 95% interval, or the smallest run; None where there is neither."""
    high: float | None
    """Upper end of the interval, or the largest run."""
    n: int
    """How many items or runs stand behind it."""
    note: str = ""
    """What a reader must know to read it right."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further numbers of the same measurement."""


def write(name: str, command: str, claims: Sequence[Claim], *, keep_others: bool = False) -> Path:
    """Write the claims of one script, with command, machine, date and commit; returns the file.

    `keep_others` leaves claims of an earlier file that are not among these, with their own machine and date.
    """
    revision = code_revision()
    stamp = {
        "command": command,
        "machine": machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": (revision["commit"] or "")[:12] + ("" if revision["dirty"] is False else "+changes"),
    }
    path = RESULTS / f"{name}.json"
    made = {claim.claim for claim in claims}
    earlier = json.loads(path.read_text(encoding="utf-8")) if keep_others and path.is_file() else []
    others = [row for row in earlier if row["claim"] not in made]
    write_json(path, [*others, *({**asdict(claim), **stamp} for claim in claims)])
    return path


def read() -> dict[str, dict[str, Any]]:
    """All claims by id."""
    rows = [row for path in sorted(RESULTS.glob("*.json")) for row in json.loads(path.read_text(encoding="utf-8"))]
    return {row["claim"]: row for row in rows}


def table(wanted: Sequence[str]) -> str:
    """A Markdown table of the `wanted` claims in that order, or "not measured yet".

    A name that ends with "." stands for all claims that begin with it.
    """
    measured = read()
    found = {w: [n for n in measured if n == w or (w.endswith(".") and n.startswith(w))] for w in wanted}
    rows = [measured[name] for name in dict.fromkeys(chain.from_iterable(found.values()))]
    if not rows:
        return "Not measured yet."
    lines = ["| figure | value | range | n | command |", "|---|---:|---|---:|---|"]
    for row in rows:
        span = "" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"
        lines.append(
            f"| {row['claim']} | {row['value']:.4g} {row['unit']} | {span} | {row['n']} | `{row['command']}` |"
        )
    missing = [f"Not measured: {name}." for name, own in found.items() if not own]
    return "\n".join([*lines, "", *_stamps(rows), *missing])


def methods_table(claim: str) -> str:
    """A Markdown table of all methods from the rows beside `claim`, by headline, or "not measured yet"."""
    row = read().get(claim)
    if row is None:
        return "Not measured yet."
    kinds = ("explicit", "rephrased", "implicit", "product", "unstated", "irrelevant", "other_person", "neutral")
    lines = [
        "| method | headline | recall | specificity | " + " | ".join(k.replace("_", " ") for k in kinds) + " | "
        "headline, embedding judge | said, asked | said, controls | degenerate | s/edit | KiB/user | n |",
        "|---|" + "---|" * 3 + "---:|" * 15,
    ]
    found: dict[str, dict[str, Any]] = row["extra"]["table"]
    for method, own in sorted(found.items(), key=lambda item: -item[1]["exact"]["headline"]):
        exact, embedding = own["exact"], own["embedding"]
        cells = [
            f"`{method}`",
            *(_ranged(exact[name], *exact["ranges"][name]) for name in ("headline", "recall", "specificity")),
            *(f"{exact[name]:.2f}" for name in kinds),
            f"{embedding['headline']:.2f}",
            *(f"{own['said'][part]:.2f}" for part in ("targets", "controls")),
            f"{own['degenerate']:.3f}",
            f"{own['seconds_per_edit']:.2g}",
            f"{own['bytes_per_user'] / 1024:.3g}",
            str(own["n"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_stamps([row], commands=True)])


def cells_table(prefix: str, columns: Sequence[str]) -> str:
    """A Markdown table of the claims that begin with `prefix`, with these of their `extra["cells"]` as columns.

    A cell is [value, low, high]. Under a column whose name ends in HOLDS it is a difference, with what its interval
    says of the statement that the difference is positive.
    """
    rows = {name: row for name, row in read().items() if name.startswith(prefix)}
    if not rows:
        return "Not measured yet."
    titles = [column.removesuffix(HOLDS).replace("_", " ").replace("/", ", ") for column in columns]
    sizes = [_sizes(row, columns) for row in rows.values()]
    lines = []
    for (name, row), size in zip(rows.items(), sizes, strict=True):
        found = row["extra"]["cells"]
        own = [_cell(found[column], column, row["n"]) if column in found else "" for column in columns]
        lines.append([name.removeprefix(prefix).replace("_", " "), *own, size])
    head = [["", *titles, "n"], ["---"] * (len(columns) + 1) + ["---:"]]
    # One size for all is said once, below the table.
    same = sizes[0] if len(set(sizes)) == 1 else None
    table = "\n".join("| " + " | ".join(line[:-1] if same else line) + " |" for line in [*head, *lines])
    return table + "\n\n" + (f"n: {same}. " if same else "") + "\n".join(_stamps(rows.values(), commands=True))


def _stamps(rows: Iterable[Mapping[str, Any]], *, commands: bool = False) -> list[str]:
    """A line a machine: when the rows were measured on it, and by which commands."""
    of: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        of.setdefault(row["machine"], []).append(row)
    lines = []
    for where, own in sorted(of.items()):
        dates = sorted({row["date"] for row in own})
        made = ", by " + ", ".join(sorted({f"`{row['command']}`" for row in own})) if commands else ""
        lines.append(f"Measured on {where}, {', '.join(dates)}{made}.")
    return lines


def _sizes(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """How many stand behind a row of cells; by column where the runs behind them differ."""
    runs = row["extra"].get("runs", {})
    sizes = [int(runs[column]["preferences"]) for column in columns if column in runs] or [row["n"]]
    return " / ".join(map(str, sizes if len(set(sizes)) > 1 else sizes[:1]))


def _ranged(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _cell(estimate: Sequence[float], column: str, users: int) -> str:
    value, low, high = estimate
    if not column.endswith(HOLDS):
        return _ranged(value, low, high)
    # Where all users agree the bootstrap has no width, which says nothing of other users.
    word = "all agree" if low == high else "holds" if low > 0 else "does not hold" if high < 0 else "open"
    if users < FEWEST and word != "all agree":
        word = "open"
    return f"{word}: {value:+.2f} ({low:+.2f} to {high:+.2f})"


_STEPS = {
    "read": "reading",
    "empty": "filter `empty`",
    "too_long": "filter `too_long`",
    "no_marker": "filter `no_marker`",
    "name_tagged": "filter `name_tagged`",
    "code": "filter `code`",
    "assistant_text": "filter `assistant_text`",
    "sentences": "splitting into sentences, patterns",
    "shapes": "shape of messages with matches",
    "prefilter": "prefilter",
    "language": "language of conversations with candidates",
    "embedding": "three layers of the encoder over the candidates",
    "detector": "detector",
    "rows": "redaction, rules, rewriting",
    "embedding_of_rows": "the other layers over what becomes a row",
    "family": "family, topic",
}
"""Steps of `mine` in the order of work, by their name in the report."""


def mining_table() -> str:
    """What each step of `mine` takes out and costs, from the result of `benchmarks.mine`, or "not measured yet"."""
    row = read().get("mine.seconds_125mb")
    if row is None:
        return "Not measured yet."
    counts, seconds = row["extra"]["counts"], row["extra"].get("processor_s", {})
    total, flow = sum(seconds.values()), counts["candidates"]
    sentences = counts["sentences.statement"] + counts["sentences.query"]
    taken = {name.removeprefix("turns_removed."): n for name, n in counts.items() if name.startswith("turns_removed.")}
    prefiltered = sum(n for name, n in counts.items() if name.startswith("sentences_removed."))
    cells = {
        step: f"{n:,} of {counts['user_turns']:,} messages | {n / counts['user_turns']:.1%}"
        for step, n in taken.items()
    }
    cells["prefilter"] = f"{prefiltered:,} of {sentences:,} sentences | {prefiltered / sentences:.1%}"
    by_reason = ", ".join(f"`{reason}` {n:,}" for reason, n in counts["dropped_by_reason"].items())
    by_family = ", ".join(
        f"{family} {n}" for family, n in sorted(counts["statements_by_family"].items(), key=lambda item: -item[1])
    )
    return "\n".join(
        [
            f"{counts['conversations']:,} conversations, {counts['user_turns']:,} user messages, "
            f"{counts['user_characters']:,} characters.",
            "",
            "| step | takes out | share | processor seconds | share of the time |",
            "|---|---:|---:|---:|---:|",
            *(
                f"| {name} | {cells.get(step, ' | ')} | "
                + (f"{seconds[step]:.2f} | {seconds[step] / total:.1%} |" if step in seconds else "| |")
                for step, name in _STEPS.items()
                if step in seconds or step in cells
            ),
            "",
            f"Candidates: {flow['in']:,} in = {flow['out']:,} out + {flow['dropped']:,} dropped. "
            f"Out: {counts['statements']} statements of {counts['users_with_statements']} users, "
            f"{counts['queries']} queries of {counts['users_with_queries']} users. Dropped: {by_reason}.",
            "",
            f"Statements by family: {by_family}.",
            "",
            *_stamps([row], commands=True),
        ]
    )


def yield_table() -> str:
    """What each step from statement to preference keeps and what each rule refuses, or "not measured yet"."""
    row = read().get("yield.accepted")
    if row is None:
        return "Not measured yet."
    left, refused = row["extra"]["left"], row["extra"]["refused"]
    lines = ["| statements | number | of all |", "|---|---:|---:|"]
    lines += [f"| {step} | {n} | {n / row['n']:.1%} |" for step, n in left.items()]
    lines += ["", "| refused | rule | number |", "|---|---|---:|"]
    for what, by_rule in refused.items():
        lines += [f"| {what} | `{rule}` | {n} |" for rule, n in by_rule.items()] or [f"| {what} | none | 0 |"]
    (measured,) = _stamps([row], commands=True)
    return "\n".join([*lines, "", f"The model was asked {row['extra']['replies']} times, the same once. {measured}"])


_WHOLE = {"mining": mining_table, "sources": sources_table, "yield": yield_table}
"""Blocks that need no more than their name."""
_NAMED = re.compile(rf"(<!-- (?P<name>{'|'.join(_WHOLE)}) -->\n).*?(<!-- end -->)", re.DOTALL)
_CELLS = re.compile(r"(<!-- cells: (?P<wanted>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_METHODS = re.compile(r"(<!-- methods: (?P<claim>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_BLOCK = re.compile(r"(<!-- claims: (?P<wanted>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str) -> str:
    """`text` with every block made anew from the results.

    `<!-- claims: prefix ... -->` is a `table`, `<!-- methods: claim -->` a `methods_table`, `<!-- cells: prefix column
    ... -->` a `cells_table`, `<!-- mining -->`, `<!-- sources -->` and `<!-- yield -->` the tables of those names; each
    ends with `<!-- end -->`.
    """

    def cells(found: re.Match[str]) -> str:
        prefix, *columns = found.group("wanted").split()
        return f"{found.group(1)}{cells_table(prefix, columns)}\n{found.group(3)}"

    text = _NAMED.sub(lambda m: f"{m.group(1)}{_WHOLE[m.group('name')]()}\n{m.group(3)}", text)
    text = _CELLS.sub(cells, text)
    text = _METHODS.sub(lambda m: f"{m.group(1)}{methods_table(m.group('claim'))}\n{m.group(3)}", text)
    return _BLOCK.sub(lambda m: f"{m.group(1)}{table(m.group('wanted').split())}\n{m.group(3)}", text)


def pages() -> list[Path]:
    """The Markdown pages that may hold such blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    """Fill the blocks of all pages."""
    parser = argparse.ArgumentParser(description="Put the figures of benchmarks/results into README.md and docs/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 where a page is out of date")
    check = parser.parse_args().check
    stale = []
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            stale.append(page)
            if not check:
                page.write_text(after, encoding="utf-8")
    if check and stale:
        sys.exit("\n".join(f"{page}: out of date; run `python -m benchmarks.claims`." for page in stale))


if __name__ == "__main__":
    main()
