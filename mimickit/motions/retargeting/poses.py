"""Poses of a character through a clip, as retargeting passes them on.

Legend: T frames, J joints, D dofs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, Joint, JointKind, Kinematics
from mimickit.characters.shapes import read_shapes
from mimickit.motions.clip import Clip

LIMIT_MARGIN = 1e-4  # [rad] poses keep this far from joint limits, so that rounding crosses none


@dataclass(frozen=True, eq=False)
class Pose:
    """Poses of a character through T frames; all float64.

    Attributes:
        root_pos: [T, 3] m. root_rot: [T, 4]. dof_pos: [T, D] rad.
    """

    root_pos: Tensor
    root_rot: Tensor
    dof_pos: Tensor

    def frames(self, which: slice) -> Pose:
        """The poses of some frames only."""
        return Pose(self.root_pos[which], self.root_rot[which], self.dof_pos[which])


def reachable(joint: Joint) -> np.ndarray:
    """The limits [n, 2] rad of a joint's dofs, `LIMIT_MARGIN` inside.

    A hinge that could turn by more than half a circle keeps within that: a clip stores rotations,
    and of 190 degrees nothing tells it from -170.
    """
    limits = np.array(joint.limits) + np.array([LIMIT_MARGIN, -LIMIT_MARGIN])
    if joint.kind is JointKind.HINGE:
        limits = limits.clip(-math.pi + LIMIT_MARGIN, math.pi - LIMIT_MARGIN)
    return limits


def lowest(pose: Pose, character: Character) -> Tensor:
    """Height [T] m of the character's lowest point."""
    kinematics = Kinematics(character, dtype=torch.float64)
    joint_rot = kinematics.dof_to_rot(pose.dof_pos)
    body_pos, body_rot = kinematics.forward(pose.root_pos, pose.root_rot, joint_rot)
    return read_shapes(character).body_heights(body_pos, body_rot).amin(-1)


def shares_skeleton(source: Character, target: Character) -> bool:
    """Whether the target has all bodies of the source, as far apart and jointed alike.

    Joints that are fixed in the source may move in the target, and the target may have more bodies.
    """
    if source.body_names[0] != target.body_names[0]:
        return False
    for body in range(1, source.num_bodies):
        name, parent = source.body_names[body], source.body_names[source.parents[body]]
        if name not in target.body_names:
            return False
        other = target.body_names.index(name)
        mine, its = source.joints[body - 1], target.joints[other - 1]
        alike = (
            target.body_names[target.parents[other]] == parent
            and np.allclose(source.offsets[body], target.offsets[other], atol=1e-6)
            and np.allclose(source.rotations[body], target.rotations[other], atol=1e-6)
            and mine.kind in (its.kind, JointKind.FIXED)
            and (mine.kind is not JointKind.HINGE or np.allclose(mine.axis, its.axis, atol=1e-6))
        )
        if not alike:
            return False
    return True


def copied(clip: Clip, source: Character, target: Character) -> Pose:
    """A clip's poses on a character that shares the skeleton; joints of its own rest at zero."""
    rot = np.zeros((clip.num_frames, target.num_joints, 4))
    rot[..., 3] = 1.0
    given = clip.joint_rot_for(source)
    for joint in source.movable_joints:
        name = source.body_names[joint.body]
        rot[:, target.body_names.index(name) - 1] = given[:, joint.body - 1]
    return Pose(
        torch.from_numpy(clip.root_pos).double(),
        torch.from_numpy(clip.root_rot).double(),
        Kinematics(target, dtype=torch.float64).rot_to_dof(torch.from_numpy(rot)),
    )
