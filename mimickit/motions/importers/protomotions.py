"""Reads ProtoMotions' .motion clips.

Layout: what torch.save makes of a dict of `fps`, `dof_pos` (T, D) rad, `rigid_body_pos` (T,
bodies, 3) m, `rigid_body_rot` (T, bodies, 4) as (x, y, z, w), velocities, contacts; no names.
Dofs are hinge angles, or exp maps of ball joints. Source: NVlabs/ProtoMotions 3.1, examples/data.
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
    joint_orders,
    make_clip,
    numbers,
    pose_from_dofs,
    xyzw,
)

KEYS = ("fps", "dof_pos", "rigid_body_pos", "rigid_body_rot")


def recognise_protomotions(content: Content) -> Optional[str]:
    """Why the content is a .motion clip; None if it is not."""
    fits = content.kind == "torch" and content.has(*KEYS)
    return f"a torch file with {', '.join(KEYS)}" if fits else None


def read_protomotions(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one clip, in the order of joints and quaternions that its body positions allow.

    Raises:
        MotionError: it is damaged, or for another character.
    """
    path, value = content.path, content.value
    body_pos = numbers(path, "rigid_body_pos", value["rigid_body_pos"], (None, None, 3))
    frames, bodies = body_pos.shape[:2]
    body_rot = numbers(path, "rigid_body_rot", value["rigid_body_rot"], (frames, bodies, 4))
    dofs = numbers(path, "dof_pos", value["dof_pos"], (frames, None))
    readings = {
        f"joints {label}, quat_order {quat_order}": pose_from_dofs(
            character,
            body_pos[:, 0],
            xyzw(path, "rigid_body_rot", body_rot[:, 0], quat_order),
            dofs,
            names,
        )
        for label, names in joint_orders(path, character, dofs.shape[1], options).items()
        for quat_order in (QUAT_ORDERS if options.quat_order is None else (options.quat_order,))
    }
    flags = "joints and quat_order (--joints depth_first --quat-order xyzw)"
    label, note = agreeing(path, character, readings, body_pos, options.tolerance, flags)
    return [make_clip(content, character, options, readings[label], value["fps"], notes=[note])]
