import json

import pytest
import yaml

from benchmarks import synthetic_results as made_up
from editing.board.collect import check_comparable, read_runs
from editing.board.markdown import markdown
from editing.board.page import script_json
from editing.board.table import LeaderboardConfig
from editing.board.write import write_board
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics import PROTOCOL_VERSION
from editing.metrics.bootstrap import Plan
from pipeline.core.config import load_section
from pipeline.core.errors import ConfigError, InputError
from pipeline.core.tables import write_json

PLAN = Plan(samples=200, seed=1, confidence=0.95)
CONFIG = LeaderboardConfig(judge="exact", samples=2, significance=0.05)
DIRTY = {"code": {"commit": "a" * 40, "dirty": True}}


@pytest.fixture
def judging(pytestconfig):
    section = load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)
    return section.model_copy(update={"judges": ("exact",), "bootstrap_samples": 200})


@pytest.fixture
def add(tmp_path, judging):
    """Adds a judged run to tmp_path/results."""
    made = made_up.write_dataset(tmp_path / "hub", 8, 1)

    def added(model, method, of=slice(None), **changes):
        run = made_up.write_run(tmp_path / "results", tmp_path / "hub", made[of], model, method, 1, **changes)
        judge_run(tmp_path / "hub", run, judging, tmp_path / "cache")
        return run

    return added


def board_of(tmp_path, out="board"):
    return write_board(tmp_path / "results", tmp_path / out, tmp_path / "hub", tmp_path / "judges.json", CONFIG, PLAN)


def change_hash(run, name, value):
    scores = json.loads((run / "scores.json").read_text())
    scores["hashes"][name] = value
    write_json(run / "scores.json", scores)


def test_rows_stand_by_falling_headline(add, tmp_path):
    for method in ("none", "in_context", "ft_m"):
        add("m", method)
    board = board_of(tmp_path)
    headlines = [row["judges"]["exact"]["headline"]["value"] for row in board["rows"]]
    assert headlines == sorted(headlines, reverse=True)
    assert board["rows"][-1]["method"] == "none"


