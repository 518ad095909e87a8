"""What the trainer asks of an algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Protocol

import torch
from torch import Tensor

from mimickit.algos.rollout import Rollout
from mimickit.models.distributions import DiagonalGaussian

# An extra loss of the actor, e.g. a diversity or a smoothness term: (actor input [M, ...], which
# requires a gradient, action distribution) -> scalar.
ActorTerm = Callable[[Tensor, DiagonalGaussian], Tensor]


class Algo(Protocol):
    """Improves a policy from rollouts.

    Attributes:
        steps: T, steps per env and iteration.
        generator: what `update` draws from.
        capturable: whether `update` may be captured and replayed as a CUDA graph.
    """

    steps: int
    generator: torch.Generator
    capturable: bool

    def set_progress(self, progress: float) -> None:
        """Say how much of the run is done, in [0, 1]: before each `update`, outside any graph."""
        ...

    def update(self, rollout: Rollout, actor_terms: Sequence[ActorTerm]) -> dict[str, Tensor]:
        """Learn from a rollout whose `reward` is set; scalars to log, on the device.

        Shapes do not depend on data and nothing waits for the device.

        Args:
            actor_terms: further losses to add to the actor's.
        """
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
