"""Bundles of made-up runs: written, changed in all ways one could, and checked."""

import hashlib
import json
import zipfile

import pytest

from benchmarks import synthetic_results as made_up
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.runner import EditSettings
from editing.submission import check_bundle, write_bundle
from pipeline.core.config import load_section
from pipeline.core.errors import InputError
from pipeline.core.records import TARGET_KINDS, Answer, Verdict
from pipeline.core.tables import read_parquet, write_json, write_parquet

PREFERENCES = 4


@pytest.fixture
def config(pytestconfig):
    section = load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)
    return section.model_copy(update={"judges": ("exact",), "bootstrap_samples": 100})


@pytest.fixture
def run(tmp_path, config, pytestconfig):
    made = made_up.write_dataset(tmp_path / "hub", PREFERENCES, 1)
    settings = load_section(pytestconfig.rootpath / "params.yaml", "edit", EditSettings).model_dump(mode="json")
    settings |= {"scenario": "single", "split": "test", "max_preferences": PREFERENCES}
    folder = made_up.write_run(tmp_path / "results", tmp_path / "hub", made, "m", "rome", 1, config=settings)
    judge_run(tmp_path / "hub", folder, config, tmp_path / "cache")
    return folder


@pytest.fixture
def bundle(run, tmp_path):
    write_bundle(run, tmp_path / "b.zip")
    return tmp_path / "b.zip"


def replaced(bundle, changes, consistent):
    """The bundle with other bytes in some files; `consistent` also enters their hashes into the manifest."""
    with zipfile.ZipFile(bundle) as archive:
        content = {name: archive.read(name) for name in archive.namelist()} | changes
    if consistent:
        manifest = json.loads(content["manifest.json"])
        manifest["files"] = {name: hashlib.sha256(content[name]).hexdigest() for name in manifest["files"]}
        content["manifest.json"] = json.dumps(manifest).encode()
    other = bundle.with_name("other.zip")
    with zipfile.ZipFile(other, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return other


def answers_with(run, change):
    """The bytes of answers.parquet after `change` on the list of answers."""
    rows = list(read_parquet(run / "answers.parquet", Answer))
    write_parquet(run.parent / "changed.parquet", change(rows), Answer)
    return (run.parent / "changed.parquet").read_bytes()


def test_a_bundle_as_submitted_has_no_differences(bundle, tmp_path, config, run):
    found = check_bundle(bundle, tmp_path / "hub", config)
    assert found.differences == []
    assert found.scores == json.loads((run / "scores.json").read_text())
    assert found.record == json.loads((run / "run.json").read_text())


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    write_bundle(run, tmp_path / "first.zip")
    (run / "answers.parquet").touch()
    write_bundle(run, tmp_path / "second.zip")
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


@pytest.mark.parametrize("name", ["run.json", "answers.parquet", "verdicts.parquet", "scores.json"])
def test_a_file_changed_after_submitting_is_named(bundle, tmp_path, config, name):
    found = check_bundle(replaced(bundle, {name: b"{}"}, consistent=False), tmp_path / "hub", config)
    assert found.differences == [f"{name}: its sha256 is not the one in the manifest; changed after `upqa submit`"]


def test_a_byte_changed_in_place_is_named_by_its_file(bundle, run, tmp_path, config):
    data = bytearray(bundle.read_bytes())
    at = data.find((run / "answers.parquet").read_bytes())
    data[at + 100] ^= 1
    bundle.write_bytes(data)
    (line,) = check_bundle(bundle, tmp_path / "hub", config).differences
    assert line.startswith("answers.parquet: its sha256")


def test_better_scores_under_a_consistent_manifest_are_told_with_both_values(bundle, run, tmp_path, config):
    scores = json.loads((run / "scores.json").read_text())
    recall = scores["judges"]["exact"]["recall"]
    here = recall["value"]
    recall["value"] = 0.999
    changed = replaced(bundle, {"scores.json": json.dumps(scores).encode()}, consistent=True)
    (line,) = check_bundle(changed, tmp_path / "hub", config).differences
    assert line == f"scores.json: judges: exact: recall: value: the bundle has 0.999, here it is {here:.6g}"


def test_better_answers_under_a_consistent_manifest_change_verdicts_and_scores(bundle, run, tmp_path, config):
    rows = list(read_parquet(run / "answers.parquet", Answer))
    verdicts = list(read_parquet(run / "verdicts.parquet", Verdict))
    at = next(i for i, v in enumerate(verdicts) if v.kind in TARGET_KINDS and v.verdict == "correct")
    rows[at] = rows[at].model_copy(update={"text": "I cannot say.", "degenerate": False})
    changed = replaced(bundle, {"answers.parquet": answers_with(run, lambda _: rows)}, consistent=True)
    first, *others = check_bundle(changed, tmp_path / "hub", config).differences
    assert first.startswith("verdicts.parquet: judge exact: 1 of 32 verdicts differ")
    assert f"{rows[at].question_id}: the bundle has correct, here it is incorrect" in first
    assert any(line.startswith(f"scores.json: judges: exact: by_kind: {rows[at].kind}: value") for line in others)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda rows: rows[1:], "1 questions are not answered"),
        (lambda rows: [*rows, rows[0]], "1 questions are answered, but not asked"),
        (lambda rows: [rows[0].model_copy(update={"kind": "neutral"}), *rows[1:]], "1 questions are not answered"),
        (lambda rows: [rows[0].model_copy(update={"degenerate": not rows[0].degenerate}), *rows[1:]], "wrongly marked"),
    ],
    ids=["left out", "twice", "of another kind", "degenerate"],
)
def test_answers_that_are_not_those_of_the_settings_are_told(bundle, run, tmp_path, config, change, what):
    changed = replaced(bundle, {"answers.parquet": answers_with(run, change)}, consistent=True)
    differences = check_bundle(changed, tmp_path / "hub", config).differences
    assert any(what in line for line in differences), differences


