"""Actor and critic over named observation groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Optional

import torch
from torch import Tensor, nn

from mimickit.errors import ConfigError, IncompatibleParts, unknown_name_message
from mimickit.models.distributions import DiagonalGaussian
from mimickit.models.mlp import mlp
from mimickit.models.normalizer import Normalizer
from mimickit.models.precision import PRECISIONS, matmul_precision, run_network
from mimickit.pooling import ALONE, Pool
from mimickit.specs import GroupSpec

SIGMA_TYPES = ("fixed", "learned", "state")


class Policy(nn.Module):
    """A Gaussian actor and a value function that share their input normalisers, nothing else.

    Args:
        groups: what the environment offers.
        action_size: A.
        actor_groups, critic_groups: which groups each sees, concatenated in this order.
        actor_hidden, critic_hidden: hidden layer widths.
        activation: see `mimickit.models.mlp.ACTIVATIONS`.
        action_scale: bound of the actor's initial last-layer weights.
        sigma: "fixed" standard deviation, "learned" one per component, or "state": a second head.
        sigma_init: (initial) standard deviation, in half ranges of the action.
        normalizer_samples: when the input statistics freeze.
        precision: of the networks' matrix products on a CUDA device: "tf32", "fp32", or "bf16", the
            fastest and coarsest. See `mimickit.models.precision`; whoever calls `distribution` or
            `value` to learn from them does so within `matmul_precision`.

    Source: defaults are MimicKit f8d0d70's (mimickit/learning/nets, distribution_gaussian_diag).
    """

    def __init__(
        self,
        groups: Mapping[str, GroupSpec],
        action_size: int,
        *,
        actor_groups: Sequence[str],
        critic_groups: Sequence[str],
        actor_hidden: Sequence[int],
        critic_hidden: Sequence[int],
        activation: str,
        action_scale: float,
        sigma: str,
        sigma_init: float,
        normalizer_samples: float,
        precision: str = "tf32",
    ) -> None:
        super().__init__()
        for name in (*actor_groups, *critic_groups):
            if name not in groups:
                raise IncompatibleParts(
                    unknown_name_message(
                        "the environment offers no observation group",
                        name,
                        groups,
                        "model.actor_groups or model.critic_groups",
                    )
                )
        if not actor_groups or not critic_groups:
            raise ConfigError("model.actor_groups and model.critic_groups must name a group each")
        if sigma not in SIGMA_TYPES:
            raise ConfigError(f"model.sigma={sigma}: choose one of {', '.join(SIGMA_TYPES)}")
        if not sigma_init > 0:
            raise ConfigError(f"model.sigma_init must be > 0, got {sigma_init}")
        if precision not in PRECISIONS:
            raise ConfigError(f"model.precision={precision}: choose one of {', '.join(PRECISIONS)}")
        self.action_size = action_size
        self.precision = precision
        self.actor_groups = tuple(actor_groups)
        self.critic_groups = tuple(critic_groups)
        used = dict.fromkeys((*actor_groups, *critic_groups))
        self.normalizers = nn.ModuleDict(
            {name: Normalizer(groups[name].size, normalizer_samples) for name in used}
        )
        actor_size = sum(groups[name].size for name in actor_groups)
        critic_size = sum(groups[name].size for name in critic_groups)
        heads = 2 if sigma == "state" else 1
        self.actor = mlp(actor_size, actor_hidden, heads * action_size, activation, action_scale)
        self.critic = mlp(critic_size, critic_hidden, 1, activation)
        self.sigma = sigma
        log_std = torch.full((action_size,), math.log(sigma_init))
        if sigma == "fixed":
            self.register_buffer("log_std", log_std)
        else:  # with "state", the head adds to it
            self.log_std = nn.Parameter(log_std, requires_grad=sigma == "learned")

    def normalize(self, obs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The groups that this policy uses, standardised."""
        return {name: normalizer(obs[name]) for name, normalizer in self.normalizers.items()}

    def actor_input(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The actor's normalised groups side by side."""
        return _side_by_side(inputs, self.actor_groups)

    def critic_input(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The critic's normalised groups side by side."""
        return _side_by_side(inputs, self.critic_groups)

    def distribution(self, actor_input: Tensor) -> DiagonalGaussian:
        """Action distribution for normalised inputs [N, ...], in half ranges of the action."""
        output = run_network(self.actor, actor_input, self.precision)
        if self.sigma == "state":
            mean, change = output.split(self.action_size, dim=-1)
            return DiagonalGaussian(mean, self.log_std + change)
        return DiagonalGaussian(output, self.log_std)

    def value(self, critic_input: Tensor) -> Tensor:
        """Expected return [...] for normalised inputs [..., size]."""
        return run_network(self.critic, critic_input, self.precision).squeeze(-1)

    @torch.no_grad()
    def act(
        self, obs: Mapping[str, Tensor], generator: Optional[torch.Generator] = None
    ) -> tuple[Tensor, Tensor]:
        """A drawn action [N, A] and its log density [N]."""
        distribution = self._act_on(obs)
        action = distribution.sample(generator)
        return action, distribution.log_prob(action)

    @torch.no_grad()
    def act_deterministic(self, obs: Mapping[str, Tensor]) -> Tensor:
        """The most likely action [N, A]."""
        return self._act_on(obs).mean

    def update_normalizers(self, obs: Mapping[str, Tensor], pool: Pool = ALONE) -> None:
        """Fold observations [..., size] of each used group, all ranks', into its statistics."""
        for name, normalizer in self.normalizers.items():
            assert isinstance(normalizer, Normalizer)
            normalizer.update(obs[name], pool)

    def _act_on(self, obs: Mapping[str, Tensor]) -> DiagonalGaussian:
        with matmul_precision(self.precision, self.log_std.device):
            return self.distribution(self.actor_input(self.normalize(obs)))


def _side_by_side(inputs: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    if len(names) == 1:
        return inputs[names[0]]
    return torch.cat([inputs[name] for name in names], dim=-1)
