"""What a task may ask for besides imitation: a place to reach, a direction to walk in.

A goal is one object for N envs side by side. Shapes are fixed, nothing waits for the device, and
what it remembers lies in tensors that are written in place, so that a CUDA graph may hold a control
step of it. It draws from the generator that it is given, as much at one time as at another.
Legend: N envs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Optional

import torch
from torch import Tensor

from mimickit.objects import Placement, SceneObjects
from mimickit.state import CharacterState, Marker


class Goal(ABC):
    """The hooks of a goal: `reset`, `observe` and `rewards`; others do nothing unless overridden.

    A config names one as `task.goal` with `_partial_: true`. It is then called with the node's
    settings and with `character`, `num_envs`, `control_dt` [s], `generator` and `device`.

    Attributes:
        parts: (label, width) of what it adds to the observations.
        buffers: everything that the next step depends on, by name; written in place.
        placement: buffers of the objects to move, for goals that move some: those of the worlds
            that begin anew, and before a step those that `advance` marked.
    """

    parts: tuple[tuple[str, int], ...]
    buffers: Mapping[str, Tensor]
    placement: Optional[Placement] = None

    def connect(self, objects: SceneObjects) -> None:  # noqa: B027 (may stay empty)
        """Meet what else there is in the world; once, before anything else is asked."""

    @abstractmethod
    def reset(self, mask: Tensor, start: CharacterState) -> None:
        """Draw new goals where mask [N] is true, for characters that begin in `start`."""

    @abstractmethod
    def observe(self, state: CharacterState) -> Tensor:
        """What the policy sees of the goal, [N, sum of the widths]; best in its heading frame."""

    @abstractmethod
    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        """Weighted terms, each [N]; of the state that a step reached, after `advance`."""

    def advance(self, state: CharacterState) -> None:  # noqa: B027 (may stay empty)
        """Once per control step, with the state that it reached: timers, new goals."""

    def succeeded(self, state: CharacterState) -> Tensor:
        """Whether the episode ends because nothing is left to do, [N] bool."""
        return torch.zeros(len(state.root_pos), dtype=torch.bool, device=state.root_pos.device)

    def failed(self, state: CharacterState) -> Tensor:
        """Whether the episode is lost, [N] bool."""
        return torch.zeros(len(state.root_pos), dtype=torch.bool, device=state.root_pos.device)

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        """How well it goes, by name with unit, each [N]; evaluations report means over steps."""
        return {}

    def markers(self, state: CharacterState) -> list[Marker]:
        """What viewers draw of the goal, in tensors of their own; not within a control step."""
        return []

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the buffers."""
        return {name: buffer.clone() for name, buffer in self.buffers.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on exactly where `state_dict` was taken."""
        for name, buffer in self.buffers.items():
            buffer.copy_(state[name])
