"""What was told and asked, by id, for the sample answers on the page."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pipeline.core.errors import InputError


def read_texts(dataset: Path) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Question texts by question id, and statement and target by preference id, of all splits.

    Raises:
        InputError: the data set is not there.
    """
    questions: dict[str, str] = {}
    preferences: dict[str, dict[str, str]] = {}
    for split in ("train", "validation", "test"):
        try:
            with pq.ParquetFile(dataset / "data" / f"questions-{split}.parquet") as file:
                asked = file.read(columns=["id", "text"], use_threads=False)
            with pq.ParquetFile(dataset / "data" / f"preferences-{split}.parquet") as file:
                told = file.read(columns=["id", "statement", "target"], use_threads=False)
        except FileNotFoundError as error:
            raise InputError(f"{dataset}: no data set there ({error}); run `release` first.") from error
        questions |= {row["id"]: row["text"] for row in asked.to_pylist()}
        preferences |= {row["id"]: {"statement": row["statement"], "target": row["target"]} for row in told.to_pylist()}
    return questions, preferences
