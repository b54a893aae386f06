from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.release.config import ReleaseConfig


def test_the_citation_is_made_of_the_settings(config: Callable[..., ReleaseConfig]) -> None:
    assert config().citation() == (
        "@misc{upqa,\n"
        "  author = {Doe, Jane and {The makers}},\n"
        "  title = {UPQA: User Preference Question Answering},\n"
        "  year = {2031},\n"
        "  note = {Version 0.1.0},\n"
        "  url = {https://huggingface.co/datasets/jane/UPQA}\n"
        "}"
    )


def test_a_citation_without_a_page_names_none(config: Callable[..., ReleaseConfig]) -> None:
    assert "url" not in config(url=None).citation()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"allowed_licenses": ("WTFPL",)}, "not an SPDX id this project ranks: WTFPL"),
        ({"authors": ()}, "authors"),
        ({"url": "my page"}, "url"),
        ({"date": "yesterday"}, "date"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    config: Callable[..., ReleaseConfig], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        config(**changes)
