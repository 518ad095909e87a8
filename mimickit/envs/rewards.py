"""Tracking errors, squared and summed, as pure functions of a state and its reference.

A task's reward for each is weight * exp(-scale * error), in [0, weight].
Legend: N envs, J joints, D dofs, K key bodies. Source: DeepMimic (Peng et al. 2018), section 5.1;
the form and weights as in MimicKit f8d0d70 (mimickit/envs/deepmimic_env.py).
"""

from __future__ import annotations

from torch import Tensor

from mimickit.envs.observations import key_positions
from mimickit.geometry.quaternion import quat_angle, quat_rotate
from mimickit.state import CharacterState

ROOT_ANGLE_WEIGHT = 0.1  # [m^2/rad^2] of the root's rotation beside its place
ROOT_SPIN_WEIGHT = 0.1  # [m^2/rad^2] of the root's angular velocity beside its linear one


def pose_error(state: CharacterState, reference: CharacterState, weights: Tensor) -> Tensor:
    """How far joint rotations are apart, [N] rad^2.

    Args:
        weights: per joint [J]; 0 ignores a joint.
    """
    return quat_angle(state.joint_rot, reference.joint_rot).square() @ weights


def velocity_error(state: CharacterState, reference: CharacterState, weights: Tensor) -> Tensor:
    """How far dof velocities are apart, [N] rad^2/s^2.

    Args:
        weights: per dof [D], that of its joint.
    """
    return (state.dof_vel - reference.dof_vel).square() @ weights


def root_pose_error(pos_error: Tensor, angle: Tensor) -> Tensor:
    """How far the root is off, [N] m^2.

    Args:
        pos_error: [N, 1 to 3] m. angle: between the root rotations, [N] rad.
    """
    return pos_error.square().sum(-1) + ROOT_ANGLE_WEIGHT * angle.square()


def root_velocity_error(state: CharacterState, reference: CharacterState) -> Tensor:
    """How far the root's velocities are apart, [N] m^2/s^2."""
    linear = (state.root_vel - reference.root_vel).square().sum(-1)
    angular = (state.root_ang_vel - reference.root_ang_vel).square().sum(-1)
    return linear + ROOT_SPIN_WEIGHT * angular


def key_position_error(
    state: CharacterState, reference: CharacterState, key_bodies: Tensor
) -> Tensor:
    """How far end effectors are apart, each relative to its root, [N] m^2.

    Args:
        key_bodies: [K] indices.
    """
    offset = key_positions(state, key_bodies) - key_positions(reference, key_bodies)
    return offset.square().sum((-1, -2))


def turned(state: CharacterState, turn: Tensor) -> CharacterState:
    """The state's root velocities and body positions turned about the root by turn [N, 4]."""
    root = state.root_pos.unsqueeze(1)
    return CharacterState(
        root_pos=state.root_pos,
        root_rot=state.root_rot,
        root_vel=quat_rotate(turn, state.root_vel),
        root_ang_vel=quat_rotate(turn, state.root_ang_vel),
        joint_rot=state.joint_rot,
        dof_vel=state.dof_vel,
        body_pos=root + quat_rotate(turn.unsqueeze(1), state.body_pos - root),
        body_rot=state.body_rot,
        contact_force=state.contact_force,
    )
