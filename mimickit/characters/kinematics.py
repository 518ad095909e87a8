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
    quat_from_exp_map,
    quat_multiply,
    quat_positive,
    quat_rotate,
    quat_to_exp_map,
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
        movable = character.movable_joints

        def index(values: list) -> Tensor:
            return torch.tensor(values, dtype=torch.long, device=device)

        # Constant linear maps between dofs [D] and the exp maps [3 M] of the M movable joints (a
        # hinge's lies along its axis), and from joints [M] to their dofs [D].
        spread = torch.zeros(self.num_dofs, 3 * len(movable), dtype=dtype)
        owner = torch.zeros(len(movable), self.num_dofs, dtype=dtype)
        for m, joint in enumerate(movable):
            axes = torch.eye(3) if joint.kind is JointKind.BALL else torch.tensor([joint.axis])
            spread[joint.dofs, 3 * m : 3 * m + 3] = axes.to(dtype)
            owner[m, joint.dofs] = 1.0
        self._spread, self._owner = spread.to(device), owner.to(device)
        self._movable = index([joint.body - 1 for joint in movable])
        # Where each joint is found among the movable ones followed by one identity.
        place = {joint.body: m for m, joint in enumerate(movable)}
        self._place = index([place.get(joint.body, len(movable)) for joint in character.joints])
        self._identity = torch.tensor([IDENTITY], dtype=dtype, device=device)

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
        exp_map = (dof_pos @ self._spread).unflatten(-1, (-1, 3))
        fixed = self._identity.expand(*dof_pos.shape[:-1], 1, 4)
        rot = torch.cat([quat_from_exp_map(exp_map), fixed], dim=-2)
        return rot.index_select(-2, self._place)

    def rot_to_dof(self, joint_rot: Tensor) -> Tensor:
        """Hinge angles (the twist about the axis) and ball exp maps [..., D] rad."""
        q = quat_positive(joint_rot.index_select(-2, self._movable))
        part = q[..., :3].flatten(-2) @ self._spread.T  # sin(angle / 2) * axis, per dof
        sine = (part.square() @ self._owner.T).sqrt()
        angle = 2.0 * torch.atan2(sine, q[..., 3])
        scale = torch.where(sine > 1e-6, angle / sine.clamp_min(1e-12), torch.full_like(sine, 2.0))
        return part * (scale @ self._owner)

    def shortened(self, dof_pos: Tensor, angle: float) -> Tensor:
        """The dofs [..., D] with every joint's rotation shortened to at most `angle` rad."""
        length = (dof_pos.square() @ self._owner.T).sqrt()
        return dof_pos * ((angle / length.clamp_min(angle)) @ self._owner)

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
            parent_rot = rot.index_select(-2, parents)
            level_pos = pos.index_select(-2, parents) + quat_rotate(
                parent_rot, self._offsets[bodies]
            )
            level_rot = quat_multiply(parent_rot, local.index_select(-2, bodies - 1))
            pos, rot = torch.cat([pos, level_pos], -2), torch.cat([rot, level_rot], -2)
        return pos.index_select(-2, self._unstack), rot.index_select(-2, self._unstack)

    def dof_velocity(self, joint_rot: Tensor, next_joint_rot: Tensor, dt: float) -> Tensor:
        """Dof velocities [..., D] rad/s that turn one pose into the next within dt seconds.

        A ball joint's is log(q^-1 q') / dt, its angular velocity in the child frame; a hinge's is
        that vector's component along the axis.
        """
        turn = quat_to_exp_map(quat_multiply(quat_conjugate(joint_rot), next_joint_rot))
        return turn.index_select(-2, self._movable).flatten(-2) @ self._spread.T / dt
