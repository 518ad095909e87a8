"""Runs a policy without noise for a fixed number of episodes per env and says how well it did."""

from __future__ import annotations

import math
from typing import Callable, Protocol

import torch
from torch import Tensor

from mimickit.envs.env import Env
from mimickit.errors import ConfigError
from mimickit.evaluation import tracking
from mimickit.state import CharacterState, Done

Metric = Callable[[CharacterState, CharacterState], Tensor]


class DeterministicPolicy(Protocol):
    """Anything that picks its best action."""

    def act_deterministic(self, obs: dict[str, Tensor]) -> Tensor:
        """Actions [N, A] for observation groups."""
        ...


class Evaluator:
    """Deterministic episodes on envs of its own; training is not touched.

    The first K episodes of every env count, whatever they lasted, so that short episodes are not
    seen more often than long ones. Every call begins from the same seed.

    Args:
        env: its own; its task should have no pose termination.
        generator: of the env's task: reseeded at every call.
        seed: what with.
        episodes: how many to count, rounded up to a multiple of the number of envs.
    """

    def __init__(self, env: Env, generator: torch.Generator, seed: int, episodes: int) -> None:
        if episodes < 1:
            raise ConfigError(f"evaluation episodes must be at least 1, got {episodes}")
        self.env = env
        self.generator = generator
        self.seed = seed
        self.episodes_per_env = math.ceil(episodes / env.num_envs)
        velocity_error = tracking.DofVelocityError(env.engine.character, env.device)
        self._metrics: dict[str, Metric] = {}
        if "reference" in env.task.provides:
            self._metrics = {
                "position_error_m": tracking.position_error,
                "dof_velocity_error_rad_s": velocity_error,
                "dof_velocity_error_per_dof_rad_s": velocity_error.per_dof,
                "root_position_error_m": tracking.root_position_error,
                "root_rotation_error_rad": tracking.root_rotation_error,
                "body_position_error_m": tracking.body_position_error,
                "body_rotation_error_rad": tracking.body_rotation_error,
            }

    @torch.no_grad()
    def run(self, policy: DeterministicPolicy) -> dict[str, dict]:
        """Evaluate.

        Returns:
            `overall` and `clips` (by name): the errors above, each the mean over the steps of an
            episode up to its end, then over episodes; `success_rate`, the share of episodes that
            did not fail; `return`, the mean sum of rewards; `episode_length_s`; `episodes`.
        """
        env = self.env
        self.generator.manual_seed(self.seed)
        obs = env.reset_all()
        open_sums = {name: torch.zeros(env.num_envs, device=env.device) for name in self._columns}
        records: list[tuple[Tensor, Tensor, dict[str, Tensor]]] = []
        left = torch.full((env.num_envs,), self.episodes_per_env, device=env.device)
        for _ in range(self.episodes_per_env * env.max_steps):
            clips = env.task.clips.clone()
            step = env.step(policy.act_deterministic(obs))
            reference = env.task.reference
            for name, metric in self._metrics.items():
                assert reference is not None, "metrics need a task that provides one"
                open_sums[name] += metric(env.state, reference)
            open_sums["return"] += torch.stack(list(step.reward.values())).sum(0)
            ended = step.done != int(Done.NULL)
            counted = (ended & (left > 0)).nonzero().squeeze(-1)
            if len(counted) > 0:
                lengths = env.episode_steps[counted].float()
                row = {name: sums[counted].clone() for name, sums in open_sums.items()}
                for name in self._metrics:
                    row[name] /= lengths
                row["episode_length_s"] = lengths * env.dt
                row["success_rate"] = (step.done[counted] != int(Done.FAIL)).float()
                records.append((counted, clips[counted], row))
            left -= ended.long()
            for sums in open_sums.values():
                sums.masked_fill_(ended, 0.0)
            if bool((left <= 0).all()):
                break
            obs = env.reset(ended)
        return self._summary(records)

    @property
    def _columns(self) -> list[str]:
        return [*self._metrics, "return"]

    def _summary(self, records: list[tuple[Tensor, Tensor, dict[str, Tensor]]]) -> dict[str, dict]:
        clips = torch.cat([record[1] for record in records])
        columns = {
            name: torch.cat([record[2][name] for record in records]) for name in records[0][2]
        }

        def mean(rows: Tensor) -> dict[str, float]:
            figures = {name: float(column[rows].mean()) for name, column in columns.items()}
            return {**figures, "episodes": int(rows.sum())}

        names = self.env.task.clip_names
        return {
            "overall": mean(torch.ones_like(clips, dtype=torch.bool)),
            "clips": {names[c]: mean(clips == c) for c in clips.unique().tolist()},
        }
