"""A training run whose draws depend on an environment's number in the whole run, not on its rank.

As a program: every rank of it trains its share, and rank 0 saves the weights.
Usage: fixed_draws.py FOLDER OVERRIDES...
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import torch

from mimickit import launch
from mimickit.algos import ppo
from mimickit.models.distributions import DiagonalGaussian
from mimickit.ranks import find_ranks

HALVES = 2  # a minibatch of the whole run is one of each half of the environments


class Draws:
    """Stands in for the generators of start times, exploration noise and minibatches.

    Args:
        num_envs: of the whole run. rank, size: whose share of the draws to hand out.
    """

    def __init__(self, num_envs, rank, size):
        self.num_envs, self.rank, self.size = num_envs, rank, size
        self.starts, self.noise, self.orders = (
            torch.Generator().manual_seed(seed) for seed in (0, 1, 2)
        )

    def sample_starts(self, sampler, count):
        """For MotionSampler.sample, of the only clip: times of all envs, and of these its own."""
        shares = torch.rand(self.num_envs, generator=self.starts).chunk(self.size)[self.rank]
        return torch.zeros(count, dtype=torch.long), shares * sampler.library.durations

    def sample_noise(self, distribution, generator=None):
        """For DiagonalGaussian.sample: noise of all envs, of which each rank takes its own."""
        noise = torch.randn(self.num_envs, distribution.mean.shape[-1], generator=self.noise)
        own = noise.chunk(self.size)[self.rank]
        return torch.addcmul(distribution.mean, own, distribution.log_std.exp())

    def minibatches(self, samples, epochs, parts, generator):
        """For minibatches(): each half of the envs is shuffled and cut by itself."""
        steps, width = samples * self.size // self.num_envs, self.num_envs // HALVES
        batches = []
        for _ in range(epochs):
            halves = []
            for half in range(HALVES):
                order = torch.randperm(steps * width, generator=self.orders)
                t, env = order // width, order % width + half * width
                halves.append((t, env))
            own = halves if self.size == 1 else [halves[self.rank]]
            first = self.rank * self.num_envs // self.size
            rows = [t * self.num_envs // self.size + env - first for t, env in own]
            cuts = [each.tensor_split(parts) for each in rows]
            batches += [torch.cat(together) for together in zip(*cuts)]
        return batches


def main():
    folder, overrides = Path(sys.argv[1]), sys.argv[2:]
    ranks = find_ranks(os.environ)
    config = launch.compose(overrides)
    draws = Draws(config.num_envs, ranks.rank, ranks.size)
    DiagonalGaussian.sample = lambda *arguments: draws.sample_noise(*arguments)
    ppo.minibatches = draws.minibatches
    run = launch.build(config, folder)
    run.env.task.sampler.sample = partial(draws.sample_starts, run.env.task.sampler)
    run.env.reset_all()
    run.trainer(folder).train()
    run.group.close()


if __name__ == "__main__":
    main()
