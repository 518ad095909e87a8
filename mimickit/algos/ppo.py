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

from mimickit.algos.algo import ActorTerm
from mimickit.algos.minibatches import minibatches
from mimickit.algos.optimizer import Optimizer
from mimickit.algos.returns import normalized_advantage, td_lambda_returns
from mimickit.algos.rollout import Rollout
from mimickit.algos.side_by_side import side_by_side
from mimickit.errors import ConfigError
from mimickit.generators import restore
from mimickit.models.policy import Policy
from mimickit.models.precision import matmul_precision


class PPO:
    """See `mimickit.algos.algo.Algo`.

    Args:
        policy: what to improve.
        generator: draws the minibatches; on the policy's device.
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
        for key, low, value, high in (
            ("steps", 1, steps, 1e9),
            ("discount", 0, discount, 1),
            ("trace", 0, trace, 1),
            ("clip", 0, clip, 1e9),
            ("advantage_clip", 0, advantage_clip, 1e9),
            ("actor_epochs", 0, actor_epochs, 1e9),
            ("critic_epochs", 0, critic_epochs, 1e9),
            ("actor_minibatches", 1, actor_minibatches, 1e9),
            ("critic_minibatches", 1, critic_minibatches, 1e9),
        ):
            if not low <= value <= high:
                raise ConfigError(f"algo.{key} must be in [{low}, {high:g}], got {value}")
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ConfigError(f"algo.max_grad_norm must be > 0 or null, got {max_grad_norm}")
        self.policy = policy
        self.generator = generator
        self.steps = steps
        self.discount, self.trace = discount, trace
        self.clip, self.advantage_clip = clip, advantage_clip
        self.actor_epochs, self.critic_epochs = actor_epochs, critic_epochs
        self.actor_minibatches, self.critic_minibatches = actor_minibatches, critic_minibatches
        self.bound_weight, self.entropy_weight = bound_weight, entropy_weight
        actor_parameters = [*policy.actor.parameters(), *_noise_parameters(policy)]
        self.actor_optimizer = Optimizer(actor_parameters, actor_optimizer, max_grad_norm, schedule)
        self.critic_optimizer = Optimizer(
            policy.critic.parameters(), critic_optimizer, max_grad_norm, schedule
        )

    @property
    def capturable(self) -> bool:
        return self.actor_optimizer.capturable and self.critic_optimizer.capturable

    def set_progress(self, progress: float) -> None:
        self.actor_optimizer.set_progress(progress)
        self.critic_optimizer.set_progress(progress)

    def update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        with matmul_precision(self.policy.precision, rollout.reward.device):
            return self._update(rollout, actor_terms)

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        restore(self.generator, state["generator"], "the minibatches")

    def _update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        with torch.no_grad():
            inputs = self.policy.normalize(rollout.obs)
            critic_input = self.policy.critic_input(inputs)
            actor_input = self.policy.actor_input(inputs)
            value, next_value = self._values(rollout, critic_input)
            returns = td_lambda_returns(
                rollout.reward, next_value, rollout.done, self.discount, self.trace
            )
            advantage = normalized_advantage(returns, value, self.advantage_clip)
        jobs = [
            partial(
                self._update_critic,
                self._minibatches(rollout.samples, self.critic_epochs, self.critic_minibatches),
                critic_input[:-1].flatten(0, 1),
                returns.flatten(),
            ),
            partial(
                self._update_actor,
                self._minibatches(rollout.samples, self.actor_epochs, self.actor_minibatches),
                actor_input[:-1].flatten(0, 1),
                rollout.action.flatten(0, 1),
                rollout.log_prob.flatten(),
                advantage.flatten(),
                actor_terms,
            ),
        ]
        metrics: dict[str, Tensor] = {}
        for found in side_by_side(jobs, returns.device):
            metrics.update(found)
        unexplained = (returns - value).var() / returns.var().clamp_min(1e-8)
        metrics["algo/explained_variance"] = 1.0 - unexplained
        metrics["algo/value"] = value.mean()
        metrics["algo/lr"] = self.actor_optimizer.lr
        return metrics

    def _values(self, rollout: Rollout, critic_input: Tensor) -> tuple[Tensor, Tensor]:
        """V of the states acted on and of those reached, [T, N] each."""
        values = self.policy.value(critic_input)
        timeout_inputs = self.policy.normalize(rollout.timeout_obs)
        timeout_values = self.policy.value(self.policy.critic_input(timeout_inputs))
        return values[:-1], rollout.next_values(values, timeout_values)

    def _update_critic(
        self, batches: Sequence[Tensor], inputs: Tensor, returns: Tensor
    ) -> dict[str, Tensor]:
        losses = []
        for rows in batches:
            value = self.policy.value(inputs.index_select(0, rows))
            loss = (value - returns.index_select(0, rows)).square().mean()
            self.critic_optimizer.step(loss)
            losses.append(loss.detach())
        return {"algo/critic_loss": _mean(losses)} if losses else {}

    def _update_actor(
        self,
        batches: Sequence[Tensor],
        inputs: Tensor,
        action: Tensor,
        old_log_prob: Tensor,
        advantage: Tensor,
        actor_terms: Sequence[ActorTerm],
    ) -> dict[str, Tensor]:
        logs: dict[str, list[Tensor]] = {}
        for rows in batches:
            batch = inputs.index_select(0, rows)
            distribution = self.policy.distribution(batch)
            log_ratio = distribution.log_prob(
                action.index_select(0, rows)
            ) - old_log_prob.index_select(0, rows)
            ratio = log_ratio.exp()
            gain = advantage.index_select(0, rows)
            clipped = ratio.clamp(1.0 - self.clip, 1.0 + self.clip)
            surrogate = -torch.minimum(ratio * gain, clipped * gain).mean()
            bound = bound_loss(distribution.mean)
            loss = surrogate + self.bound_weight * bound
            if self.entropy_weight != 0.0:
                loss = loss - self.entropy_weight * distribution.entropy().mean()
            for term in actor_terms:
                loss = loss + term(batch, distribution)
            self.actor_optimizer.step(loss)
            with torch.no_grad():
                for name, value in (
                    ("algo/actor_loss", surrogate),
                    ("algo/bound_loss", bound),
                    ("algo/clip_fraction", ((ratio - 1.0).abs() > self.clip).float().mean()),
                    ("algo/kl", (ratio - 1.0 - log_ratio).mean()),
                ):
                    logs.setdefault(name, []).append(value.detach())
        metrics = {name: _mean(values) for name, values in logs.items()}
        metrics["algo/sigma"] = self.policy.log_std.detach().exp().mean()
        return metrics

    def _minibatches(self, samples: int, epochs: int, parts: int) -> list[Tensor]:
        return minibatches(samples, epochs, parts, self.generator)


def bound_loss(mean: Tensor) -> Tensor:
    """How far action means [N, A] lie outside [-1, 1], squared and summed over A, a scalar."""
    return (mean.abs() - 1.0).clamp_min(0.0).square().sum(-1).mean()


def _noise_parameters(policy: Policy) -> list[torch.nn.Parameter]:
    return [p for name, p in policy.named_parameters() if name == "log_std"]


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
