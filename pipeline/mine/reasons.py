"""Why a candidate sentence does not become a statement or query."""

from __future__ import annotations

from enum import StrEnum


class DropReason(StrEnum):
    """Machine-readable reasons in dropped.parquet; docs/mining.md gives the counts of a real run."""

    LANGUAGE = "language"
    """The conversation's language is not in `mine.languages`."""
    UNLIKELY = "unlikely"
    """The detector's probability is below the threshold."""
    SENSITIVE = "sensitive"
    """Touches a sensitive category and `mine.sensitive` is drop; of a query also where it is tag."""
    UNRESOLVED_REFERENCE = "unresolved_reference"
    """Does not stand alone: speaks of "it" or "the second one", or asks something, or says nothing of its user."""
    MOSTLY_REDACTED = "mostly_redacted"
    """After redaction little but placeholders is left."""
    DUPLICATE = "duplicate"
    """The same text as an earlier row, letter case and punctuation aside."""
    NEAR_DUPLICATE = "near_duplicate"
    """Nearly the same as an earlier row by embedding."""
    OVER_CAP = "over_cap"
    """Sound, but beyond `max_per_user`, `max_statements` or `max_queries`."""
