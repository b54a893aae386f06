"""The commands `upqa submit` and `upqa verify`, end to end."""

import zipfile

import pytest
import yaml
from typer.testing import CliRunner

from benchmarks import synthetic_results as made_up
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.runner import EditSettings
from pipeline.cli import app
from pipeline.core.config import load_section


@pytest.fixture
def params(tmp_path, pytestconfig):
    """Settings with the exact judge alone and few draws."""
    document = yaml.safe_load((pytestconfig.rootpath / "params.yaml").read_text())
    document["judge"] |= {"judges": ["exact"], "bootstrap_samples": 100}
    document["edit"] |= {"max_preferences": 4}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "params.yaml"


@pytest.fixture
def bundle(tmp_path, params):
    made = made_up.write_dataset(tmp_path / "hub", 4, 1)
    settings = load_section(params, "edit", EditSettings).model_dump(mode="json")
    run = made_up.write_run(tmp_path / "results", tmp_path / "hub", made, "m", "rome", 1, config=settings)
    judge_run(tmp_path / "hub", run, load_section(params, "judge", JudgeConfig), tmp_path / "cache")
    done = CliRunner().invoke(app, ["submit", str(run), "--out", str(tmp_path / "rome.zip")])
    assert done.exit_code == 0, done.output
    return tmp_path / "rome.zip"


def verify(bundle, params):
    return CliRunner().invoke(
        app, ["verify", str(bundle), "--dataset", str(params.parent / "hub"), "--params", str(params)]
    )


def test_a_submitted_run_verifies_and_says_what_it_is(bundle, params):
    done = verify(bundle, params)
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "exact: headline" in told and "rome on m, 4 preferences, made with commit 000000000000" in told


def test_a_changed_bundle_ends_with_exit_code_1_and_names_the_file(bundle, params):
    with zipfile.ZipFile(bundle) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in (content | {"scores.json": b"{}"}).items():
            archive.writestr(name, data)
    done = verify(bundle, params)
    assert done.exit_code == 1
    assert "differs: scores.json: its sha256 is not the one in the manifest" in done.stderr
    assert "1 differences" in done.stderr
