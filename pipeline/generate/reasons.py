"""Why generate does not write a draft for a statement."""

from enum import StrEnum


class Reason(StrEnum):
    """Reasons of dropped statements."""

    NO_ATTRIBUTE = "no_attribute"
    """No cue of any attribute type is in the statement."""
    TARGET_FAULT = "target_fault"
    """The value found breaks a rule: empty, too long, redacted, or the same as the attribute type."""
    DUPLICATE = "duplicate"
    """The same user already has this attribute type and target."""
    NOT_SAMPLED = "not_sampled"
    """Beyond `generate.max_statements`."""
