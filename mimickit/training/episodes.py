"""Statistics of training episodes, computed on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mimickit.pooling import ALONE, Pool
from mimickit.state import Done


class EpisodeStatistics:
    """Return, length and ending of episodes, which may span iterations. Legend: T steps, N envs.

    Args:
        num_envs: N, of this rank. dt: seconds per step.
        pool: the ranks whose episodes count as one lot.
    """

    def __init__(self, num_envs: int, dt: float, device: torch.device, pool: Pool = ALONE) -> None:
        self._dt = dt
        self._pool = pool
        # Of the episodes that go on, up to the last iteration's end.
        self._return = torch.zeros(num_envs, device=device)
        self._steps = torch.zeros(num_envs, device=device)

    def add(self, reward: Tensor, done: Tensor) -> dict[str, Tensor]:
        """Fold in one iteration.

        Args:
            reward: [T, N], as the algorithm sees it. done: [T, N].

        Returns:
            Scalars to log: means over the episodes that ended in it, NaN if none did.
        """
        ended = done != int(Done.NULL)
        # Every step up to an env's last ending belongs to an episode that is complete, so the
        # complete episodes' sum needs no split into episodes.
        complete = ended.flip(0).cumsum(0).flip(0) > 0  # [T, N]
        has_ended = complete[0]  # [N]
        episodes = ended.sum()
        sums = []
        for carried, new in ((self._return, reward), (self._steps, torch.ones_like(reward))):
            before = carried.masked_fill(~has_ended, 0.0)
            within = new.masked_fill(~complete, 0.0)
            sums.append((before + within.sum(0)).sum(dtype=torch.float64))
            carried.masked_fill_(has_ended, 0.0).add_(new.masked_fill(complete, 0.0).sum(0))
        failures = (done == int(Done.FAIL)).sum()
        if self._pool.ranks > 1:
            counts = torch.stack([failures, episodes]).double()
            *sums, failures, episodes = self._pool.sum(torch.cat([torch.stack(sums), counts]))
        return {
            "train/return": sums[0] / episodes,
            "train/episode_length_s": sums[1] / episodes * self._dt,
            "train/fail_rate": failures / episodes,
        }

    def state_dict(self) -> dict[str, Any]:
        """Unfinished episodes."""
        return {"return": self._return.clone(), "steps": self._steps.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._return.copy_(state["return"])
        self._steps.copy_(state["steps"])
