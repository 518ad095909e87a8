"""Forward kinematics and dof <-> rotation, batched over the levels of the tree.

Legend: `...` any batch shape, B bodies, J joints, D dofs. Loops run over the depth of the tree
(5 for a humanoid), never over joints or environments.
"""

from __future__ import annotations

from typing import Optional, Union

import torch
from torch import Tensor

from mimickit.characters.character import Character, JointKind
from mimickit.geometry.quaternion import (
    IDENTITY,
    quat_conjugate,
    quat_from_axis_angle,
    quat_from_exp_map,
    quat_multiply,
    quat_rotate,
    quat_to_exp_map,
    quat_twist_angle,
)


class Kinematics:
    """The tree of one character as index tensors on one device."""

    def __init__(
        self,
        character: Character,
        device: Optional[Union[str, torch.device]] = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.character = character
        self.num_joints = character.num_joints
        self.num_dofs = character.num_dofs
        movable = character.joints
        hinges = [j for j in movable if j.kind is JointKind.HINGE]
        balls = [j for j in movable if j.kind is JointKind.BALL]

        def index(values: list) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        self._hinge_joint = index([j.body - 1 for j in hinges])
        self._hinge_dof = index([j.dofs.start for j in hinges])
        self._hinge_axis = torch.tensor(
            [j.axis for j in hinges], dtype=dtype, device=device
        ).reshape(-1, 3)
        self._ball_joint = index([j.body - 1 for j in balls])
        self._ball_dof = index(
            [list(range(j.dofs.start, j.dofs.stop)) for j in balls]
        ).reshape(-1, 3)

        self._offsets = torch.tensor(character.offsets, dtype=dtype, device=device)
        self._rotations = torch.tensor(character.rotations, dtype=dtype, device=device)
        depth: list[int] = []
        for parent in character.parents:
            depth.append(0 if parent < 0 else depth[parent] + 1)
        self._levels = [
            (
                index([b for b, d in enumerate(depth) if d == level]),
                index([p for p, d in zip(character.parents, depth) if d == level]),
            )
            for level in range(1, max(depth) + 1)
        ]
        # Bodies stacked level by level, and where each body ends up.
        order = torch.cat([index([0])] + [bodies for bodies, _ in self._levels])
        self._unstack = torch.argsort(order)
        self._parent_in_stack = [self._unstack[parents] for _, parents in self._levels]

    def dof_to_rot(self, dof_pos: Tensor) -> Tensor:
        """Joint rotations [..., J, 4] of hinge angles and ball exp maps [..., D] rad."""
        rot = dof_pos.new_tensor(IDENTITY).repeat(*dof_pos.shape[:-1], self.num_joints, 1)
        rot[..., self._hinge_joint, :] = quat_from_axis_angle(
            self._hinge_axis.expand(*dof_pos.shape[:-1], -1, 3), dof_pos[..., self._hinge_dof]
        )
        rot[..., self._ball_joint, :] = quat_from_exp_map(dof_pos[..., self._ball_dof])
        return rot

    def rot_to_dof(self, joint_rot: Tensor) -> Tensor:
        """Hinge angles (the twist about the axis) and ball exp maps [..., D] rad."""
        dof = joint_rot.new_zeros(*joint_rot.shape[:-2], self.num_dofs)
        dof[..., self._hinge_dof] = quat_twist_angle(
            joint_rot[..., self._hinge_joint, :], self._hinge_axis
        )
        dof[..., self._ball_dof] = quat_to_exp_map(joint_rot[..., self._ball_joint, :])
        return dof

    def forward(
        self, root_pos: Tensor, root_rot: Tensor, joint_rot: Tensor
    ) -> tuple[Tensor, Tensor]:
        """World poses of all bodies.

        Args:
            root_pos: [..., 3] m. root_rot: [..., 4]. joint_rot: [..., J, 4].

        Returns:
            body_pos [..., B, 3] m and body_rot [..., B, 4].
        """
        local = quat_multiply(self._rotations[1:], joint_rot)
        pos, rot = root_pos.unsqueeze(-2), root_rot.unsqueeze(-2)
        for (bodies, _), parents in zip(self._levels, self._parent_in_stack):
            parent_rot = rot[..., parents, :]
            level_pos = pos[..., parents, :] + quat_rotate(parent_rot, self._offsets[bodies])
            level_rot = quat_multiply(parent_rot, local[..., bodies - 1, :])
            pos, rot = torch.cat([pos, level_pos], -2), torch.cat([rot, level_rot], -2)
        return pos[..., self._unstack, :], rot[..., self._unstack, :]

    def dof_velocity(self, joint_rot: Tensor, next_joint_rot: Tensor, dt: float) -> Tensor:
        """Dof velocities [..., D] rad/s that turn one pose into the next within dt seconds.

        A ball joint's is log(q^-1 q') / dt, its angular velocity in the child frame; a hinge's is
        that vector's component along the axis.
        """
        turn = quat_to_exp_map(quat_multiply(quat_conjugate(joint_rot), next_joint_rot)) / dt
        velocity = turn.new_zeros(*turn.shape[:-2], self.num_dofs)
        velocity[..., self._hinge_dof] = (
            turn[..., self._hinge_joint, :] * self._hinge_axis
        ).sum(-1)
        velocity[..., self._ball_dof] = turn[..., self._ball_joint, :]
        return velocity
