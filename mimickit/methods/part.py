"""One building block of a method: data in, data out; it sees neither trainer nor environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.algos.algo import ActorTerm
from mimickit.algos.rollout import Rollout
from mimickit.envs.conditions import Condition
from mimickit.envs.signals import Signal
from mimickit.models.policy import Policy
from mimickit.motions.library import MotionLibrary
from mimickit.motions.sampler import MotionSampler
from mimickit.pooling import ALONE, Pool


@dataclass(frozen=True)
class Sources:
    """What a part may draw on.

    Attributes:
        signals: what the environment observes for the parts, by name.
        conditions: what the parts add to what is acted on, by the name of the group.
        policy: whose actor learns; parts look at it, the algorithm changes it.
        library: the clips. device: of all tensors.
        generator: this part's own source of randomness.
        pool: the ranks that learn together, for the part's optimisers and running statistics.
    """

    signals: Mapping[str, Signal]
    conditions: Mapping[str, Condition]
    policy: Policy
    library: MotionLibrary
    device: torch.device
    generator: torch.Generator
    pool: Pool = ALONE

    def sampler(self, generator: torch.Generator) -> MotionSampler:
        """Draws demonstrations: clips by weight, times uniform, whatever episodes begin with."""
        return MotionSampler(self.library, generator)


class Part:
    """The hooks a part may implement; each does nothing unless overridden.

    On a CUDA device `reward`, the actor's term and `update` are captured and replayed as one graph:
    their shapes must not depend on data, nothing in them may wait for the device, and what they
    remember lies in tensors that are written in place, by `load_state_dict` as well.

    Attributes:
        needs: what the task must provide, e.g. "reference".
        signals: what the environment must observe for it: by name, what makes the signal of a
            character, a task and the control step [s]. Parts may share a signal.
        skill_signals: names of what it judges by among the signals that skills bring along, if the
            method has skills; see `mimickit.skills.Skills.signals`.
        conditions: what it adds to what the policy acts on: by the name of the observation group,
            what makes the condition of `num_envs`, `device`, `control_dt` [s] and `generator`.
            Parts may share one.
        generators: what `reward` and `update` draw from.
        capturable: whether `reward` and `update` may be captured as a CUDA graph.
    """

    needs: frozenset[str] = frozenset()
    signals: Mapping[str, Callable[..., Signal]] = {}
    skill_signals: frozenset[str] = frozenset()
    conditions: Mapping[str, Callable[..., Condition]] = {}
    capturable: bool = True

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that loads it: sizes and kinds."""
        return {}

    @property
    def generators(self) -> list[torch.Generator]:
        return []

    def connect(self, sources: Sources) -> None:
        """Build what depends on the environment; once, before anything else is called."""

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

    def load_networks(self, state: dict[str, Any]) -> None:
        """Take from `state_dict` what it takes to judge motion, on any number of ranks."""
