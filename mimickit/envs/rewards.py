"""Tracking rewards, each in (0, 1], as pure functions of a state and its reference.

Legend: N envs, J joints, D dofs, K key bodies. Source: DeepMimic (Peng et al. 2018), section 5.1;
the form and scales as in MimicKit f8d0d70 (mimickit/envs/deepmimic_env.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from mimickit.geometry.quaternion import quat_angle, quat_rotate
from mimickit.state import CharacterState


def pose_reward(
    state: CharacterState, reference: CharacterState, weights: Tensor, scale: float
) -> Tensor:
    """Reward for matching joint rotations, [N].

    Args:
        weights: per joint [J]; 0 ignores a joint.
        scale: sharpness [1/rad^2]; higher forgives less.
    """
    error = quat_angle(state.joint_rot, reference.joint_rot).square() @ weights
    return torch.exp(-scale * error)


def velocity_reward(
    state: CharacterState, reference: CharacterState, weights: Tensor, scale: float
) -> Tensor:
    """Reward for matching dof velocities, [N].

    Args:
        weights: per dof [D], that of its joint.
        scale: sharpness [s^2/rad^2].
    """
    error = (state.dof_vel - reference.dof_vel).square() @ weights
    return torch.exp(-scale * error)


def root_pose_reward(pos_error: Tensor, angle: Tensor, scale: float, angle_weight: float) -> Tensor:
    """Reward for matching the root's place and rotation, [N].

    Args:
        pos_error: [N, 2 or 3] m. angle: [N] rad.
        scale: sharpness [1/m^2]. angle_weight: [m^2/rad^2].
    """
    return torch.exp(-scale * (pos_error.square().sum(-1) + angle_weight * angle.square()))


def root_velocity_reward(
    vel_error: Tensor, ang_vel_error: Tensor, scale: float, angular_weight: float
) -> Tensor:
    """Reward for matching the root's velocity, [N].

    Args:
        vel_error: [N, 3] m/s. ang_vel_error: [N, 3] rad/s.
        scale: sharpness [s^2/m^2]. angular_weight: [m^2/rad^2].
    """
    error = vel_error.square().sum(-1) + angular_weight * ang_vel_error.square().sum(-1)
    return torch.exp(-scale * error)


def key_position_reward(key_pos: Tensor, reference_key_pos: Tensor, scale: float) -> Tensor:
    """Reward for matching end effectors [N, K, 3] m relative to the root, [N].

    Args:
        scale: sharpness [1/m^2].
    """
    return torch.exp(-scale * (key_pos - reference_key_pos).square().flatten(1).sum(-1))


def key_positions(state: CharacterState, key_bodies: Tensor) -> Tensor:
    """Key bodies relative to the root in world axes, [N, K, 3] m."""
    return state.body_pos.index_select(1, key_bodies) - state.root_pos.unsqueeze(1)


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
