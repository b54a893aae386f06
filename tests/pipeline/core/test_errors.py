from __future__ import annotations

import pytest
import typer

from pipeline.core.command import friendly
from pipeline.core.errors import InputError, unknown_name


def test_an_unknown_name_comes_with_the_closest_known_one() -> None:
    assert "Did you mean 'rome'?" in str(unknown_name("method", "romee", ["none", "rome"]))


def test_a_name_like_no_other_comes_with_the_whole_list() -> None:
    message = str(unknown_name("method", "xyz", ["none", "rome"]))
    assert "Did you mean" not in message
    assert "none, rome" in message


@pytest.mark.parametrize("error", [InputError("x.json: damaged"), OSError(28, "No space left on device")])
def test_an_error_a_person_can_fix_is_one_line_and_exit_code_1(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    @friendly
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as stopped:
        command()
    assert stopped.value.exit_code == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_a_bug_keeps_its_traceback() -> None:
    @friendly
    def command() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        command()
