"""What happened in T steps of N envs: written by the trainer, read by methods and algorithms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mimickit.specs import GroupSpec
from mimickit.state import Step


class Rollout:
    """Buffers of one iteration, allocated once. Legend: T steps, N envs, A action components.

    Attributes:
        obs: by group [T + 1, N, size]; row t is what was acted on, the last what comes next.
        next_obs: by group [T, N, size], the state that step t reached, before any reset.
        action: [T, N, A]. log_prob: [T, N], of the action when it was drawn.
        terms: reward terms by name [T, N]; `reward`: [T, N], weighed by the method.
        done: [T, N] int64 of `Done`.
    """

    def __init__(
        self,
        steps: int,
        num_envs: int,
        groups: Mapping[str, GroupSpec],
        action_size: int,
        device: torch.device,
    ) -> None:
        self.steps = steps
        self.num_envs = num_envs
        self.obs = {
            name: torch.zeros(steps + 1, num_envs, spec.size, device=device)
            for name, spec in groups.items()
        }
        self.next_obs = {name: torch.zeros_like(buffer[1:]) for name, buffer in self.obs.items()}
        self.action = torch.zeros(steps, num_envs, action_size, device=device)
        self.log_prob = torch.zeros(steps, num_envs, device=device)
        self.terms: dict[str, Tensor] = {}
        self.reward = torch.zeros(steps, num_envs, device=device)
        self.done = torch.zeros(steps, num_envs, dtype=torch.long, device=device)

    @property
    def samples(self) -> int:
        """T * N."""
        return self.steps * self.num_envs

    def record(
        self, t: int, obs: Mapping[str, Tensor], action: Tensor, log_prob: Tensor, step: Step
    ) -> None:
        """Store step t: what was seen, done, and what came of it."""
        for name, buffer in self.obs.items():
            buffer[t] = obs[name]
            self.next_obs[name][t] = step.obs[name]
        self.action[t] = action
        self.log_prob[t] = log_prob
        self.done[t] = step.done
        for name, term in step.reward.items():
            if name not in self.terms:
                self.terms[name] = torch.zeros_like(self.reward)
            self.terms[name][t] = term

    def finish(self, obs: Mapping[str, Tensor]) -> None:
        """Store what comes after the last step, finished envs already reset."""
        for name, buffer in self.obs.items():
            buffer[self.steps] = obs[name]
