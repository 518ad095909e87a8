"""One optimiser: schedule, clipping, and going on from a checkpoint."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from mimickit.algos.optimizer import Optimizer, _capturable_options
from mimickit.errors import CheckpointError, ConfigError

SGD = partial(torch.optim.SGD, lr=0.1)


def weight(value=1.0):
    return nn.Parameter(torch.tensor([value]))


def test_a_step_descends_by_rate_times_gradient():
    w = weight(1.0)
    Optimizer([w], SGD).step(3.0 * w.sum())  # gradient 3: 1 - 0.1 * 3
    assert w.item() == pytest.approx(0.7)


def test_momentum_accumulates_by_hand():
    w = weight(1.0)
    optimizer = Optimizer([w], partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    for _ in range(2):
        optimizer.step(w.sum())  # velocities 1 and 1.9: 1 - 0.1 - 0.19
    assert w.item() == pytest.approx(0.71)


def test_gradients_are_clipped_by_their_joint_norm():
    a, b = weight(0.0), weight(0.0)
    Optimizer([a, b], SGD, max_grad_norm=1.0).step(3.0 * a.sum() + 4.0 * b.sum())
    # The norm of (3, 4) is 5, so it becomes (0.6, 0.8).
    assert (a.item(), b.item()) == pytest.approx((-0.06, -0.08), rel=1e-4)


def test_gradients_below_the_norm_stay():
    a = weight(0.0)
    Optimizer([a], SGD, max_grad_norm=1.0).step(0.5 * a.sum())
    assert a.item() == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("schedule", "rates"), [("constant", [0.1, 0.1, 0.1]), ("linear", [0.1, 0.05, 0.0])]
)
def test_schedules_over_a_run(schedule, rates):
    optimizer = Optimizer([weight()], SGD, schedule=schedule)
    for progress, rate in zip((0.0, 0.5, 1.0), rates):
        optimizer.set_progress(progress)
        assert optimizer.lr.item() == pytest.approx(rate)


def test_parameters_without_gradient_are_left_out():
    fixed = nn.Parameter(torch.ones(1), requires_grad=False)
    assert len(Optimizer([weight(), fixed], SGD).parameters) == 1


@pytest.mark.parametrize(
    "factory",
    [partial(torch.optim.Adam, lr=0.1), partial(torch.optim.SGD, lr=0.1, momentum=0.9)],
    ids=["Adam", "SGD"],
)
def test_going_on_from_a_state_is_as_if_it_never_stopped(factory):
    def descend(optimizer, w, steps):
        for _ in range(steps):
            optimizer.step((w - 3.0).square().sum())

    straight, first = weight(), weight()
    descend(Optimizer([straight], factory), straight, 6)
    before = Optimizer([first], factory)
    descend(before, first, 3)
    second = weight(first.item())
    after = Optimizer([second], factory)
    after.load_state_dict(before.state_dict())
    descend(after, second, 3)
    assert torch.equal(second, straight)


def test_going_on_fills_the_moments_that_are_there():
    # A captured graph keeps their addresses.
    w, saved = weight(), Optimizer([weight()], partial(torch.optim.Adam, lr=0.1))
    saved.step(saved.parameters[0].square().sum())
    optimizer = Optimizer([w], partial(torch.optim.Adam, lr=0.1))
    optimizer.step(5.0 * w.sum())
    before = dict(optimizer.optimizer.state[w])
    optimizer.load_state_dict(saved.state_dict())
    for name, moment in optimizer.optimizer.state[w].items():
        assert moment is before[name]
        assert torch.equal(moment, saved.optimizer.state[saved.parameters[0]][name])


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        (SGD, {"fused": True}),
        (partial(torch.optim.Adam, lr=0.1), {"fused": True, "capturable": True}),
        (partial(torch.optim.SGD, lr=0.1, fused=False), {"fused": False}),
        (partial(torch.optim.RMSprop, lr=0.1), {"capturable": True}),
        (partial(torch.optim.LBFGS, lr=0.1), {}),
    ],
    ids=["SGD", "Adam", "SGD as typed", "RMSprop", "LBFGS"],
)
def test_what_makes_an_optimiser_capturable(factory, options):
    assert _capturable_options(factory) == options


def test_on_a_cpu_nothing_is_asked_of_the_optimiser():
    optimizer = Optimizer([weight()], SGD)
    (group,) = optimizer.optimizer.param_groups
    assert not optimizer.capturable
    assert (group["lr"], group["fused"]) == (0.1, None)


def test_settings_come_from_the_config_and_moments_from_the_checkpoint():
    # Someone who resumes with another rate or momentum gets what was typed.
    old = Optimizer([weight()], partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    old.step(old.parameters[0].sum())  # velocity 1
    w = weight(0.0)
    new = Optimizer([w], partial(torch.optim.SGD, lr=0.01, momentum=0.5))
    new.load_state_dict(old.state_dict())
    new.step(w.sum())  # velocity 0.5 * 1 + 1, rate 0.01
    assert w.item() == pytest.approx(-0.015)


def test_another_kind_of_optimiser_is_refused():
    adam = Optimizer([weight()], partial(torch.optim.Adam, lr=0.1))
    with pytest.raises(CheckpointError, match=r"optimiser is Adam.*this run's is SGD"):
        Optimizer([weight()], SGD).load_state_dict(adam.state_dict())


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ConfigError, match="schedule=cosine: choose one of constant, linear"):
        Optimizer([weight()], SGD, schedule="cosine")
