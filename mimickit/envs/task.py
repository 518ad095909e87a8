"""What the environment asks of a task; tasks live in `mimickit.tasks` and never see the loop."""

from __future__ import annotations

from typing import Any, Optional, Protocol

import torch
from torch import Tensor

from mimickit.motions.library import MotionLibrary
from mimickit.objects import Placement
from mimickit.pooling import Pool
from mimickit.specs import GroupSpec
from mimickit.state import CharacterState, Drawn, Marker

# What a task may provide, and how: for messages to those who need it.
ABILITIES = {
    "reference": "clips that move on beside the character",
    "visible_reference": "a reference that the policy sees: task.target_steps=[1,2,3], or "
    "task.tracking_error or task.phase",
    "goal": "something to do besides imitation: task.goal",
}


def lacking(needs: frozenset[str], task: Task) -> str:
    """What of `needs` a task does not provide, with how it could; empty if nothing."""
    missing = sorted(needs - task.provides)
    if not missing:
        return ""
    named = ", ".join(
        f"{name} ({ABILITIES[name]})" if name in ABILITIES else name for name in missing
    )
    return f"{named}, which task {type(task).__name__} does not provide"


class Task(Protocol):
    """What is to be done, for N envs side by side.

    Attributes:
        groups: observation groups it offers.
        episode_length_s: time limit [s].
        provides: abilities that other parts may need; see `ABILITIES`.
        tracked: whether being away from the reference is an error.
        reference: what is imitated now, N states; None without one.
        next_reference: the same one control step ahead.
        clips: [N] index of what each env is at, for per-clip figures.
        clip_names: their names.
        library: the clips. times: where in its clip each env is, [N] s.
        generator: draws the episodes; whoever wants the same ones again reseeds it.
        library: the clips that it plays, for other environments on the same device.
    """

    groups: dict[str, GroupSpec]
    episode_length_s: float
    provides: frozenset[str]
    tracked: bool
    clip_names: list[str]
    library: MotionLibrary

    @property
    def generator(self) -> torch.Generator: ...

    @property
    def reference(self) -> Optional[CharacterState]: ...

    @property
    def next_reference(self) -> Optional[CharacterState]: ...

    @property
    def clips(self) -> Tensor: ...

    @property
    def times(self) -> Tensor: ...

    @property
    def elsewhere(self) -> Optional[Tensor]:
        """Which episodes did not begin in the reference, [N] bool; None if all always do."""
        ...

    @property
    def placement(self) -> Optional[Placement]:
        """Objects to move, if the task ever moves any: at resets, and before each step."""
        ...

    @property
    def drawn(self) -> Optional[Drawn]:
        """Where the last reset's states are found among those drawn ahead, if all of them are."""
        ...

    def reset(self, mask: Tensor) -> CharacterState:
        """Draw new episodes where mask [N] is true; N states, of which the masked are starts."""
        ...

    def advance(self, state: CharacterState) -> None:
        """Move everything that moves with time by one control step, which reached `state`."""
        ...

    def observe(self, state: CharacterState) -> dict[str, Tensor]:
        """Observation groups, each [N, size]."""
        ...

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        """Weighted reward terms, each [N]."""
        ...

    def succeeded(self, state: CharacterState) -> Tensor:
        """Whether the goal is reached, [N] bool."""
        ...

    def failed(self, state: CharacterState) -> Tensor:
        """Whether the episode is lost, [N] bool."""
        ...

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        """How well it goes besides the rewards, by name, each [N]; the same names always."""
        ...

    def markers(self, state: CharacterState) -> list[Marker]:
        """What viewers draw besides the characters."""
        ...

    def exchange(self, pool: Pool) -> None:
        """Share what was learned of the episodes with the other ranks, after each iteration."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
