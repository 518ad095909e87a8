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
    quat_rotate,
    quat_to_exp_map,
    right_multiplication,
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
        self._spread, self._gather = spread.to(device), spread.to(device).T
        self._twice_owner, self._owned = 2.0 * owner.to(device), owner.to(device).T
        self._movable = index([joint.body - 1 for joint in movable])
        # Where each joint is found among the movable ones followed by one identity.
        place = {joint.body: m for m, joint in enumerate(movable)}
        self._place = index([place.get(joint.body, len(movable)) for joint in character.joints])
        self._identity = torch.tensor([IDENTITY], dtype=dtype, device=device)

        parents = character.parents
        self._parents = index(list(parents[1:]))
        self._offsets = torch.tensor(character.offsets[1:], dtype=dtype, device=device)
        # Multiplication by q from the right is a matrix, and linear in q.
        self._right = right_multiplication(torch.eye(4, dtype=dtype, device=device)).flatten(-2)
        fixed = torch.tensor(character.rotations[1:], dtype=dtype, device=device)
        straight = torch.equal(fixed, self._identity.expand_as(fixed))
        self._rotations = None if straight else fixed  # of bodies in their parents
        # Bodies level by level from the root down, with their parents' places in the level above.
        chains: list[list[int]] = []  # of each body: itself and its ancestors but the root
        for body, parent in enumerate(parents):
            chains.append([] if parent < 0 else [*chains[parent], body])
        levels: list[list[int]] = [[] for _ in range(max(map(len, chains)) + 1)]
        for body, chain in enumerate(chains):
            levels[len(chain)].append(body)
        self._order = index([body - 1 for level in levels[1:] for body in level])
        if self._rotations is not None:
            self._rotations = self._rotations[self._order]
        self._level_sizes = [len(level) for level in levels[1:]]
        self._parents_above = [
            index([above.index(parents[body]) for body in level])
            for above, level in zip(levels, levels[1:])
        ]
        self._unstack = torch.argsort(index([body for level in levels for body in level]))
        # Which of the steps from parent to child, [J], lead to each body [B].
        leads = torch.zeros(character.num_joints, character.num_bodies, dtype=dtype)
        for body, chain in enumerate(chains):
            leads[[ancestor - 1 for ancestor in chain], body] = 1.0
        self._leads = leads.to(device)

    def dof_to_rot(self, dof_pos: Tensor) -> Tensor:
        """Joint rotations [..., J, 4] of hinge angles and ball exp maps [..., D] rad."""
        exp_map = (dof_pos @ self._spread).unflatten(-1, (-1, 3))
        fixed = self._identity.expand(*dof_pos.shape[:-1], 1, 4)
        rot = torch.cat([quat_from_exp_map(exp_map), fixed], dim=-2)
        return rot.index_select(-2, self._place)

    def rot_to_dof(self, joint_rot: Tensor) -> Tensor:
        """Hinge angles (the twist about the axis) and ball exp maps [..., D] rad."""
        return self._to_dof(joint_rot.index_select(-2, self._movable))

    def turned_dof(self, joint_rot: Tensor, turn: Tensor, most: float) -> Tensor:
        """Dofs [..., D] rad of joints after a further turn in their child frames.

        Args:
            joint_rot: [..., J, 4]. turn: as dofs, [..., D] rad. most: every joint's turn is
                shortened to this [rad].
        """
        exp_map = (turn @ self._spread).unflatten(-1, (-1, 3))
        angle = torch.linalg.vector_norm(exp_map, dim=-1, keepdim=True).clamp_min(1e-6)
        half = 0.5 * angle.clamp_max(most)
        turns = torch.cat([exp_map * (half.sin() / angle), half.cos()], dim=-1)
        right = (turns @ self._right).view(*turns.shape, 4)
        rot = joint_rot.index_select(-2, self._movable)
        return self._to_dof((rot.unsqueeze(-2) @ right).squeeze(-2))

    def _to_dof(self, rot: Tensor) -> Tensor:
        """Dofs [..., D] of the movable joints' rotations [..., M, 4]."""
        part = rot[..., :3].flatten(-2) @ self._gather  # sin(angle / 2) * axis, per dof
        # Of q and -q, whose quotients are equal, this is the rotation by at most half a circle.
        sine = (part.square() @ self._owned).sqrt().clamp_min(1e-6)
        scale = (sine / rot[..., 3]).atan() / sine
        return part * (scale @ self._twice_owner)

    def forward(
        self, root_pos: Tensor, root_rot: Tensor, joint_rot: Tensor
    ) -> tuple[Tensor, Tensor]:
        """World poses of all bodies.

        Args:
            root_pos: [..., 3] m. root_rot: [..., 4]. joint_rot: [..., J, 4].

        Returns:
            body_pos [..., B, 3] m and body_rot [..., B, 4].
        """
        # All rotations first, one level after the other; then every step between neighbours turns
        # at once, and a body's place is the sum of the steps that lead to it.
        local = joint_rot.index_select(-2, self._order)
        if self._rotations is not None:
            local = quat_multiply(self._rotations, local)
        turns = (local @ self._right).view(*local.shape, 4).split_with_sizes(self._level_sizes, -3)
        levels = [root_rot[..., None, None, :]]
        for parents, turn in zip(self._parents_above, turns):
            levels.append(levels[-1].index_select(-3, parents) @ turn)
        body_rot = torch.cat(levels, -3).squeeze(-2).index_select(-2, self._unstack)
        steps = quat_rotate(body_rot.index_select(-2, self._parents), self._offsets)
        body_pos = (steps.transpose(-1, -2) @ self._leads).transpose(-1, -2)
        return root_pos.unsqueeze(-2) + body_pos, body_rot

    def dof_velocity(
        self, joint_rot: Tensor, next_joint_rot: Tensor, dt: Union[float, Tensor]
    ) -> Tensor:
        """Dof velocities [..., D] rad/s that turn one pose into the next within dt [..., 1] s.

        A ball joint's is log(q^-1 q') / dt, its angular velocity in the child frame; a hinge's is
        that vector's component along the axis.
        """
        turn = quat_to_exp_map(quat_multiply(quat_conjugate(joint_rot), next_joint_rot))
        return turn.index_select(-2, self._movable).flatten(-2) @ self._gather / dt
