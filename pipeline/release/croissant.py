"""The release folder described in Croissant 1.0 (MLCommons JSON-LD) for dataset search engines and loaders.

Source: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.core.records import Record
from pipeline.core.tables import arrow_schema

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
    *, name: str, version: str, license_url: str, files: Mapping[str, str], configs: Mapping[str, type[Record]]
) -> dict[str, Any]:
    """The Croissant description of a release.

    Args:
        name: title of the dataset.
        version: semantic version.
        license_url: URL of the strictest licence of its rows.
        files: Parquet file -> hex sha256, paths relative to the folder.
        configs: config name -> the record of its rows; its files are `data/<config>-<split>.parquet`. Fields that
            are plain values or lists of them are described; nested records stay readable in Parquet alone.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "version": version,
        "description": "Questions that ask whether a language model remembers what a user said about themself.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "license": license_url,
        "url": "https://huggingface.co/datasets",
        "citeAs": f"@misc{{upqa, title={{{name}}}, note={{Version {version}}}}}",
        "distribution": [
            *(_file(path, digest) for path, digest in sorted(files.items())),
            *(_file_set(config, [path for path in sorted(files) if _belongs(path, config)]) for config in configs),
        ],
        "recordSet": [_record_set(config, record) for config, record in configs.items()],
    }


def _belongs(path: str, config: str) -> bool:
    return path.startswith(f"data/{config}-")


def _file(path: str, digest: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "encodingFormat": "application/x-parquet",
        "sha256": digest,
    }


def _file_set(config: str, paths: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}-files",
        "name": f"{config}-files",
        "containedIn": [{"@id": path} for path in paths],
        "encodingFormat": "application/x-parquet",
        "includes": f"data/{config}-*.parquet",
    }


def _record_set(config: str, record: type[Record]) -> dict[str, Any]:
    schema = arrow_schema(record)
    fields = [
        _field(config, name, info.description or "", schema.field(name).type)
        for name, info in record.model_fields.items()
        if _plain(schema.field(name).type)
    ]
    return {"@type": "cr:RecordSet", "@id": config, "name": config, "field": fields}


def _field(config: str, name: str, description: str, kind: pa.DataType) -> dict[str, Any]:
    repeated = pa.types.is_list(kind)
    return {
        "@type": "cr:Field",
        "@id": f"{config}/{name}",
        "name": f"{config}/{name}",
        "description": description,
        "dataType": _scalar(kind.value_type if repeated else kind),
        **({"repeated": True} if repeated else {}),
        "source": {"fileSet": {"@id": f"{config}-files"}, "extract": {"column": name}},
    }


def _plain(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind.value_type if pa.types.is_list(kind) else kind)


def _scalar(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
