"""Puts a moved character back on its feet: where a format's body and ours differ in size."""

from __future__ import annotations

import numpy as np

from mimickit.characters import Character
from mimickit.motions.importers.agreement import body_positions
from mimickit.motions.importers.poses import Pose, pose_from_dofs


def on_ground(character: Character, pose: Pose, percentile: float) -> tuple[Pose, float]:
    """A pose moved up or down until the feet are as high as when the character stands.

    Args:
        character, pose: whose, and [T] frames.
        percentile: of the height of the lowest foot's origin over the clip; this becomes its height
            in the default pose: 50 if a foot is always down, less if not.

    Returns:
        The moved pose, and by how much it went up [m].
    """
    stand = pose_from_dofs(
        character,
        np.array([[0.0, 0.0, character.default_height]]),
        np.array([[0.0, 0.0, 0.0, 1.0]]),
        character.default_dofs[None],
        [joint.name for joint in character.movable_joints],
    )
    height = np.percentile(_lowest_foot(character, pose), percentile)
    up = float(_lowest_foot(character, stand)[0] - height)
    return Pose(pose.root_pos + np.array([0.0, 0.0, up]), pose.root_rot, pose.joint_rot), up


def _lowest_foot(character: Character, pose: Pose) -> np.ndarray:
    """Height [T] m of the lowest foot's origin."""
    feet = character.body_ids(character.feet, "character.bodies.feet")
    return body_positions(character, pose)[:, feet, 2].min(axis=1)
