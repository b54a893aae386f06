"""Fitting when memory runs out."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from editing.lm.load import LM
from editing.methods.base import Method, Resources, User
from editing.methods.registry import create, load_config
from editing.methods.within_memory import WithinMemory
from editing.patches.patch import Patch

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


class Greedy:
    """A method whose memory holds `room` users at once, and never the user `huge`."""

    def __init__(self, method: Method[Any], room: int, error: BaseException, huge: str = "") -> None:
        self.name, self.kind, self.config = method.name, method.kind, method.config
        self.method, self.room, self.error, self.huge = method, room, error, huge
        self.tried: list[int] = []

    def fit(self, lm: LM, users: Sequence[User]) -> list[Patch]:
        self.tried.append(len(users))
        if len(users) > self.room or self.huge in [user.user_id for user in users]:
            raise self.error
        return self.method.fit(lm, users)


@pytest.fixture
def rome(resources: Resources) -> Method[Any]:
    short = {"steps": 2, "contexts": ("",), "covariance": "none"}
    return create("rome", load_config("rome").model_copy(update=short), resources)


@pytest.mark.parametrize("error", OUT_OF_MEMORY)
def test_the_batch_is_halved_and_every_user_gets_the_patch_of_one_batch(
    error: BaseException, make_lm: Callable[..., LM], users: list[User], rome: Method[Any]
) -> None:
    lm = make_lm("llama")
    greedy = Greedy(rome, 1, error)
    found = WithinMemory(greedy, lm).fit(users)  # type: ignore[arg-type]
    assert greedy.tried == [3, 1, 1, 1]
    for patch, expected in zip(found, rome.fit(lm, users), strict=True):
        assert patch.manifest.failure is None and patch.tensors.keys() == expected.tensors.keys()
        for name, tensor in expected.tensors.items():
            torch.testing.assert_close(patch.tensors[name], tensor, rtol=1e-3, atol=1e-4)


def test_the_halving_is_said_once_and_remembered(
    make_lm: Callable[..., LM], users: list[User], rome: Method[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    greedy = Greedy(rome, 1, OUT_OF_MEMORY[0])
    fitter = WithinMemory(greedy, make_lm("llama"))  # type: ignore[arg-type]
    fitter.fit([*users, users[0]])
    fitter.fit(users)
    assert greedy.tried == [4, 2, 1, 1, 1, 1, 1, 1, 1]
    assert capsys.readouterr().err.count("Out of memory with 4 users of rome in one batch") == 1


def test_a_user_who_does_not_fit_alone_fails_and_the_others_keep_their_patches(
    make_lm: Callable[..., LM], users: list[User], rome: Method[Any]
) -> None:
    greedy = Greedy(rome, 3, OUT_OF_MEMORY[0], huge=users[1].user_id)
    found = WithinMemory(greedy, make_lm("llama")).fit(users)  # type: ignore[arg-type]
    assert [bool(patch.manifest.failure) for patch in found] == [False, True, False]
    assert found[1].manifest.failure == "memory ran out with this user alone"
    assert not found[1].tensors


def test_any_other_error_is_raised(make_lm: Callable[..., LM], users: list[User], rome: Method[Any]) -> None:
    greedy = Greedy(rome, 1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        WithinMemory(greedy, make_lm("llama")).fit(users)  # type: ignore[arg-type]
