"""Statistics of training episodes, kept on the device until they are logged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mimickit.state import Done

_SUMS = ("return", "steps", "fail", "succ", "time")


class EpisodeStatistics:
    """Return, length and ending of the episodes that finished since the last `flush`."""

    def __init__(self, num_envs: int, dt: float, device: torch.device) -> None:
        self._dt = dt
        self._return = torch.zeros(num_envs, device=device)
        self._steps = torch.zeros(num_envs, device=device)
        self._sums = torch.zeros(len(_SUMS), dtype=torch.float64, device=device)

    def add(self, reward: Tensor, done: Tensor) -> None:
        """Fold in one iteration: reward [T, N] as the algorithm sees it, done [T, N]."""
        for step_reward, step_done in zip(reward, done):
            self._return += step_reward
            self._steps += 1
            ended = step_done != int(Done.NULL)
            self._sums += torch.stack(
                [
                    (self._return * ended).sum(),
                    (self._steps * ended).sum(),
                    *((step_done == int(flag)).sum() for flag in (Done.FAIL, Done.SUCC, Done.TIME)),
                ]
            )
            self._return.masked_fill_(ended, 0.0)
            self._steps.masked_fill_(ended, 0.0)

    def flush(self) -> dict[str, float]:
        """Means over the finished episodes, NaN if there were none; starts over."""
        sums = dict(zip(_SUMS, self._sums.tolist()))
        self._sums.zero_()
        episodes = sums["fail"] + sums["succ"] + sums["time"]
        if episodes == 0:
            nan = float("nan")
            return {"train/return": nan, "train/episode_length_s": nan, "train/fail_rate": nan}
        return {
            "train/return": sums["return"] / episodes,
            "train/episode_length_s": sums["steps"] / episodes * self._dt,
            "train/fail_rate": sums["fail"] / episodes,
        }

    def state_dict(self) -> dict[str, Any]:
        """Unfinished episodes and unlogged sums."""
        return {
            "return": self._return.clone(),
            "steps": self._steps.clone(),
            "sums": self._sums.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._return.copy_(state["return"])
        self._steps.copy_(state["steps"])
        self._sums.copy_(state["sums"])
