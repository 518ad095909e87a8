"""Reads robots' CSV clips: Unitree's and Kimodo's rows of qpos, and BONES-SEED's named columns.

Unitree: no header; root position [m], root rotation (x, y, z, w), joint angles [rad]. Kimodo and
ARDY: the same width, but (w, x, y, z). BONES-SEED: a header; centimetres and degrees, the root's
rotation as extrinsic xyz Euler angles. No file states its rate. Sources: the README of
unitreerobotics' LAFAN1_Retargeting_Dataset; NVlabs/ProtoMotions, data/g1-kimodo-generated;
bones-studio/seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import numpy as np
import torch

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_multiply
from mimickit.motions.clip import Clip
from mimickit.motions.importers.agreement import standing
from mimickit.motions.importers.content import Content, Table
from mimickit.motions.importers.poses import (
    QUAT_ORDERS,
    ImportOptions,
    joint_orders,
    make_clip,
    pose_from_dofs,
    xyzw,
)

ROOT_COLUMNS = 7
_BONES_ROOT = tuple(f"root_{what}{axis}" for what in ("translate", "rotate") for axis in "XYZ")


def recognise_csv(content: Content) -> Optional[str]:
    """Why the content is such a table; None if it is not."""
    if content.kind != "csv":
        return None
    table: Table = content.value
    if set(_BONES_ROOT) <= set(table.header):
        return "a table with BONES-SEED's columns"
    if table.rows.shape[1] > ROOT_COLUMNS and _unit(table.rows[:, 3:7]):
        return f"a table of {table.rows.shape[1]} columns, 4 to 7 unit quaternions"
    return None


def read_csv(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read a table of poses.

    Raises:
        MotionError: it is for another robot, its rate is not given, or its conventions are open.
    """
    table: Table = content.value
    if set(_BONES_ROOT) <= set(table.header):
        return [_read_bones(content, character, options)]
    rows = table.rows
    if rows.shape[1] <= ROOT_COLUMNS or not _unit(rows[:, 3:7]):
        raise MotionError(
            f"{content.path} is no table of poses: columns 4 to 7 must be a unit quaternion, and "
            "the joints must follow"
        )
    orders = joint_orders(content.path, character, rows.shape[1] - ROOT_COLUMNS, options)
    readings = {}
    for quat_order in QUAT_ORDERS if options.quat_order is None else (options.quat_order,):
        root_rot = xyzw(content.path, "root rotation", rows[:, 3:7], quat_order)
        for label, names in orders.items():
            key = f"quat_order {quat_order}" + (f", joints {label}" if len(orders) > 1 else "")
            readings[key] = pose_from_dofs(character, rows[:, :3], root_rot, rows[:, 7:], names)
    label, note = next(iter(readings)), "conventions as told"
    if len(readings) > 1:
        label, note = standing(content.path, character, readings, "quat_order, joints")
    return [make_clip(content, character, options, readings[label], None, notes=[note])]


def _read_bones(content: Content, character: Character, options: ImportOptions) -> Clip:
    table: Table = content.value
    names = [name[: -len("_dof")] for name in table.header if name.endswith("_dof")]
    wanted = [joint.name for joint in character.movable_joints]
    unknown = sorted(set(names) ^ set(wanted))
    if unknown:
        raise MotionError(
            f"{content.path} is not for character '{character.name}': joints that only one of them "
            f"has: {', '.join(unknown)}"
        )
    root = _columns(table, _BONES_ROOT)
    # Extrinsic x, then y, then z: about the world's axes, so the last is leftmost.
    x, y, z = (
        quat_from_axis_angle(torch.eye(3, dtype=torch.float64)[axis].expand(len(root), 3), angle)
        for axis, angle in enumerate(torch.from_numpy(np.radians(root[:, 3:])).unbind(-1))
    )
    pose = pose_from_dofs(
        character,
        root[:, :3] / 100.0,
        quat_multiply(z, quat_multiply(y, x)).numpy(),
        np.radians(_columns(table, [f"{name}_dof" for name in names])),
        names,
    )
    notes = ["centimetres and degrees made metres and radians"]
    return make_clip(content, character, options, pose, None, notes=notes)


def _columns(table: Table, names: Sequence[str]) -> np.ndarray:
    return table.rows[:, [table.header.index(name) for name in names]]


def _unit(quaternions: np.ndarray) -> bool:
    return bool(np.abs(np.linalg.norm(quaternions, axis=1) - 1.0).max() < 0.02)
