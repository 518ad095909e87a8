"""Writes Unitree's CSV clips; the layout is in mimickit/motions/importers/robot_csv.py."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mimickit.characters import Character
from mimickit.motions.clip import Clip
from mimickit.motions.exporters.numbers import clip_dofs, only_hinges, write_whole


def write_csv(path: Path, clip: Clip, character: Character) -> None:
    """Write one clip of a character with hinges only: (x, y, z, w), no header, no frame rate.

    Raises:
        MotionError: the character has ball joints.
    """
    only_hinges(character, "csv")
    rows = np.hstack([clip.root_pos, clip.root_rot, clip_dofs(clip, character)])
    text = io.StringIO()
    np.savetxt(text, rows, fmt="%.9g", delimiter=",")
    write_whole(path, text.getvalue().encode("ascii"))
