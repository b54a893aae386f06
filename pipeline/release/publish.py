"""Push a release folder to the Hugging Face Hub, after checking that it is what it says and may be shared."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from pipeline.core.command import friendly
from pipeline.core.errors import UpqaError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from pipeline.core.records import Preference, Question, ReleasedHistoryEntry
    from pipeline.release.manifest import Manifest

R = TypeVar("R", "Preference", "Question", "ReleasedHistoryEntry")

REBUILD = "`dvc repro release && dvc repro -sf release`"
"""Brings the stages before up to date, then builds the release anew even where its rows are the same."""


class PublishError(UpqaError):
    """The folder must not be published as it is; the message lists every reason."""


def problems(folder: Path, revision: Mapping[str, Any]) -> list[str]:
    """Everything that forbids publishing `folder`; empty when it may be.

    Args:
        folder: a folder that `upqa release` wrote.
        revision: `{"commit", "dirty"}` of the working tree now.
    """
    from pipeline.release.manifest import read_manifest

    try:
        manifest = read_manifest(folder / "manifest.json")
    except UpqaError as error:
        return [f"{error}; run {REBUILD}"]
    return [
        *_revision_problems(manifest, revision),
        *_file_problems(folder, manifest),
        *_row_problems(folder, manifest),
    ]


def _revision_problems(manifest: Manifest, revision: Mapping[str, Any]) -> list[str]:
    found = []
    built, now = manifest.code.commit, revision["commit"]
    if revision["dirty"] or now is None:
        found.append("the working tree has uncommitted changes (or is no Git checkout); commit them")
    if built is None:
        found.append(f"the release was built by code outside Git (an installed package?); run {REBUILD} in a checkout")
    elif manifest.code.dirty is not False:
        found.append(f"the release was built from uncommitted code or settings; commit, then run {REBUILD}")
    # Where dvc.lock is tracked, it can only be committed after the release is built.
    elif now is not None and built != now and _changed_files(built, now) != {"dvc.lock"}:
        found.append(
            f"the release was built at commit {built}, but the checkout is at {now}; run {REBUILD} here, "
            f"or `git checkout {built}`"
        )
    return found


def _changed_files(before: str, after: str) -> set[str] | None:
    """The files that differ between two commits; None where Git does not know both."""
    command = ["git", "diff", "--name-only", "--no-renames", before, after, "--"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines()) if done.returncode == 0 else None


def _file_problems(folder: Path, manifest: Manifest) -> list[str]:
    from pipeline.core.provenance import dataset_sha256, sha256_file
    from pipeline.release.card import files

    found = []
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.exists():
            found.append(f"{name} is in the manifest but not in the folder")
        elif sha256_file(path) != entry.sha256:
            found.append(f"{name} is not the file the manifest describes")
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    found += [f"{name} is not in the manifest" for name in sorted(present - {"manifest.json", *manifest.files})]
    found += [f"{name} is missing; run {REBUILD}" for name in sorted(set(files()) - set(manifest.files))]
    if dataset_sha256(folder) != manifest.dataset_sha256:
        found.append(f"the manifest's dataset_sha256 is not that of the Parquet files; run {REBUILD}")
    return [*found, *_croissant_problems(folder / "croissant.json", manifest)]


def _croissant_problems(path: Path, manifest: Manifest) -> list[str]:
    try:
        version = json.loads(path.read_text(encoding="utf-8")).get("version")
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError, AttributeError):
        return []  # told as missing or changed
    if version == manifest.version:
        return []
    return [f"croissant.json is of version {version}, the manifest of {manifest.version}; run {REBUILD}"]


def _row_problems(folder: Path, manifest: Manifest) -> list[str]:
    """Rows are read back as records, and what they say themselves counts: the manifest is only held against them."""
    from pipeline.core.records import Preference, Question, ReleasedHistoryEntry
    from pipeline.release.card import TABLES

    licenses: Counter[str] = Counter()
    rows: dict[str, Counter[str]] = {table: Counter() for table in TABLES}
    owners: dict[str, Preference] = {}
    splits: dict[str, str] = {}
    try:
        for name, preference in _rows(folder, "preferences", Preference, rows, licenses):
            owners[preference.id] = preference
            if splits.setdefault(preference.user_id, preference.split) != preference.split:
                return [f"{name}: preference {preference.id} is of a user of another split"]
        for name, question in _rows(folder, "questions", Question, rows, licenses):
            owner = owners.get(question.preference_id)
            if owner is None:
                return [f"{name}: question {question.id} belongs to no released preference"]
            if (owner.user_id, owner.split) != (question.user_id, question.split):
                return [f"{name}: question {question.id} has another user or split than its preference"]
        for name, entry in _rows(folder, "histories", ReleasedHistoryEntry, rows, licenses):
            if splits.get(entry.user_id) != entry.split:
                return [f"{name}: history entry {entry.id} is of no user of its split"]
    except UpqaError as error:
        return [f"validation failed: {error}"]
    if not owners:
        return ["the release holds no preference"]
    return [*_license_problems(licenses, manifest), *_count_problems(rows, manifest)]


def _count_problems(rows: Mapping[str, Counter[str]], manifest: Manifest) -> list[str]:
    counted = {table: dict(by_split) for table, by_split in rows.items()}
    if counted == manifest.rows:
        return []
    return [f"the manifest counts the rows {manifest.rows}, the files hold {counted}; run {REBUILD}"]


def _rows(
    folder: Path, table: str, record: type[R], rows: Mapping[str, Counter[str]], licenses: Counter[str]
) -> Iterator[tuple[str, R]]:
    """The rows of one table, each with the name of its file; counted by the split the file is of, and by licence.

    Raises:
        PublishError: a row says that it is of another split than its file.
    """
    from pipeline.core.tables import read_parquet
    from pipeline.release.card import parquet_files

    for split, name in parquet_files()[table].items():
        rows[table][split] = 0
        for row in read_parquet(folder / name, record):
            if row.split != split:
                raise PublishError(f"{name} holds a row of the split {row.split}")
            rows[table][split] += 1
            licenses[row.license] += 1
            yield name, row


def _license_problems(rows: Counter[str], manifest: Manifest) -> list[str]:
    from pipeline.core.licenses import may_publish

    found = [
        f"{n} rows carry the licence `{name}`, under which nothing may be published; take it out of "
        "release.allowed_licenses and build again"
        for name, n in sorted(rows.items())
        if not may_publish(name)
    ]
    if rows != manifest.licenses:
        found.append(
            f"the manifest counts the licences {manifest.licenses}, the rows carry {dict(sorted(rows.items()))}; "
            f"run {REBUILD}"
        )
    return found


def upload(api: HfApi, folder: Path, manifest: Manifest, repo: str, *, private: bool, tag: str | None) -> str:
    """Upload what the manifest names, and itself, in one commit; returns what to tell, with an address.

    The commit appears whole or not at all. Run again after a failure, files the Hub already holds are not sent again.
    In the release's folders the commit deletes what an older release has left; files beside them stay.

    Raises:
        PublishError: the repository is public though it should be private, or the tag is that of another release;
            nothing has been sent then.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
    if private and not api.dataset_info(repo).private:
        raise PublishError(f"{repo} is there already and public; make it private in its settings, or drop --private.")
    if tag is not None and _tagged(api, repo, tag, folder / "manifest.json"):
        return f"{repo} already holds this release as {tag}: {api.endpoint}/datasets/{repo}/tree/{tag}"
    # Not upload_folder, which cuts a long upload into several commits.
    added = [*manifest.files, "manifest.json"]
    commit = api.create_commit(
        repo,
        [
            *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in added),
            *(CommitOperationDelete(path_in_repo=name) for name in _left_over(api, repo, added)),
        ],
        repo_type="dataset",
        commit_message=f"Release {manifest.version}",
    )
    if tag is not None:
        api.create_tag(repo, repo_type="dataset", tag=tag, revision=commit.oid)
    return str(commit.commit_url)


