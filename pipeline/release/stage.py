"""The release stage: rows whose licence is allowed, a dataset card, and a manifest with a hash of every file.

The folder is deterministic: the same dataset and settings give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.core.config import read_yaml
from pipeline.core.errors import InputError
from pipeline.core.licenses import strictest, url
from pipeline.core.provenance import code_revision, dataset_sha256, sha256_file
from pipeline.core.records import content_id
from pipeline.core.tables import atomic_write, write_json, write_parquet
from pipeline.release.card import TABLES, card, files, licenses, parquet_path
from pipeline.release.config import ReleaseConfig
from pipeline.release.croissant import croissant
from pipeline.release.inputs import FOLDERS, Background, Dataset
from pipeline.release.manifest import FileEntry, Manifest, Revision
from pipeline.validate.splits import SPLITS

LOCK = Path("dvc.lock")
"""Where DVC keeps the hashes of what every stage read and wrote."""


def dvc_revision(lock: Path) -> str | None:
    """Hash of the commands, settings and code that `lock` records of the stages before; None where DVC ran none here.

    What stages wrote is left out, for their reports say when and how fast they ran, and two runs must give the same
    bytes. The rows have their own hash.

    Raises:
        ConfigError: the file is not YAML.
    """
    if not lock.exists():
        return None
    stages = read_yaml(lock).get("stages") or {}
    written = tuple(output["path"] for stage in stages.values() for output in stage.get("outs", ()))
    before = {
        name: {
            "cmd": stages[name]["cmd"],
            "params": stages[name].get("params"),
            "deps": [
                (dependency["path"], dependency["md5"])
                for dependency in stages[name].get("deps", ())
                if not any(dependency["path"] == path or dependency["path"].startswith(f"{path}/") for path in written)
            ],
        }
        for name in FOLDERS
        if name in stages
    }
    return content_id(before) if before else None


def build(dataset: Dataset, background: Background, out: Path, config: ReleaseConfig) -> Manifest:
    """Write the Hub folder to `out` and return its manifest.

    Args:
        dataset: the rows.
        background: what the card tells beyond the rows; it has the overlap only where that is about these rows.
        out: folder to write.
        config: title, version, whom to cite.

    Raises:
        InputError: `out` holds files that are not of a release: readers of the folder would take them for rows.
    """
    names = files()
    present = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    if strangers := sorted(present - {*names, "manifest.json"}):
        raise InputError(f"{out}: {', '.join(strangers[:5])} is not of this release; move it away, or choose --out.")
    for split in SPLITS:
        for name, rows in dataset.tables().items():
            write_parquet(parquet_path(out, name, split), (row for row in rows if row.split == split), TABLES[name])
    rows_sha256 = dataset_sha256(out)
    if background.contamination is not None and background.contamination["dataset_sha256"] != rows_sha256:
        background = background._replace(contamination=None)
    with atomic_write(out / "README.md", "w") as file:
        file.write(card(dataset, out, config, background))
    described = croissant(
        config,
        license_url=url(strictest(licenses(dataset))),
        files={path.relative_to(out).as_posix(): sha256_file(path) for path in (out / "data").glob("*.parquet")},
        tables=TABLES,
    )
    write_json(out / "croissant.json", described)
    manifest = Manifest(
        name=config.pretty_name,
        version=config.version,
        url=config.url,
        dataset_sha256=rows_sha256,
        # Settings and measured figures are in the release too. DVC itself writes its lock while the stages run.
        code=Revision(**code_revision((".", f":!{LOCK}"))),
        dvc_revision=dvc_revision(LOCK),
        rows={
            name: {split: sum(row.split == split for row in rows) for split in SPLITS}
            for name, rows in dataset.tables().items()
        },
        licenses=licenses(dataset),
        refused=dataset.refused,
        files={
            name: FileEntry(sha256=sha256_file(out / name), bytes=(out / name).stat().st_size) for name in sorted(names)
        },
    )
    write_json(out / "manifest.json", manifest.model_dump(mode="json"))
    return manifest
