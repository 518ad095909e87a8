"""Adversarial losses and rewards, with the arithmetic written out."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.methods.gan import classification_loss, gradient_penalty, style_reward


def test_classification_is_binary_cross_entropy_half_of_each_class():
    # ln(1 + e^x) of fakes 0 and 1: 0.6931, 1.3133; ln(1 + e^-x) of a real 2: 0.1269.
    loss = classification_loss(torch.tensor([0.0, 1.0]), torch.tensor([2.0]))
    assert loss.item() == pytest.approx(0.5 * ((0.6931 + 1.3133) / 2 + 0.1269), rel=1e-3)


def test_penalty_is_the_mean_squared_slope():
    # The logit 3 x + y^2 has the slope (3, 2 y): 9 + 4 y^2, at y = 1 and 2: 13 and 25.
    inputs = torch.tensor([[5.0, 1.0], [7.0, 2.0]], requires_grad=True)
    logit = 3.0 * inputs[:, 0] + inputs[:, 1].square()
    penalty = gradient_penalty(logit, inputs)
    assert penalty.item() == pytest.approx(19.0)
    (second,) = torch.autograd.grad(penalty, inputs)  # d/dy of the mean of 4 y^2: 4 y
    torch.testing.assert_close(second, torch.tensor([[0.0, 4.0], [0.0, 8.0]]))


@pytest.mark.parametrize(
    ("logit", "reward"),
    [
        (0.0, math.log(2.0)),
        (-50.0, 0.0),  # surely a fake
        (2.0, math.log(1.0 + math.e**2)),
        (50.0, -math.log(1e-4)),  # the bound
    ],
)
def test_reward_is_minus_the_log_of_the_probability_of_a_fake(logit, reward):
    assert style_reward(torch.tensor(logit)).item() == pytest.approx(reward, abs=1e-6)
