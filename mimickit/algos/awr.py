"""Advantage-weighted regression (Peng et al. 2019), off policy: it learns from old rollouts too.

The last rollouts are kept, their states valued anew by the present critic. Legend: R rollouts kept,
T steps, N envs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.algos.actor_critic import ActorCritic, check_ranges, fit
from mimickit.algos.algo import ActorTerm
from mimickit.algos.minibatches import minibatches
from mimickit.algos.returns import normalized_advantage, td_lambda_returns
from mimickit.algos.rollout import Rollout
from mimickit.models.policy import Policy
from mimickit.models.precision import matmul_precision
from mimickit.pooling import ALONE, Pool


class AWR:
    """See `mimickit.algos.algo.Algo`.

    The actor's log densities are weighted by min(exp(advantage / temperature), max_weight). Rewards
    are kept as they were when they were earned. Until R rollouts have been seen, the first one
    stands in for those that are missing.

    Args:
        policy: what to improve.
        generator: draws the minibatches; on the policy's device.
        pool: the ranks that learn together, each from its own rollouts.
        steps: T, steps per env and iteration.
        rollouts: R; 1 is on policy, the published preset.
        discount: gamma per step. trace: lambda of TD(lambda).
        temperature: of the weights. max_weight: their bound.
        actor_epochs, critic_epochs: passes per iteration, each over T * N samples of those kept.
        actor_minibatches, critic_minibatches: parts that each pass is cut into.
        actor_optimizer, critic_optimizer, bound_weight, entropy_weight, max_grad_norm, schedule:
            see `mimickit.algos.actor_critic.ActorCritic`.

    Source: Peng et al. 2019; constants as in MimicKit f8d0d70 (mimickit/learning/awr_agent.py).
    """

    def __init__(
        self,
        policy: Policy,
        generator: torch.Generator,
        pool: Pool = ALONE,
        *,
        steps: int,
        rollouts: int,
        discount: float,
        trace: float,
        temperature: float,
        max_weight: float,
        actor_epochs: int,
        critic_epochs: int,
        actor_minibatches: int,
        critic_minibatches: int,
        actor_optimizer: Callable[..., torch.optim.Optimizer],
        critic_optimizer: Callable[..., torch.optim.Optimizer],
        bound_weight: float,
        entropy_weight: float,
        max_grad_norm: Optional[float],
        schedule: str,
    ) -> None:
        check_ranges(
            (
                ("steps", 1, steps, 1e9),
                ("rollouts", 1, rollouts, 1e6),
                ("discount", 0, discount, 1),
                ("trace", 0, trace, 1),
                ("temperature", 1e-6, temperature, 1e9),
                ("max_weight", 1e-6, max_weight, 1e9),
                ("actor_epochs", 0, actor_epochs, 1e9),
                ("critic_epochs", 0, critic_epochs, 1e9),
                ("actor_minibatches", 1, actor_minibatches, 1e9),
                ("critic_minibatches", 1, critic_minibatches, 1e9),
            )
        )
        self.policy = policy
        self.generator = generator
        self._pool = pool
        self.steps, self.rollouts = steps, rollouts
        self.discount, self.trace = discount, trace
        self.temperature, self.max_weight = temperature, max_weight
        self.actor_epochs, self.critic_epochs = actor_epochs, critic_epochs
        self.actor_minibatches, self.critic_minibatches = actor_minibatches, critic_minibatches
        self.learner = ActorCritic(
            policy,
            generator,
            actor_optimizer=actor_optimizer,
            critic_optimizer=critic_optimizer,
            bound_weight=bound_weight,
            entropy_weight=entropy_weight,
            max_grad_norm=max_grad_norm,
            schedule=schedule,
            pool=pool,
        )
        self._kept: dict[str, Tensor] = {}  # [R, ...] by name: what is learned from
        self._slot = torch.zeros(1, dtype=torch.long, device=generator.device)  # the oldest's

    @property
    def capturable(self) -> bool:
        return self.learner.capturable

    def set_progress(self, progress: float) -> None:
        self.learner.set_progress(progress)

    def update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        self._keep(rollout)
        with matmul_precision(self.policy.precision, rollout.reward.device):
            return self._update(rollout, actor_terms)

    def state_dict(self) -> dict[str, Any]:
        kept = {name: value.clone() for name, value in self._kept.items()}
        return {**self.learner.state_dict(), "kept": kept, "slot": self._slot.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)
        device = self._slot.device
        for name, value in state["kept"].items():
            if name in self._kept:  # a graph may work on it
                self._kept[name].copy_(value)
            else:
                self._kept[name] = value.to(device, copy=True)
        self._slot.copy_(state["slot"])

    def _keep(self, rollout: Rollout) -> None:
        """Put a rollout in the place of the oldest."""
        for name, value in _learned_from(rollout).items():
            if name not in self._kept:
                self._kept[name] = value.unsqueeze(0).repeat(self.rollouts, *[1] * value.dim())
            else:
                self._kept[name].index_copy_(0, self._slot, value.unsqueeze(0))
        self._slot.copy_((self._slot + 1) % self.rollouts)

    def _update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        kept = self._kept
        with torch.no_grad():
            # Rollouts side by side are so many more envs: [T, R * N, ...].
            obs, timeout_obs = (
                {
                    name: _beside(kept[f"{kind}/{name}"])
                    for name in getattr(rollout, kind)
                    if name in self.policy.normalizers
                }
                for kind in ("obs", "timeout_obs")
            )
            reward, done = _beside(kept["reward"]), _beside(kept["done"])
            inputs = self.policy.normalize(obs)
            critic_input = self.policy.critic_input(inputs)
            actor_input = self.policy.actor_input(inputs)
            values = self.policy.value(critic_input)
            timeout_input = self.policy.critic_input(self.policy.normalize(timeout_obs))
            next_value = rollout.next_values(values, self.policy.value(timeout_input), done)
            returns = td_lambda_returns(reward, next_value, done, self.discount, self.trace)
            value = values[:-1]
            advantage = normalized_advantage(returns, value, float("inf"), self._pool)
            weight = (advantage.flatten() / self.temperature).exp().clamp_max(self.max_weight)
        metrics = self.learner.learn(
            self._minibatches(rollout.samples, self.critic_epochs, self.critic_minibatches),
            critic_input[:-1].flatten(0, 1),
            returns.flatten(),
            self._minibatches(rollout.samples, self.actor_epochs, self.actor_minibatches),
            actor_input[:-1].flatten(0, 1),
            _beside(kept["action"]).flatten(0, 1),
            partial(self._surrogate, weight),
            actor_terms,
        )
        return {**metrics, **fit(returns, value, self._pool), "algo/weight": weight.mean()}

    def _surrogate(
        self, weight: Tensor, log_prob: Tensor, rows: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return -(weight.index_select(0, rows) * log_prob).mean(), {}

    def _minibatches(self, samples: int, epochs: int, parts: int) -> list[Tensor]:
        """Of as many of the samples kept as one rollout has, drawn anew for each pass."""
        orders = minibatches(self.rollouts * samples, epochs, 1, self.generator)
        return [
            rows for order in orders for rows in order[:samples].tensor_split(min(parts, samples))
        ]


def _learned_from(rollout: Rollout) -> dict[str, Tensor]:
    """What of a rollout outlives it, by name."""
    return {
        **{f"obs/{name}": value for name, value in rollout.obs.items()},
        **{f"timeout_obs/{name}": value for name, value in rollout.timeout_obs.items()},
        "action": rollout.action,
        "reward": rollout.reward,
        "done": rollout.done,
    }


def _beside(kept: Tensor) -> Tensor:
    """Rollouts [R, T, N, ...] as so many more envs, [T, R * N, ...]."""
    return kept.transpose(0, 1).flatten(1, 2)
