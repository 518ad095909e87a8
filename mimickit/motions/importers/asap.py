"""Reads the G1 .pkl clips of ASAP and PBHC.

Layout: a joblib pickle {clip: {`root_trans_offset` (T, 3) m, `root_rot` (T, 4) as (x, y, z, w),
`dof` (T, D) rad, `pose_aa` (T, joints, 3), `fps`, ...}}. `pose_aa` repeats each angle as an
axis-angle vector, root first: it shows the axes of the joints, and with them their order.
Sources: LeCAR-Lab/ASAP humanoidverse/data/motions; TeleHuman/PBHC example/motion_data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_angle, quat_from_exp_map
from mimickit.motions.clip import Clip
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import (
    QUAT_ORDERS,
    ImportOptions,
    joint_orders,
    make_clip,
    numbers,
    pose_from_dofs,
    xyzw,
)

KEYS = ("root_trans_offset", "root_rot", "dof", "fps")
_ANGLE = 0.01  # [rad] two statements of one rotation may differ by this
_OFF_AXIS = 0.01  # a joint's axis-angle vector may miss axis times angle by this part of the angle


def recognise_asap(content: Content) -> Optional[str]:
    """Why the content is an ASAP or PBHC file; None if it is not."""
    if not isinstance(content.value, dict) or not content.value:
        return None
    clips = content.value.values()
    if not all(isinstance(clip, dict) and all(key in clip for key in KEYS) for clip in clips):
        return None
    return f"a pickle of clips ({len(content.value)}), each with {', '.join(KEYS)}"


def read_asap(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read every clip of the file.

    Raises:
        MotionError: it is damaged, for another robot, or the order of its joints stays open.
    """
    return [
        _read_one(content, character, options, str(name), value)
        for name, value in content.value.items()
    ]


def _read_one(
    content: Content, character: Character, options: ImportOptions, name: str, value: Mapping
) -> Clip:
    path = content.path
    root_pos = numbers(path, "root_trans_offset", value["root_trans_offset"], (None, 3))
    frames = len(root_pos)
    raw = numbers(path, "root_rot", value["root_rot"], (frames, 4))
    dofs = numbers(path, "dof", value["dof"], (frames, None))
    orders = joint_orders(path, character, dofs.shape[1], options)
    quat_order, notes = options.quat_order or "xyzw", []
    axis_angles = value.get("pose_aa")
    if axis_angles is not None:
        vectors = numbers(path, "pose_aa", axis_angles, (frames, None, 3))
        quat_order, note = _quat_order(path, raw, vectors[:, 0], options)
        orders = _with_axes(path, character, orders, dofs, vectors[:, 1 : 1 + dofs.shape[1]])
        notes = [note, f"joints {next(iter(orders))}, because their axes are those of pose_aa"]
    if len(orders) > 1:
        raise MotionError(
            f"{path}: the joints of clip '{name}' may be {' or '.join(orders)}, and nothing in the "
            "file tells them apart; say it with joints (--joints)"
        )
    (names,) = orders.values()
    pose = pose_from_dofs(character, root_pos, xyzw(path, "root_rot", raw, quat_order), dofs, names)
    return make_clip(content, character, options, pose, value["fps"], notes=notes, name=name)


def _quat_order(
    path: Path, raw: np.ndarray, root_aa: np.ndarray, options: ImportOptions
) -> tuple[str, str]:
    """The order of components that makes `raw` the rotations of pose_aa, and a note."""
    stated = quat_from_exp_map(torch.from_numpy(root_aa))
    worst = {
        order: float(quat_angle(torch.from_numpy(xyzw(path, "root_rot", raw, order)), stated).max())
        for order in (QUAT_ORDERS if options.quat_order is None else (options.quat_order,))
    }
    best = min(worst, key=lambda order: worst[order])
    if worst[best] > _ANGLE:
        raise MotionError(
            f"{path}: root_rot and the first vector of pose_aa differ by up to "
            f"{worst[best]:.3f} rad; say which order root_rot has with quat_order (--quat-order)"
            if options.quat_order is None
            else f"{path}: root_rot as {best} differs from pose_aa by up to {worst[best]:.3f} rad"
        )
    return best, f"quat_order {best}, because it gives the root rotations of pose_aa"


def _with_axes(
    path: Path,
    character: Character,
    orders: Mapping[str, Sequence[str]],
    dofs: np.ndarray,
    vectors: np.ndarray,
) -> dict[str, Any]:
    """The orders whose joints turn about the axes that pose_aa shows."""
    axes = {joint.name: np.array(joint.axis) for joint in character.movable_joints}
    fitting, missed = {}, []
    for label, names in orders.items():
        for column, name in enumerate(names):
            off = np.abs(vectors[:, column] - dofs[:, column, None] * axes[name]).max()
            if off > _OFF_AXIS * max(1.0, float(np.abs(dofs[:, column]).max())):
                missed.append(f"{label}: {name} turns about another axis")
                break
        else:
            fitting[label] = names
    if not fitting:
        raise MotionError(
            f"{path} is not for character '{character.name}': the axes in pose_aa are those of "
            f"other joints ({'; '.join(missed)}); list the file's joints with joints (--joints)"
        )
    return fitting
