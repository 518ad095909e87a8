"""Proximal policy optimisation (Schulman et al. 2017), with done flags that mean what they say.

Order, losses and constants of the published preset as in MimicKit f8d0d70
(mimickit/learning/ppo_agent.py): critic first, then actor, each with passes, minibatches and an
optimiser of its own.
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


class PPO:
    """See `mimickit.algos.algo.Algo`.

    Args:
        policy: what to improve.
        generator: draws the minibatches; on the policy's device.
        pool: the ranks that learn together, each from its own rollouts.
        steps: T, steps per env and iteration.
        discount: gamma per step. trace: lambda of TD(lambda).
        clip: how far a probability ratio may move before its gain stops counting.
        advantage_clip: bound of standardised advantages.
        actor_epochs, critic_epochs: passes over the rollout per iteration.
        actor_minibatches, critic_minibatches: parts that each pass is cut into.
        actor_optimizer, critic_optimizer: torch optimisers with their options bound.
        bound_weight: pulls the action's mean back into [-1, 1].
        entropy_weight: rewards noise; only of use with a learned sigma.
        max_grad_norm: clip gradients of actor and critic, each; None leaves them.
        schedule: of both learning rates, see `Optimizer`.
    """

    def __init__(
        self,
        policy: Policy,
        generator: torch.Generator,
        pool: Pool = ALONE,
        *,
        steps: int,
        discount: float,
        trace: float,
        clip: float,
        advantage_clip: float,
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
                ("discount", 0, discount, 1),
                ("trace", 0, trace, 1),
                ("clip", 0, clip, 1e9),
                ("advantage_clip", 0, advantage_clip, 1e9),
                ("actor_epochs", 0, actor_epochs, 1e9),
                ("critic_epochs", 0, critic_epochs, 1e9),
                ("actor_minibatches", 1, actor_minibatches, 1e9),
                ("critic_minibatches", 1, critic_minibatches, 1e9),
            )
        )
        self.policy = policy
        self.generator = generator
        self._pool = pool
        self.steps = steps
        self.discount, self.trace = discount, trace
        self.clip, self.advantage_clip = clip, advantage_clip
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

    @property
    def capturable(self) -> bool:
        return self.learner.capturable

    def set_progress(self, progress: float) -> None:
        self.learner.set_progress(progress)

    def update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        with matmul_precision(self.policy.precision, rollout.reward.device):
            return self._update(rollout, actor_terms)

    def state_dict(self) -> dict[str, Any]:
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state)

    def _update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        with torch.no_grad():
            inputs = self.policy.normalize(rollout.obs)
            critic_input = self.policy.critic_input(inputs)
            actor_input = self.policy.actor_input(inputs)
            value, next_value = self._values(rollout, critic_input)
            returns = td_lambda_returns(
                rollout.reward, next_value, rollout.done, self.discount, self.trace
            )
            advantage = normalized_advantage(returns, value, self.advantage_clip, self._pool)
            advantage = advantage.flatten()
        metrics = self.learner.learn(
            self._minibatches(rollout.samples, self.critic_epochs, self.critic_minibatches),
            critic_input[:-1].flatten(0, 1),
            returns.flatten(),
            self._minibatches(rollout.samples, self.actor_epochs, self.actor_minibatches),
            actor_input[:-1].flatten(0, 1),
            rollout.action.flatten(0, 1),
            partial(self._surrogate, rollout.log_prob.flatten(), advantage),
            actor_terms,
        )
        return {**metrics, **fit(returns, value, self._pool)}

    def _values(self, rollout: Rollout, critic_input: Tensor) -> tuple[Tensor, Tensor]:
        """V of the states acted on and of those reached, [T, N] each."""
        values = self.policy.value(critic_input)
        timeout_inputs = self.policy.normalize(rollout.timeout_obs)
        timeout_values = self.policy.value(self.policy.critic_input(timeout_inputs))
        return values[:-1], rollout.next_values(values, timeout_values)

    def _surrogate(
        self, old_log_prob: Tensor, advantage: Tensor, log_prob: Tensor, rows: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        log_ratio = log_prob - old_log_prob.index_select(0, rows)
        ratio = log_ratio.exp()
        gain = advantage.index_select(0, rows)
        clipped = ratio.clamp(1.0 - self.clip, 1.0 + self.clip)
        loss = -torch.minimum(ratio * gain, clipped * gain).mean()
        with torch.no_grad():
            return loss, {
                "algo/clip_fraction": ((ratio - 1.0).abs() > self.clip).float().mean(),
                "algo/kl": (ratio - 1.0 - log_ratio).mean(),
            }

    def _minibatches(self, samples: int, epochs: int, parts: int) -> list[Tensor]:
        return minibatches(samples, epochs, parts, self.generator)
