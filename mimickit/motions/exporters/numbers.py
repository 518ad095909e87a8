"""What every exporter needs: a clip as rows of numbers in a character's order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from mimickit.characters import Character, JointKind, Kinematics
from mimickit.errors import MotionError
from mimickit.motions.clip import Clip


def joint_rotations(clip: Clip, character: Character) -> np.ndarray:
    """Joint rotations [T, J, 4] as float64."""
    return clip.joint_rot_for(character).astype(np.float64)


def clip_dofs(clip: Clip, character: Character) -> np.ndarray:
    """Hinge angles and ball exp maps [T, D] rad, in the character's order."""
    rot = torch.from_numpy(joint_rotations(clip, character))
    return Kinematics(character, dtype=torch.float64).rot_to_dof(rot).numpy()


def only_hinges(character: Character, format_name: str) -> None:
    """Refuse a character with ball joints, for formats that have one number per joint.

    Raises:
        MotionError: naming the ball joints.
    """
    balls = [joint.name for joint in character.joints if joint.kind is JointKind.BALL]
    if balls:
        raise MotionError(
            f"format {format_name} has one angle per joint, and character '{character.name}' has "
            f"ball joints: {', '.join(balls)}; any4hdmi and mimickit can hold these"
        )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        MotionError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        if temporary.exists():
            temporary.unlink()
        raise MotionError(f"cannot write {path}: {error.strerror or error}") from None
