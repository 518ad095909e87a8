"""The diagonal Gaussian against hand-made numbers and torch.distributions."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.models.distributions import DiagonalGaussian


def gaussians(rows=5, size=3):
    mean = torch.randn(rows, size)
    return {
        "one sigma for all rows": DiagonalGaussian(mean, 0.3 * torch.randn(size)),
        "a sigma per row": DiagonalGaussian(mean, 0.3 * torch.randn(rows, size)),
    }


def test_log_density_of_two_components_by_hand():
    # N(1, 2) at 2: z = 1/2; N(0, 1/2) at 1: z = 2. -(z^2 / 2 + ln sigma + ln sqrt(2 pi)) each.
    gaussian = DiagonalGaussian(torch.tensor([[1.0, 0.0]]), torch.tensor([2.0, 0.5]).log())
    by_hand = -(0.125 + math.log(2.0)) - (2.0 + math.log(0.5)) - math.log(2.0 * math.pi)
    assert gaussian.log_prob(torch.tensor([[2.0, 1.0]])).item() == pytest.approx(by_hand)


def test_entropy_of_a_unit_gaussian_by_hand():
    # Per component: (1 + ln 2 pi) / 2 = 1.418939 nats.
    gaussian = DiagonalGaussian(torch.zeros(4, 2), torch.zeros(2))
    torch.testing.assert_close(gaussian.entropy(), torch.full((4,), 2 * 1.418939))


@pytest.mark.parametrize("kind", gaussians())
def test_log_density_and_entropy_agree_with_torch(kind):
    gaussian = gaussians()[kind]
    std = gaussian.log_std.exp().expand_as(gaussian.mean)
    theirs = torch.distributions.Independent(torch.distributions.Normal(gaussian.mean, std), 1)
    value = torch.randn_like(gaussian.mean)
    torch.testing.assert_close(gaussian.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(gaussian.entropy(), theirs.entropy())


@pytest.mark.parametrize("kind", gaussians())
def test_draws_have_the_stated_mean_and_spread(kind):
    gaussian = gaussians(rows=2, size=2)[kind]
    many = DiagonalGaussian(
        gaussian.mean.repeat(20_000, 1),
        gaussian.log_std if gaussian.log_std.dim() == 1 else gaussian.log_std.repeat(20_000, 1),
    )
    draws = many.sample(torch.Generator().manual_seed(1)).view(20_000, 2, 2)
    std = gaussian.log_std.exp().expand_as(gaussian.mean)
    torch.testing.assert_close(draws.mean(0), gaussian.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(draws.std(0), std, atol=0.0, rtol=0.03)


def test_draws_come_from_the_given_generator_alone():
    gaussian = gaussians()["one sigma for all rows"]
    before = torch.get_rng_state()
    first, second = (gaussian.sample(torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)
