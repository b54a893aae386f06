"""Records to files and back: Arrow schemas from the record classes, atomic writes, readers that name the bad row."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import IO, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from pipeline.core.errors import InputError
from pipeline.core.records import Record

R = TypeVar("R", bound=Record)

_SCALARS: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def arrow_schema(record: type[Record]) -> pa.Schema:
    """The Arrow schema of `record`: field order as declared, nested records as structs, tuples as lists.

    A mapping becomes a list of {key, value} structs, because readers (datasets, pandas) disagree on Arrow maps.
    """
    return pa.schema([_field(name, info.annotation) for name, info in record.model_fields.items()])


def _field(name: str, annotation: Any) -> pa.Field:
    nullable = type(None) in get_args(annotation)
    return pa.field(name, _arrow_type(annotation), nullable=nullable)


def _arrow_type(annotation: Any) -> pa.DataType:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in args if a is not type(None)]
        return _arrow_type(inner)
    if origin is Literal:
        return pa.string()
    if origin is tuple:
        return pa.list_(pa.field("element", _arrow_type(args[0]), nullable=False))
    if origin is dict:
        pair = [pa.field("key", _arrow_type(args[0]), False), pa.field("value", _arrow_type(args[1]), False)]
        return pa.list_(pa.field("element", pa.struct(pair), nullable=False))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return pa.struct([_field(n, i.annotation) for n, i in annotation.model_fields.items()])
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return pa.string()
    return _SCALARS[annotation]


def _to_arrow(row: Record) -> dict[str, Any]:
    """`row` as plain values, enums by their value, mappings as lists of pairs."""
    plain = row.model_dump(mode="json")
    _pair_mappings(plain, type(row))
    return plain


def _pair_mappings(plain: dict[str, Any], record: type[BaseModel]) -> None:
    for name, inner in _mapping_fields(record).items():
        value = plain[name]
        if inner is None:
            plain[name] = [{"key": key, "value": item} for key, item in sorted(value.items())]
        elif isinstance(value, list):
            for item in value:
                _pair_mappings(item, inner)
        elif value is not None:
            _pair_mappings(value, inner)


@functools.cache
def _mapping_fields(record: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Fields of `record` that are a mapping (None) or hold records with one, alone or in a tuple (their class)."""
    found: dict[str, type[BaseModel] | None] = {}
    for name, info in record.model_fields.items():
        for part in (info.annotation, *get_args(info.annotation)):
            if get_origin(part) is dict:
                found[name] = None
            elif isinstance(part, type) and issubclass(part, BaseModel) and _mapping_fields(part):
                found[name] = part
    return found


def _from_arrow(value: Any, annotation: Any) -> Any:
    origin, args = get_origin(annotation), get_args(annotation)
    if value is None:
        return None
    if origin in (Union, types.UnionType):
        (annotation,) = [a for a in args if a is not type(None)]
        return _from_arrow(value, annotation)
    if origin is dict:
        return {pair["key"]: _from_arrow(pair["value"], args[1]) for pair in value}
    if origin is tuple:
        return tuple(_from_arrow(item, args[0]) for item in value)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {n: _from_arrow(value.get(n), i.annotation) for n, i in annotation.model_fields.items() if n in value}
    return value


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """A file that appears at `path` whole or not at all: written beside it, synced, then renamed.

    Raises:
        OSError: as the operating system reports it (disk full, no permission); `path` is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    temporary = Path(name)
    try:
        encoding = None if "b" in mode else "utf-8"
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def to_table(rows: Iterable[R], record: type[R]) -> pa.Table:
    """`rows` as a table with the record's own schema."""
    return pa.Table.from_pylist([_to_arrow(row) for row in rows], schema=arrow_schema(record))


class ParquetSink(Generic[R]):
    """Takes records one by one, or tables of them, and writes them in row groups; made by `parquet_sink`."""

    def __init__(self, writer: pq.ParquetWriter, record: type[R], rows_per_group: int) -> None:
        """Write rows of `record` to `writer`, `rows_per_group` at a time."""
        self._writer = writer
        self._schema = arrow_schema(record)
        self._rows_per_group = rows_per_group
        self._batch: list[Any] = []
        self._table = self._schema.empty_table()
        self.rows = 0
        """Rows taken so far."""

    def write(self, row: R) -> None:
        """Take one row."""
        self._batch.append(_to_arrow(row))
        self.rows += 1
        if len(self._batch) == self._rows_per_group:
            self.flush()

    def write_table(self, table: pa.Table) -> None:
        """Take the rows of a `to_table`; the row groups do not depend on how rows are shared out among tables."""
        self._table = pa.concat_tables([self._table, table])
        self.rows += len(table)
        while len(self._table) >= self._rows_per_group:
            self._writer.write_table(self._table.slice(0, self._rows_per_group).combine_chunks())
            self._table = self._table.slice(self._rows_per_group)

    def flush(self) -> None:
        """Write what has been taken as a row group."""
        if self._batch:  # an empty row group would make `datasets` fail with a batch size of 0
            self._writer.write_table(pa.Table.from_pylist(self._batch, schema=self._schema))
            self._batch = []
        if len(self._table):
            self._writer.write_table(self._table.combine_chunks())
            self._table = self._schema.empty_table()


@contextlib.contextmanager
def parquet_sink(path: Path, record: type[R], *, rows_per_group: int = 10_000) -> Iterator[ParquetSink[R]]:
    """A sink whose rows appear at `path` when the block ends, and not at all when it fails."""
    with atomic_write(path) as file, pq.ParquetWriter(file, arrow_schema(record), compression="zstd") as writer:
        sink = ParquetSink(writer, record, rows_per_group)
        yield sink
        sink.flush()


def write_parquet(path: Path, rows: Iterable[R], record: type[R], *, rows_per_group: int = 10_000) -> int:
    """Write `rows` with the record's own schema, streaming; returns how many. Zero rows give a readable file."""
    with parquet_sink(path, record, rows_per_group=rows_per_group) as sink:
        for row in rows:
            sink.write(row)
    return sink.rows


def read_parquet(path: Path, record: type[R]) -> Iterator[R]:
    """The rows of a Parquet file as records, streaming.

    Raises:
        InputError: the file is missing or not Parquet, or a row does not fit the record; names file and row.
    """
    try:
        parquet = pq.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it, or `dvc repro`.") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a Parquet file ({error}).") from error
    number = 0
    with parquet:
        for batch in parquet.iter_batches():
            for raw in batch.to_pylist():
                fields = {n: _from_arrow(raw.get(n), i.annotation) for n, i in record.model_fields.items() if n in raw}
                yield _validated(fields, record, f"{path}: row {number}")
                number += 1


def _validated(value: Any, record: type[R], where: str) -> R:
    try:
        return record.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: not a {record.__name__}: {field}: {first['msg']}") from error


def write_jsonl(path: Path, rows: Iterable[Record]) -> int:
    """Write one JSON object a line; returns how many."""
    written = 0
    with atomic_write(path, "w") as file:
        for row in rows:
            file.write(row.model_dump_json() + "\n")
            written += 1
    return written


def read_jsonl(path: Path, record: type[R]) -> Iterator[R]:
    """The lines of a JSONL file as records.

    Raises:
        InputError: the file is missing, or a line is not JSON or does not fit the record; names file and line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _validated(_parsed(line, f"{path}: line {number}"), record, f"{path}: line {number}")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that writes it, or `dvc repro`.") from None


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not valid JSON: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline."""
    with atomic_write(path, "w") as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")
