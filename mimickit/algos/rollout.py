"""What happened in T steps of N envs: written by the trainer, read by methods and algorithms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional, Union

import torch
from torch import Tensor

from mimickit.specs import GroupSpec
from mimickit.state import Done, Step


class Rollout:
    """Buffers of one iteration, allocated once. Legend: T steps, N envs, A action components.

    Where an episode goes on, `obs[t + 1]` is the state that step t reached; after its end it is the
    next episode's first. Learners need the state reached only where the clock cut an episode, and
    between two such cuts of one env lie at least `max_steps` steps. So each stretch of that many
    steps keeps one observation per env: usually one stretch holds the whole rollout.

    Args:
        max_steps: no env is cut by the clock twice within so many steps, e.g. `Env.max_steps`. The
            default holds for every env and keeps the most.

    Attributes:
        obs: by group [T + 1, N, size]; row t is what was acted on, the last what comes next.
        timeout_obs: by group [stretches, N, size]; the state that a step of the stretch reached
            where its `done` is `Done.TIME`, before any reset; of other envs, anything finite.
        action: [T, N, A]. log_prob: [T, N], of the action when it was drawn.
        terms: reward terms by name [T, N]; `reward`: [T, N], weighed by the method.
        signals: what methods look at, by name [T, N, size], of the state that each step reached.
        done: [T, N] int64 of `Done`.
    """

    def __init__(
        self,
        steps: int,
        num_envs: int,
        groups: Mapping[str, GroupSpec],
        action_size: int,
        device: torch.device,
        max_steps: int = 1,
    ) -> None:
        self.steps = steps
        self.num_envs = num_envs
        self._max_steps = max_steps
        self._stretches = -(-steps // max_steps)
        self._stretch_of = torch.arange(steps, device=device) // max_steps  # [T]
        self.obs = {
            name: torch.zeros(steps + 1, num_envs, spec.size, device=device)
            for name, spec in groups.items()
        }
        self.timeout_obs = {
            name: torch.zeros(self._stretches, num_envs, spec.size, device=device)
            for name, spec in groups.items()
        }
        self.action = torch.zeros(steps, num_envs, action_size, device=device)
        self.log_prob = torch.zeros(steps, num_envs, device=device)
        self.terms: dict[str, Tensor] = {}
        self.signals: dict[str, Tensor] = {}
        self.reward = torch.zeros(steps, num_envs, device=device)
        self.done = torch.zeros(steps, num_envs, dtype=torch.long, device=device)

    @property
    def samples(self) -> int:
        """T * N."""
        return self.steps * self.num_envs

    def record(
        self,
        t: Union[int, Tensor],
        obs: Mapping[str, Tensor],
        action: Tensor,
        log_prob: Tensor,
        step: Step,
        reached: Optional[Mapping[str, Tensor]],
    ) -> None:
        """Store step t: what was seen, done, and what came of it.

        Args:
            t: the step; within a graph that is replayed for every step, a tensor [1] int64 of it.
            reached: what is seen of the state that the step reached, by group [N, size]; may be
                None where the clock cut no episode, as nothing of it is kept then.
        """
        for name, buffer in self.obs.items():
            _write(buffer, t, obs[name])
        if reached is not None:
            timed_out = (step.done == int(Done.TIME)).unsqueeze(-1)
            stretch = t // self._max_steps if self._stretches > 1 else 0
            for name, buffer in self.timeout_obs.items():
                _write_where(buffer, stretch, timed_out, reached[name])
        _write(self.action, t, action)
        _write(self.log_prob, t, log_prob)
        _write(self.done, t, step.done)
        for kept, found in ((self.terms, step.reward), (self.signals, step.signals)):
            for name, value in found.items():
                if name not in kept:
                    kept[name] = torch.zeros(self.steps, *value.shape, device=value.device)
                _write(kept[name], t, value)

    def finish(self, obs: Mapping[str, Tensor]) -> None:
        """Store what comes after the last step, finished envs already reset."""
        for name, buffer in self.obs.items():
            buffer[self.steps] = obs[name]

    def next_values(
        self, values: Tensor, timeout_values: Tensor, done: Optional[Tensor] = None
    ) -> Tensor:
        """Of the state that each step reached, [T, N]; where an episode failed or succeeded, any.

        Args:
            values: of `obs`, [T + 1, N].
            timeout_values: of `timeout_obs`, [stretches, N].
            done: [T, N], of other rollouts of this shape; this one's if None.
        """
        timed_out = (self.done if done is None else done) == int(Done.TIME)
        return torch.where(timed_out, timeout_values[self._stretch_of], values[1:])


def _write(buffer: Tensor, row: Union[int, Tensor], value: Tensor) -> None:
    if isinstance(row, int):
        buffer[row] = value
    else:
        buffer.index_copy_(0, row, value.unsqueeze(0))


def _write_where(buffer: Tensor, row: Union[int, Tensor], mask: Tensor, value: Tensor) -> None:
    if isinstance(row, int):
        torch.where(mask, value, buffer[row], out=buffer[row])
    else:
        kept = buffer.index_select(0, row)
        buffer.index_copy_(0, row, torch.where(mask, value, kept))
