"""Reads motion_imitation's Laikago .txt clips as clips of a quadruped with Unitree's joint names.

Layout: JSON {`LoopMode`: "Wrap" | "Clamp", `FrameDuration` s, `Frames`: rows of 19}: root
position [m], root rotation (x, y, z, w), then hip, thigh, calf [rad] of the legs FR, FL, RR, RL.
Root frame and angles are those of the Laikago's URDF: at rest its frame is turned, its thighs and
calves are bent, and two of its hips turn the other way. Sources:
google-research/motion_imitation, robots/laikago.py (directions, offsets, rest rotation).
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_conjugate, quat_multiply
from mimickit.motions.clip import Clip
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.ground import on_ground
from mimickit.motions.importers.poses import (
    JOINT_ORDERS,
    ImportOptions,
    make_clip,
    numbers,
    pose_from_dofs,
    rate,
    xyzw,
)

WIDTH = 19
LEG_LENGTH = 0.25  # [m] the Laikago's thigh
_DIRECTIONS = np.array([-1, 1, 1, 1, 1, 1, -1, 1, 1, 1, 1, 1])
_OFFSETS = np.tile([0.0, -0.6, 0.66], 4)  # [rad]
_REST = torch.tensor([0.5, 0.5, 0.5, 0.5], dtype=torch.float64)
_JOINTS = JOINT_ORDERS["go2"]["sdk"]  # FR first


def recognise_motion_imitation(content: Content) -> Optional[str]:
    """Why the content is such a clip; None if it is not."""
    if content.kind != "json" or not content.has("Frames", "FrameDuration", "LoopMode"):
        return None
    return f"JSON with LoopMode, FrameDuration and frames of {_width(content.value['Frames'])}"


def read_motion_imitation(
    content: Content, character: Character, options: ImportOptions
) -> list[Clip]:
    """Read one clip; the root is scaled with the legs and lowered until the feet reach the ground.

    Raises:
        MotionError: it is damaged, or the character is no quadruped with Unitree's joint names.
    """
    path, value = content.path, content.value
    names = [joint.name for joint in character.movable_joints]
    if sorted(names) != sorted(_JOINTS):
        raise MotionError(
            f"{path} is a quadruped's clip, and character '{character.name}' has other joints; "
            "import it for the character go2"
        )
    if _width(value["Frames"]) != WIDTH:
        raise MotionError(
            f"{path}: frames must be rows of {WIDTH} numbers, got {_width(value['Frames'])}"
        )
    rows = numbers(path, "Frames", value["Frames"], (None, WIDTH))
    root = torch.from_numpy(xyzw(path, "root rotation", rows[:, 3:7], "xyzw"))
    root = quat_multiply(root, quat_conjugate(_REST)).numpy()
    angles = (rows[:, 7:] - _OFFSETS) * _DIRECTIONS
    scale = _thigh(character) / LEG_LENGTH
    pose = pose_from_dofs(character, scale * rows[:, :3], root, angles, _JOINTS)
    pose, up = on_ground(character, pose, percentile=50.0)
    notes = [
        f"Laikago's rest turned back, root scaled by {scale:.3f} (thigh lengths) and raised by "
        f"{100 * up:+.1f} cm"
    ]
    loop = _loop(content, value["LoopMode"])
    fps = rate(path, "FrameDuration", value["FrameDuration"])
    return [make_clip(content, character, options, pose, fps, loop, notes)]


def _thigh(character: Character) -> float:
    """Length [m] from the front right thigh joint to the calf joint."""
    calf = next(j.body for j in character.movable_joints if j.name == "FR_calf_joint")
    return float(np.linalg.norm(character.offsets[calf]))


def _loop(content: Content, mode: Any) -> bool:
    known = {"wrap": True, "clamp": False}
    try:
        return known[str(mode).lower()]
    except KeyError:
        raise MotionError(
            f"{content.path}: LoopMode must be 'Wrap' or 'Clamp', got {mode!r}"
        ) from None


def _width(frames: Any) -> int:
    """Numbers in a frame; 0 where frames are no rows."""
    first = frames[0] if isinstance(frames, list) and frames else None
    return len(first) if isinstance(first, list) else 0
