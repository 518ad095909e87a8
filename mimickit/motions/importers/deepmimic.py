"""Reads DeepMimic's humanoid3d .txt clips as clips of the T-pose humanoid.

Layout: JSON {"Loop": "wrap" | "none", "Frames": rows of 44 numbers}: duration [s], root position
(y up, m), root rotation, then the joints of `_LAYOUT`; quaternions (w, x, y, z) in the parent,
hinges in rad; zero is a stand with hanging arms. Source: xbpeng/DeepMimic, data/motions and
data/characters/humanoid3d.txt.
"""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_multiply, quat_normalize
from mimickit.motions.clip import Clip, read_bytes, source_hash
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import ImportOptions

TOOL = "mimickit.motions.importers.deepmimic"
TOOL_VERSION = "1"
WIDTH = 44
_QUAT_TOLERANCE = (
    0.5  # resampling left some far from unit length: the kick's right hip is 0.42 short
)

# DeepMimic's order: joint, axis of a hinge in our humanoid (None: a ball), sign of its angle.
_LAYOUT = (
    ("abdomen", None, 0.0),
    ("neck", None, 0.0),
    ("right_hip", None, 0.0),
    ("right_knee", (0.0, 1.0, 0.0), -1.0),  # DeepMimic bends knees to the negative side
    ("right_ankle", None, 0.0),
    ("right_shoulder", None, 0.0),
    ("right_elbow", (0.0, 0.0, 1.0), 1.0),
    ("left_hip", None, 0.0),
    ("left_knee", (0.0, 1.0, 0.0), -1.0),
    ("left_ankle", None, 0.0),
    ("left_shoulder", None, 0.0),
    ("left_elbow", (0.0, 0.0, 1.0), -1.0),
)
# From an arm that hangs, at rest there, to one held out, at rest here: turns [rad] about x.
_ARM_TURNS = {"right_shoulder": math.pi / 2, "left_shoulder": -math.pi / 2}
_JOINT_ORDER = (
    "abdomen", "neck", "right_shoulder", "right_elbow", "left_shoulder", "left_elbow",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
)  # fmt: skip


def recognise_deepmimic(content: Content) -> Optional[str]:
    """Why the content is a DeepMimic clip; None if it is not."""
    if content.kind != "json" or not content.has("Frames") or content.has("FrameDuration"):
        return None
    return "JSON with Frames and no FrameDuration"


