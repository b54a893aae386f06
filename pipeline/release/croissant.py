"""The release folder described in Croissant 1.0 (MLCommons JSON-LD) for dataset search engines and loaders.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

import pyarrow as pa
from pydantic.fields import FieldInfo

from pipeline.core.records import Record
from pipeline.core.tables import arrow_schema
from pipeline.release.config import ReleaseConfig

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(
    config: ReleaseConfig, *, license_url: str, files: Mapping[str, str], tables: Mapping[str, type[Record]]
) -> dict[str, Any]:
    """The Croissant description of a release.

    Args:
        config: title, version, date, authors, page.
        license_url: URL of the strictest licence of its rows.
        files: Parquet file -> hex sha256, paths relative to the folder.
        tables: name -> the record of its rows; its files are `data/<name>-<split>.parquet`.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": config.pretty_name,
        "version": config.version,
        "description": "Questions that ask whether a language model remembers what a user said about themself.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": license_url,
        **({} if config.url is None else {"url": config.url}),
        "creator": [
            {"@type": "sc:Person" if "," in name else "sc:Organization", "name": name} for name in config.authors
        ],
        "datePublished": config.date.isoformat(),
        "citeAs": config.citation(),
        "distribution": [*(_file(path, digest) for path, digest in sorted(files.items())), *map(_file_set, tables)],
        "recordSet": [record_set(name, record) for name, record in tables.items()],
    }


def record_set(table: str, record: type[Record]) -> dict[str, Any]:
    """Every column of a table with its meaning; what stands inside a column has fields of its own below it."""
    fields = [_field(column, (), record.model_fields, table) for column in arrow_schema(record)]
    return {"@type": "cr:RecordSet", "@id": table, "name": table, "field": fields}


def _file(path: str, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "encodingFormat": "application/x-parquet",
        "sha256": digest,
    }


def _file_set(table: str) -> dict[str, Any]:
    # Without `containedIn`: to a reader a Parquet file is no archive, and it would find nothing inside.
    return {
        "@type": "cr:FileSet",
        "@id": f"{table}-files",
        "name": f"{table}-files",
        "encodingFormat": "application/x-parquet",
        "includes": f"data/{table}-*.parquet",
    }


def _field(column: pa.Field, above: tuple[str, ...], known: Mapping[str, FieldInfo], table: str) -> dict[str, Any]:
    """One column, or a part of one that stands below the fields `above`."""
    path = (*above, column.name)
    repeated = pa.types.is_list(column.type)
    kind = column.type.value_type if repeated else column.type
    info = known.get(column.name)
    name = "/".join((table, *path))
    field = {
        "@type": "cr:Field",
        "@id": name,
        "name": name,
        "description": (info.description if info is not None else None) or f"{column.name.capitalize()} of the entry.",
        **({"repeated": True} if repeated else {}),
    }
    if pa.types.is_struct(kind):
        parts = _fields_of((info.annotation,)) if info is not None else {}
        return field | {"subField": [_field(part, path, parts, table) for part in kind]}
    source = {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": path[0]}}
    steps = [{"jsonPath": step} for step in path[1:]]
    return field | {"dataType": _scalar(kind), "source": source | ({"transform": steps} if steps else {})}


def _fields_of(annotations: Iterable[Any]) -> Mapping[str, FieldInfo]:
    """The fields of the first record among `annotations` or inside them; none where there is none."""
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, Record):
            return annotation.model_fields
        if found := _fields_of(get_args(annotation)):
            return found
    return {}


def _scalar(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
