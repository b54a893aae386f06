"""What a source declares about itself: origin, pinned version, licence, privacy."""

from __future__ import annotations

import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.core.licenses import may_publish


class SourceCard(BaseModel):
    """Declaration of one corpus; the table of sources in docs/adding-a-source.md is written from these cards."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name in the registry, in params.yaml and in the rows' evidence."""
    title: str
    """Name a reader knows the corpus by."""
    hub_id: str | None
    """Dataset id on the Hugging Face Hub; None for a corpus from elsewhere."""
    url: str | None
    """Where the corpus comes from when it is not on the Hub; None for files the user brings."""
    revision: str | None
    """Pinned version: the 40-hex Git revision of a Hub dataset, or the sha256 of the file from `url`."""
    license: str
    """SPDX id of the corpus licence, or "unknown". It alone decides whether rows may be published: where something
    else forbids it, name a LicenseRef of `pipeline.core.licenses.NOT_PASSED_ON`."""
    citation: str
    """BibTeX of the work to cite, or one line of attribution; empty where there is none."""
    languages: tuple[str, ...]
    """BCP-47 languages; ("mul",) for many, ("und",) where nobody said."""
    collected: str
    """When the conversations took place, as far as known."""
    consent: str
    """What the speakers agreed to and which personal data to expect."""

    @property
    def may_redistribute(self) -> bool:
        """Whether rows may be published, as far as the licence says; files that the user brings may state their own."""
        return may_publish(self.license)

    @property
    def brought_by_the_user(self) -> bool:
        """Whether the corpus is files that the user brings, so that its licence is theirs to state."""
        return self.hub_id is None and self.url is None

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.hub_id is not None and not re.fullmatch(r"[0-9a-f]{40}", self.revision or ""):
            raise ValueError(f"{self.name}: a Hub dataset needs a 40-hex revision")
        if self.url is not None and not re.fullmatch(r"[0-9a-f]{64}", self.revision or ""):
            raise ValueError(f"{self.name}: a corpus from a URL needs the sha256 of its file as revision")
        return self