def import_deepmimic(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """The clip that a humanoid3d file holds, for a character with the humanoid's joints.

    Raises:
        MotionError: as `read_deepmimic`, or the character is another.
    """
    names = [joint.name for joint in character.movable_joints]
    if sorted(names) != sorted(_JOINT_ORDER):
        raise MotionError(
            f"{content.path} is a clip of DeepMimic's humanoid3d, and character "
            f"'{character.name}' has other joints; import it for the character humanoid, and "
            "retarget that clip"
        )
    clip = read_deepmimic(content.path, options.name, options.fps)
    told = {"source": options.source, "licence": options.licence}
    provenance = {**clip.provenance, **{key: text for key, text in told.items() if text}}
    loop = clip.loop if options.loop is None else options.loop
    return [replace(clip, loop=loop, provenance=provenance)]


def read_deepmimic(path: Union[str, Path], name: str = "", fps: Optional[float] = None) -> Clip:
    """Read one humanoid3d clip as it is: turned to z up and T-pose, nothing repaired.

    Frame rates within 0.1 % of a whole number are that number: the files round 1/60 s to
    0.016666 s. The last frame's duration is not used, as in DeepMimic.

    Args:
        name: the clip's name; empty takes the file's stem.
        fps: frames per second to take instead of the durations in the file.

    Raises:
        MotionError: the file is missing, no humanoid3d clip, or of uneven frame durations.
    """
    path = Path(path)
    data = read_bytes(path)
    loop, frames = _parse(path, data)
    fps = _frame_rate(path, frames[:, 0]) if fps is None else fps
    rows = torch.from_numpy(frames)
    rotations: dict[str, Tensor] = {}
    column = 8
    for joint, axis, sign in _LAYOUT:
        if axis is None:
            rotations[joint] = _rotation(path, joint, rows[:, column : column + 4])
            column += 4
        else:
            angle = sign * rows[:, column]
            rotations[joint] = quat_from_axis_angle(
                rows.new_tensor(axis).expand(len(rows), 3), angle
            )
            column += 1
    for joint, turn in _ARM_TURNS.items():
        arm = quat_from_axis_angle(rows.new_tensor([1.0, 0.0, 0.0]), rows.new_tensor(turn))
        rotations[joint] = quat_multiply(rotations[joint], arm)
    x, y, z = rows[:, 1:4].unbind(-1)
    try:
        return Clip(
            name=name or path.stem,
            fps=fps,
            loop=loop,
            joint_names=_JOINT_ORDER,
            root_pos=torch.stack([x, -z, y], dim=-1).numpy(),
            root_rot=_rotation(path, "root", rows[:, 4:8]).numpy(),
            joint_rot=torch.stack([rotations[joint] for joint in _JOINT_ORDER], dim=1).numpy(),
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


def find_pybullet_motions() -> Path:
    """The folder of the clips that the PyPI package pybullet ships.

    Raises:
        MotionError: the package is not installed.
    """
    spec = importlib.util.find_spec("pybullet_data")
    if spec is None or not spec.submodule_search_locations:
        raise MotionError(
            "the source clips are not here: there is no package 'pybullet_data'; "
            "`pip install pybullet` brings it"
        )
    return Path(next(iter(spec.submodule_search_locations))) / "data" / "motions"


def _parse(path: Path, data: bytes) -> tuple[bool, np.ndarray]:
    """Whether the clip wraps, and its frames [T, 44] as float64, all finite."""
    try:
        content = json.loads(data.decode("utf-8"))
    except ValueError as error:
        raise MotionError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(content, dict) or "Frames" not in content:
        raise MotionError(f"{path} is no DeepMimic clip: it has no 'Frames'")
    rows = content["Frames"]
    try:
        frames: np.ndarray = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        frames = np.empty(0)
    if frames.ndim != 2 or frames.shape[1] != WIDTH:
        widths = sorted({len(row) if isinstance(row, list) else 0 for row in rows or [[]]})
        raise MotionError(
            f"{path} is no humanoid3d clip: its frames have {widths} numbers, not {WIDTH}"
        )
    bad = np.argwhere(~np.isfinite(frames))
    if len(bad):
        raise MotionError(f"{path}: frame {bad[0][0]} holds NaN or infinity, number {bad[0][1]}")
    return _loop(path, content.get("Loop", "none")), frames


def _loop(path: Path, mode: Any) -> bool:
    known = {"wrap": True, "true": True, "none": False, "clamp": False, "false": False}
    try:
        return known[str(mode).lower()]
    except KeyError:
        raise MotionError(f"{path}: Loop must be 'wrap' or 'none', got {mode!r}") from None


def _frame_rate(path: Path, durations: np.ndarray) -> float:
    if len(durations) < 2:
        raise MotionError(f"{path} needs at least 2 frames, got {len(durations)}")
    used = durations[:-1]
    uneven = np.abs(used - used[0]) > 1e-3 * abs(used[0])
    if used[0] <= 0 or uneven.any():
        frame = int(uneven.argmax())
        raise MotionError(
            f"{path}: frames must all last equally long and more than 0 s; frame 0 lasts {used[0]} "
            f"s, frame {frame} {used[frame]} s; if that is a slip, say which rate is meant (fps)"
        )
    fps = 1.0 / float(used.mean())
    return float(round(fps)) if abs(fps - round(fps)) < 1e-3 * fps else fps


def _rotation(path: Path, joint: str, wxyz: Tensor) -> Tensor:
    """From (w, x, y, z) with y up to (x, y, z, w) with z up, [T, 4]."""
    off = (wxyz.norm(dim=-1) - 1.0).abs()
    if off.max() > _QUAT_TOLERANCE:
        raise MotionError(
            f"{path}: frame {int(off.argmax())}, joint '{joint}': a quaternion of length "
            f"{float(wxyz[off.argmax()].norm()):.3f} is no rotation"
        )
    w, x, y, z = quat_normalize(wxyz).unbind(-1)
    return torch.stack([x, -z, y, w], dim=-1)
