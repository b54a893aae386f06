"""Bundles of judged runs: what one holds, how it is written, and how somebody else checks it."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pydantic import ValidationError

from editing.judges.config import JudgeConfig
from editing.judges.registry import judge_sha256
from editing.judging import hashes, judge_run
from editing.metrics.degenerate import is_degenerate
from editing.runs import read_run
from pipeline.core.config import Section, parse_section
from pipeline.core.errors import InputError, UpqaError, unknown_name
from pipeline.core.provenance import dataset_sha256
from pipeline.core.records import Answer, Question, Verdict
from pipeline.core.tables import atomic_write, read_parquet

REQUIRED = ("run.json", "answers.parquet", "verdicts.parquet", "scores.json")
"""Files of every bundle."""
OPTIONAL = ("multiturn.parquet", "ability.json")
"""Files of a bundle whose run has them; scores.json follows from them too."""
REMOTE_JUDGES = frozenset({"llm"})
"""Judges that ask an endpoint: their verdicts cannot be had again and are not checked."""
TOLERANCE = 1e-6
"""Two scores further apart than this differ; less is the arithmetic of another processor."""
_MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP file can hold: equal runs give equal bundles


class Manifest(Section):
    """The file manifest.json of a bundle."""

    files: dict[str, str]
    """Name of every other file -> hex sha256 of its bytes."""
    hashes: dict[str, str | int]
    """What must be equal for two runs to stand in one table, as in scores.json: data set, prompts, judges, protocol."""
    judges: dict[str, str]
    """Judge -> hash of its code and settings."""


class Checked(NamedTuple):
    """What checking a bundle found."""

    record: dict[str, Any]
    """run.json; empty where the bundle's files are not those of its manifest."""
    scores: dict[str, Any]
    """scores.json as computed here; empty where nothing could be scored."""
    unchecked: tuple[str, ...]
    """Judges whose verdicts were not checked."""
    differences: list[str]
    """One line for each difference; none means that the bundle holds what its answers give."""


