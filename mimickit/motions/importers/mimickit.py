"""Reads MimicKit's .pkl clips.

Layout: a dict of `loop_mode` (0 clamp, 1 wrap), `fps` and `frames` (T, 6 + D): root position [m],
root exp map, then the dofs in the character's order. Source: xbpeng/MimicKit f8d0d70, anim/motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_exp_map
from mimickit.motions.clip import Clip, read_bytes
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import ImportOptions, make_clip, pose_from_dofs
from mimickit.motions.importers.unpickling import unpickle

KEYS = ("loop_mode", "fps", "frames")


def recognise_mimickit(content: Content) -> Optional[str]:
    """Why the content is a MimicKit clip; None if it is not."""
    fits = content.kind == "pickle" and content.has(*KEYS)
    return f"a pickle with {', '.join(KEYS)}" if fits else None


def read_mimickit(path: Union[str, Path], character: Character) -> Clip:
    """Read one MimicKit clip, made for `character`; its name is the file's stem.

    Raises:
        MotionError: the file is missing, damaged, hostile, a Git-LFS pointer, or has another
            number of degrees of freedom than the character.
    """
    path = Path(path)
    data = read_bytes(path)
    content = Content(path, data, "pickle", unpickle(path, data))
    return import_mimickit(content, character, ImportOptions())[0]


def import_mimickit(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """The clip that a MimicKit pickle holds, as `read_mimickit`."""
    path, value = content.path, content.value
    if not isinstance(value, Mapping):
        raise MotionError(f"{path} is no MimicKit clip: a {type(value).__name__}, not a dict")
    missing = [key for key in KEYS if key not in value]
    if missing:
        raise MotionError(
            f"{path} is no MimicKit clip: it lacks {', '.join(missing)}, and has "
            f"{', '.join(sorted(map(str, value))) or 'nothing'}"
        )
    frames = _frames(path, value["frames"], character)
    names = [joint.name for joint in character.movable_joints]
    root_rot = quat_from_exp_map(torch.from_numpy(frames[:, 3:6])).numpy()
    pose = pose_from_dofs(character, frames[:, :3], root_rot, frames[:, 6:], names)
    loop = _loop(path, value["loop_mode"])
    return [make_clip(content, character, options, pose, value["fps"], loop)]


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
