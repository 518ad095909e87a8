"""Countdowns, one per env: for what changes now and then, at times of its own everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Clock:
    """Counts down to when something of each env changes.

    Attributes:
        buffers: all that it remembers, by name.
    """

    def __init__(
        self, num_envs: int, control_dt: float, device: torch.device, period_s: Sequence[float]
    ) -> None:
        """Start with no time left.

        Args:
            period_s: least and greatest time between two changes [s]; in any case one control step.
        """
        self._low, self._high = period_s
        self._dt = control_dt
        self._left = torch.zeros(num_envs, device=device)  # [s]
        self.buffers = {"time_left": self._left}

    def advance(self) -> Tensor:
        """One control step later: whose time is over, [N] bool."""
        self._left -= self._dt
        return self._left < 0.01 * self._dt  # hundreds of differences add up to less than this

    def wind(self, mask: Tensor, draws: Tensor) -> None:
        """Give the masked [N] a time of their own, by draws [N] in [0, 1)."""
        periods = self._low + (self._high - self._low) * draws
        self._left.copy_(torch.where(mask, periods, self._left))