def write_bundle(run: Path, out: Path) -> Manifest:
    """Write the judged run in the folder `run` into the ZIP file `out`; the same run gives the same bytes.

    Raises:
        InputError: the run failed, was not judged, or is of another protocol version.
    """
    read_run(run)
    missing = [name for name in REQUIRED if not (run / name).is_file()]
    if missing:
        raise InputError(f"{run}: without {', '.join(missing)}; run `upqa judge --run {run}` first.")
    present = (*REQUIRED, *(name for name in OPTIONAL if (run / name).is_file()))
    content = {name: (run / name).read_bytes() for name in present}
    scores = _scores(run / "scores.json")
    manifest = Manifest(
        files={name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
        hashes=scores["hashes"],
        judges={name: found["sha256"] for name, found in scores["judges"].items()},
    )
    listed = {_MANIFEST: (manifest.model_dump_json(indent=2) + "\n").encode(), **content}
    # Stored, not compressed: the bytes must not depend on the compressor, and Parquet is compressed already.
    with atomic_write(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in listed.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, data)
    return manifest


def check_bundle(bundle: Path, dataset: Path, config: JudgeConfig) -> Checked:
    """Compare a bundle with what its answers give here, under the judge settings `config`.

    Checked in this order, each only where all before it agree: the bytes against the manifest; data set, protocol,
    judges and settings against those here; that exactly the questions of the run's settings are answered; verdicts
    and scores of the local judges, made anew.

    Raises:
        InputError: the file is no bundle, or the data set is missing.
    """
    if not (dataset / "data").is_dir():
        raise InputError(f"{dataset}: no released data set; pass --dataset, or build it with `dvc repro release`.")
    with TemporaryDirectory() as temporary:
        run = Path(temporary)
        manifest, differences = _unpack(bundle, run)
        if differences:
            return Checked({}, {}, (), differences)
        try:
            record = read_run(run)
            asked = _asked(record, dataset)
        except UpqaError as error:
            return Checked({}, {}, (), [" ".join(str(error).replace(f"{run}/", "").split())])
        unchecked = tuple(name for name in manifest.judges if name in REMOTE_JUDGES)
        local = config.model_copy(update={"judges": tuple(name for name in manifest.judges if name not in unchecked)})
        differences = list(_identity(manifest, record, asked, local))
        if not differences:
            answers = list(read_parquet(run / "answers.parquet", Answer))
            differences = list(_coverage(asked, record["seeds"], answers))
        if differences:
            return Checked(record, {}, unchecked, differences)
        claimed = _scores(run / "scores.json")
        verdicts = list(read_parquet(run / "verdicts.parquet", Verdict))
        found = judge_run(dataset, run, local, run / "cache")
        differences += _verdicts(local.judges, verdicts, list(read_parquet(run / "verdicts.parquet", Verdict)))
        # The judges in `hashes` were compared before, with those that cannot be asked again among them.
        theirs, ours = ({**_without(scores, unchecked), "hashes": {}} for scores in (claimed, found))
        differences += _values(theirs, ours, "scores.json")
        return Checked(record, found, unchecked, differences)


def _unpack(bundle: Path, folder: Path) -> tuple[Manifest, list[str]]:
    """The manifest, and how the files differ from it; the files are in `folder` where they do not."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            # A stored file takes its own size on disk, so that no small bundle can fill this machine.
            stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
            if not stored or len(set(names)) < len(names) or _MANIFEST not in names:
                raise InputError(f"{bundle}: not a bundle that `upqa submit` wrote.")
            manifest = Manifest.model_validate_json(archive.read(_MANIFEST))
            if not set(REQUIRED) <= set(manifest.files) <= {*REQUIRED, *OPTIONAL}:
                raise InputError(f"{bundle}: its manifest does not list the files of a run ({', '.join(REQUIRED)}).")
            differences = [f"{name}: in the manifest, but not in the bundle" for name in manifest.files.keys() - names]
            differences += [f"{n}: in the bundle, but not in the manifest" for n in names if n not in _listed(manifest)]
            for name in sorted(manifest.files.keys() & set(names)):
                data = _read(archive, name)
                if data is None or hashlib.sha256(data).hexdigest() != manifest.files[name]:
                    differences.append(
                        f"{name}: its sha256 is not the one in the manifest; changed after `upqa submit`"
                    )
                else:
                    (folder / name).write_bytes(data)
    except FileNotFoundError:
        raise InputError(f"{bundle}: no such file.") from None
    except zipfile.BadZipFile as error:
        raise InputError(f"{bundle}: not a ZIP file ({error}).") from error
    except ValidationError as error:
        raise InputError(f"{bundle}: {_MANIFEST} is damaged: {error.errors()[0]['msg']}") from error
    return manifest, differences


def _listed(manifest: Manifest) -> set[str]:
    return {_MANIFEST, *manifest.files}


def _read(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The bytes of one file; None where they do not fit the archive's own checksum."""
    try:
        return archive.read(name)
    except zipfile.BadZipFile:
        return None


def _asked(record: Mapping[str, Any], dataset: Path) -> list[Question]:
    """The questions that the run's settings ask.

    Raises:
        InputError: the run is of another data set, or its settings contradict the rest of its record.
        ConfigError: its settings are no settings of `edit`.
    """
    from editing.runner import EditSettings
    from editing.users import read_cases

    rows_sha256 = dataset_sha256(dataset)
    if record["dataset_sha256"] != rows_sha256:
        raise InputError(
            _other("dataset_sha256", record["dataset_sha256"], rows_sha256)
            + f" ({dataset}); pass the one it was made with"
        )
    settings = parse_section(record.get("config"), EditSettings, where="run.json: config")
    scenario = settings.scenarios.get(settings.scenario)
    if scenario is None:
        raise unknown_name("scenario", settings.scenario, settings.scenarios)
    if (record["split"], record["scenario"]) != (
        settings.split,
        {"name": settings.scenario, **scenario.model_dump()},
    ):
        raise InputError("run.json: its split or scenario is not that of its settings (config)")
    cases = read_cases(dataset, scenario, settings.split, settings.max_preferences)
    return [question for case in cases for question in case.questions]


def _identity(
    manifest: Manifest, record: dict[str, Any], asked: Sequence[Question], local: JudgeConfig
) -> Iterator[str]:
    """Differences in what a score depends on beside the answers; `local` has the judges that can be asked here."""
    here = {name: judge_sha256(name, local) for name in local.judges}
    if not here:
        yield "judges: none of the bundle's can be asked here, so no score can be checked"
    changed = [name for name, own in here.items() if manifest.judges[name] != own]
    for name in changed:
        yield _other(f"judge {name}", manifest.judges[name], here[name]) + "; its code or settings are others"
    wanted = hashes(record, (question.id for question in asked), local, {**manifest.judges, **here})
    for name in sorted(wanted.keys() | manifest.hashes.keys()):
        ours, theirs = wanted.get(name), manifest.hashes.get(name)
        if ours != theirs and not (name == "judge_sha256" and changed):
            yield _other(name, str(theirs), str(ours))


def _other(what: str, theirs: str, ours: str) -> str:
    return f"{what}: the bundle has {theirs[:12]}, here it is {ours[:12]}"


def _coverage(questions: Sequence[Question], seeds: Sequence[int], answers: Sequence[Answer]) -> Iterator[str]:
    """Questions that are asked and nobody answered, the other way round, and marks that do not fit."""
    asked: Counter[tuple[object, ...]] = Counter(
        (q.id, q.preference_id, q.user_id, q.kind, q.difficulty, seed) for seed in seeds for q in questions
    )
    answered: Counter[tuple[object, ...]] = Counter(
        (a.question_id, a.preference_id, a.user_id, a.kind, a.difficulty, a.seed) for a in answers
    )
    for difference, what in ((asked - answered, "not answered"), (answered - asked, "answered, but not asked")):
        if difference:
            first = min(str(question) for question, *_ in difference)
            yield f"answers.parquet: {difference.total()} questions are {what} under run.json's settings, e.g. {first}"
    wrong = [answer.question_id for answer in answers if answer.degenerate != is_degenerate(answer.text)]
    if wrong:
        yield f"answers.parquet: {len(wrong)} answers are wrongly marked as degenerate or not, e.g. to {wrong[0]}"


def _verdicts(judges: Sequence[str], claimed: Sequence[Verdict], found: Sequence[Verdict]) -> Iterator[str]:
    for judge in judges:
        theirs, ours = ([v for v in verdicts if v.judge == judge] for verdicts in (claimed, found))
        if [v.question_id for v in theirs] != [v.question_id for v in ours]:
            yield f"verdicts.parquet: judge {judge}: not one verdict for every answer, in their order"
            continue
        other = [(a, b) for a, b in zip(theirs, ours, strict=True) if a.verdict != b.verdict]
        if other:
            first, own = other[0]
            yield (
                f"verdicts.parquet: judge {judge}: {len(other)} of {len(ours)} verdicts differ, e.g. on question "
                f"{first.question_id}: the bundle has {first.verdict}, here it is {own.verdict}"
            )


def _values(theirs: Any, ours: Any, where: str) -> Iterator[str]:
    """Differences of two JSON values, each with the path to it."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in (*theirs, *(key for key in ours if key not in theirs)):
            yield from _values(theirs.get(key), ours.get(key), f"{where}: {key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for at, (a, b) in enumerate(zip(theirs, ours, strict=True)):
            yield from _values(a, b, f"{where}[{at}]")
    elif isinstance(theirs, float | int) and isinstance(ours, float | int):
        if not math.isclose(theirs, ours, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            yield f"{where}: the bundle has {theirs:.6g}, here it is {ours:.6g}"
    elif theirs != ours:
        yield f"{where}: the bundle has {theirs!r}, here it is {ours!r}"


def _without(value: Any, names: Sequence[str]) -> Any:
    """A JSON value without the entries called `names`, at any depth."""
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    return value


def _scores(path: Path) -> dict[str, Any]:
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(scores, dict) or not {"judges", "hashes"} <= scores.keys():
        raise InputError(f"{path}: not the scores of a run; run `upqa judge` again.")
    return scores
