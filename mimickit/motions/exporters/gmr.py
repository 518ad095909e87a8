"""Writes GMR's .pkl clips; the layout is in mimickit/motions/importers/gmr.py."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from mimickit.characters import Character
from mimickit.motions.clip import Clip
from mimickit.motions.exporters.numbers import (
    clip_dofs,
    joint_rotations,
    only_hinges,
    write_whole,
)
from mimickit.motions.importers.agreement import body_positions
from mimickit.motions.importers.poses import Pose


def write_gmr(path: Path, clip: Clip, character: Character) -> None:
    """Write one clip of a character with hinges only, with its bodies in the root's frame.

    Raises:
        MotionError: the character has ball joints.
    """
    only_hinges(character, "gmr")
    at_origin = Pose(
        np.zeros((clip.num_frames, 3)),
        np.tile([0.0, 0.0, 0.0, 1.0], (clip.num_frames, 1)),
        joint_rotations(clip, character),
    )
    content = {
        "fps": clip.fps,
        "root_pos": clip.root_pos,
        "root_rot": clip.root_rot,
        "dof_pos": clip_dofs(clip, character),
        "local_body_pos": body_positions(character, at_origin).astype(np.float32),
        "link_body_list": list(character.body_names),
    }
    write_whole(path, pickle.dumps(content, protocol=4))
