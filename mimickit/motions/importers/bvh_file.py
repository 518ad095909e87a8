"""Parses BVH: a tree of joints with offsets and channels, then one row of numbers per frame.

Source: the Biovision Hierarchical format as CMU's and LAFAN1's files use it (y up, degrees).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_multiply, quat_rotate

_AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True)
class BvhClip:
    """What a BVH file says, in its own units. Legend: T frames, K joints, parents first.

    Attributes:
        names: K joints.
        parents: K indices; -1 for the root.
        offsets: [K, 3] from the parent.
        root_pos: [T, 3].
        rotations: [T, K, 4] (x, y, z, w), each in its parent.
        frame_time: [s].
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    root_pos: Tensor
    rotations: Tensor
    frame_time: float

    def world(self) -> tuple[Tensor, Tensor]:
        """Positions [T, K, 3] in the file's units and rotations [T, K, 4] in its world."""
        pos, rot = [self.root_pos], [self.rotations[:, 0]]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                offset = torch.from_numpy(self.offsets[joint]).expand_as(self.root_pos)
                pos.append(pos[parent] + quat_rotate(rot[parent], offset))
                rot.append(quat_multiply(rot[parent], self.rotations[:, joint]))
        return torch.stack(pos, dim=1), torch.stack(rot, dim=1)


def parse_bvh(path: Path, text: str) -> BvhClip:
    """The clip in a BVH file's text.

    Raises:
        MotionError: naming the joint or the frame that is wrong.
    """
    head, found, tail = text.partition("MOTION")
    names, parents, offsets, channels = _parse_tree(path, head)
    lines = [line for line in tail.splitlines() if line.strip()]
    frames, frame_time = _stated(path, lines, "Frames:"), _stated(path, lines, "Frame Time:")
    if not found or frames is None or not frame_time:
        raise MotionError(f"{path}: MOTION must state 'Frames:' and 'Frame Time:' > 0")
    width = sum(map(len, channels))
    try:
        rows = np.array([[float(word) for word in line.split()] for line in lines[2:]])
    except ValueError:
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape != (int(frames), width):
        raise MotionError(
            f"{path}: MOTION announces {int(frames)} frames of {width} numbers, and holds "
            f"{len(lines) - 2} lines, not all of {width} numbers"
        )
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        raise MotionError(f"{path}: frame {bad[0][0]} holds NaN or infinity, number {bad[0][1]}")
    rotations = torch.zeros(len(rows), len(names), 4, dtype=torch.float64)
    root_pos = torch.zeros(len(rows), 3, dtype=torch.float64)
    column = 0
    for joint, words in enumerate(channels):
        rotation = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64).expand(len(rows), 4)
        for word in words:
            values, column = torch.from_numpy(rows[:, column].copy()), column + 1
            axis = _AXES[word[0]]
            if word.endswith("rotation"):
                direction = torch.eye(3, dtype=torch.float64)[axis].expand(len(rows), 3)
                turn = quat_from_axis_angle(direction, torch.deg2rad(values))
                rotation = quat_multiply(rotation, turn)  # in the order in which they are listed
            elif joint == 0:
                root_pos[:, axis] = values
        rotations[:, joint] = rotation
    return BvhClip(tuple(names), tuple(parents), np.array(offsets), root_pos, rotations, frame_time)


def _parse_tree(
    path: Path, text: str
) -> tuple[list[str], list[int], list[list[float]], list[list[str]]]:
    """Names, parents, offsets and channels of the joints; end sites are left out."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[Optional[int]] = []  # the joints that are open; None for an end site
    upcoming: Optional[int] = None
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            if not words or words[0] == "HIERARCHY":
                continue
            if words[0] in ("ROOT", "JOINT"):
                parents.append(-1 if not stack else stack[-1])  # type: ignore[arg-type]
                names.append(" ".join(words[1:]))
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
                upcoming = len(names) - 1
            elif words[:2] == ["End", "Site"]:
                upcoming = None
            elif words[0] == "{":
                stack.append(upcoming)
            elif words[0] == "}":
                stack.pop()
            elif words[0] == "OFFSET":
                if stack[-1] is not None:
                    offsets[stack[-1]] = [float(words[1]), float(words[2]), float(words[3])]
            elif words[0] == "CHANNELS":
                channels[stack[-1]] = [_channel(word) for word in words[2:]]  # type: ignore[index]
            else:
                raise ValueError(words[0])
        except (IndexError, TypeError, ValueError):
            raise MotionError(f"{path}: line {number} is no BVH: {line.strip()!r}") from None
    if not names or stack:
        raise MotionError(f"{path} is truncated: its tree of joints does not end")
    return names, parents, offsets, channels


def _channel(word: str) -> str:
    if word[1:] not in ("position", "rotation") or word[0] not in _AXES:
        raise ValueError(word)
    return word


def _stated(path: Path, lines: list[str], key: str) -> Optional[float]:
    """The number behind a key in the first two lines of MOTION."""
    for line in lines[:2]:
        if line.strip().startswith(key):
            try:
                return float(line.strip()[len(key) :])
            except ValueError:
                raise MotionError(f"{path}: {line.strip()!r} states no number") from None
    return None
