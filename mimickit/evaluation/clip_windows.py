"""The clips as windows of motion on one scale: what a policy's motion is compared with.

Legend: N envs, M samples, R windows of the clips, D features of a window, C clips, P directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from mimickit.envs.env import Env
from mimickit.envs.signals import Window
from mimickit.methods.sliced import random_directions
from mimickit.motions.library import MotionLibrary
from mimickit.motions.sampler import MotionSampler

MOTION = "motion"  # the signal that motions are compared by, whatever the method looks at
FRAMES = 10  # of a window, one control step apart: a third of a second at 30 Hz
SIGNALS = {MOTION: partial(Window, frames=FRAMES, global_frame=False)}
SCALE_SAMPLES = 16_384  # windows from which the features' scales are taken
# Least standard deviation of a feature: metres, metres per second, radians per second, components
# of a rotation. What hardly moves in the clips would otherwise weigh most where it moves at all.
LEAST_SCALE = 0.05
MOST_ROWS = 32_768  # windows of the clips to look among; of more, every second, third, ...
CHUNK = 4_096  # windows that are made at a time


class ClipWindows:
    """All windows of the clips, in units of each feature's standard deviation over the clips.

    No network has a say in it, so that figures of different runs on the same clips compare.

    Args:
        env: of the clips; observes the signals in `SIGNALS`.
        seed: of the samples that scales are taken from.

    Attributes:
        names: the C clips. originals, original_of: see `MotionLibrary`.
        weights: [C] how often each is drawn, summing to 1.
    """

    def __init__(self, env: Env, seed: int) -> None:
        window, library, device = env.signals[MOTION], env.task.library, env.device
        assert isinstance(window, Window), "the signal in SIGNALS"
        self._window = window
        self._generator = torch.Generator(device).manual_seed(seed)
        self._sampler = MotionSampler(library, self._generator)
        self.names, self.weights = library.names, library.weights
        self.originals, self.original_of = library.originals, library.original_of
        self._directions = random_directions(window.size, device)

        samples = torch.cat(list(self._draw(SCALE_SAMPLES)))
        self._mean = samples.mean(0)
        self._scale = samples.std(0).clamp_min(LEAST_SCALE)
        clips, times = _every_instant(library, window)
        parts = zip(clips.split(CHUNK), times.split(CHUNK))
        self._rows = torch.cat([self.standardized(window.demonstrations(*p)) for p in parts])
        self._squares = self._rows.square().sum(-1)  # [R]
        self._clip_of = clips

    def standardized(self, windows: Tensor) -> Tensor:
        """Windows [..., D] in units of each feature's standard deviation."""
        return (windows - self._mean) / self._scale

    def nearest(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """The clips that standardised windows [M, D] are nearest to.

        Returns:
            Their indices [M], and the root mean square over features of what is between [M].
        """
        products = torch.addmm(self._squares, windows, self._rows.T, alpha=-2.0)  # [M, R]
        least, row = products.min(-1)
        square = (least + windows.square().sum(-1)).clamp_min(0.0)
        return self._clip_of[row], (square / windows.shape[-1]).sqrt()

    def shadows(self, windows: Tensor) -> Tensor:
        """Standardised windows [..., D] along the directions, [..., P]."""
        return windows @ self._directions

    def sampled_shadows(self, count: int) -> Tensor:
        """Those of windows drawn by the clips' weights, [count, P]; other ones at every call."""
        return torch.cat([self.shadows(self.standardized(part)) for part in self._draw(count)])

    def _draw(self, count: int) -> Iterator[Tensor]:
        """Windows drawn by the clips' weights, `count` in all."""
        for first in range(0, count, CHUNK):
            size = min(CHUNK, count - first)
            yield self._window.demonstrations(*self._sampler.sample(size, lead=self._window.span))


def _every_instant(library: MotionLibrary, window: Window) -> tuple[Tensor, Tensor]:
    """Clips [R] and times [R] s, one control step apart, at which whole windows end."""
    dt = window.span / (FRAMES - 1)
    durations, loops = library.durations.tolist(), library.loops.tolist()
    firsts = [0.0 if loop else min(window.span, end) for end, loop in zip(durations, loops)]
    steps = [int((end - first) / dt) + 1 for first, end in zip(firsts, durations)]
    stride = -(-sum(steps) // MOST_ROWS)
    clips, times = [], []
    for clip, (first, count) in enumerate(zip(firsts, steps)):
        own = first + dt * torch.arange(0, count, stride)
        times.append(own)
        clips.append(torch.full((len(own),), clip))
    device = library.durations.device
    return torch.cat(clips).to(device), torch.cat(times).to(device)
