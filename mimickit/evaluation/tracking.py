"""Tracking errors of a state against its reference, pure. Legend: N envs, B bodies, D dofs."""

from __future__ import annotations

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.geometry.quaternion import quat_angle
from mimickit.state import CharacterState


def position_error(state: CharacterState, reference: CharacterState) -> Tensor:
    """Mean over root and joints of position errors, [N] m.

    The root's is its world error; a joint's is that of its body's origin relative to the root, in
    world axes.

    Source: Peng 2025 (MimicKit), equation 2.
    """
    root = (state.root_pos - reference.root_pos).norm(dim=-1)
    joints = _relative(state) - _relative(reference)
    return (joints.norm(dim=-1).sum(-1) + root) / state.body_pos.shape[1]


def _relative(state: CharacterState) -> Tensor:
    return state.body_pos[:, 1:] - state.root_pos.unsqueeze(1)


class DofVelocityError:
    """Both readings of the dof velocity error in use, [N] rad/s each.

    Calling it gives equation 3's: the norms of each joint's local angular velocity error, summed
    over joints and divided by joints + 1. `per_dof` gives the mean absolute error over dofs,
    which MimicKit's own test log prints.

    Source: Peng 2025 (MimicKit), equation 3; MimicKit f8d0d70, deepmimic_env.py.
    """

    def __init__(self, character: Character, device: torch.device) -> None:
        joint_of_dof = [j.body - 1 for j in character.joints for _ in range(j.kind.value)]
        self._joint_of_dof = torch.tensor(joint_of_dof, device=device)
        self._joints = character.num_joints

    def __call__(self, state: CharacterState, reference: CharacterState) -> Tensor:
        squares = (state.dof_vel - reference.dof_vel).square()
        per_joint = squares.new_zeros(len(squares), self._joints)
        per_joint.index_add_(1, self._joint_of_dof, squares)
        return per_joint.sqrt().sum(-1) / (self._joints + 1)

    @staticmethod
    def per_dof(state: CharacterState, reference: CharacterState) -> Tensor:
        """Mean absolute error over dofs, [N] rad/s."""
        return (state.dof_vel - reference.dof_vel).abs().mean(-1)


def root_position_error(state: CharacterState, reference: CharacterState) -> Tensor:
    """World distance of the roots, [N] m."""
    return (state.root_pos - reference.root_pos).norm(dim=-1)


def root_rotation_error(state: CharacterState, reference: CharacterState) -> Tensor:
    """Angle between the roots' rotations, [N] rad."""
    return quat_angle(state.root_rot, reference.root_rot)


def body_position_error(state: CharacterState, reference: CharacterState) -> Tensor:
    """Mean over bodies of root-relative position errors in world axes, [N] m."""
    return (_relative(state) - _relative(reference)).norm(dim=-1).sum(-1) / state.body_pos.shape[1]


def body_rotation_error(state: CharacterState, reference: CharacterState) -> Tensor:
    """Mean angle between bodies' world rotations, [N] rad."""
    return quat_angle(state.body_rot, reference.body_rot).mean(-1)
