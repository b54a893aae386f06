"""The release stage: rows whose licence is allowed, a dataset card, and a manifest with a hash of every file.

The folder is deterministic: the same dataset and settings give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.core.config import read_yaml
from pipeline.core.licenses import strictest, url
from pipeline.core.provenance import code_revision, dataset_sha256, sha256_file
from pipeline.core.records import content_id
from pipeline.core.tables import atomic_write, write_json, write_parquet
from pipeline.release.card import TABLES, card, licenses, parquet_path
from pipeline.release.config import ReleaseConfig
from pipeline.release.croissant import croissant
from pipeline.release.inputs import FOLDERS, Background, Dataset
from pipeline.validate.splits import SPLITS

LOCK = Path("dvc.lock")
"""Where DVC keeps the hashes of what every stage read and wrote."""


def dvc_revision(lock: Path) -> str | None:
    """Hash of what `lock` records of the stages before this one; None where DVC has run none of them here.

    The release's own entry is left out, as are those of later stages: they change when nothing before them has, and two
    runs must give the same bytes.

    Raises:
        ConfigError: the file is not YAML.
    """
    if not lock.exists():
        return None
    stages = read_yaml(lock).get("stages") or {}
    before = {stage: stages[stage] for stage in FOLDERS if stage in stages}
    return content_id(before) if before else None


def build(dataset: Dataset, background: Background, out: Path, config: ReleaseConfig) -> dict[str, Any]:
    """Write the Hub folder to `out` and return its manifest.

    Args:
        dataset: the rows.
        background: what the card tells beyond the rows; it has the overlap only where that is about these rows.
        out: folder to write; files already there under other names stay.
        config: title, version, whom to cite.
    """
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
    manifest = {
        "name": config.pretty_name,
        "version": config.version,
        "url": config.url,
        "dataset_sha256": rows_sha256,
        "code": code_revision(),
        "dvc_revision": dvc_revision(LOCK),
        "rows": {
            name: {split: sum(row.split == split for row in rows) for split in SPLITS}
            for name, rows in dataset.tables().items()
        },
        "licenses": licenses(dataset),
        "refused": dataset.refused,
        "files": {
            path.relative_to(out).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        },
    }
    write_json(out / "manifest.json", manifest)
    return manifest