def test_the_same_results_give_the_same_bytes(add, tmp_path):
    add("m", "none")
    add("m", "rome")
    board_of(tmp_path, "first")
    board_of(tmp_path, "second")
    files = sorted(p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*") if p.is_file())
    assert {"index.html", "leaderboard.json", "leaderboard.md"} <= {str(f) for f in files}
    assert len(files) == 3 + 10 + 1
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_dvc_shows_plots_and_columns_that_the_stage_writes(add, tmp_path, pytestconfig):
    add("m", "none")
    add("m", "rome")
    board_of(tmp_path, "leaderboard")
    described = yaml.safe_load((pytestconfig.rootpath / "dvc.yaml").read_text())["plots"]
    pictures = [plot for plot in described if isinstance(plot, str)]
    assert len(pictures) == 5
    assert all((tmp_path / picture).is_file() for picture in pictures)
    columns = [axis for plot in described if not isinstance(plot, str) for axis in next(iter(plot.values())).items()]
    for axis, of_file in columns:
        if axis in ("x", "y") and isinstance(of_file, dict):
            ((file, column),) = of_file.items()
            assert all(column in row for row in json.loads((tmp_path / file).read_text())), column


@pytest.mark.parametrize("name", ["dataset_sha256", "judge_sha256", "prompt_sha256", "scenario"])
def test_rows_that_differ_are_refused_by_name(add, tmp_path, name):
    add("m", "none")
    add("m", "rome")
    change_hash(add("m", "ft_m"), name, "f" * 64)
    with pytest.raises(InputError, match=rf"{name}.*these differ: m/ft_m \(ffff"):
        check_comparable(read_runs(tmp_path / "results"))


@pytest.mark.parametrize("model", ["m", "other"])
def test_runs_that_were_asked_other_questions_are_refused_with_the_settings_to_mend(add, tmp_path, model):
    add("m", "none")
    add("m", "rome")
    add(model, "ft_m", of=slice(0, 2))
    with pytest.raises(
        InputError, match=rf"questions_sha256.*differ: {model}/ft_m \([^)]*\)\. .* edit\.max_preferences"
    ):
        check_comparable(read_runs(tmp_path / "results"))


def test_runs_on_another_split_are_refused(add, tmp_path):
    for method, split in (("none", "test"), ("rome", "test"), ("ft_m", "validation")):
        add("m", method, split=split)
    with pytest.raises(InputError, match=r"questions_sha256.*these differ: m/ft_m .*edit\.split"):
        check_comparable(read_runs(tmp_path / "results"))


def test_models_stand_in_one_table_though_each_has_a_chat_template_of_its_own(add, tmp_path):
    add("m", "none")
    change_hash(add("other", "none"), "prompt_sha256", "f" * 64)
    assert {row["model"] for row in board_of(tmp_path)["rows"]} == {"m", "other"}


def test_runs_of_one_model_that_decoded_differently_are_refused(add, tmp_path):
    for model, method, value in (("m", "none", "a"), ("m", "rome", "a"), ("m", "ft_m", "b"), ("other", "none", "b")):
        change_hash(add(model, method), "decoding_sha256", value * 64)
    with pytest.raises(InputError, match=r"decoding_sha256.*these differ: m/ft_m \(bbbb[^)]*\)\. Run"):
        check_comparable(read_runs(tmp_path / "results"))


def test_results_of_an_older_protocol_are_refused_with_the_reason(add, tmp_path):
    change_hash(add("m", "none"), "protocol", 0)
    with pytest.raises(InputError, match=rf"another version of docs/protocol.md than {PROTOCOL_VERSION}: m/none"):
        board_of(tmp_path)


def test_dirty_and_failed_runs_stand_apart_and_are_not_compared(add, tmp_path, fail_run):
    add("m", "none")
    add("m", "rome", **DIRTY)
    add("m", "ft_m", code={"commit": None, "dirty": None})
    fail_run(tmp_path / "hub", tmp_path / "results" / "m" / "lora")
    board = board_of(tmp_path)
    assert [row["method"] for row in board["rows"]] == ["none"]
    assert {row["method"] for row in board["dirty"]} == {"rome", "ft_m"}
    assert [(row["model"], row["method"]) for row in board["failed"]] == [("m", "lora")]
    assert "/nowhere: not a checkpoint" in board["failed"][0]["error"]
    assert board["comparisons"] == []
    assert "uncommitted changes or outside Git" in (tmp_path / "board" / "leaderboard.md").read_text()


def test_every_method_is_compared_with_the_best_of_its_model(add, tmp_path):
    for method in ("none", "in_context", "rome"):
        add("m", method)
    comparisons = {c["method"]: c for c in board_of(tmp_path)["comparisons"]}
    assert set(comparisons) == {"none", "rome"}
    assert all(c["best"] == "in_context" and c["p_holm"] >= c["p"] and c["users"] == 4 for c in comparisons.values())


def test_the_p_values_of_the_best_s_rivals_are_corrected_for_all_pairs(add, tmp_path):
    for method in ("none", "in_context", "rome", "ft_m"):
        add("m", method)
    comparisons = sorted(board_of(tmp_path)["comparisons"], key=lambda c: c["p"])
    assert comparisons[0]["p_holm"] == pytest.approx(min(1, 6 * comparisons[0]["p"]))
    assert comparisons[0]["p"] >= 1 / 8, "swapping the results of four users gives no less"


def test_runs_of_another_scenario_are_compared_among_themselves(add, tmp_path):
    for model, method in (("m", "none"), ("m", "in_context")):
        add(model, method)
    for method in ("rome", "ft_m"):
        add("m", method, config={"scenario": "lifelong"})
    board = board_of(tmp_path)
    found = [(c["key"].endswith("@lifelong"), c["best"] in ("rome", "ft_m")) for c in board["comparisons"]]
    assert found == [(False, False), (True, True)]
    assert "m (lifelong)" in (tmp_path / "board" / "leaderboard.md").read_text()


def estimate(value):
    return {"value": value, "low": value, "high": value, "n": 8, "n_unscored": 0, "higher_is_better": False}


def test_optional_columns_stand_where_a_run_has_them(add, tmp_path):
    run = add("m", "none")
    add("m", "rome")
    scores = json.loads((run / "scores.json").read_text())
    scores["controls"] = {
        "flip_rate": {"overall": estimate(0.25), "by_kind": {}},
        "kl": {"overall": estimate(0.125), "by_kind": {}},
    }
    scores["crossing"] = {"of_another": estimate(0.5), "matrix": [[0.5]]}
    scores["ability"] = {"tasks": {"boolq": {"drop": estimate(0.03)}}}
    write_json(run / "scores.json", scores)
    board = board_of(tmp_path)
    titles = {extra["id"]: extra["title"] for extra in board["extras"]}
    assert {"flips", "kl", "of_another", "drop_boolq"} <= set(titles)
    assert "perplexity" not in titles
    cells = {row["method"]: row for row in table_of(tmp_path, "headline")}
    shown = [cells["none"][titles[name].lower()] for name in ("flips", "kl", "of_another", "drop_boolq")]
    assert shown == ["25.0", "0.125", "50.0", "3.0"]
    assert cells["rome"][titles["drop_boolq"].lower()] == "\u2013"


def table_of(tmp_path, column):
    """The rows of the table in leaderboard.md that has this column, each by heading."""
    blocks = (tmp_path / "board" / "leaderboard.md").read_text().split("\n\n")
    cells = [[[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()] for block in blocks]
    head, _, *rows = next(block for block in cells if column in block[0])
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_a_row_holds_everything_scored_of_controls_other_turns_and_users_mixed_up(add, tmp_path):
    run = add("m", "none")
    scores = json.loads((run / "scores.json").read_text())
    asked = {"overflow_rate": estimate(0.5), "judges": {}, "checks": {"local": {"violated": estimate(0.25)}}}
    scores["multiturn"] = {"turns": [10], "by_turns": {"10": asked | {"judges": scores["judges"]}}}
    scores["crossing"] = {"of_another": estimate(0.5), "matrix": [[0.5]]}
    write_json(run / "scores.json", scores)
    (row,) = board_of(tmp_path)["rows"]
    assert row["controls"] == scores["controls"]
    assert row["multiturn"] == [{"turns": 10, **scores["multiturn"]["by_turns"]["10"]}]
    assert row["crossing"] == scores["crossing"]


def test_the_markdown_shows_rate_flips_and_kl_by_kind_of_control(add, tmp_path):
    scores = json.loads((add("m", "in_context") / "scores.json").read_text())
    board_of(tmp_path)
    (row,) = table_of(tmp_path, "unstated")
    for kind in ("unstated", "irrelevant", "other_person", "neutral"):
        rate = scores["judges"]["exact"]["by_kind"][kind]["value"]
        assert row[kind].startswith(f"{100 * rate:.1f} (")
        assert row[f"flips, {kind}"] == f"{100 * scores['controls']['flip_rate']['by_kind'][kind]['value']:.1f}"
        assert row[f"kl, {kind}"] == f"{scores['controls']['kl']['by_kind'][kind]['value']:.4g}"


def test_the_markdown_shows_scores_and_checks_after_other_turns(add, tmp_path):
    scores = json.loads((run := add("m", "in_context") / "scores.json").read_text())
    some = {"value": 0.25, "low": 0.125, "high": 0.5}
    after = {
        "overflow_rate": some,
        "judges": {"exact": scores["judges"]["exact"] | {"headline": some}},
        "checks": {"local": {"acknowledged": some, "preference_following": some | {"value": None}}},
    }
    write_json(run, scores | {"multiturn": {"by_turns": {"10": after, "2": after}}})
    board_of(tmp_path)
    first, last = table_of(tmp_path, "turns")
    assert (first["turns"], last["turns"]) == ("2", "10")
    assert first["headline"] == first["acknowledged, local"] == "25.0 (12.5 to 50.0)"
    assert first["preference_following, local"] == "\u2013"
    assert first["not asked"] == "25.0"


def test_the_markdown_shows_how_far_every_method_lies_below_the_best(add, tmp_path):
    for method in ("none", "in_context", "rome"):
        add("m", method)
    found = {comparison["method"]: comparison for comparison in board_of(tmp_path)["comparisons"]}
    rows = {row["method"]: row for row in table_of(tmp_path, "below")}
    assert set(rows) == set(found) == {"none", "rome"}
    for method, row in rows.items():
        assert row["below"] == "in\\_context"
        assert row["difference"].startswith(f"{100 * found[method]['difference']:.1f} (")
        assert float(row["p"]) == pytest.approx(found[method]["p_holm"], rel=0.05)
        assert row["significant"] == ("yes" if found[method]["p_holm"] < 0.05 else "no")


def test_a_run_that_was_not_judged_is_named(add, tmp_path):
    (add("m", "none") / "scores.json").unlink()
    with pytest.raises(InputError, match="not judged yet; run `python -m editing.judge"):
        board_of(tmp_path)


def test_an_empty_results_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no runs"):
        read_runs(tmp_path)


def test_an_ordering_judge_that_was_not_asked_is_an_error(add, tmp_path):
    add("m", "none")
    with pytest.raises(ConfigError, match="no judge 'llm'"):
        write_board(
            *(tmp_path / name for name in ("results", "board", "hub", "judges.json")),
            CONFIG.model_copy(update={"judge": "llm"}),
            PLAN,
        )


def test_the_page_has_no_address_of_another_host(add, tmp_path):
    add("m", "none")
    board_of(tmp_path)
    page = (tmp_path / "board" / "index.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    assert "src=" not in page


def test_no_text_can_leave_the_script_element_it_stands_in():
    text = script_json({"answer": "</script><script>alert(1)</script> & <!-- \u2028"})
    assert "<" not in text
    assert json.loads(text)["answer"] == "</script><script>alert(1)</script> & <!-- \u2028"


def test_names_cannot_become_markup_in_the_markdown_table(add, tmp_path):
    add("m", "none")
    board = board_of(tmp_path)
    board["rows"][0]["model"] = "a|b<script>*"
    assert r"a\|b\<script\>\*" in markdown(board, {})
