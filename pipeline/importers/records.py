"""What every importer shares: reading the published file, and a draft for each of its records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.errors import InputError
from pipeline.core.records import (
    ClusterMember,
    Draft,
    DraftQuestion,
    Evidence,
    Provenance,
    QuestionKind,
    Statement,
    content_id,
)

LICENSE = "CC-BY-NC-4.0"
"""Licence of both benchmarks: research only, and never mixed into a release under a freer one."""


class Published(BaseModel):
    """Base of the published record forms; an unknown key means another version of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


P = TypeVar("P", bound=Published)


class Imported(NamedTuple):
    """One published record, as far as this project's records hold it."""

    statement: str
    """What the user says about themself."""
    attribute_type: str
    """What kind of fact it is."""
    family: str
    """Attribute family."""
    target: str
    """The user's value."""
    aliases: tuple[str, ...]
    """Other surface forms that the benchmark counts as the same."""
    cluster: tuple[ClusterMember, ...]
    """Original first."""
    questions: tuple[tuple[QuestionKind, str, str], ...]
    """(kind, text, origin) of each question."""


def read_records(path: Path, form: type[P]) -> list[P]:
    """The records of a published JSON array.

    Raises:
        InputError: no such file, not a JSON array, or a record of another form; names file, record and key.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(raw, list):
        raise InputError(f"{path}: expected a JSON array of records.")
    return [_validated(value, form, f"{path}: record {number}") for number, value in enumerate(raw)]


def _validated(value: Any, form: type[P], where: str) -> P:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{where}: not a record of this benchmark: {key}: {first['msg']}") from error


def drafts(source: str, records: Sequence[Imported]) -> dict[str, Draft]:
    """The drafts by id; equal records become one. The benchmarks name no users, so each statement is a user's."""
    return {draft.id: draft for draft in (_draft(source, record) for record in records)}


def _draft(source: str, record: Imported) -> Draft:
    key = content_id(source, record.statement, record.attribute_type)
    statement = Statement(
        id=content_id(source, record.statement),
        user_id=key,
        evidence=Evidence(source=source, conversation=key, turn=0, start=0, end=len(record.statement)),
        text=record.statement,
        self_contained=record.statement,
        family=record.family,
        confidence=1.0,
        sensitive=(),
        language="en",
        license=LICENSE,
        redactions=(),
        history=(),
    )
    accepted = (record.target, *record.aliases)
    return Draft(
        id=content_id(statement.id, record.attribute_type, record.target),
        statement=statement,
        attribute_type=record.attribute_type,
        family=record.family,
        target=record.target,
        aliases=record.aliases,
        cluster=record.cluster,
        questions=tuple(
            DraftQuestion(kind=kind, text=text, origin=_ORIGINS[origin], query_id=None, accepted=accepted)
            for kind, text, origin in record.questions
        ),
        provenance=Provenance(model="as published", prompts={}, samples=0),
        origin="generated",
    )


_ORIGINS: Mapping[str, Any] = {"generated": "generated", "template": "template"}
