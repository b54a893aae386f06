"""Corpora on the Hugging Face Hub: rows streamed at the card's pinned revision, or read from a downloaded copy."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from pipeline.core.errors import InputError
from pipeline.core.records import Conversation
from pipeline.sources.base import BadRecord, Source

BATCH_ROWS = 256
"""Rows of a Parquet file decoded at a time."""

LANGUAGES: Mapping[str, str] = {
    **{"Afrikaans": "af", "Albanian": "sq", "Arabic": "ar", "Armenian": "hy", "Basque": "eu", "Belarusian": "be"},
    **{"Bengali": "bn", "Bosnian": "bs", "Bulgarian": "bg", "Catalan": "ca", "Chinese": "zh", "Croatian": "hr"},
    **{"Czech": "cs", "Danish": "da", "Dutch": "nl", "English": "en", "Esperanto": "eo", "Estonian": "et"},
    **{"Finnish": "fi", "French": "fr", "Galician": "gl", "Georgian": "ka", "German": "de", "Greek": "el"},
    **{"Gujarati": "gu", "Hebrew": "he", "Hindi": "hi", "Hungarian": "hu", "Icelandic": "is", "Indonesian": "id"},
    **{"Irish": "ga", "Italian": "it", "Japanese": "ja", "Kazakh": "kk", "Korean": "ko", "Latin": "la"},
    **{"Latvian": "lv", "Lithuanian": "lt", "Macedonian": "mk", "Malay": "ms", "Marathi": "mr", "Mongolian": "mn"},
    **{"Norwegian": "no", "Bokmal": "nb", "Nynorsk": "nn", "Persian": "fa", "Polish": "pl", "Portuguese": "pt"},
    **{"Punjabi": "pa", "Romanian": "ro", "Russian": "ru", "Serbian": "sr", "Slovak": "sk", "Slovene": "sl"},
    **{"Slovenian": "sl", "Somali": "so", "Spanish": "es", "Swahili": "sw", "Swedish": "sv", "Tagalog": "tl"},
    **{"Tamil": "ta", "Telugu": "te", "Thai": "th", "Turkish": "tr", "Ukrainian": "uk", "Urdu": "ur"},
    **{"Vietnamese": "vi", "Welsh": "cy", "Yoruba": "yo", "Zulu": "zu"},
}
"""English names of languages, as the chat corpora give them -> BCP-47."""


class Row(NamedTuple):
    """One row of a corpus."""

    where: str
    """Where it stands, for messages."""
    value: Mapping[str, Any]
    """Its columns."""


class HubSource(Source):
    """A corpus on the Hub. A subclass declares `card` and turns one row into conversations.

    With `path` set, the rows come from the .parquet or .jsonl files there (a snapshot somebody downloaded, or a
    fixture); without it they are streamed, so that the corpus is never in memory or on disk as a whole.
    """

    split: ClassVar[str] = "train"
    """Split of the Hub dataset that is read."""

    @abstractmethod
    def conversations(self, row: Mapping[str, Any]) -> Iterable[Conversation]:
        """The conversations in one row; none for a row that is left out (see `Source.leave_out`).

        Raises:
            BadRecord: the row does not have the form of the corpus.
        """

    def read(self) -> Iterator[Conversation]:
        """The conversations of all rows; see `Source.read`."""
        return self.counted(self.from_rows())

    def from_rows(self) -> Iterator[Conversation]:
        """The conversations of all rows, damaged rows passed over."""
        for where, value in self.rows():
            try:
                yield from self.conversations(value)
            except BadRecord as problem:
                self.skip(str(problem), where)

    def rows(self) -> Iterator[Row]:
        """The rows of the files at `path`, or of the pinned Hub dataset.

        Raises:
            InputError: no such file, or the Hub cannot be reached or refuses; the message says what to do.
        """
        if self.settings.path is None:
            return self._streamed()
        return self._local(Path(self.settings.path))

    def _local(self, root: Path) -> Iterator[Row]:
        found = [p for p in sorted(root.rglob("*")) if p.suffix in _READERS] if root.is_dir() else [root]
        if not found or not all(p.is_file() and p.suffix in _READERS for p in found):
            raise InputError(f"{root}: no such file, or no {' or '.join(_READERS)} file in this folder.")
        for path in found:
            for number, value in enumerate(_READERS[path.suffix](path)):
                where = f"{path}: row {number}"
                if isinstance(value, BadRecord):
                    self.skip(str(value), where)
                else:
                    yield Row(where, value)

    def _streamed(self) -> Iterator[Row]:
        import datasets
        import pyarrow as pa
        from datasets.exceptions import DatasetsError
        from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

        name = f"{self.card.hub_id}@{self.card.revision}"
        number = 0
        try:
            rows = datasets.load_dataset(
                self.card.hub_id, revision=self.card.revision, split=self.split, streaming=True
            )
            for value in rows:
                yield Row(f"{name}: row {number}", value)
                number += 1
        # A connection that breaks is an HTTPError of the Hub's client, which is no OSError.
        except (OSError, DatasetsError, HTTPError, pa.ArrowException) as error:
            raise InputError(
                f"{name}: the Hub does not give it out after {number} rows ({type(error).__name__}: {error}). Check "
                "the network; for a gated dataset accept its terms on its page and run `hf auth login`; or download it "
                "and set `path` on the source."
            ) from error


def _jsonl(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield _object(line)


def _object(line: bytes) -> Any:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return BadRecord(f"malformed JSON: {error}")
    return value if isinstance(value, dict) else BadRecord("not an object")


def parquet_rows(path: Path) -> Iterator[Any]:
    """The rows of a Parquet file, a batch in memory at a time.

    Raises:
        InputError: it is no Parquet file, or damaged; the message names the file and the last row that was whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as parquet:
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                for row in batch.to_pylist():
                    yield row
                    number += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not a Parquet file, or damaged after row {number} ({error}). Download or write it again."
        ) from error


_READERS = {".parquet": parquet_rows, ".jsonl": _jsonl}


def required(row: Mapping[str, Any], name: str) -> str:
    """The non-empty string in column `name`.

    Raises:
        BadRecord: it is missing or not a string.
    """
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise BadRecord(f"no string `{name}`")
    return value


def language_code(name: object) -> str | None:
    """BCP-47 code of a language's English name; None where the name is unknown or says nothing."""
    return LANGUAGES.get(name) if isinstance(name, str) else None


def iso_time(value: object) -> str | None:
    """ISO 8601 form of a time as Parquet (datetime) or JSON (string) holds it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) and value else None


def is_flagged(moderation: object) -> bool:
    """Whether any message's OpenAI moderation entry is flagged."""
    return isinstance(moderation, list) and any(isinstance(m, Mapping) and m.get("flagged") is True for m in moderation)
