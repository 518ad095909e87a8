"""Skills that differ: what the policy would do under another latent should be another action.

Legend: M samples, Z components of a latent, A action components.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.envs.conditions import LATENT, on_sphere, random_latents
from mimickit.generators import restore
from mimickit.methods.checks import check_at_least, check_share
from mimickit.methods.encoder import check_seen
from mimickit.methods.part import Part, Sources
from mimickit.models.distributions import DiagonalGaussian

_KEY = "method.parts.<diversity>"


class Diversity(Part):
    """Adds to the actor's loss where actions of one state do not differ as much as their latents.

    For each sample another latent z' is drawn; see `diversity_loss`.

    Args:
        weight: of the loss.
        share: of each minibatch that is looked at, in (0, 1]: it costs the actor's network a second
            pass over so many samples.

    Source: ASE (Peng et al. 2022), with distances and weight as in MimicKit f8d0d70
        (mimickit/learning/ase_agent.py, data/agents/ase_humanoid_agent.yaml).
    """

    def __init__(self, *, weight: float, share: float) -> None:
        check_at_least(f"{_KEY}.weight", 0, weight)
        check_share(f"{_KEY}.share", share)
        self._weight, self._share = weight, share

    def connect(self, sources: Sources) -> None:
        check_seen(sources)
        self._policy = sources.policy
        self._scaled = sources.policy.normalizers[LATENT]
        self._columns = sources.policy.actor_columns(LATENT)
        self._generator = sources.generator
        # Of the last minibatch: actor terms return nothing to log.
        self._loss = torch.zeros((), device=sources.device)
        self._ratio = torch.zeros((), device=sources.device)

    @property
    def generators(self) -> list[torch.Generator]:
        return [self._generator]

    def actor_term(self) -> ActorTerm:
        return self._term

    def update(self, rollout: object) -> dict[str, Tensor]:
        """The loss and the mean ratio of the last minibatch, to log; there is nothing to learn."""
        return {"loss": self._loss.clone(), "ratio": self._ratio.clone()}

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(self._generator, state["generator"], "the latents of the diversity loss")

    def _term(self, batch: Tensor, distribution: DiagonalGaussian) -> Tensor:
        # Minibatches are in random order, so their first samples are as good as any.
        rows, columns = max(1, round(self._share * len(batch))), self._columns
        seen = batch[:rows].detach()
        latent = on_sphere(seen[:, columns])
        other = random_latents(rows, latent.shape[-1], self._generator)
        altered = seen.clone()
        altered[:, columns] = self._scaled(other)
        ratio = distance_ratio(
            distribution.mean[:rows], self._policy.distribution(altered).mean, latent, other
        )
        loss = diversity_loss(ratio)
        self._loss.copy_(loss.detach())
        self._ratio.copy_(ratio.detach().mean())
        return self._weight * loss


def distance_ratio(action: Tensor, other_action: Tensor, latent: Tensor, other: Tensor) -> Tensor:
    """How far mean actions [M, A] of one state lie apart, for how far their latents [M, Z] do.

    The mean squared difference of the components, in half ranges, over (1 - z . z') / 2: [M].
    """
    apart = (action - other_action).square().mean(-1)
    return apart / (0.5 - 0.5 * (latent * other).sum(-1) + 1e-5)


def diversity_loss(ratio: Tensor) -> Tensor:
    """Mean squared lack, or excess, of ratios [M] against 1: a scalar."""
    return (1.0 - ratio).square().mean()
