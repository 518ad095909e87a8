"""Smooth policies: a penalty on how fast an action's log density changes with what is seen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.errors import ConfigError
from mimickit.generators import restore
from mimickit.methods.part import Part, Sources
from mimickit.models.distributions import DiagonalGaussian


class Lipschitz(Part):
    """Adds weight * E |d log p(a | s) / ds|^2 to the actor's loss, s normalised, a drawn anew.

    Args:
        weight: of the penalty.

    Source: Lipschitz-constrained policies (Chen et al. 2024); weight as in MimicKit f8d0d70
        (data/agents/lcp_g1_agent.yaml).
    """

    def __init__(self, weight: float) -> None:
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"method.parts.<lipschitz>.weight must be >= 0, got {weight}")
        self.weight = weight

    def connect(self, sources: Sources) -> None:
        self._generator = sources.generator

    @property
    def generators(self) -> list[torch.Generator]:
        return [self._generator]

    def actor_term(self) -> ActorTerm:
        return self._penalty

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        restore(self._generator, state["generator"], "the actions of the Lipschitz penalty")

    def _penalty(self, batch: Tensor, distribution: DiagonalGaussian) -> Tensor:
        action = distribution.sample(self._generator).detach()
        log_prob = distribution.log_prob(action).sum()
        (slope,) = torch.autograd.grad(log_prob, batch, create_graph=True)
        return self.weight * slope.square().sum(-1).mean()
