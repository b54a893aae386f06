"""Push a release folder to the Hugging Face Hub, after checking that it is what it says and may be shared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.command import friendly
from pipeline.core.errors import UpqaError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


class PublishError(UpqaError):
    """The folder must not be published as it is; the message lists every reason."""


def problems(folder: Path, revision: Mapping[str, Any]) -> list[str]:
    """Everything that forbids publishing `folder`; empty when it may be.

    Args:
        folder: a folder that `upqa release` wrote.
        revision: `{"commit", "dirty"}` of the working tree now.
    """
    manifest_path = folder / "manifest.json"
    if not manifest_path.exists():
        return [f"{manifest_path} is missing; run `dvc repro release`"]
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    return [
        *_revision_problems(manifest, revision),
        *_file_problems(folder, manifest),
        *_row_problems(folder, manifest),
        *_license_problems(manifest),
    ]


def _revision_problems(manifest: Mapping[str, Any], revision: Mapping[str, Any]) -> list[str]:
    found = []
    if revision["dirty"] or revision["commit"] is None:
        found.append("the working tree has uncommitted changes (or is no Git checkout); commit them")
    if manifest["code"]["dirty"] or manifest["code"]["commit"] is None:
        found.append("the release was built from uncommitted code; commit, then run `dvc repro -f release`")
    return found


def _file_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    from pipeline.core.provenance import sha256_file

    found = []
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.exists():
            found.append(f"{name} is in the manifest but not in the folder")
        elif sha256_file(path) != entry["sha256"]:
            found.append(f"{name} is not the file the manifest describes")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    found += [f"{name} is not in the manifest" for name in sorted(present - {"manifest.json", *manifest["files"]})]
    return found


def _row_problems(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Rows are read back as records: a release that does not validate is not published."""
    from pipeline.core.records import Preference, Question
    from pipeline.core.tables import read_parquet

    ids: set[str] = set()
    try:
        for name in sorted(n for n in manifest["files"] if n.startswith("data/preferences-")):
            ids |= {preference.id for preference in read_parquet(folder / name, Preference)}
        for name in sorted(n for n in manifest["files"] if n.startswith("data/questions-")):
            for question in read_parquet(folder / name, Question):
                if question.preference_id not in ids:
                    return [f"{name}: question {question.id} belongs to no released preference"]
    except UpqaError as error:
        return [f"validation failed: {error}"]
    return [] if ids else ["the release holds no preference"]


def _license_problems(manifest: Mapping[str, Any]) -> list[str]:
    from pipeline.core.licenses import UNKNOWN

    rows = manifest["licenses"].get(UNKNOWN, 0)
    if not rows:
        return []
    return [f"{rows} rows have no stated licence; take '{UNKNOWN}' out of release.allowed_licenses and build again"]


def upload(api: HfApi, folder: Path, repo: str, *, private: bool, tag: str | None, version: str) -> str:
    """Upload `folder` in one commit and return the commit's URL.

    The commit appears whole or not at all. Run again after a failure, files the Hub already holds are not sent again.
    """
    api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=repo, repo_type="dataset", folder_path=folder, commit_message=f"Release {version}"
    )
    if tag is not None:
        api.create_tag(repo, repo_type="dataset", tag=tag, revision=commit.oid, exist_ok=True)
    return str(commit.commit_url)


@friendly
def publish(
    repo: Annotated[str, typer.Option(help="Dataset repository, you/UPQA.")],
    folder: Annotated[Path, typer.Option(help="Release folder.")] = Path("build/hub"),
    private: Annotated[bool, typer.Option(help="Create the repository private.")] = False,
    tag: Annotated[str | None, typer.Option(help="Tag the commit, e.g. v1.0.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Check and list, upload nothing.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="Another Hub; default HF_ENDPOINT.")] = None,
) -> None:
    """Push the release folder to the Hugging Face Hub. The token comes from HF_TOKEN or `hf auth login`.

    Example: upqa publish --repo you/UPQA --private --tag v0.1.0
    """
    from pipeline.core.progress import console
    from pipeline.core.provenance import git_revision

    found = problems(folder, git_revision((".",)))
    if found:
        raise PublishError(f"{folder} cannot be published:\n" + "\n".join(f"  - {line}" for line in found))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name, entry in manifest["files"].items():
        console.print(f"  {entry['bytes']:>12,} B  {name}", highlight=False)
    visibility = "private" if private else "public"
    console.print(
        f"{len(manifest['files']) + 1} files -> {repo} ({visibility}, {manifest['version']})", highlight=False
    )
    if dry_run:
        return
    if not yes:
        typer.confirm("Upload them?", abort=True)
    console.print(_upload_or_explain(folder, repo, private, tag, manifest["version"], endpoint), highlight=False)


def _upload_or_explain(
    folder: Path, repo: str, private: bool, tag: str | None, version: str, endpoint: str | None
) -> str:
    from huggingface_hub import HfApi, errors

    try:
        return upload(HfApi(endpoint=endpoint), folder, repo, private=private, tag=tag, version=version)
    except errors.OfflineModeIsEnabled:
        raise PublishError("HF_HUB_OFFLINE is set; unset it to publish.") from None
    except errors.LocalTokenNotFoundError:
        raise PublishError("No Hugging Face token; set HF_TOKEN or run `hf auth login`.") from None
    # The base of the Hub's refusals and of the client's connection errors.
    except errors.HTTPError as error:  # type: ignore[attr-defined]
        raise PublishError(f"The upload failed: {error}. Run the same command again to resume.") from error


if __name__ == "__main__":
    typer.run(publish)
