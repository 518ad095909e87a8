"""Draws clips and start times for resets."""

from __future__ import annotations

import torch
from torch import Tensor

from mimickit.motions.library import MotionLibrary


class MotionSampler:
    """Clips by weight, times uniform over the clip, from a generator of its own.

    Args:
        random_start: draw the time from [0, duration); otherwise every episode starts at 0.
        generator: on the library's device; its state belongs to whoever checkpoints it.
    """

    def __init__(
        self, library: MotionLibrary, generator: torch.Generator, random_start: bool = True
    ) -> None:
        self.library = library
        self.generator = generator
        self.random_start = random_start
        self._cumulative = library.weights.cumsum(0)

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """Clip indices [count] int64 and times [count] s.

        Always draws the same amount from the generator for the same count, whatever it returns.
        """
        draws = torch.rand(2, count, generator=self.generator, device=self._cumulative.device)
        clips = torch.searchsorted(self._cumulative, draws[0], right=True)
        clips = clips.clamp_max(len(self._cumulative) - 1)  # sums of floats may end short of 1
        times = draws[1] * self.library.durations[clips]
        return clips, times if self.random_start else torch.zeros_like(times)
