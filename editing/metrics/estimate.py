"""A score with its uncertainty."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """One score."""

    value: float | None
    """The score; None where no answer was scored."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end of the interval."""
    n: int
    """Scored answers."""
    n_unscored: int
    """Answers a judge could not decide on."""
    higher_is_better: bool = True
    """Which way is good."""

    def as_json(self) -> dict[str, Any]:
        """The estimate as a JSON object, numbers rounded to six decimals."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}
