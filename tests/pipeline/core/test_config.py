from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.config import Section, load_section
from pipeline.core.errors import ConfigError


class Example(Section):
    size: int
    """A number."""


def written(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text)
    return path


def test_a_section_is_read(tmp_path: Path) -> None:
    assert load_section(written(tmp_path, "example: {size: 3}"), "example", Example).size == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("example: {size: three}", r"example\.size"),
        ("example: {}", r"example\.size: Field required"),
        ("example: {size: 1, sise: 2}", r"example\.sise: Extra inputs"),
        ("other: {}", "section 'example' is missing"),
        ("[1, 2]", "expected a mapping"),
        ("example: {size: [", "not valid YAML"),
    ],
)
def test_a_bad_setting_names_its_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_section(written(tmp_path, text), "example", Example)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; run from the project's root"):
        load_section(tmp_path / "params.yaml", "example", Example)
