"""How strict a licence is, so that a row made from several texts carries the strictest of them."""

from __future__ import annotations

from collections.abc import Iterable

UNKNOWN = "unknown"
"""Rights were never stated: usable for study on one's own machine, never published."""

STRICTNESS = (
    "CC0-1.0",
    "MIT",
    "Apache-2.0",
    "ODC-By-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
    "LicenseRef-LMSYS-Chat-1M",
    UNKNOWN,
)
"""SPDX ids from freest to strictest; an id that is not listed counts as unknown."""

NOT_PASSED_ON = ("LicenseRef-LMSYS-Chat-1M", UNKNOWN)
"""Licences under which nothing may be published, texts made from a conversation included."""


def strictest(licenses: Iterable[str]) -> str:
    """The strictest of `licenses`; "unknown" for none, and for any id that is not in STRICTNESS."""
    ranks = [STRICTNESS.index(name) if name in STRICTNESS else len(STRICTNESS) - 1 for name in licenses]
    return STRICTNESS[max(ranks, default=len(STRICTNESS) - 1)]


def may_publish(license_id: str) -> bool:
    """Whether rows under this licence may be passed on; not for an id that is not in STRICTNESS."""
    return license_id in STRICTNESS and license_id not in NOT_PASSED_ON


def url(license_id: str) -> str:
    """A page with the text of the licence; for an id without one, a page that says what unknown rights mean."""
    if license_id.startswith("LicenseRef-"):
        return "https://huggingface.co/datasets/lmsys/lmsys-chat-1m"
    if license_id == UNKNOWN:
        return "https://choosealicense.com/no-permission/"
    return f"https://spdx.org/licenses/{license_id}.html"
