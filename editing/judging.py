"""Verdicts and scores of one run: answers joined with their questions, judged in resumable chunks, counted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from editing.dialogue import scores as dialogue
from editing.general import scores as general
from editing.judges.base import Item, Judge, Ruling
from editing.judges.config import JudgeConfig
from editing.judges.exact import ExactJudge, holds_fact
from editing.judges.llm import LLMJudge
from editing.judges.registry import judge_sha256, load_judge
from editing.metrics import PROTOCOL_VERSION
from editing.metrics.bootstrap import Plan
from editing.metrics.crossing import crossing
from editing.metrics.estimate import Estimate
from editing.metrics.scores import count, count_kinds, kind_scores, mean_estimates, outcome, share_estimates
from editing.runs import read_record
from pipeline.core.errors import InputError
from pipeline.core.progress import progress
from pipeline.core.provenance import dataset_sha256
from pipeline.core.records import (
    CONTROL_KINDS,
    TARGET_KINDS,
    Answer,
    Preference,
    Question,
    QuestionKind,
    Verdict,
    content_id,
)
from pipeline.core.tables import read_parquet, write_json, write_parquet
from pipeline.core.wording import words
from pipeline.llm.config import LLMConfig

DIFFICULTIES = ("easy", "medium", "hard")


def judge_run(
    dataset: Path, run: Path, config: JudgeConfig, cache: Path, llm: LLMConfig | None = None
) -> dict[str, Any]:
    """Write verdicts.parquet and scores.json into the folder `run`; returns what scores.json holds.

    A judge's progress is kept in `cache` until the verdicts are written, so that a killed run goes on where it
    stopped and ends with the same bytes. A run that failed gets files without verdicts and scores.

    Raises:
        InputError: a file is missing, or the answers belong to another data set.
    """
    record = read_record(run)
    if record["status"] != "ok":
        return _written(run, [], {"judges": {}, "hashes": {}})
    rows_sha256 = dataset_sha256(dataset)
    if record["dataset_sha256"] != rows_sha256:
        raise InputError(
            f"{run}: its answers were made with data set {record['dataset_sha256'][:12]}, but {dataset} is "
            f"{rows_sha256[:12]}; run `edit` again or pass the data set it used."
        )
    answers = list(read_parquet(run / "answers.parquet", Answer))
    released = _released(dataset)
    items = join(answers, *released, where=str(run))
    later = dialogue.read_turn_answers(run)
    later_items = join(later, *released, where=str(run))
    verdicts, partial = [], []
    rulings: dict[str, list[Ruling]] = {}
    checks: dict[str, list[dialogue.Checked]] = {}
    for name in config.judges:
        identity = judge_sha256(name, config, llm)
        key = content_id(identity, rows_sha256, [a.model_dump(mode="json") for a in answers])
        partial.append(cache / f"{name}-{key}.jsonl")
        judge = load_judge(name, config, llm)
        if isinstance(judge, LLMJudge):
            judge.prepare([*items, *dialogue.asked(later, later_items)], dialogue.checkable(later, later_items))
        verdicts += judged(judge, answers, items, partial[-1], config.chunk)
        rulings[name] = dialogue.rule(judge, later, later_items, config.chunk)
        checked = dialogue.check(judge, later, later_items)
        checks |= dict([checked]) if checked else {}
    identities = {name: judge_sha256(name, config, llm) for name in config.judges}
    plan = Plan(config.bootstrap_samples, config.seed, config.confidence)
    scores = {
        **score(verdicts, answers, items, config, identities),
        "multiturn": dialogue.score(later, rulings, checks, plan),
        "ability": general.score(general.read_ability(run), plan),
        "crossing": crossing(answers, items, record["scenario"]["edits"], ExactJudge(config.exact), plan),
        "hashes": hashes(record, (answer.question_id for answer in answers), config, identities),
    }
    _written(run, verdicts, scores)
    for path in partial:
        path.unlink(missing_ok=True)
    return scores


def _written(run: Path, verdicts: Sequence[Verdict], scores: dict[str, Any]) -> dict[str, Any]:
    write_parquet(run / "verdicts.parquet", verdicts, Verdict)
    write_json(run / "scores.json", scores)
    return scores


def _released(dataset: Path) -> tuple[dict[str, Preference], dict[str, Question]]:
    """Preferences and questions of all splits by id."""
    preferences: dict[str, Preference] = {}
    questions: dict[str, Question] = {}
    for split in ("train", "validation", "test"):
        preferences |= {p.id: p for p in read_parquet(dataset / "data" / f"preferences-{split}.parquet", Preference)}
        questions |= {q.id: q for q in read_parquet(dataset / "data" / f"questions-{split}.parquet", Question)}
    return preferences, questions


def join(
    answers: Sequence[Answer], preferences: dict[str, Preference], questions: dict[str, Question], where: str
) -> list[Item]:
    """What the judges may see of every answer, in order.

    Raises:
        InputError: an answer belongs to no preference or question of the data set.
    """
    items = []
    for answer in answers:
        preference, question = preferences.get(answer.preference_id), questions.get(answer.question_id)
        if preference is None or question is None:
            raise InputError(f"{where}: answer to question {answer.question_id} is not of this data set.")
        items.append(item_of(preference, question, answer.text))
    return items


def item_of(preference: Preference, question: Question, reply: str) -> Item:
    """What the judges may see of a reply to a question about a preference."""
    return Item(
        kind=question.kind,
        question=question.text,
        statement=preference.statement,
        attribute_type=preference.attribute_type,
        target=preference.target,
        aliases=preference.aliases,
        accepted=question.accepted,
        reply=reply,
    )


def judged(judge: Judge, answers: Sequence[Answer], items: Sequence[Item], partial: Path, chunk: int) -> list[Verdict]:
    """Verdicts of one judge on all answers, in order; finished chunks are appended to the file `partial`."""
    done = list(_saved(partial, len(answers)))
    # A chunk that was cut off is judged again as a whole: its scores must come from the same batches.
    done = done[: len(done) // chunk * chunk] if len(done) < len(answers) else done
    partial.parent.mkdir(parents=True, exist_ok=True)
    with (
        partial.open("w", encoding="utf-8") as file,
        progress(f"judge {judge.name}", len(answers), "answers") as advance,
    ):
        file.writelines(verdict.model_dump_json() + "\n" for verdict in done)
        advance(len(done))
        for start in range(len(done), len(answers), chunk):
            rows = answers[start : start + chunk]
            rulings = judge.rule(items[start : start + chunk])
            for answer, ruling in zip(rows, rulings, strict=True):
                verdict = Verdict(
                    question_id=answer.question_id,
                    preference_id=answer.preference_id,
                    user_id=answer.user_id,
                    kind=answer.kind,
                    difficulty=answer.difficulty,
                    scenario=answer.scenario,
                    judge=judge.name,
                    verdict=ruling.verdict,
                    reason=ruling.reason,
                    score=ruling.score,
                )
                done.append(verdict)
                file.write(verdict.model_dump_json() + "\n")
            file.flush()
            advance(len(rows))
    return done


def _saved(partial: Path, limit: int) -> Iterator[Verdict]:
    """Verdicts a killed run left behind; a line cut off in the middle ends them."""
    with contextlib.suppress(FileNotFoundError, ValueError), partial.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number == limit or not line.endswith("\n"):
                return
            yield Verdict.model_validate_json(line)


def score(
    verdicts: Sequence[Verdict],
    answers: Sequence[Answer],
    items: Sequence[Item],
    config: JudgeConfig,
    identities: dict[str, str],
) -> dict[str, Any]:
    """All scores of one run as JSON values, with what identifies each judge; docs/protocol.md defines them."""
    plan = Plan(config.bootstrap_samples, config.seed, config.confidence)
    judges = {}
    for name in config.judges:
        own = [verdict for verdict in verdicts if verdict.judge == name]
        found = kind_scores(count_kinds(own), plan)
        by_difficulty = share_estimates(
            count(((v.user_id, v.difficulty, outcome(v)) for v in own if v.kind in TARGET_KINDS), DIFFICULTIES), plan
        )
        judges[name] = {
            "sha256": identities[name],
            "by_kind": {kind: estimate.as_json() for kind, estimate in found.by_kind.items()},
            "by_difficulty": {d: e.as_json() for d, e in zip(DIFFICULTIES, by_difficulty, strict=True)},
            "recall": found.recall.as_json(),
            "specificity": found.specificity.as_json(),
            "headline": found.headline.as_json(),
        }
    (degenerate,) = share_estimates(
        count(((a.user_id, "all", a.degenerate) for a in answers), ("all",)), plan, higher_is_better=False
    )
    (run_on,) = share_estimates(
        count(((a.user_id, "all", a.finish == "length") for a in answers), ("all",)), plan, higher_is_better=False
    )
    facts = (
        (answer.user_id, "all", holds_fact(answer.text, item.accepted))
        for answer, item in zip(answers, items, strict=True)
        if item.kind is QuestionKind.NEUTRAL and item.accepted
    )
    (fact_accuracy,) = share_estimates(count(facts, ("all",)), plan)
    return {
        "judges": judges,
        "degenerate_rate": degenerate.as_json(),
        "run_on_rate": run_on.as_json(),
        "fact_accuracy": fact_accuracy.as_json(),
        "controls": drift(answers, plan),
    }


def drift(answers: Sequence[Answer], plan: Plan) -> dict[str, Any]:
    """Flip rate and KL against the base model on the controls, by kind and over all; docs/protocol.md."""
    own = [answer for answer in answers if answer.kind in CONTROL_KINDS]
    kinds = tuple(str(kind) for kind in CONTROL_KINDS)
    flips = count(((a.user_id, str(a.kind), _flipped(a)) for a in own), kinds)
    divergences = count(((a.user_id, str(a.kind), a.kl) for a in own), kinds)
    flip_by_kind, (_, flip_overall) = share_estimates(flips, plan, higher_is_better=False), mean_estimates(flips, plan)
    kl_by_kind, kl_overall = mean_estimates(divergences, plan)
    return {
        "flip_rate": _by_kind(kinds, flip_by_kind, flip_overall),
        "kl": _by_kind(kinds, kl_by_kind, kl_overall),
    }


def _by_kind(kinds: Sequence[str], estimates: Sequence[Estimate], overall: Estimate) -> dict[str, Any]:
    own = {kind: estimate.as_json() for kind, estimate in zip(kinds, estimates, strict=True)}
    return {"overall": overall.as_json(), "by_kind": own}


def _flipped(answer: Answer) -> bool | None:
    """Whether the answer differs from the base model's in its words; None where there is none to compare with."""
    return None if answer.base_text is None else words(answer.text) != words(answer.base_text)


def hashes(
    record: Mapping[str, Any], questions: Iterable[str], config: JudgeConfig, identities: dict[str, str]
) -> dict[str, Any]:
    """What must be equal for two runs to stand in one table; prompts and decoding only for two runs of one model.

    `questions` are the ids of those that were asked.
    """
    decoding = [record["model"].get("dtype"), record.get("decoding"), record.get("max_new_tokens")]
    return {
        **shared_hashes(record["split"], record["scenario"]["name"], questions, config, identities),
        "dataset_sha256": record["dataset_sha256"],
        "prompt_sha256": record["prompt_sha256"],
        "decoding_sha256": content_id(*decoding),
    }


def shared_hashes(
    split: str, scenario: str, questions: Iterable[str], config: JudgeConfig, identities: dict[str, str]
) -> dict[str, Any]:
    """Of what must be equal in one table, all that is known before anything is asked, the data set aside."""
    statistics = [config.confidence, config.bootstrap_samples, config.seed]
    return {
        "scenario": scenario,
        "questions_sha256": content_id(split, sorted(set(questions))),
        "judge_sha256": content_id(identities, statistics),
        "protocol": PROTOCOL_VERSION,
    }
