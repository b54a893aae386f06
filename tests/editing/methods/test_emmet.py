"""EMMET: several facts, each met exactly with the least effect elsewhere."""

from collections.abc import Callable

import torch

from editing.lm.load import LM
from editing.methods.base import Resources, User
from editing.methods.emmet import constrained
from editing.methods.registry import create, load_config
from editing.methods.rome import rank_one


def test_the_closed_form_by_hand() -> None:
    # C = diag(1, 4); keys (2, 0) and (2, 4) give M = ((2, 0), (2, 1)), M K = ((4, 4), (4, 8)), and D K = R with
    # residuals 4 and 8 is D = (2, 1).
    keys, wanted = torch.tensor([[2.0, 0.0], [2.0, 4.0]]), torch.tensor([[4.0], [8.0]])
    a, b = constrained(keys, keys, wanted, torch.diag(torch.tensor([1.0, 4.0])), 0)
    torch.testing.assert_close(b, torch.tensor([[2.0, 0.0], [2.0, 1.0]]))
    torch.testing.assert_close(a @ b, torch.tensor([[2.0, 1.0]]))


def test_the_closed_form_is_the_constrained_least_squares_solution() -> None:
    # Of all changes D with D K = R, it has the least effect on keys distributed as K0: |D K0|^2 is minimal. The dense
    # way: Lagrange's conditions of that problem as one linear system.
    torch.manual_seed(0)
    others, keys = torch.randn(50, 6, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    wanted = torch.randn(2, 3, dtype=torch.float64)
    moment = others.T @ others / 50
    system = torch.zeros(8, 8, dtype=torch.float64)
    system[:6, :6], system[:6, 6:], system[6:, :6] = 2 * moment, keys.T, keys
    right = torch.cat([torch.zeros(6, 3, dtype=torch.float64), wanted])
    expected = torch.linalg.solve(system, right)[:6].T
    a, b = constrained(keys.float(), keys.float(), wanted.float(), moment.float(), 0)
    torch.testing.assert_close((a @ b).double(), expected, rtol=1e-4, atol=1e-5)


def test_with_one_fact_it_is_rome() -> None:
    torch.manual_seed(0)
    key, bare, delta, factor = torch.randn(5), torch.randn(5), torch.randn(3), torch.randn(5, 5)
    a, b = constrained(key[None], bare[None], delta[None], factor @ factor.T, 0.1)
    c, d = rank_one(key, bare, delta, factor @ factor.T, 0.1)
    torch.testing.assert_close(a @ b, c @ d, rtol=1e-4, atol=1e-5)


def test_a_fact_that_is_there_twice_counts_once() -> None:
    torch.manual_seed(0)
    keys, wanted = torch.randn(2, 5), torch.randn(2, 3)
    a, b = constrained(keys, keys, wanted, None, 0)
    twice = [0, 0, 1]
    c, d = constrained(keys[twice], keys[twice], wanted[twice], None, 0)
    torch.testing.assert_close(c @ d, a @ b, rtol=1e-4, atol=1e-5)


def test_the_facts_of_one_user_do_not_wear_each_other_away(
    make_lm: Callable[..., LM], users: list[User], resources: Resources
) -> None:
    lm = make_lm("llama")
    facts = (users[0].facts[0], users[1].facts[0])
    # Without a covariance the rows of B are the keys themselves.
    short = {"steps": 6, "contexts": ("",), "value_contexts": 1, "layer": 1, "covariance": "none"}
    missed = {}
    for name in ("emmet", "rome"):
        method = create(name, load_config(name).model_copy(update=short), resources)
        ((a, b),) = method.fit(lm, [User("both", facts)])[0].factors().values()
        gaps = []
        for patch in method.fit(lm, [User(fact.preference_id, (fact,)) for fact in facts]):
            ((c, d),) = patch.factors().values()
            gaps.append(float(((a @ b - c @ d) @ d[0]).norm() / (c @ d @ d[0]).norm()))
        missed[name] = max(gaps)
    assert missed["emmet"] < 1e-4 < missed["rome"]
