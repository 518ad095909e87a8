"""Proximal policy optimisation (Schulman et al. 2017), with done flags that mean what they say.

Order, losses and constants of the published preset as in MimicKit f8d0d70
(mimickit/learning/ppo_agent.py): critic first, then actor, each with passes, minibatches and an
optimiser of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.algos.optimizer import Optimizer
from mimickit.algos.returns import normalized_advantage, td_lambda_returns
from mimickit.algos.rollout import Rollout
from mimickit.errors import ConfigError
from mimickit.models.policy import Policy
from mimickit.state import Done


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

    def update(
        self, rollout: Rollout, actor_terms: Sequence[ActorTerm], progress: float
    ) -> dict[str, Tensor]:
        self.actor_optimizer.set_progress(progress)
        self.critic_optimizer.set_progress(progress)
        with torch.no_grad():
            inputs = self.policy.normalize(rollout.obs)
            value, next_value = self._values(rollout, self.policy.critic_input(inputs))
            returns = td_lambda_returns(
                rollout.reward, next_value, rollout.done, self.discount, self.trace
            )
            advantage = normalized_advantage(returns, value, self.advantage_clip)
            acted = {name: group[: rollout.steps].flatten(0, 1) for name, group in inputs.items()}
        jobs = [
            partial(
                self._update_critic,
                self._minibatches(rollout.samples, self.critic_epochs, self.critic_minibatches),
                self.policy.critic_input(acted),
                returns.flatten(),
            ),
            partial(
                self._update_actor,
                self._minibatches(rollout.samples, self.actor_epochs, self.actor_minibatches),
                self.policy.actor_input(acted),
                rollout.action.flatten(0, 1),
                rollout.log_prob.flatten(),
                advantage.flatten(),
                actor_terms,
            ),
        ]
        metrics: dict[str, Tensor] = {}
        for found in _side_by_side(jobs) if returns.device.type == "cpu" else (j() for j in jobs):
            metrics.update(found)
        unexplained = (returns - value).var() / returns.var().clamp_min(1e-8)
        metrics["algo/explained_variance"] = 1.0 - unexplained
        metrics["algo/value"] = value.mean()
        metrics["algo/lr"] = torch.tensor(self.actor_optimizer.lr)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {
            "actor_optimizer": self.actor_optimizer.state_dict(),
            "critic_optimizer": self.critic_optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.actor_optimizer.load_state_dict(state["actor_optimizer"])
        self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.generator.set_state(state["generator"])

    def _values(self, rollout: Rollout, critic_input: Tensor) -> tuple[Tensor, Tensor]:
        """V of the states acted on and of those reached, [T, N] each."""
        values = self.policy.value(critic_input)
        next_value = values[1:].clone()
        # Where an episode was cut by the clock, obs[t + 1] is already the next episode's.
        cut = (rollout.done == int(Done.TIME)).nonzero(as_tuple=True)
        if len(cut[0]) > 0:
            reached = {name: group[cut] for name, group in rollout.next_obs.items()}
            terminal = self.policy.critic_input(self.policy.normalize(reached))
            next_value[cut] = self.policy.value(terminal)
        return values[:-1], next_value

    def _update_critic(
        self, minibatches: Sequence[Tensor], inputs: Tensor, returns: Tensor
    ) -> dict[str, Tensor]:
        losses = []
        for rows in minibatches:
            loss = (self.policy.value(inputs[rows]) - returns[rows]).square().mean()
            self.critic_optimizer.step(loss)
            losses.append(loss.detach())
        return {"algo/critic_loss": _mean(losses)} if losses else {}

    def _update_actor(
        self,
        minibatches: Sequence[Tensor],
        inputs: Tensor,
        action: Tensor,
        old_log_prob: Tensor,
        advantage: Tensor,
        actor_terms: Sequence[ActorTerm],
    ) -> dict[str, Tensor]:
        logs: dict[str, list[Tensor]] = {}
        for rows in minibatches:
            batch = inputs[rows]
            distribution = self.policy.distribution(batch)
            log_ratio = distribution.log_prob(action[rows]) - old_log_prob[rows]
            ratio = log_ratio.exp()
            gain = advantage[rows]
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
        """Rows of each minibatch: every pass sees every sample once, in a new order."""
        device = self.generator.device
        orders = (
            torch.randperm(samples, generator=self.generator, device=device) for _ in range(epochs)
        )
        return [rows for order in orders for rows in order.tensor_split(min(parts, samples))]


def _side_by_side(jobs: Sequence[Callable[[], dict[str, Tensor]]]) -> list[dict[str, Tensor]]:
    """Results of jobs that share nothing, each on a thread of its own.

    Actor and critic are too small to fill several cores one after the other. Their arithmetic does
    not depend on when the other's happens, so results are the same bits.
    """
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def bound_loss(mean: Tensor) -> Tensor:
    """How far action means [N, A] lie outside [-1, 1], squared and summed over A, a scalar."""
    return (mean.abs() - 1.0).clamp_min(0.0).square().sum(-1).mean()


def _noise_parameters(policy: Policy) -> list[torch.nn.Parameter]:
    return [p for name, p in policy.named_parameters() if name == "log_std"]


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()
