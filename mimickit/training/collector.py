"""Lets a policy act and records what comes of it, without waiting for a CUDA device once."""

from __future__ import annotations

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
        self._obs = {  # what is acted on next
            name: torch.zeros(env.num_envs, spec.size, device=env.device)
            for name, spec in env.groups.items()
        }
        self._step = Graphed(self._captured_step, env.device, [noise, env.generator])

    @torch.no_grad()
    def collect(self) -> None:
        """T steps of all envs."""
        if self._on_cuda:
            self._t.zero_()
            self._hold()
            for _ in range(self.rollout.steps):
                self._step()
            self.rollout.finish(self._obs)
        else:
            obs = self.env.observe()
            for t in range(self.rollout.steps):
                obs = self._cheapest_step(t, obs)
            self.rollout.finish(obs)

    def _cheapest_step(self, t: int, obs: dict[str, Tensor]) -> dict[str, Tensor]:
        """One control step under what was seen, and only what it needs; what is seen next."""
        action, log_prob = self.policy.act(obs, self.noise)
        step = self.env.step(action)
        ended = step.done != int(Done.NULL)
        some_ended = bool(ended.any())
        cut = some_ended and bool((step.done == int(Done.TIME)).any())
        reached = self.env.observe() if cut else None
        self.rollout.record(t, obs, action, log_prob, step, reached)
        if some_ended:
            self.env.reset(ended)
        return self.env.observe()

    def _captured_step(self) -> None:
        """The same, but all of it whatever comes of the step: a graph cannot depend on data."""
        action, log_prob = self.policy.act(self._obs, self.noise)
        step = self.env.step(action)
        reached = self.env.observe()
        self.rollout.record(self._t, self._obs, action, log_prob, step, reached)
        self.env.reset(step.done != int(Done.NULL))
        self._hold()
        self._t += 1

    def _hold(self) -> None:
        """Keep what is seen now where the graph looks for it."""
        for name, value in self.env.observe().items():
            self._obs[name].copy_(value)
