"""What every engine promises: command, step, read and write characters in one convention.

Engines convert to the conventions of `mimickit.state` at their boundary and nowhere else.
"""

from __future__ import annotations

import math
from typing import Any, Optional, Protocol, Tuple

import torch
from torch import Tensor

from mimickit.characters import Character, JointKind, Kinematics
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.objects import ObjectSpec
from mimickit.state import CharacterState, Drawn, ObjectState

# none    commands have no effect
# pos     targets [rad] of PD controllers: hinge angles and ball exp maps; the total torque within
#         the limits where the character is `effort_limited`
# vel     target velocities [rad/s], tracked with gain kd
# torque  joint torques [Nm], within the character's limits
# pd_1d   as pos, for characters of hinges only, always within the limits
CONTROL_MODES = ("none", "pos", "vel", "torque", "pd_1d")


class Engine(Protocol):
    """Simulates N copies of one character on flat ground, among objects that are its world's own.

    On a CUDA device `command`, `step` and `write` run on torch's current stream, wait for nothing
    and may be captured in a graph of torch's.

    Attributes:
        character: what is simulated.
        num_envs: N.
        control_mode: one of `CONTROL_MODES`: what a command means.
        control_dt: seconds per `step`.
        sim_dt: seconds per simulation substep.
        device: of all tensors.
        state: the N characters. Buffers are allocated once and written in place: views stay valid.
            Contact forces are the floor's alone: what else stands there is not the ground.
        object_specs: what else there is in each world.
        objects: where those of them that move are, in the same order; buffers as of `state`.
        diverged: [N] bool, whether the last `step` blew up; the state is finite all the same.
        provides: optional abilities: "contact_force", "objects".
    """

    character: Character
    num_envs: int
    control_mode: str
    control_dt: float
    sim_dt: float
    device: torch.device
    state: CharacterState
    object_specs: Tuple[ObjectSpec, ...]
    objects: ObjectState
    diverged: Tensor
    provides: frozenset[str]

    def command(self, command: Tensor) -> None:
        """Set what the joints shall do, [N, D] in the unit of `control_mode`, until set again."""
        ...

    def step(self) -> None:
        """Advance all N by one control step and refresh `state` and `diverged`."""
        ...

    def write(self, mask: Tensor, state: CharacterState, drawn: Optional[Drawn] = None) -> None:
        """Set root pose and velocity, joint rotations and dof velocities where mask [N] is true.

        Body poses of `state` are recomputed from these; contact forces are zero until a step, and
        commands until one is set. The objects of those worlds are at rest where they were declared.

        Args:
            drawn: where the same states are found among those drawn ahead, which an engine may
                convert all at once.
        """
        ...

    def write_objects(self, mask: Tensor, state: ObjectState) -> None:
        """Set poses and velocities of the objects of which mask [N, O] is true.

        Their contact forces are zero until a step.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        ...


def substeps(control_hz: float, sim_hz: float) -> int:
    """Simulation substeps per control step.

    Raises:
        ConfigError: a rate is not positive and finite, or one is not a multiple of the other.
    """
    if not (0 < control_hz < math.inf and 0 < sim_hz < math.inf):
        raise ConfigError(
            f"engine.control_hz={control_hz} and engine.sim_hz={sim_hz} must be finite and > 0"
        )
    count = round(sim_hz / control_hz)
    if count < 1 or abs(count * control_hz - sim_hz) > 1e-6 * sim_hz:
        raise ConfigError(
            f"engine.sim_hz={sim_hz} must be a whole multiple of engine.control_hz={control_hz}"
        )
    return count


def check_control_mode(mode: str, character: Character) -> None:
    """Refuse a control mode that does not exist or that the character cannot have.

    Raises:
        ConfigError: there is no such mode, or a joint has no torque to drive it with.
        IncompatibleParts: pd_1d with ball joints.
    """
    if mode not in CONTROL_MODES:
        raise ConfigError(f"engine.control_mode={mode}: choose one of {', '.join(CONTROL_MODES)}")
    balls = [joint.name for joint in character.joints if joint.kind is JointKind.BALL]
    if mode == "pd_1d" and balls:
        raise IncompatibleParts(
            f"engine.control_mode=pd_1d needs hinges only, and character '{character.name}' has "
            f"ball joints ({', '.join(balls)}); use engine.control_mode=pos"
        )
    if limits_effort(character, mode):
        for joint in character.movable_joints:
            if not joint.torque_limit > 0:
                raise ConfigError(
                    f"character.joints.{joint.name}.torque_limit must be > 0 where drives keep "
                    f"within it (engine.control_mode={mode}), got {joint.torque_limit}"
                )


def limits_effort(character: Character, mode: str) -> bool:
    """Whether position drives keep their total torque within the joints' limits."""
    return mode == "pd_1d" or (mode == "pos" and character.effort_limited)


def default_state(character: Character, kinematics: Kinematics, count: int) -> CharacterState:
    """`count` characters at rest in the default pose."""
    state = CharacterState.zeros(count, character.num_bodies, character.num_dofs)
    state.root_pos[:, 2] = character.default_height
    dofs = torch.tensor(character.default_dofs, dtype=torch.float32).expand(count, -1)
    state.joint_rot.copy_(kinematics.dof_to_rot(dofs))
    body_pos, body_rot = kinematics.forward(state.root_pos, state.root_rot, state.joint_rot)
    state.body_pos.copy_(body_pos)
    state.body_rot.copy_(body_rot)
    return state
