"""A patch: everything a model needs to know one user, as tensors and a manifest in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import safetensors
import safetensors.torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.core.tables import atomic_write

PATCH_FORMAT = 1
"""Version of the file's form."""

PatchKind = Literal["prompt", "low_rank", "dense", "codebook", "soft_prompt"]
"""prompt: text around the question. low_rank: factors A (d_out, k) and B (k, d_in) added to a matrix. dense: whole
changed matrices. codebook: keys and values looked up in a layer. soft_prompt: input embeddings before the question."""


class Codebook(NamedTuple):
    """What a codebook patch puts in place of a module's output; entry i is row i of all three."""

    keys: Tensor
    """Inputs of the module that an entry answers to, (n, d_in)."""
    values: Tensor
    """Outputs in their place, (n, d_out)."""
    radii: Tensor
    """Euclidean distance from its key up to which an entry answers, (n,)."""


class PromptPlan(BaseModel):
    """What a prompt patch says around a question."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    system: str = ""
    """System message; empty keeps the template's own."""
    before: str = ""
    """Text in front of the question, in the same message."""
    after: str = ""
    """Text behind the question, in the same message."""
    memories: tuple[str, ...] = ()
    """Statements of the user; they take the place of {memories} in the texts."""
    retriever: Literal["all", "bm25", "dense"] = "all"
    """Which memories a question gets: all, or the nearest by words or by meaning."""
    top_k: int = 0
    """How many memories a retriever returns."""
    turns: tuple[str, ...] = ()
    """User messages that follow the first answer, one at a time; the last answer counts."""

    @property
    def text_bytes(self) -> int:
        """Bytes of the texts that belong to the user."""
        return sum(len(memory.encode("utf-8", "surrogatepass")) for memory in self.memories)


class Manifest(BaseModel):
    """What a patch is and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format: int = PATCH_FORMAT
    """Version of the file's form."""
    kind: PatchKind
    """How it is applied."""
    method: str
    """Method that made it."""
    config_sha256: str
    """Hash of the method's configuration."""
    config: dict[str, Any] = {}
    """The method's configuration."""
    model: str
    """Name of the checkpoint."""
    source: str = ""
    """Where the checkpoint came from: Hub id, folder, file or package."""
    weights_sha256: str
    """Hash of the checkpoint's weights; the patch fits no other."""
    user_id: str
    """The user."""
    preference_ids: tuple[str, ...]
    """Preferences it holds, or was to hold where the edit failed."""
    failed_ids: tuple[str, ...] = ()
    """Of several edits in one patch, the preferences of those that failed: nothing of them is in it."""
    plan: PromptPlan | None = None
    """Texts around the question."""
    gate: float | None = None
    """Questions below this score under the tensor `gate` are answered by the model as it is; None lets in all."""
    metrics: dict[str, float] = {}
    """What fitting measured: steps, losses, norms."""
    seconds: float | None = 0.0
    """Time to fit it; of users fitted together, an equal share. None in the files of a run, whose run.json says it."""
    bytes: int = 0
    """What must be stored for the user; filled by the patch."""
    failure: str | None = None
    """Why the edit failed; such a patch is empty and leaves the model as it is."""


@dataclass(frozen=True)
class Patch:
    """One user's edit. Tensors are never changed after construction."""

    manifest: Manifest
    """What it is."""
    tensors: Mapping[str, Tensor]
    """low_rank: "<module path>.A" and ".B". dense: the new value of a weight by its full name. codebook: "<module
    path>.keys", ".values" and ".radii". gate: see gate.py."""

    def __post_init__(self) -> None:
        """Keep own copies of the tensors."""
        own = {name: tensor.detach().clone().contiguous() for name, tensor in self.tensors.items()}
        object.__setattr__(self, "tensors", MappingProxyType(own))
        object.__setattr__(self, "manifest", self.manifest.model_copy(update={"bytes": self.nbytes}))

    @property
    def nbytes(self) -> int:
        """Bytes that must be stored for the user: tensors, and the user's texts of a prompt patch."""
        plan = self.manifest.plan
        return sum(t.numel() * t.element_size() for t in self.tensors.values()) + (plan.text_bytes if plan else 0)

    @property
    def sha256(self) -> str:
        """Hex sha256 over manifest (without timings) and tensors."""
        digest = hashlib.sha256(self.manifest.model_dump_json(exclude={"seconds", "metrics"}).encode())
        digest.update(safetensors.torch.save({name: t.cpu() for name, t in sorted(self.tensors.items())}))
        return digest.hexdigest()

    def untimed(self) -> Patch:
        """The same patch without the time it took, so that its file has the same bytes when it is made again."""
        return replace(self, manifest=self.manifest.model_copy(update={"seconds": None}))

    def factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Module path -> (A, B) of a low-rank patch."""
        paths = [name[: -len(".A")] for name in self.tensors if name.endswith(".A")]
        return {path: (self.tensors[f"{path}.A"], self.tensors[f"{path}.B"]) for path in paths}

    def codebooks(self) -> dict[str, Codebook]:
        """Module path -> codebook of a codebook patch."""
        paths = [name[: -len(".keys")] for name in self.tensors if name.endswith(".keys")]
        return {path: Codebook(*(self.tensors[f"{path}.{part}"] for part in Codebook._fields)) for path in paths}

    def save(self, path: Path) -> None:
        """Write the patch as one safetensors file, whole or not at all."""
        tensors = {name: t.cpu() for name, t in self.tensors.items()}
        with atomic_write(path) as file:
            file.write(safetensors.torch.save(tensors, metadata={"manifest": self.manifest.model_dump_json()}))

    @classmethod
    def load(cls, path: Path) -> Patch:
        """The patch in a file.

        Raises:
            InputError: the file is missing, damaged, or not a patch.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                manifest = Manifest.model_validate(json.loads((file.metadata() or {})["manifest"]))
                return cls(manifest, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except FileNotFoundError:
            raise InputError(f"{path}: no such patch.") from None
        except (safetensors.SafetensorError, KeyError, ValueError, ValidationError) as error:
            raise InputError(f"{path}: not a patch file: {error}") from error


def low_rank_tensors(factors: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Tensors of a low-rank patch from module path -> (A, B)."""
    return {f"{path}.{side}": t for path, pair in factors.items() for side, t in zip("AB", pair, strict=True)}


def codebook_tensors(codebooks: Mapping[str, Codebook]) -> dict[str, Tensor]:
    """Tensors of a codebook patch from module path -> codebook."""
    return {f"{path}.{part}": t for path, book in codebooks.items() for part, t in book._asdict().items()}
