"""Reads the .npz clips of BeyondMimic, mjlab and UniLab.

Layout: `fps` (1,), `joint_pos` (T, D) rad, `body_pos_w` (T, bodies, 3) m, `body_quat_w` (T,
bodies, 4), and velocities, which we take from the poses instead. Nothing has a name: MuJoCo
writes joints depth first and (w, x, y, z), Isaac Lab breadth first, and (x, y, z, w) since 2026.
Sources: HybridRobotics/whole_body_tracking scripts/csv_to_npz.py; mujocolab/mjlab;
isaac-sim/IsaacLab#4437.
"""

from __future__ import annotations

from typing import Optional

from mimickit.characters import Character
from mimickit.motions.clip import Clip
from mimickit.motions.importers.agreement import agreeing
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import (
    QUAT_ORDERS,
    ImportOptions,
    breadth_first,
    joint_orders,
    make_clip,
    numbers,
    pose_from_dofs,
    xyzw,
)

KEYS = ("fps", "joint_pos", "body_pos_w", "body_quat_w")


def recognise_beyondmimic(content: Content) -> Optional[str]:
    """Why the content is such a clip; None if it is not."""
    return f"an .npz with {', '.join(KEYS)}" if content.has(*KEYS) else None


def read_beyondmimic(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one clip, in the only order of joints and quaternions that its body positions allow.

    Raises:
        MotionError: it is damaged, for another robot, or can be read in several ways.
    """
    path, value = content.path, content.value
    body_pos = numbers(path, "body_pos_w", value["body_pos_w"], (None, None, 3))
    frames, bodies = body_pos.shape[:2]
    body_quat = numbers(path, "body_quat_w", value["body_quat_w"], (frames, bodies, 4))
    dofs = numbers(path, "joint_pos", value["joint_pos"], (frames, None))
    orders = joint_orders(path, character, dofs.shape[1], options)
    if not options.joints and dofs.shape[1] == character.num_dofs:
        orders["breadth_first"] = breadth_first(character)
    quat_orders = QUAT_ORDERS if options.quat_order is None else (options.quat_order,)
    readings = {
        f"joints {label}, quat_order {quat_order}": pose_from_dofs(
            character,
            body_pos[:, 0],
            xyzw(path, "body_quat_w", body_quat[:, 0], quat_order),
            dofs,
            names,
        )
        for label, names in orders.items()
        for quat_order in quat_orders
    }
    flags = "joints and quat_order (--joints depth_first --quat-order wxyz)"
    label, note = agreeing(path, character, readings, body_pos, options.tolerance, flags)
    return [make_clip(content, character, options, readings[label], value["fps"], notes=[note])]