def test_another_data_set_is_told_with_both_hashes(bundle, tmp_path, config):
    made_up.write_dataset(tmp_path / "another", PREFERENCES, 2)
    (line,) = check_bundle(bundle, tmp_path / "another", config).differences
    assert line.startswith("dataset_sha256: the bundle has ")
    with pytest.raises(InputError, match="no released data set"):
        check_bundle(bundle, tmp_path / "nowhere", config)


def test_another_protocol_version_is_told_with_the_reason(bundle, run, tmp_path, config):
    record = json.loads((run / "run.json").read_text()) | {"protocol": 1}
    changed = replaced(bundle, {"run.json": json.dumps(record).encode()}, consistent=True)
    (line,) = check_bundle(changed, tmp_path / "hub", config).differences
    assert line.startswith("run.json: made under version 1 of docs/protocol.md")


def test_other_code_or_settings_of_a_judge_are_told_by_its_name(bundle, tmp_path, config):
    exact = config.exact.model_copy(update={next(iter(type(config.exact).model_fields)): -1})
    (line,) = check_bundle(bundle, tmp_path / "hub", config.model_copy(update={"exact": exact})).differences
    assert line.startswith("judge exact: the bundle has ")


def test_other_settings_of_the_intervals_are_told(bundle, tmp_path, config):
    (line,) = check_bundle(bundle, tmp_path / "hub", config.model_copy(update={"confidence": 0.9})).differences
    assert line.startswith("judge_sha256: the bundle has ")


def test_a_run_record_that_asked_otherwise_than_its_scores_say_is_told(bundle, run, tmp_path, config):
    record = json.loads((run / "run.json").read_text()) | {"max_new_tokens": 480}
    changed = replaced(bundle, {"run.json": json.dumps(record).encode()}, consistent=True)
    (line,) = check_bundle(changed, tmp_path / "hub", config).differences
    assert line.startswith("decoding_sha256: the bundle has ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.pop("model"), "run.json: without model; not a run record"),
        (lambda record: record.pop("scenario"), "run.json: without scenario; not a run record"),
        (lambda record: record.update(model="m"), "run.json: model: "),
        (lambda record: record.update(seeds=3), "run.json: seeds: "),
        (lambda record: record.update(counts={}), "run.json: without counts.preferences; not a run record"),
        (lambda record: record.update(status="failed"), "run.json: the run failed (no reason given)"),
        (lambda record: record.pop("config"), "run.json: config"),
        (lambda record: record["config"].update(scenario="singel"), "Unknown scenario 'singel'. Did you mean 'single'"),
        (lambda record: record["scenario"].update(name="user"), "run.json: its split or scenario is not that of"),
        (lambda record: record.update(split="train"), "run.json: its split or scenario is not that of"),
    ],
)
def test_a_run_record_that_is_none_or_contradicts_itself_is_told_in_one_line(
    bundle, run, tmp_path, config, change, told
):
    record = json.loads((run / "run.json").read_text())
    change(record)
    changed = replaced(bundle, {"run.json": json.dumps(record).encode()}, consistent=True)
    (line,) = check_bundle(changed, tmp_path / "hub", config).differences
    assert told in line and "\n" not in line


