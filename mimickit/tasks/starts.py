"""Where episodes begin if not in the reference: at rest in the default pose, or fallen.

Legend: N envs, F falls.
"""

from __future__ import annotations

import math
from typing import Any, Optional

import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.engines.engine import Engine, default_state
from mimickit.errors import CheckpointError, ConfigError
from mimickit.geometry.quaternion import quat_normalize
from mimickit.state import CharacterState

FALLS = 256  # episodes that begin fallen draw from so many states
FALL_S = 3.0  # [s] from being dropped until lying there
CLEARANCE = 0.3  # [m] of air under a character that is dropped, whichever way it is turned


class Starts:
    """Draws for each new episode whether it begins in the reference, and if not, where.

    Args:
        character: whose. num_envs: N. generator: draws.
        default_pose_share: of episodes, that begin at rest in the default pose.
        fallen_share: of episodes, that begin in one of the falls.
        falls: F states, see `fallen_states`; only needed with a share.

    Attributes:
        elsewhere: [N] bool, whether an episode did not begin in the reference.
        fallen: [N] bool, whether it began fallen.

    Raises:
        ConfigError: a share out of range.
    """

    def __init__(
        self,
        character: Character,
        num_envs: int,
        device: torch.device,
        generator: torch.Generator,
        default_pose_share: float,
        fallen_share: float,
        falls: Optional[CharacterState],
    ) -> None:
        for key, share in (
            ("default_pose_share", default_pose_share),
            ("fallen_share", fallen_share),
        ):
            if not isinstance(share, (int, float)) or not 0.0 <= share <= 1.0:
                raise ConfigError(f"task.{key} must be in [0, 1], got {share}")
        if default_pose_share + fallen_share > 1.0:
            raise ConfigError(
                f"task.default_pose_share={default_pose_share} and task.fallen_share={fallen_share}"
                " add up to more than 1"
            )
        assert falls is not None or fallen_share == 0.0, "who builds the task makes the falls"
        self._generator = generator
        self._default_share, self._fallen_share = default_pose_share, fallen_share
        default = default_state(character, Kinematics(character), 1)
        self._default = default.map(lambda tensor: tensor.to(device))
        self._falls = falls
        self.elsewhere = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self.fallen = torch.zeros(num_envs, dtype=torch.bool, device=device)

    def draw(self, mask: Tensor, reference: CharacterState) -> CharacterState:
        """Begin episodes where mask [N] is true; N states, of which the masked are starts.

        Args:
            reference: of N envs, where episodes begin otherwise.
        """
        count = len(mask)
        draws = torch.rand(2, count, generator=self._generator, device=self.elsewhere.device)
        fallen = draws[0] < self._fallen_share
        standing = draws[0] >= 1.0 - self._default_share
        self.fallen.copy_(torch.where(mask, fallen, self.fallen))
        self.elsewhere.copy_(torch.where(mask, fallen | standing, self.elsewhere))
        start = self._default.map(lambda t: t.expand(count, *t.shape[1:])).where(
            standing, reference
        )
        if self._falls is None:
            return start
        rows = (draws[1] * len(self._falls.root_pos)).long()
        return self._falls.map(lambda t: t.index_select(0, rows)).where(fallen, start)

    def state_dict(self) -> dict[str, Any]:
        """How episodes began, and the falls: another machine might make others."""
        falls = {} if self._falls is None else {n: t.clone() for n, t in vars(self._falls).items()}
        return {"elsewhere": self.elsewhere.clone(), "fallen": self.fallen.clone(), "falls": falls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            CheckpointError: episodes of the checkpoint could not begin fallen, and here they can,
                or the other way round.
        """
        if bool(state["falls"]) != (self._falls is not None):
            raise CheckpointError(
                f"the checkpoint has {'falls' if state['falls'] else 'no falls'} to begin episodes "
                f"with, and task.fallen_share={self._fallen_share}: keep task.fallen_share, or "
                "start anew"
            )
        self.elsewhere.copy_(state["elsewhere"])
        self.fallen.copy_(state["fallen"])
        if self._falls is not None:
            for name, tensor in vars(self._falls).items():
                tensor.copy_(state["falls"][name])


def fallen_states(engine: Engine, generator: torch.Generator) -> CharacterState:
    """Drop an engine's characters, turned any way, and see how they come to lie.

    On their way down their drives pull towards joint angles drawn from within the limits, and hold
    them; with an engine that is not told joint angles they are limp. The half of them that is
    slowest at the end is kept, moved to the origin of the ground.

    Args:
        engine: of nobody else; 2 F characters.
        generator: on the engine's device.

    Returns:
        F states.

    Source: the idea is ASE's (Peng et al. 2022); heights, times and targets are ours.
    """
    character, device, count = engine.character, engine.device, engine.num_envs

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    start = default_state(character, Kinematics(character), count).map(lambda t: t.to(device))
    reach = (start.body_pos - start.root_pos.unsqueeze(1)).norm(dim=-1).max(dim=-1).values
    start.root_pos[:, 2] = reach + CLEARANCE
    noise = torch.randn(count, 4, generator=generator, device=device)
    start.root_rot.copy_(quat_normalize(noise))
    engine.write(torch.ones(count, dtype=torch.bool, device=device), start)
    limits = torch.tensor(character.dof_limits, dtype=torch.float32, device=device)  # [D, 2]
    low, high = limits.unbind(-1)
    targets = low + (high - low) * uniform(count, character.num_dofs)
    if engine.control_mode not in ("pos", "pd_1d"):
        targets = torch.zeros_like(targets)
    for _ in range(math.ceil(FALL_S / engine.control_dt)):
        engine.command(targets)
        engine.step()
    state = engine.state
    speed = state.root_vel.norm(dim=-1) + state.dof_vel.square().mean(-1).sqrt()
    slowest = speed.argsort()[: count // 2]
    fallen = state.map(lambda tensor: tensor[slowest].clone())
    place = fallen.root_pos.clone()
    place[:, 2] = 0.0
    fallen.root_pos.sub_(place)
    fallen.body_pos.sub_(place.unsqueeze(1))
    return fallen
