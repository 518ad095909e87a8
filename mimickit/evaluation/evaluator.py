"""Runs a policy without noise for a fixed number of episodes per env and says how well it did."""

from __future__ import annotations

import math
from typing import Callable, Dict, Optional, Protocol

import torch
from torch import Tensor

from mimickit.envs.env import Env
from mimickit.errors import ConfigError
from mimickit.evaluation import tracking
from mimickit.graphs import Graphed
from mimickit.state import CharacterState, Done

Metric = Callable[[CharacterState, CharacterState], Tensor]
Results = Dict[str, dict]  # see `Evaluator.results`

# Control steps between two questions of the host to a CUDA device whether all is over: each one
# waits for the device, and steps too many are cheap.
ASK_EVERY = 32


class DeterministicPolicy(Protocol):
    """Anything that picks its best action."""

    def act_deterministic(self, obs: dict[str, Tensor]) -> Tensor:
        """Actions [N, A] for observation groups."""
        ...


class Evaluator:
    """Deterministic episodes on envs of its own; training is not touched.

    The first K episodes of every env count, whatever they lasted, so that short episodes are not
    seen more often than long ones. Every evaluation begins from the same seed. On CUDA a control
    step with all that is recorded of it is one replayed graph.

    `run` does all of an evaluation. Whoever has other work beside it calls `begin`, then `advance`
    until `over` or `max_steps` times, then `results`.

    Args:
        env: its own; its task should have no pose termination.
        generator: of the env's task: reseeded for every evaluation.
        seed: what with.
        episodes: how many to count, rounded up to a multiple of the number of envs.

    Attributes:
        max_steps: control steps after which all counted episodes are over for certain.
    """

    # Legend: N envs, K counted episodes of each, C columns: a figure of an episode each.

    def __init__(self, env: Env, generator: torch.Generator, seed: int, episodes: int) -> None:
        if episodes < 1:
            raise ConfigError(f"evaluation episodes must be at least 1, got {episodes}")
        self.env = env
        self.generator = generator
        self.seed = seed
        self.episodes_per_env = math.ceil(episodes / env.num_envs)
        self.max_steps = self.episodes_per_env * env.max_steps
        self._metrics = _tracking_metrics(env)
        means = [*self._metrics, *env.task.figures(env.state)]  # over the steps of an episode
        self._columns = [*means, "return", "episode_length_s", "success_rate"]

        rounds, num, device = self.episodes_per_env, env.num_envs, env.device
        self._policy: Optional[DeterministicPolicy] = None
        self._obs = {name: obs.clone() for name, obs in env.observe().items()}  # acted on next
        self._sums = torch.zeros(num, len(means) + 1, device=device)  # of open episodes
        self._ended = torch.zeros(num, dtype=torch.long, device=device)  # [N] episodes so far
        self._round = torch.arange(rounds, device=device).unsqueeze(-1)  # [K, 1]
        self._rows = torch.zeros(rounds, num, len(self._columns), device=device)
        self._clips = torch.zeros(rounds, num, dtype=torch.long, device=device)
        self._step = Graphed(self._step_once, device, [generator])

    def run(self, policy: DeterministicPolicy) -> Results:
        """Evaluate; see `results`."""
        ask_every = ASK_EVERY if self.env.device.type == "cuda" else 1
        self.begin(policy)
        for step in range(1, self.max_steps + 1):
            self.advance()
            if step % ask_every == 0 and bool(self.over):
                break
        return self.results()

    @torch.no_grad()
    def begin(self, policy: DeterministicPolicy) -> None:
        """Start anew; a policy other than the last one costs a capture on CUDA."""
        if policy is not self._policy:
            self._policy = policy
            self._step.recapture()  # a graph reads the weights where they were
        self.generator.manual_seed(self.seed)
        self.env.reset_all()
        self._hold()
        self._sums.zero_()
        self._ended.zero_()

    @torch.no_grad()
    def advance(self) -> None:
        """One control step of all envs, without waiting for the device."""
        self._step()

    @property
    def over(self) -> Tensor:
        """Whether all episodes that count are over, [] bool on the device."""
        return (self._ended >= self.episodes_per_env).all()

    def results(self) -> Results:
        """What came of an evaluation that is over.

        Returns:
            `overall` and `clips` (by name): the tracking errors and the task's figures, each the
            mean over the steps of an episode up to its end, then over episodes; `success_rate`,
            the share of episodes that did not fail; `return`, the mean sum of rewards;
            `episode_length_s`; `episodes`.
        """
        assert bool(self.over), "episodes that count have not ended"
        clips = self._clips.flatten().cpu()
        rows = self._rows.flatten(0, 1).cpu().double()  # sums in an order of no consequence

        def mean(chosen: Tensor) -> dict[str, float]:
            figures = dict(zip(self._columns, rows[chosen].mean(0).tolist()))
            return {**figures, "episodes": int(chosen.sum())}

        names = self.env.task.clip_names
        return {
            "overall": mean(torch.ones_like(clips, dtype=torch.bool)),
            "clips": {names[c]: mean(clips == c) for c in clips.unique().tolist()},
        }

    def _step_once(self) -> None:
        env = self.env
        assert self._policy is not None, "advance() comes after begin()"
        step = env.step(self._policy.act_deterministic(self._obs))
        ended = step.done != int(Done.NULL)
        figures = env.task.figures(env.state).values()
        self._sums += torch.stack([*self._errors(), *figures, _total(step.reward)], dim=-1)
        self._record(ended, step.done != int(Done.FAIL))
        env.reset(ended)
        self._hold()

    def _errors(self) -> list[Tensor]:
        """The tracking errors of the state that was reached, [N] each."""
        reference = self.env.task.reference
        if reference is None:
            assert not self._metrics, "metrics need a task that provides a reference"
            return []
        return [metric(self.env.state, reference) for metric in self._metrics.values()]

    def _record(self, ended: Tensor, succeeded: Tensor) -> None:
        """Store the episodes that ended, [N], unless their envs had K before."""
        steps = self.env.episode_steps.float()
        means, returns = self._sums[:, :-1] / steps.unsqueeze(-1), self._sums[:, -1]
        others = torch.stack([returns, steps * self.env.dt, succeeded.float()], dim=-1)
        row = torch.cat([means, others], dim=-1)  # [N, C]
        here = ended & (self._round == self._ended)  # [K, N]
        self._rows.copy_(torch.where(here.unsqueeze(-1), row, self._rows))
        self._clips.copy_(torch.where(here, self.env.task.clips, self._clips))
        self._ended += ended
        self._sums.masked_fill_(ended.unsqueeze(-1), 0.0)

    def _hold(self) -> None:
        """Keep what is seen now where graphs look for it."""
        for name, value in self.env.observe().items():
            self._obs[name].copy_(value)


def _tracking_metrics(env: Env) -> dict[str, Metric]:
    """Errors against the task's reference by name; none if it has none, or leads elsewhere."""
    if "reference" not in env.task.provides or not env.task.tracked:
        return {}
    velocity_error = tracking.DofVelocityError(env.engine.character, env.device)
    return {
        "position_error_m": tracking.position_error,
        "dof_velocity_error_rad_s": velocity_error,
        "dof_velocity_error_per_dof_rad_s": velocity_error.per_dof,
        "root_position_error_m": tracking.root_position_error,
        "root_rotation_error_rad": tracking.root_rotation_error,
        "body_position_error_m": tracking.body_position_error,
        "body_rotation_error_rad": tracking.body_rotation_error,
    }


def _total(rewards: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(rewards.values())).sum(0)