def _left_over(api: HfApi, repo: str, added: Sequence[str]) -> list[str]:
    """What an older release has left in the folders of this one: readers take every file they find there."""
    folders = {name.partition("/")[0] for name in added if "/" in name}
    held = api.list_repo_files(repo, repo_type="dataset")
    return sorted(name for name in held if name.partition("/")[0] in folders and name not in added)


def _tagged(api: HfApi, repo: str, tag: str, manifest: Path) -> bool:
    """Whether `tag` is there and holds the release of `manifest`, which names the hash of every file."""
    from huggingface_hub.utils.sha import git_hash

    tags = api.list_repo_refs(repo, repo_type="dataset").tags
    commit = next((ref.target_commit for ref in tags if ref.name == tag), None)
    if commit is None:
        return False
    found = api.get_paths_info(repo, [manifest.name], repo_type="dataset", revision=commit)
    if [getattr(file, "blob_id", None) for file in found] == [git_hash(manifest.read_bytes())]:
        return True
    raise PublishError(
        f"The tag {tag} of {repo} belongs to another release (commit {commit}). Choose another tag, or delete it: "
        f"`hf repos tag delete {repo} {tag} --repo-type dataset`."
    )


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
    from pipeline.release.manifest import read_manifest

    found = problems(folder, git_revision(Path(), (".",)))
    if found:
        raise PublishError(f"{folder} cannot be published:\n" + "\n".join(f"  - {line}" for line in found))
    manifest = read_manifest(folder / "manifest.json")
    for name, entry in manifest.files.items():
        console.print(f"  {entry.bytes:>12,} B  {name}", highlight=False)
    visibility = "private" if private else "public"
    console.print(f"{len(manifest.files) + 1} files -> {repo} ({visibility}, {manifest.version})", highlight=False)
    if manifest.url is None:
        console.print("note: release.url is not set, so the citation names no page", highlight=False)
    if dry_run:
        return
    if not yes:
        typer.confirm("Upload them?", abort=True)
    console.print(_upload_or_explain(folder, manifest, repo, private, tag, endpoint), highlight=False)


def _upload_or_explain(
    folder: Path, manifest: Manifest, repo: str, private: bool, tag: str | None, endpoint: str | None
) -> str:
    from huggingface_hub import HfApi, errors

    try:
        return upload(HfApi(endpoint=endpoint), folder, manifest, repo, private=private, tag=tag)
    except errors.OfflineModeIsEnabled:
        raise PublishError("HF_HUB_OFFLINE is set; unset it to publish.") from None
    except errors.LocalTokenNotFoundError:
        raise PublishError("No Hugging Face token; set HF_TOKEN or run `hf auth login`.") from None
    # HTTPError is the base of the Hub's refusals and of the client's connection errors. What happens to a large file
    # comes as a RuntimeError or, from hf_xet, as an OSError; a malformed name or card as a ValueError.
    except (errors.HTTPError, RuntimeError, OSError, ValueError) as error:  # type: ignore[attr-defined]
        told = f"{error} {error.__cause__}" if type(error) is RuntimeError else str(error)
        # The query of a signed address lets anybody write for a while.
        told = re.sub(r"(https?://[^\s?'\"]+)\?[^\s'\"]+", r"\1", told)
        raise PublishError(f"The upload failed: {told}. Run the same command again to resume.") from error


if __name__ == "__main__":
    typer.run(publish)
