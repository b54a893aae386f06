"""MEMIT and AlphaEdit: closed forms against dense solves, and values spread over layers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from editing.lm.load import LM
from editing.lm.replay import Replay, Row
from editing.methods.base import Resources, User
from editing.methods.memit import MemitConfig, null_space, solved
from editing.methods.registry import create, load_config
from editing.patches.apply import applied
from editing.patches.rowwise import RowEdits, stacked_factors
from pipeline.core.errors import ConfigError, InputError
from tests.editing.conftest import tiny_config


def little(name: str, **settings: Any) -> MemitConfig:
    config = load_config(name)
    assert isinstance(config, MemitConfig)
    short = {"steps": 8, "contexts": ("",), "value_contexts": 1, "first_layer": 0, "layer": 2}
    return config.model_copy(update={**short, **settings})


def test_the_closed_form_of_memit_by_hand() -> None:
    # lambda C = diag(2, 8), K = (2, 4), R = 12: lambda C + K K^T = ((6, 8), (8, 24)), R K^T = (24, 48), and
    # Delta (lambda C + K K^T) = R K^T is met by Delta = (2.4, 1.2).
    key, weighted = torch.tensor([[2.0, 4.0]]), torch.diag(torch.tensor([2.0, 8.0]))
    a, b = solved(key, torch.tensor([[12.0]]), torch.linalg.solve(weighted, key.T).T)
    torch.testing.assert_close(a @ b, torch.tensor([[2.4, 1.2]]))


def test_the_factors_of_memit_equal_the_dense_least_squares() -> None:
    torch.manual_seed(0)
    keys, residuals = torch.randn(3, 6), torch.randn(3, 4)
    factor = torch.randn(6, 6)
    weighted = 2.0 * (factor @ factor.T + torch.eye(6))
    a, b = solved(keys, residuals, torch.linalg.solve(weighted, keys.T).T)
    expected = residuals.T @ keys @ torch.linalg.inv(weighted + keys.T @ keys)
    torch.testing.assert_close(a @ b, expected, rtol=1e-3, atol=1e-4)


def test_the_factors_of_alphaedit_equal_the_dense_solve_and_spare_common_directions() -> None:
    torch.manual_seed(0)
    common = torch.randn(6, 3)
    moment = common @ common.T
    keys, residuals = torch.randn(2, 6), torch.randn(2, 4)
    projection = null_space(moment, 1e-4).float()
    a, b = solved(keys, residuals, keys @ projection)
    dense = residuals.T @ keys @ projection @ torch.linalg.inv(keys.T @ keys @ projection + torch.eye(6))
    torch.testing.assert_close(a @ b, dense, rtol=1e-3, atol=1e-4)
    assert float((a @ b @ common).abs().max()) < 1e-4


def test_memit_in_one_layer_without_damping_is_rome(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    config = little("memit", first_layer=2, covariance="none", covariance_weight=1e-6)
    same = {key: value for key, value in config.model_dump().items() if key in type(load_config("rome")).model_fields}
    rome = load_config("rome").model_copy(update=same)
    for one, other in zip(
        create("memit", config, resources).fit(lm, users), create("rome", rome, resources).fit(lm, users), strict=True
    ):
        ((a, b),), ((c, d),) = one.factors().values(), other.factors().values()
        torch.testing.assert_close(a @ b, c @ d, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["memit", "alphaedit"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gptj", "gemma3_text", "olmo2"])
def test_a_value_spread_over_layers_raises_the_likelihood_of_the_target(
    name: str, family: str, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm(family)
    patches = create("none", load_config("none"), resources).fit(lm, users)
    patches += create(name, little(name), resources).fit(lm, users)
    assert [len(patch.factors()) for patch in patches[3:]] == [3, 3, 3]
    facts = [user.facts[0] for user in users] * 2
    with applied(lm, patches) as responder:
        found = responder.log_probs(range(6), [fact.question for fact in facts], [fact.target for fact in facts])
    assert sum(found[3:]) > sum(found[:3])


@pytest.mark.parametrize(
    ("family", "most"), [("llama", 1e-3), ("gpt2", 1e-3), ("gemma2", 0.3), ("gemma3_text", 0.3), ("olmo2", 0.3)]
)
def test_several_layers_together_reach_what_the_value_does(
    family: str, most: float, make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    # A norm behind the MLP keeps the length of what it hands on; values as large as a tiny model's are not met exactly.
    lm = make_lm(family)
    base = reached(lm, users, [{} for _ in users])
    changes = []
    for first_layer in (2, 0):
        config = little("memit", first_layer=first_layer, covariance="none", covariance_weight=1e-6)
        patches = create("memit", config, resources).fit(lm, users)
        changes.append(reached(lm, users, [patch.factors() for patch in patches]) - base)
    wanted, shared = changes
    assert float(((wanted - shared).norm(dim=1) / wanted.norm(dim=1)).max()) < most


def reached(lm: LM, users: list[User], factors: list[dict[str, tuple[torch.Tensor, torch.Tensor]]]) -> torch.Tensor:
    """What layer 2 hands on at the last token of each user's subject, with the edits felt from that token on."""
    caught: list[torch.Tensor] = []
    rows = []
    for user in users:
        fact = user.facts[0]
        prompt = lm.prompts.ask(fact.question)
        rows.append(Row(prompt.ids, prompt.last_token_of(fact.subject, fact.question), (len(prompt.ids) - 1,)))
    replay = Replay(lm, rows, 0)

    def catch(_: Any, __: Any, output: Any) -> None:
        caught.append((output if isinstance(output, torch.Tensor) else output[0])[:, 0])

    handle = lm.structure.layers[2].register_forward_hook(catch)
    with RowEdits(stacked_factors(factors, lm.structure.down[0].parameter)).attached(lm) as edits, torch.no_grad():
        edits.select(range(len(users)), lm.device)
        replay.run(range(len(users)))
    handle.remove()
    return caught[0]


def test_a_model_whose_layers_scale_their_mlps_is_refused(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    config = tiny_config("granite")
    config.residual_multiplier = 0.2
    with pytest.raises(InputError, match="whose layers scale"):
        create("memit", little("memit"), resources).fit(make_lm("granite", config=config), users)


def test_the_null_space_needs_a_covariance_before_anything_is_searched(
    make_lm: Callable[..., LM], users: list[User], resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("editing.methods.rome.descend", lambda *_, **__: pytest.fail("values were searched"))
    with pytest.raises(ConfigError, match="needs a covariance"):
        create("alphaedit", little("alphaedit", covariance="none"), resources).fit(make_lm("llama"), users)


def test_layers_in_the_wrong_order_are_refused(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    with pytest.raises(ConfigError, match="lies above"):
        create("memit", little("memit", first_layer=3), resources).fit(make_lm("llama"), users)
