"""Reads MimicKit's .pkl clips.

Layout: a dict of `loop_mode` (0 clamp, 1 wrap), `fps` and `frames` (T, 6 + D): root position [m],
root exp map, then the dofs in the character's order. Source: xbpeng/MimicKit f8d0d70, anim/motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch

from mimickit.characters import Character, Kinematics
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_exp_map
from mimickit.motions.clip import Clip, read_bytes, source_hash
from mimickit.motions.importers.unpickling import unpickle

TOOL = "mimickit.motions.importers.mimickit"
TOOL_VERSION = "1"


def read_mimickit(path: Union[str, Path], character: Character) -> Clip:
    """Read one MimicKit clip, made for `character`; its name is the file's stem.

    Raises:
        MotionError: the file is missing, damaged, hostile, a Git-LFS pointer, or has another
            number of degrees of freedom than the character.
    """
    path = Path(path)
    data = read_bytes(path)
    content = unpickle(path, data)
    if not isinstance(content, Mapping):
        raise MotionError(f"{path} is no MimicKit clip: a {type(content).__name__}, not a dict")
    missing = [key for key in ("loop_mode", "fps", "frames") if key not in content]
    if missing:
        raise MotionError(
            f"{path} is no MimicKit clip: it lacks {', '.join(missing)}, and has "
            f"{', '.join(sorted(map(str, content))) or 'nothing'}"
        )
    frames = torch.from_numpy(_frames(path, content["frames"], character))
    joint_rot = Kinematics(character, dtype=torch.float64).dof_to_rot(frames[:, 6:])
    movable = character.movable_joints
    try:
        return Clip(
            name=path.stem,
            fps=content["fps"],
            loop=_loop(path, content["loop_mode"]),
            joint_names=tuple(joint.name for joint in movable),
            root_pos=frames[:, :3].numpy(),
            root_rot=quat_from_exp_map(frames[:, 3:6]).numpy(),
            joint_rot=joint_rot[:, [joint.body - 1 for joint in movable]].numpy(),
            provenance={
                "source": path.name,
                "licence": "unknown",
                "tool": TOOL,
                "tool_version": TOOL_VERSION,
                "source_hash": source_hash(data),
                "notes": "",
            },
        )
    except MotionError as error:
        raise MotionError(f"{path}: {error}") from None


def _frames(path: Path, rows: Any, character: Character) -> np.ndarray:
    """The frames [T, 6 + D] as float64, all finite."""
    width = 6 + character.num_dofs
    try:
        frames: np.ndarray = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        frames = np.empty(0)
    if frames.ndim != 2:
        raise MotionError(f"{path}: frames must be rows of {width} numbers each, all as long")
    if frames.shape[1] != width:
        raise MotionError(
            f"{path} is not for character '{character.name}': its frames have {frames.shape[1]} "
            f"numbers, the character needs {width} = 6 for the root + {character.num_dofs} dofs"
        )
    bad = np.argwhere(~np.isfinite(frames))
    if len(bad):
        raise MotionError(f"{path}: frame {bad[0][0]} holds NaN or infinity, number {bad[0][1]}")
    return frames


def _loop(path: Path, mode: Any) -> bool:
    if isinstance(mode, (int, float)) and mode in (0, 1):
        return bool(mode)
    raise MotionError(f"{path}: loop_mode must be 0 (clamp) or 1 (wrap), got {mode!r}")
