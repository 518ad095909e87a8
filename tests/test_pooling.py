"""What ranks learn together is what one process would learn from all of their samples."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mimickit.algos.actor_critic import fit
from mimickit.algos.optimizer import Optimizer
from mimickit.algos.returns import normalized_advantage
from mimickit.models.normalizer import Normalizer, ScaleNormalizer
from mimickit.pooling import ALONE, pooled_std_mean, pooled_var
from mimickit.state import Done
from mimickit.training.episodes import EpisodeStatistics
from tests.pools import on_ranks

SGD = partial(torch.optim.SGD, lr=0.1)


def test_std_and_mean_are_those_of_all_samples():
    # Rank 0 has 1, 3; rank 1 has 5, 7: mean 4, squares about it 9 + 1 + 1 + 9 = 20, over 3.
    values = [torch.tensor([1.0, 3.0]), torch.tensor([5.0, 7.0])]
    for std, mean in on_ranks(lambda rank, pool: pooled_std_mean(values[rank], pool)):
        assert mean.item() == 4.0
        assert std.item() == pytest.approx((20 / 3) ** 0.5)
        assert std.dtype == torch.float32
    for var in on_ranks(lambda rank, pool: pooled_var(values[rank], pool)):
        assert var.item() == pytest.approx(20 / 3)


def test_alone_statistics_are_torchs_own_bits():
    values = torch.randn(1000)
    std, mean = pooled_std_mean(values, ALONE)
    assert (std, mean) == (values.std(), values.mean())
    assert pooled_var(values, ALONE) == values.var()


def test_a_large_mean_costs_the_pooled_spread_nothing():
    values = 1e4 + torch.randn(2, 5000)
    for std, _ in on_ranks(lambda rank, pool: pooled_std_mean(values[rank], pool)):
        assert std.item() == pytest.approx(values.double().std().item(), rel=1e-6)


def test_advantages_are_standardised_over_all_ranks():
    returns, value = 3.0 + torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    returns[1] += 5.0  # the mean of each rank's own standard deviation would miss this
    found = on_ranks(lambda r, pool: normalized_advantage(returns[r], value[r], 4.0, pool))
    torch.testing.assert_close(torch.stack(found), normalized_advantage(returns, value, 4.0))


def test_explained_variance_is_that_of_all_ranks():
    returns, value = torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    returns[1] += 5.0
    for found in on_ranks(lambda rank, pool: fit(returns[rank], value[rank], pool)):
        torch.testing.assert_close(
            found["algo/explained_variance"], fit(returns, value)["algo/explained_variance"]
        )


def test_gradients_are_averaged_in_one_exchange_and_the_mean_is_clipped():
    def step(rank, pool):
        a, b = (torch.nn.Parameter(torch.ones(size)) for size in ((), (1, 1)))
        optimizer = Optimizer([a, b], SGD, max_grad_norm=1.0, pool=pool)
        # Gradients (6, 0) and (0, 8): their mean (3, 4) has norm 5, so (0.6, 0.8) remain.
        optimizer.step((6.0 * (1 - rank) * a).sum() + (8.0 * rank * b).sum())
        return a.item(), b.item(), pool.sums, len(pool.kept_equal)

    for a, b, sums, kept in on_ranks(step):
        assert a == pytest.approx(1.0 - 0.1 * 0.6)
        assert b == pytest.approx(1.0 - 0.1 * 0.8)
        assert (sums, kept) == (1, 2)


def test_normalizers_hold_what_all_ranks_saw():
    batches = 100.0 + torch.randn(3, 2, 50, 4) * torch.tensor([1.0, 10.0, 0.1, 0.0])
    alone, scale_alone = Normalizer(4), ScaleNormalizer(4)
    for batch in batches:
        alone.update(batch)
        scale_alone.update(batch)

    def see(rank, pool):
        normalizer, scale = Normalizer(4), ScaleNormalizer(4)
        for batch in batches:
            normalizer.update(batch[rank], pool)
            scale.update(batch[rank], pool)
        return normalizer, scale

    for normalizer, scale in on_ranks(see):
        assert normalizer.count == scale.count == 300
        torch.testing.assert_close(normalizer.mean, alone.mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(normalizer.square_sum, alone.square_sum, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(normalizer.std, alone.std)
        torch.testing.assert_close(scale.mean, scale_alone.mean, rtol=1e-12, atol=0)


def test_episodes_of_all_ranks_count_alike():
    # Rank 0 ends one episode of return 2 by failing; rank 1 three of return 1, cut by the clock.
    done = torch.full((2, 3), int(Done.NULL))

    def add(rank, pool):
        statistics = EpisodeStatistics(3, 0.5, torch.device("cpu"), pool)
        ended = done.clone()
        if rank == 0:
            ended[1, 0] = int(Done.FAIL)
        else:
            ended[0] = int(Done.TIME)
        return statistics.add(torch.ones(2, 3), ended)

    for figures in on_ranks(add):
        assert figures["train/return"].item() == (2 + 1 + 1 + 1) / 4
        assert figures["train/episode_length_s"].item() == 0.5 * (2 + 1 + 1 + 1) / 4
        assert figures["train/fail_rate"].item() == 1 / 4
