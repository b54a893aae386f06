from __future__ import annotations

import pytest

from pipeline.core.licenses import STRICTNESS, may_publish, strictest, url


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["CC0-1.0", "CC-BY-4.0"], "CC-BY-4.0"),
        (["CC-BY-NC-4.0", "Apache-2.0"], "CC-BY-NC-4.0"),
        (["MIT", "unknown"], "unknown"),
        (["MIT", "Some-New-License"], "unknown"),
        ([], "unknown"),
    ],
)
def test_a_row_carries_the_strictest_of_its_licences(given: list[str], wanted: str) -> None:
    assert strictest(given) == wanted


@pytest.mark.parametrize("name", STRICTNESS)
def test_every_licence_has_a_page(name: str) -> None:
    assert url(name).startswith("https://")


def test_rights_that_are_unknown_or_forbid_it_are_not_for_publication() -> None:
    assert [name for name in (*STRICTNESS, "Some-New-License") if not may_publish(name)] == [
        "LicenseRef-LMSYS-Chat-1M",
        "unknown",
        "Some-New-License",
    ]
