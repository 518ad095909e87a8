"""Writes MimicKit's .pkl clips; the layout is in mimickit/motions/importers/mimickit.py."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch

from mimickit.characters import Character
from mimickit.geometry.quaternion import quat_to_exp_map
from mimickit.motions.clip import Clip
from mimickit.motions.exporters.numbers import clip_dofs, write_whole


def write_mimickit(path: Path, clip: Clip, character: Character) -> None:
    """Write one clip, for MimicKit's model of the same character: frames as plain lists."""
    root = quat_to_exp_map(torch.from_numpy(clip.root_rot).double()).numpy()
    frames = np.hstack([clip.root_pos, root, clip_dofs(clip, character)])
    content = {"loop_mode": int(clip.loop), "fps": clip.fps, "frames": frames.tolist()}
    write_whole(path, pickle.dumps(content, protocol=4))
