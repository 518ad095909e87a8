"""What algorithms with an actor and a critic share: passes over samples, optimisers, schedules.

Legend: M samples, A action components.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Callable, Dict, Generator, List, Optional, Tuple

import torch
from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.algos.optimizer import Optimizer
from mimickit.algos.side_by_side import side_by_side
from mimickit.errors import ConfigError
from mimickit.generators import restore
from mimickit.models.distributions import DiagonalGaussian
from mimickit.models.policy import Policy
from mimickit.pooling import ALONE, Pool, pooled_var

# (log density [m] of the minibatch's actions, its rows [m] int64) -> what to minimise, and logs.
Surrogate = Callable[[Tensor, Tensor], Tuple[Tensor, Dict[str, Tensor]]]
Metrics = Dict[str, Tensor]


class ActorCritic:
    """Lets a policy's actor and critic learn from samples, side by side.

    Args:
        policy: what to improve. generator: draws the minibatches; on the policy's device.
        actor_optimizer, critic_optimizer: torch optimisers with their options bound.
        bound_weight: pulls the action's mean back into [-1, 1].
        entropy_weight: rewards noise; only of use with a learned sigma.
        max_grad_norm: clip gradients of actor and critic, each; None leaves them.
        schedule: of both learning rates, see `Optimizer`.
        pool: the ranks that learn together.
    """

    def __init__(
        self,
        policy: Policy,
        generator: torch.Generator,
        *,
        actor_optimizer: Callable[..., torch.optim.Optimizer],
        critic_optimizer: Callable[..., torch.optim.Optimizer],
        bound_weight: float,
        entropy_weight: float,
        max_grad_norm: Optional[float],
        schedule: str,
        pool: Pool = ALONE,
    ) -> None:
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ConfigError(f"algo.max_grad_norm must be > 0 or null, got {max_grad_norm}")
        self.policy = policy
        self.generator = generator
        self._pool = pool
        self.bound_weight, self.entropy_weight = bound_weight, entropy_weight
        actor_parameters = [*policy.actor.parameters(), *_noise_parameters(policy)]
        self.actor_optimizer, self.critic_optimizer = (
            Optimizer(parameters, optimizer, max_grad_norm, schedule, pool=pool)
            for parameters, optimizer in (
                (actor_parameters, actor_optimizer),
                (policy.critic.parameters(), critic_optimizer),
            )
        )

    @property
    def capturable(self) -> bool:
        """Whether `learn` may be captured and replayed as a CUDA graph."""
        return self.actor_optimizer.capturable and self.critic_optimizer.capturable

    def set_progress(self, progress: float) -> None:
        """Set the learning rates for a run that is `progress` in [0, 1] done."""
        self.actor_optimizer.set_progress(progress)
        self.critic_optimizer.set_progress(progress)

    def learn(
        self,
        critic_batches: Sequence[Tensor],
        critic_input: Tensor,
        returns: Tensor,
        actor_batches: Sequence[Tensor],
        actor_input: Tensor,
        action: Tensor,
        surrogate: Surrogate,
        actor_terms: Sequence[ActorTerm],
    ) -> dict[str, Tensor]:
        """Steps of both, minibatch by minibatch; means over these to log.

        Args:
            critic_batches, actor_batches: rows of the samples, int64.
            critic_input, actor_input: [M, ...], normalised. returns: [M]. action: [M, A].
            surrogate: the algorithm's own loss of the actor.
            actor_terms: further losses of the actor.
        """
        jobs = [
            partial(self._update_critic, critic_batches, critic_input, returns),
            partial(self._update_actor, actor_batches, actor_input, action, surrogate, actor_terms),
        ]
        metrics: Metrics = {}
        for found in side_by_side(jobs, returns.device, in_turn=self._pool.ranks > 1):
            metrics.update(found)
        metrics["algo/lr"] = self.actor_optimizer.lr
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """Moments of both optimisers and the state of the generator."""
        return {
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        restore(self.generator, state["generator"], "the minibatches")

    def _update_critic(
        self, batches: Sequence[Tensor], inputs: Tensor, returns: Tensor
    ) -> Generator[None, None, Metrics]:
        losses = []
        for rows in batches:
            value = self.policy.value(inputs.index_select(0, rows))
            loss = (value - returns.index_select(0, rows)).square().mean()
            self.critic_optimizer.step(loss)
            losses.append(loss.detach())
            yield
        return {"algo/critic_loss": _mean(losses)} if losses else {}

    def _update_actor(
        self,
        batches: Sequence[Tensor],
        inputs: Tensor,
        action: Tensor,
        surrogate: Surrogate,
        actor_terms: Sequence[ActorTerm],
    ) -> Generator[None, None, Metrics]:
        logs: dict[str, List[Tensor]] = {}
        for rows in batches:
            batch = inputs.index_select(0, rows)
            if actor_terms:
                batch.requires_grad_()  # a term may ask how the actions change with what is seen
            distribution: DiagonalGaussian = self.policy.distribution(batch)
            gain, figures = surrogate(distribution.log_prob(action.index_select(0, rows)), rows)
            bound = bound_loss(distribution.mean)
            loss = gain + self.bound_weight * bound
            if self.entropy_weight != 0.0:
                loss = loss - self.entropy_weight * distribution.entropy().mean()
            for term in actor_terms:
                loss = loss + term(batch, distribution)
            self.actor_optimizer.step(loss)
            figures = {"algo/actor_loss": gain, "algo/bound_loss": bound, **figures}
            for name, value in figures.items():
                logs.setdefault(name, []).append(value.detach())
            yield
        metrics = {name: _mean(values) for name, values in logs.items()}
        metrics["algo/sigma"] = self.policy.log_std.detach().exp().mean()
        return metrics


def bound_loss(mean: Tensor) -> Tensor:
    """How far action means [N, A] lie outside [-1, 1], squared and summed over A, a scalar."""
    return (mean.abs() - 1.0).clamp_min(0.0).square().sum(-1).mean()


def check_ranges(settings: Sequence[tuple[str, float, float, float]]) -> None:
    """Refuse what is out of range; of (key of `algo`, least, value, greatest) each.

    Raises:
        ConfigError: naming the key.
    """
    for key, low, value, high in settings:
        if not low <= value <= high:
            raise ConfigError(f"algo.{key} must be in [{low}, {high:g}], got {value}")


def fit(returns: Tensor, value: Tensor, pool: Pool = ALONE) -> Metrics:
    """How well values, of any shape, predict returns: scalars to log."""
    unexplained = pooled_var(returns - value, pool) / pooled_var(returns, pool).clamp_min(1e-8)
    return {"algo/explained_variance": 1.0 - unexplained, "algo/value": value.mean()}


def _noise_parameters(policy: Policy) -> list[torch.nn.Parameter]:
    return [p for name, p in policy.named_parameters() if name == "log_std"]


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
