"""Settings of the release stage."""

from __future__ import annotations

import datetime

from pydantic import Field, field_validator

from pipeline.core.config import Section
from pipeline.core.licenses import STRICTNESS


class ReleaseConfig(Section):
    """The release section of params.yaml."""

    pretty_name: str
    """Title of the dataset card."""
    version: str
    """Version of the dataset, e.g. "0.1.0"."""
    date: datetime.date
    """Day of this version; its year is the year of the citation."""
    authors: tuple[str, ...] = Field(min_length=1)
    """Whom to cite: a person as "Family, Given"; a name without a comma is that of a group."""
    url: str | None = Field(pattern=r"^https?://\S+$")
    """Page of the release, for the citation; None leaves it out."""
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

    def citation(self) -> str:
        """The BibTeX entry of this version."""
        # Braces keep BibTeX from taking a group's name apart into given and family names.
        authors = " and ".join(name if "," in name else f"{{{name}}}" for name in self.authors)
        fields = {
            "author": authors,
            "title": f"{self.pretty_name}: User Preference Question Answering",
            "year": self.date.year,
            "note": f"Version {self.version}",
            **({} if self.url is None else {"url": self.url}),
        }
        return "@misc{upqa,\n" + ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items()) + "\n}"
