"""Lets a policy act and records what comes of it, without waiting for a CUDA device once."""

from __future__ import annotations

from typing import Union

import torch
from torch import Tensor

from mimickit.algos.rollout import Rollout
from mimickit.envs.env import Env
from mimickit.graphs import Graphed
from mimickit.models.policy import Policy
from mimickit.state import Done


class Collector:
    """Fills a rollout; on CUDA every control step, resets included, is one replayed graph.

    Args:
        env, policy: who acts where.
        rollout: what to fill, again and again.
        noise: generator of the exploration noise.
    """

    def __init__(self, env: Env, policy: Policy, rollout: Rollout, noise: torch.Generator) -> None:
        self.env = env
        self.policy = policy
        self.rollout = rollout
        self.noise = noise
        self._on_cuda = env.device.type == "cuda"
        self._t = torch.zeros(1, dtype=torch.long, device=env.device)
        self._obs = {name: obs.clone() for name, obs in env.obs.items()}  # what is acted on next
        self._step = Graphed(self._captured_step, env.device, [noise, env.generator])

    @torch.no_grad()
    def collect(self) -> None:
        """T steps of all envs."""
        if self._on_cuda:
            self._t.zero_()
            self._hold(self.env.obs)
            for _ in range(self.rollout.steps):
                self._step()
            self.rollout.finish(self._obs)
        else:
            for t in range(self.rollout.steps):
                ended = self._act(t, self.env.obs)
                if bool(ended.any()):
                    self.env.reset(ended)
            self.rollout.finish(self.env.obs)

    def _captured_step(self) -> None:
        ended = self._act(self._t, self._obs)
        self._hold(self.env.reset(ended))
        self._t += 1

    def _act(self, t: Union[int, Tensor], obs: dict[str, Tensor]) -> Tensor:
        """One control step; which envs [N] ended."""
        action, log_prob = self.policy.act(obs, self.noise)
        step = self.env.step(action)
        self.rollout.record(t, obs, action, log_prob, step)
        return step.done != int(Done.NULL)

    def _hold(self, obs: dict[str, Tensor]) -> None:
        for name, value in obs.items():
            self._obs[name].copy_(value)
