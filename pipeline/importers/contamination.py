"""Overlap of a release with published benchmarks: texts with the same words, and near-duplicates by MiniLM embeddings.

Whoever was tuned on the benchmark has seen these rows, and the other way round. Only the benchmarks' own texts are
compared, not the questions that the import adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import InputError
from pipeline.core.provenance import dataset_sha256, sha256_file
from pipeline.core.records import Preference, Question, QuestionKind
from pipeline.core.tables import read_parquet
from pipeline.core.wording import words
from pipeline.importers.records import Imported
from pipeline.importers.stage import Format, published
from pipeline.validate.difficulty import Encode
from pipeline.validate.splits import SPLITS

Vectors = npt.NDArray[np.float32]
STATEMENT = "statement"
"""What a preference's text is called beside the kinds of question."""
BLOCK = 1024
"""Rows of the similarity matrix held at once."""


class Text(NamedTuple):
    """One text of the release."""

    id: str
    """Id of its preference or question."""
    what: str
    """statement, or the kind of the question."""
    split: str
    """Split of its row."""
    text: str
    """The statement or question."""


class Overlap(NamedTuple):
    """A text of the release and what is nearest to it in a benchmark."""

    id: str
    """Id of the preference or question."""
    what: str
    """statement, or the kind of the question."""
    split: str
    """Split of the row."""
    match: Literal["equal", "near"]
    """equal: the same words; near: the nearest by embedding, however near."""
    record: int
    """Number of the nearest record in the published file, from 0."""
    cosine: float
    """Cosine of the two embeddings."""


def texts_of(dataset: Path) -> list[Text]:
    """All statements, then all questions of a release folder.

    Raises:
        InputError: a Parquet file is missing or damaged, or there is no row.
    """
    found: list[Text] = []
    for split in SPLITS:
        rows = read_parquet(dataset / "data" / f"preferences-{split}.parquet", Preference)
        found += [Text(row.id, STATEMENT, row.split, row.statement) for row in rows]
    for split in SPLITS:
        asked = read_parquet(dataset / "data" / f"questions-{split}.parquet", Question)
        found += [Text(row.id, row.kind.value, row.split, row.text) for row in asked]
    if not found:
        raise InputError(f"{dataset}: the release holds no row; run `dvc repro release`.")
    return found


def report(
    dataset: Path, files: Sequence[tuple[Format, Path]], encode: Encode, near_duplicate: float
) -> dict[str, Any]:
    """Counts by kind of text, and the ids, of the overlap of a release with every published file; as JSON values.

    Raises:
        InputError: the release or a published file is missing or damaged.
    """
    ours = texts_of(dataset)
    vectors = encode([text.text for text in ours])
    found = []
    for benchmark, path in files:
        records = published(benchmark, path, first_person=False)
        nearest = list(matches(ours, vectors, records, encode))
        rows = [match for match in nearest if match.match == "equal" or match.cosine >= near_duplicate]
        found.append(
            {
                "benchmark": benchmark,
                "file": path.name,
                "sha256": sha256_file(path),
                "records": len(records),
                "overlap": counts(nearest, rows),
                "rows": [row._asdict() for row in rows],
            }
        )
    return {"dataset_sha256": dataset_sha256(dataset), "near_duplicate": near_duplicate, "files": found}


def matches(ours: Sequence[Text], vectors: Vectors, records: Sequence[Imported], encode: Encode) -> Iterator[Overlap]:
    """What is nearest in `records` to each text of a release: to a statement a statement, to a question a question.

    Args:
        ours: the release's texts.
        vectors: their unit-length embeddings, shape (len(ours), d).
        records: the benchmark.
        encode: unit-length embeddings of texts.
    """
    told = [(number, record.statement) for number, record in enumerate(records)]
    asked = [
        (number, text)
        for number, record in enumerate(records)
        for _, text, origin in record.questions
        if origin != "template"
    ]
    for theirs, is_statement in ((told, True), (asked, False)):
        own = [row for row, text in enumerate(ours) if (text.what == STATEMENT) is is_statement]
        yield from _nearest(own, ours, vectors, theirs, encode)


def _nearest(
    own: Sequence[int], ours: Sequence[Text], vectors: Vectors, theirs: Sequence[tuple[int, str]], encode: Encode
) -> Iterator[Overlap]:
    """The nearest of `theirs` (record number, text) for each of the texts `own`; an equal one is the nearest."""
    if not theirs:
        return
    first = {tuple(words(text)): at for at, (_, text) in reversed(list(enumerate(theirs)))}
    encoded = encode([text for _, text in theirs])
    for start in range(0, len(own), BLOCK):
        rows = list(own[start : start + BLOCK])
        similar = vectors[rows] @ encoded.T  # (rows, theirs)
        for row, cosines in zip(rows, similar, strict=True):
            text = ours[row]
            equal = first.get(tuple(words(text.text)))
            at = int(np.argmax(cosines)) if equal is None else equal
            match: Literal["equal", "near"] = "near" if equal is None else "equal"
            yield Overlap(text.id, text.what, text.split, match, theirs[at][0], round(float(cosines[at]), 4))


def counts(nearest: Sequence[Overlap], found: Sequence[Overlap]) -> dict[str, dict[str, float]]:
    """Kind of text -> rows of the release compared, how many are equal or near, and the highest cosine of any."""
    table: dict[str, dict[str, float]] = {}
    for what in (STATEMENT, *(kind.value for kind in QuestionKind)):
        cosines = [match.cosine for match in nearest if match.what == what]
        if cosines:
            own = [match.match for match in found if match.what == what]
            table[what] = {
                "rows": len(cosines),
                "equal": own.count("equal"),
                "near": own.count("near"),
                "closest": max(cosines),
            }
    return table


def summary(found: Mapping[str, Any]) -> list[str]:
    """One line for each published file of a report."""
    return [
        f"{file['benchmark']} ({file['file']}, {file['records']} records): "
        + ", ".join(f"{what} {n['equal']}+{n['near']} of {n['rows']}" for what, n in file["overlap"].items())
        for file in found["files"]
    ]
