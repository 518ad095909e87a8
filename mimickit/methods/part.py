"""One building block of a method: data in, data out; it sees neither trainer nor environment."""

from __future__ import annotations

from typing import Any, Optional

from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.algos.rollout import Rollout


class Part:
    """The hooks a part may implement; each does nothing unless overridden.

    On a CUDA device `reward`, the actor's term and `update` are captured and replayed as one graph:
    their shapes must not depend on data, nothing in them may wait for the device, and what they
    remember lies in tensors that are written in place, by `load_state_dict` as well.

    Attributes:
        needs: what the task must provide, e.g. "reference".
    """

    needs: frozenset[str] = frozenset()

    def reward(self, rollout: Rollout) -> Optional[Tensor]:
        """This part's reward [T, N], before its weight; None for none."""
        return None

    def actor_term(self) -> Optional[ActorTerm]:
        """A loss to add to the actor's; None for none."""
        return None

    def update(self, rollout: Rollout) -> dict[str, Tensor]:
        """Learn from a rollout, after the algorithm has; scalars to log."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Everything that later iterations depend on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
