"""The smoothness penalty, by hand and in an update."""

from __future__ import annotations

import pytest
import torch

from mimickit import launch
from mimickit.errors import ConfigError
from mimickit.methods import Lipschitz, Sources
from mimickit.models.distributions import DiagonalGaussian


def part(weight=1.0, seed=0):
    lipschitz = Lipschitz(weight)
    generator = torch.Generator().manual_seed(seed)
    cpu = torch.device("cpu")
    lipschitz.connect(
        Sources(
            signals={}, conditions={}, policy=None, library=None, device=cpu, generator=generator
        )
    )
    return lipschitz


def test_penalty_of_a_linear_policy_is_its_squared_slope_over_the_variance():
    # log p(a | s) has the gradient W^T (a - W s) / sigma^2; with a - W s = sigma e, e normal, the
    # mean square is |W|^2 / sigma^2: (9 + 16) / 0.25 = 100.
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]], requires_grad=True)
    batch = torch.zeros(20_000, 2, requires_grad=True)  # else what is seen adds noise to d/dW
    gaussian = DiagonalGaussian(batch @ weight.T, torch.full((2,), 0.5).log())
    penalty = part(0.1).actor_term()(batch, gaussian)
    assert penalty.item() == pytest.approx(10.0, rel=0.03)
    # d/dW of 0.1 |W|^2 / 0.25: 0.8 W.
    (slope,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(slope.diag(), 0.8 * torch.tensor([3.0, 4.0]), rtol=0.03, atol=0.05)


def test_it_goes_on_from_its_state():
    batch = torch.ones(8, 2, requires_grad=True)
    gaussian = DiagonalGaussian(2.0 * batch, torch.zeros(2))
    first, second = part(seed=0), part(seed=1)
    first.actor_term()(batch, gaussian)
    second.load_state_dict(first.state_dict())
    values = [p.actor_term()(batch, gaussian).item() for p in (first, second)]
    assert values[0] == values[1]


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"\.weight must be >= 0, got -1"):
        Lipschitz(-1)


@pytest.mark.parametrize("method", ["deepmimic", "amp", "add"])
def test_it_lies_over_any_method(method):
    overrides = [f"method={method}", "+method/part@method.parts.lipschitz=lipschitz"]
    cfg = launch.check_config(launch.compose(overrides))
    assert cfg.method.parts.lipschitz.weight == 0.002
