"""Edits that differ by row of a batch, added in forward hooks: no weight is copied or changed.

Everything here is differentiable, so the same hooks train an edit and apply it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from editing.lm.load import LM
from editing.patches.patch import Codebook

RowEdit = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(input (b, t, d_in), output (b, t, d_out), user of each row (b,), or of all rows (1,)) -> edited output."""


class RowEdits:
    """Row-wise edits of some modules, by module path; `select` says which user each row of the next batch is."""

    def __init__(self, edits: Mapping[str, RowEdit]) -> None:
        """Edits by module path; nothing is in place until `attached`."""
        self.edits = dict(edits)
        self.rows: Tensor | None = None

    def select(self, users: Sequence[int], device: torch.device) -> None:
        """The next forward passes have one row for each of `users`; a single user stands for any number of rows."""
        own = list(users)
        self.rows = torch.tensor(own[:1] if len(set(own)) == 1 else own, dtype=torch.long, device=device)

    @contextlib.contextmanager
    def attached(self, lm: LM) -> Iterator[RowEdits]:
        """The edits in place until the block ends."""
        modules = dict(lm.model.named_modules())
        handles = [modules[path].register_forward_hook(self._hook(edit)) for path, edit in self.edits.items()]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, edit: RowEdit) -> Any:
        def hook(_: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            assert self.rows is not None, "select() comes before a forward pass"
            return edit(args[0], output, self.rows)

        return hook


def _of(rows: Tensor) -> Tensor:
    """Index of each row's tensors among the users'; of one alone where all rows are of one user.

    A copy for each row of what many edits in one model have written would be most of the memory traffic.
    """
    return rows[0] if len(rows) == 1 else rows


def low_rank(a: Tensor, b: Tensor) -> RowEdit:
    """Row r of user u adds A_u (B_u x_r); `a` is (users, d_out, k), `b` is (users, k, d_in)."""

    def edit(x: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        own = _of(rows)
        return output + (x @ b[own].mT) @ a[own].mT

    return edit


def dense(delta: Tensor) -> RowEdit:
    """Row r of user u adds delta_u x_r; `delta` is (users, d_out, d_in)."""

    def edit(x: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        return output + x @ delta[_of(rows)].mT

    return edit


def shift_first(delta: Tensor) -> RowEdit:
    """Row r of user u adds delta_u to its first position; `delta` is (users, d_out)."""

    def edit(_: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        return torch.cat([output[:, :1] + delta[rows][:, None], output[:, 1:]], dim=1)

    return edit


def swapped(weights: Sequence[Tensor | None], bias: Tensor | None) -> RowEdit:
    """Row r of user u reads the matrix weights[u], (d_out, d_in), instead of the module's own; None keeps that.

    Users are taken one after another inside the batch: a matrix for each row would have to be copied at every token.
    """

    def edit(x: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        if len(rows) == 1:
            only = weights[int(rows[0])]
            return output if only is None else torch.nn.functional.linear(x, only, bias)
        found = output.clone()
        for user in torch.unique(rows).tolist():
            weight = weights[user]
            if weight is not None:
                mine = rows == user
                found[mine] = torch.nn.functional.linear(x[mine], weight, bias)
        return found

    return edit


def codebook(keys: Tensor, values: Tensor, radii: Tensor) -> RowEdit:
    """Row r of user u puts the value of the nearest key in place of the output, wherever that key's radius is reached.

    `keys` is (users, n, d_in), `values` (users, n, d_out), `radii` (users, n). Every position asks for itself, so that
    answers do not depend on how prompts are padded or cut into passes. A negative radius is never reached.
    """

    def edit(x: Tensor, output: Tensor, rows: Tensor) -> Tensor:
        rows = rows.expand(len(x))
        # The matrix form of the distance cancels where it matters most: at the key itself.
        distances = torch.cdist(x.float(), keys[rows].float(), compute_mode="donot_use_mm_for_euclid_dist")
        distances = distances.masked_fill(radii[rows][:, None] < 0, torch.inf)
        nearest, which = distances.min(-1)
        hit = nearest <= radii[rows].gather(1, which)
        found = values[rows[:, None], which].to(output.dtype)
        return torch.where(hit[..., None], found, output)

    return edit


def stacked_codebooks(users: Sequence[Mapping[str, Codebook]], like: Tensor) -> dict[str, RowEdit]:
    """Row edits of many users' codebooks, by module path; a user without one at a module keeps its output."""
    edits: dict[str, RowEdit] = {}
    for path in sorted({path for books in users for path in books}):
        own = [books.get(path) for books in users]
        size = max(len(book.radii) for book in own if book)
        keys, values, radii = [], [], []
        for book in own:
            first = book or next(other for other in own if other)
            used = len(book.radii) if book else 0
            missing = (0, 0, 0, size - used)
            keys.append(torch.nn.functional.pad(first.keys[:used].to(like.device), missing))
            values.append(torch.nn.functional.pad(first.values[:used].to(like.device), missing))
            radii.append(torch.nn.functional.pad(first.radii[:used].to(like.device), (0, size - used), value=-1.0))
        edits[path] = codebook(torch.stack(keys), torch.stack(values), torch.stack(radii))
    return edits


def stacked_weights(users: Sequence[Mapping[str, Tensor]], lm: LM) -> dict[str, RowEdit]:
    """Row edits of many users' whole matrices, by full name of the weight; a user without one keeps the model's."""
    modules = dict(lm.model.named_modules())
    transposed = {down.path: down.transposed for down in lm.structure.down}
    edits: dict[str, RowEdit] = {}
    for name in sorted({name for weights in users for name in weights}):
        path = name.removesuffix(".weight")
        dtype = modules[path].weight.dtype  # a patch fitted in another number format fits these weights too
        own = [weights[name].to(lm.device, dtype) if name in weights else None for weights in users]
        turned = [w.T if w is not None and transposed.get(path, False) else w for w in own]
        bias = getattr(modules[path], "bias", None)
        edits[path] = swapped(turned, None if bias is None else bias.detach())
    return edits


def chained(*parts: Mapping[str, RowEdit]) -> dict[str, RowEdit]:
    """The edits of all parts; where several touch a module they are made in the order of the parts."""

    def both(first: RowEdit, second: RowEdit) -> RowEdit:
        return lambda x, output, rows: second(x, first(x, output, rows), rows)

    edits: dict[str, RowEdit] = {}
    for part in parts:
        for path, edit in part.items():
            edits[path] = both(edits[path], edit) if path in edits else edit
    return edits


def stacked_factors(users: Sequence[Mapping[str, tuple[Tensor, Tensor]]], like: Tensor) -> dict[str, RowEdit]:
    """Row edits of many users' factors; ranks are filled with zeros, and a user without a module adds nothing."""
    edits: dict[str, RowEdit] = {}
    for path in sorted({path for factors in users for path in factors}):
        d_out, d_in, rank = next((a.shape[0], b.shape[1], 0) for f in users if path in f for a, b in [f[path]])
        rank = max(f[path][0].shape[1] for f in users if path in f)
        a = like.new_zeros(len(users), d_out, rank)
        b = like.new_zeros(len(users), rank, d_in)
        for at, factors in enumerate(users):
            if path in factors:
                own_a, own_b = factors[path]
                a[at, :, : own_a.shape[1]] = own_a.to(like)
                b[at, : own_b.shape[0]] = own_b.to(like)
        edits[path] = low_rank(a, b)
    return edits
