"""The whole registry: every source has a complete card, a fixture, and reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.core.errors import ConfigError, InputError
from pipeline.core.licenses import STRICTNESS, may_publish
from pipeline.sources.base import SourceSettings
from pipeline.sources.card import SourceCard
from pipeline.sources.registry import SOURCES, open_source, source_class, table

FIXTURES = Path(__file__).with_name("fixtures")


def fixture(name: str) -> Path:
    (path,) = FIXTURES.glob(f"{name}.*")
    return path


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_card_bears_the_registered_name_and_is_complete(name: str) -> None:
    card = source_class(name).card
    assert card.name == name
    assert card.title and card.languages and card.collected and card.consent
    assert card.license in STRICTNESS
    assert name == "jsonl" or (card.revision and card.citation)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_fixture_gives_conversations_of_that_source(name: str) -> None:
    settings = SourceSettings(name=name, path=str(fixture(name)), strict=False, license=None, max_conversations=None)
    opened = open_source(settings, "salt")
    found = list(opened.read())
    assert len(found) >= 3
    assert opened.report.conversations == len(found)
    assert len({c.source_id for c in found}) == len(found)
    assert any(turn.role == "user" and turn.text for c in found for turn in c.turns)
    assert {c.license for c in found} <= {opened.card.license, "CC-BY-4.0"}
    assert {c.source for c in found} == {name}
    assert all(len(c.user_id) == 16 for c in found)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_reading_the_fixture_twice_gives_the_same(name: str) -> None:
    settings = SourceSettings(name=name, path=str(fixture(name)), strict=False, license=None, max_conversations=3)
    assert list(open_source(settings, "salt").read()) == list(open_source(settings, "salt").read())


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"jsonl"}))
def test_no_setting_changes_the_licence_of_a_corpus(name: str) -> None:
    settings = SourceSettings(name=name, path=None, strict=False, license="MIT", max_conversations=None)
    with pytest.raises(InputError) as refused:
        open_source(settings, "salt")
    assert name in str(refused.value)
    assert f"the licence of this corpus is {source_class(name).card.license}. Set license: null" in str(refused.value)


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"jsonl"}))
def test_rows_may_be_published_where_the_card_says_that_they_may(name: str) -> None:
    settings = SourceSettings(name=name, path=str(fixture(name)), strict=False, license=None, max_conversations=None)
    opened = open_source(settings, "salt")
    assert {may_publish(c.license) for c in opened.read()} == {opened.card.may_redistribute}


def test_an_unknown_source_is_refused_with_the_closest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sharegpt'"):
        source_class("sharegtp")


def test_a_card_from_a_url_without_the_hash_of_its_file_is_refused() -> None:
    card = source_class("sharegpt").card.model_dump()
    with pytest.raises(ValidationError, match="needs the sha256"):
        SourceCard.model_validate(card | {"revision": "0.1.0"})


def test_a_hub_card_without_a_pinned_revision_is_refused() -> None:
    card = source_class("wildchat").card.model_dump()
    with pytest.raises(ValidationError, match="40-hex revision"):
        SourceCard.model_validate(card | {"revision": "main"})


def test_the_table_has_the_sources_that_are_asked_for() -> None:
    assert [line.split("`")[1] for line in table(["wildchat", "oasst"]).splitlines()[2:]] == ["oasst", "wildchat"]
    assert len(table().splitlines()) == 2 + len(SOURCES)
