"""JSON Schemas of the records: `python -m pipeline.core.schemas` writes them to schemas/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.core.errors import InputError
from pipeline.core.records import RELEASED
from pipeline.core.tables import write_json


def generated() -> dict[str, dict[str, Any]]:
    """File name -> JSON Schema (draft 2020-12) of every record that is written to disk."""
    return {
        f"{name}.schema.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **record.model_json_schema(),
        }
        for name, record in RELEASED.items()
    }


def load(folder: Path, name: str) -> dict[str, Any]:
    """The committed schema of one record.

    Raises:
        InputError: the file is missing or not JSON.
    """
    path = folder / f"{name}.schema.json"
    try:
        schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `python -m pipeline.core.schemas`.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    return schema


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with every reference to its own `$defs` replaced by the definition: the same rules, checked faster."""
    definitions = schema.get("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rsplit("/", 1)[-1]])
            return {key: resolve(value) for key, value in node.items() if key != "$defs"}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    flat: dict[str, Any] = resolve(schema)
    return flat


if __name__ == "__main__":
    for file_name, schema in generated().items():
        write_json(Path("schemas") / file_name, schema)
