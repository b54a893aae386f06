"""Settings of the release stage."""

from __future__ import annotations

from pydantic import Field, field_validator

from pipeline.core.config import Section
from pipeline.core.licenses import STRICTNESS


class ReleaseConfig(Section):
    """The release section of params.yaml."""

    pretty_name: str
    """Title of the dataset card."""
    version: str
    """Version of the dataset, e.g. "0.1.0"."""
    allowed_licenses: tuple[str, ...]
    """Licences a row may carry to enter the release folder; others are counted and left out."""

    near_duplicate: float = Field(gt=0, le=1)
    """`upqa contamination`: cosine from which two texts count as near-duplicates."""

    @field_validator("allowed_licenses")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in STRICTNESS]
        if unknown:
            raise ValueError(
                f"not an SPDX id this project ranks: {', '.join(unknown)} (known: {', '.join(STRICTNESS)})"
            )
        return names
