"""The leaderboard as one HTML file that needs no network and no server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from editing.metrics.scores import KINDS

_FOLDER = Path(__file__).parent


def render(board: dict[str, Any], accuracy: dict[str, Any], samples: Sequence[dict[str, Any]]) -> str:
    """The page: data as JSON inside it, drawn by its own script; all texts become text nodes, never markup.

    Args:
        board: what leaderboard.json holds.
        accuracy: figures of the judges on the calibration set, by judge.
        samples: one entry a row of board["rows"] + board["dirty"], as `verdicts.samples` gives it.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template("page.html").render(
        style=_source("page.css"),
        script=_source("page.js"),
        data=script_json({"board": board, "accuracy": accuracy, "kinds": list(KINDS)}),
        samples=script_json(interned(samples)),
        board=board,
    )


def interned(samples: Sequence[Mapping[str, Sequence[Mapping[str, str]]]]) -> dict[str, Any]:
    """The samples with every text stored once: rows ask about the same users, so most texts are shared.

    Returns:
        `texts`, the names of a sample's `fields`, and `rows`: by class, for each sample the positions of its fields.
    """
    texts: dict[str, int] = {}
    fields = ("kind", "statement", "question", "answer", "reason")
    rows = [
        {
            name: [[texts.setdefault(str(one[field]), len(texts)) for field in fields] for one in found]
            for name, found in by_class.items()
        }
        for by_class in samples
    ]
    return {"texts": list(texts), "fields": list(fields), "rows": rows}


def _source(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def script_json(value: Any) -> str:
    """`value` as JSON that cannot end the script element it stands in, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