def test_a_bundle_that_says_it_was_asked_other_questions_is_told(bundle, tmp_path, config):
    with zipfile.ZipFile(bundle) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    manifest["hashes"]["questions_sha256"] = "f" * 64
    changed = replaced(bundle, {"manifest.json": json.dumps(manifest).encode()}, consistent=True)
    (line,) = check_bundle(changed, tmp_path / "hub", config).differences
    assert line.startswith("questions_sha256: the bundle has ffff")


def test_the_verdicts_of_a_judge_behind_an_endpoint_are_left_unchecked_and_that_is_said(run, tmp_path, config):
    from editing.judging import hashes

    scores = json.loads((run / "scores.json").read_text())
    scores["judges"] = {"llm": {**scores["judges"]["exact"], "sha256": "a" * 64}, **scores["judges"]}
    identities = {name: found["sha256"] for name, found in scores["judges"].items()}
    asked = [answer.question_id for answer in read_parquet(run / "answers.parquet", Answer)]
    scores["hashes"] = hashes(json.loads((run / "run.json").read_text()), asked, config, identities)
    write_json(run / "scores.json", scores)
    verdicts = list(read_parquet(run / "verdicts.parquet", Verdict))
    asked = [v.model_copy(update={"judge": "llm", "verdict": "incorrect"}) for v in verdicts]
    write_parquet(run / "verdicts.parquet", [*asked, *verdicts], Verdict)
    write_bundle(run, tmp_path / "b.zip")
    found = check_bundle(tmp_path / "b.zip", tmp_path / "hub", config)
    assert (found.differences, found.unchecked, set(found.scores["judges"])) == ([], ("llm",), {"exact"})


def test_only_runs_that_were_judged_and_did_not_fail_can_be_submitted(run, tmp_path):
    (run / "scores.json").unlink()
    with pytest.raises(InputError, match=r"without scores\.json; run `upqa judge"):
        write_bundle(run, tmp_path / "b.zip")
    write_json(
        run / "run.json", json.loads((run / "run.json").read_text()) | {"status": "failed", "error": "no memory"}
    )
    with pytest.raises(InputError, match=r"the run failed \(no memory\)"):
        write_bundle(run, tmp_path / "b.zip")


def test_files_that_are_no_bundles_are_refused_by_name(bundle, tmp_path, config):
    hub, plain = tmp_path / "hub", tmp_path / "plain.zip"
    with pytest.raises(InputError, match=r"nowhere\.zip: no such file"):
        check_bundle(tmp_path / "nowhere.zip", hub, config)
    plain.write_bytes(b"not an archive")
    with pytest.raises(InputError, match="not a ZIP file"):
        check_bundle(plain, hub, config)
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", "{}")
    with pytest.raises(InputError, match="not a bundle"):
        check_bundle(plain, hub, config)
    with pytest.raises(InputError, match="manifest.json is damaged"):
        check_bundle(replaced(bundle, {"manifest.json": b"{}"}, consistent=False), hub, config)
    manifest = json.dumps({"files": {"../../evil": "0"}, "hashes": {}, "judges": {}}).encode()
    with pytest.raises(InputError, match="does not list the files of a run"):
        check_bundle(replaced(bundle, {"manifest.json": manifest}, consistent=False), hub, config)


def test_a_file_beside_those_of_the_manifest_is_told(bundle, tmp_path, config):
    (line,) = check_bundle(replaced(bundle, {"more.txt": b""}, consistent=False), tmp_path / "hub", config).differences
    assert line == "more.txt: in the bundle, but not in the manifest"
