"""params.yaml as typed sections. There are no defaults in code: DVC hashes the file, so the file is the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.core.errors import ConfigError


class Section(BaseModel):
    """Base of all configuration sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Section)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; run from the project's root or pass --params.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: expected a mapping at the top, found {type(loaded).__name__}.")
    return loaded


def load_section(path: Path, name: str, section: type[S]) -> S:
    """One section of params.yaml as `section`.

    Raises:
        ConfigError: a key is missing, unknown or of the wrong type; the message names each YAML key.
    """
    document = read_yaml(path)
    if name not in document:
        raise ConfigError(f"{path}: section '{name}' is missing.")
    return parse_section(document[name], section, where=f"{path}: {name}")


def parse_section(value: object, section: type[S], where: str) -> S:
    """`value` as `section`; `where` stands before each YAML key in the error."""
    try:
        return section.model_validate(value)
    except ValidationError as error:
        problems = [f"  {where}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("Invalid configuration:\n" + "\n".join(problems)) from error
