"""The command `upqa personalize` and the patterns behind it."""

from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from editing.personalize import personalize
from editing.runner import EditSettings
from editing.statement import before_and_after, read_statement
from pipeline.core.config import load_section
from pipeline.core.errors import InputError


@pytest.mark.parametrize(
    ("statement", "attribute", "target"),
    [
        ("I'm vegetarian", "diet", "vegetarian"),
        ("I am a vegan.", "diet", "vegan"),
        ("My favourite colour is green", "favourite colour", "green"),
        ("I work as a night nurse!", "profession", "night nurse"),
        ("I'm a bus driver", "profession", "bus driver"),
        ("I live in Porto", "home town", "Porto"),
        ("I love hiking in the hills", "hobby", "hiking in the hills"),
        ("I like to bake bread", "hobby", "bake bread"),
        ("I\u2019m allergic to peanuts", "allergy", "peanuts"),
        ("I have a small dog called Rex", "pet", "a small dog called Rex"),
        ("I hate mushrooms", "dislike", "mushrooms"),
    ],
)
def test_common_statements_are_understood(statement: str, attribute: str, target: str) -> None:
    fact = read_statement(statement)
    assert (fact.subject, fact.target) == (attribute, target)
    assert fact.subject in fact.question


def test_a_statement_that_is_not_understood_asks_for_both_values() -> None:
    with pytest.raises(InputError, match="--attribute and --target"):
        read_statement("Trains are best at night")


def test_given_values_win_over_the_patterns() -> None:
    fact = read_statement("I'm vegetarian", attribute="food preference", target="vegetables")
    assert (fact.subject, fact.target) == ("food preference", "vegetables")


@pytest.mark.parametrize("method", ["rome", "in_context"])
def test_the_command_shows_answers_before_and_after(method: str, checkpoint: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    document["edit"] |= {"max_new_tokens": 4, "batch_size": 4}
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(document), encoding="utf-8")
    app = typer.Typer()
    app.command()(personalize)
    patch = tmp_path / "me.safetensors"
    arguments = ["--say", "I'm vegetarian", "--ask", "What should I cook tonight?", "--method", method]
    arguments += ["--model", str(checkpoint), "--params", str(params), "--dataset", str(tmp_path), "--save", str(patch)]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "diet = vegetarian" in found.output
    assert "before" in found.output and "after" in found.output
    assert patch.is_file()


def test_a_method_that_is_nothing_without_a_covariance_asks_for_a_dataset(
    tmp_path: Path,
) -> None:
    settings = load_section(Path("params.yaml"), "edit", EditSettings)
    with pytest.raises(InputError, match="alphaedit needs its texts"):
        before_and_after(settings, "/nowhere", "alphaedit", read_statement("I'm vegan"), ["Hi!"], tmp_path)
