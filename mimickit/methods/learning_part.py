"""A part with a network of its own, its optimiser, and draws of minibatches."""

from __future__ import annotations

from typing import Any, Union

import torch
from torch import nn

from mimickit.algos.optimizer import Optimizer
from mimickit.generators import restore
from mimickit.methods.part import Part
from mimickit.models.normalizer import Normalizer, ScaleNormalizer


class LearningPart(Part):
    """What discriminators and encoders share; `connect` sets the attributes.

    Attributes:
        minibatches_of: whose minibatches the generator draws, for a warning.
    """

    minibatches_of: str
    network: nn.Sequential
    normalizer: Union[Normalizer, ScaleNormalizer]
    optimizer: Optimizer
    generator: torch.Generator

    @property
    def generators(self) -> list[torch.Generator]:
        return [self.generator]

    @property
    def capturable(self) -> bool:
        return self.optimizer.capturable

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "normalizer": self.normalizer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_networks(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.normalizer.load_state_dict(state["normalizer"])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.load_networks(state)
        self.optimizer.load_state_dict(state["optimizer"])
        restore(self.generator, state["generator"], f"the {self.minibatches_of}'s minibatches")
