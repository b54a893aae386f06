import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import synthetic_results as made_up
from editing.board.collect import read_runs
from editing.board.texts import read_texts
from editing.board.verdicts import CLASSES, VERDICTS, Verdicts, read_verdicts, samples
from editing.judges.config import JudgeConfig
from editing.judging import judge_run
from editing.metrics.bootstrap import Plan, draws
from editing.metrics.scores import KINDS, count, headline_difference
from pipeline.core.config import load_section
from pipeline.core.errors import InputError
from pipeline.core.records import TARGET_KINDS, Answer, Verdict
from pipeline.core.tables import read_parquet, write_parquet

ROWS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(KINDS), st.sampled_from(VERDICTS)), max_size=60)


def columns(rows):
    users = tuple(sorted({user for user, _, _ in rows}))
    ids = np.array([f"q{i:03}" for i in range(len(rows))], dtype=object)
    return Verdicts(
        users=users,
        user=np.array([users.index(user) for user, _, _ in rows], dtype=np.int64),
        kind=np.array([KINDS.index(kind) for _, kind, _ in rows], dtype=np.int64),
        verdict=np.array([VERDICTS.index(verdict) for _, _, verdict in rows], dtype=np.int64),
        question=ids,
        preference=ids,
        reason=ids,
    )


def plainly(rows):
    return count([(u, k, None if v == "unscored" else v == "correct") for u, k, v in rows], KINDS)


@given(ROWS)
def test_counts_are_those_of_the_plain_definition(rows):
    found, expected = columns(rows).counts(), plainly(rows)
    assert found.users == expected.users
    assert found.unscored == expected.unscored
    np.testing.assert_array_equal(found.right, expected.right)
    np.testing.assert_array_equal(found.scored, expected.scored)


@given(ROWS, st.integers(0, 6))
def test_samples_are_spread_over_kinds_and_of_their_class(rows, most):
    found = columns(rows)
    picked = found.picked(most)
    assert tuple(picked) == CLASSES
    for name, wanted in {"right": "correct", "wrong": "incorrect", "shows up": "incorrect"}.items():
        own = [rows[i] for i in picked[name]]
        assert len(own) == len(set(picked[name])) <= most
        assert all(v == wanted and (k in [str(t) for t in TARGET_KINDS]) == (name != "shows up") for _, k, v in own)
        kinds = [kind for _, kind, _ in own]
        assert len(set(kinds[: len(set(kinds))])) == len(set(kinds))


def drawn_one_by_one(rows, users, weights):
    """The headline's definition in docs/protocol.md, over one draw at a time."""
    headlines = []
    for draw in weights:
        bag = [
            row
            for user, times in zip(users, draw, strict=True)
            for row in rows
            if row[0] == user
            for _ in range(int(times))
        ]
        shares = {}
        for kind in KINDS:
            own = [v == "correct" for _, k, v in bag if k == kind and v != "unscored"]
            shares[kind] = sum(own) / len(own) if own else float("nan")
        recall = sum(shares[kind] for kind in KINDS[:4]) / 4
        specificity = sum(shares[kind] for kind in KINDS[4:]) / 4
        total = recall + specificity
        headlines.append(0.0 if total == 0 else 2 * recall * specificity / total)
    return np.array(headlines)


def test_differences_over_columns_equal_those_drawn_one_user_at_a_time():
    generator = np.random.default_rng(3)
    one, other = (
        [(u, k, VERDICTS[int(generator.random() > right)]) for u in "abcde" for k in KINDS for _ in range(2)]
        for right in (0.7, 0.4)
    )
    plan = Plan(samples=60, seed=5, confidence=0.9)
    weights = draws(5, plan)
    drawn = drawn_one_by_one(one, "abcde", weights) - drawn_one_by_one(other, "abcde", weights)
    found = headline_difference(columns(one).counts(), columns(other).counts(), plan)
    assert found.value == pytest.approx(drawn[0], abs=1e-6)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn[1:], [0.05, 0.95]), abs=1e-6)


@pytest.fixture
def run(tmp_path, pytestconfig):
    judging = load_section(pytestconfig.rootpath / "params.yaml", "judge", JudgeConfig)
    judging = judging.model_copy(update={"judges": ("exact",), "bootstrap_samples": 50})
    made = made_up.write_dataset(tmp_path / "hub", 6, 1)
    folder = made_up.write_run(tmp_path / "results", tmp_path / "hub", made, "m", "rome", 1)
    judge_run(tmp_path / "hub", folder, judging, tmp_path / "cache")
    return read_runs(tmp_path / "results")[0]


def test_columns_read_from_a_run_count_like_its_verdicts(run):
    rows = [(v.user_id, str(v.kind), v.verdict) for v in read_parquet(run.folder / "verdicts.parquet", Verdict)]
    found, expected = read_verdicts(run, "exact").counts(), plainly(rows)
    assert found.users == expected.users
    np.testing.assert_array_equal(found.right, expected.right)
    assert len(read_verdicts(run, "llm").question) == 0


def test_a_sample_shows_the_answer_that_was_judged(run, tmp_path):
    texts = {a.question_id: a.text for a in read_parquet(run.folder / "answers.parquet", Answer)}
    asked, told = read_texts(tmp_path / "hub")
    shown = samples(run, read_verdicts(run, "exact"), asked, told, 4)
    assert len(shown["right"]) == 4
    ids = {text: key for key, text in asked.items()}
    for one in (one for found in shown.values() for one in found):
        assert one["question"] in ids
        assert one["answer"] in texts.values()
        assert one["statement"]


def test_answers_that_are_not_those_judged_are_refused(run, tmp_path):
    answers = list(read_parquet(run.folder / "answers.parquet", Answer))
    verdicts = read_verdicts(run, "exact")
    write_parquet(run.folder / "answers.parquet", answers[::-1], Answer)
    with pytest.raises(InputError, match="not the one that was judged"):
        samples(run, verdicts, *read_texts(tmp_path / "hub"), 4)
    write_parquet(run.folder / "answers.parquet", answers[1:], Answer)
    with pytest.raises(InputError, match="47 answers but 48 verdicts"):
        samples(run, verdicts, *read_texts(tmp_path / "hub"), 4)
