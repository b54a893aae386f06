"""Errors a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UpqaError(Exception):
    """A problem the user can fix; the message names the file or setting and the fix."""


class InputError(UpqaError):
    """An input file or record is missing, damaged or of the wrong form."""


class ConfigError(UpqaError):
    """A setting in params.yaml or a method file is missing, unknown or contradictory."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """A ConfigError for a name that is not registered, with the closest registered one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return ConfigError(f"Unknown {kind} '{name}'.{hint} Known: {', '.join(names)}.")
