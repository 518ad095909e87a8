"""What the trainer asks of an algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Protocol

from torch import Tensor

from mimickit.algos.rollout import Rollout
from mimickit.models.distributions import DiagonalGaussian

# An extra loss of the actor, e.g. a diversity or a smoothness term: (actor input [M, ...], action
# distribution) -> scalar.
ActorTerm = Callable[[Tensor, DiagonalGaussian], Tensor]


class Algo(Protocol):
    """Improves a policy from rollouts.

    Attributes:
        steps: T, steps per env and iteration.
    """

    steps: int

    def update(
        self, rollout: Rollout, actor_terms: Sequence[ActorTerm], progress: float
    ) -> dict[str, Tensor]:
        """Learn from a rollout whose `reward` is set; scalars to log.

        Args:
            actor_terms: further losses to add to the actor's.
            progress: how much of the run is done, in [0, 1].
        """
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
