"""Reads GMR's .pkl clips, which GMT and TWIST share.

Layout: a dict of `fps`, `root_pos` (T, 3) m, `root_rot` (T, 4) as (x, y, z, w), `dof_pos` (T, D)
rad, `local_body_pos` (T, bodies, 3) m in the root's frame (or None), `link_body_list`. Joints
have no names: bodies tell their order. Sources: YanjieZe/GMR scripts;
zixuan417/humanoid-general-motion-tracking.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import numpy as np

from mimickit.characters import Character
from mimickit.errors import MotionError
from mimickit.motions.clip import Clip
from mimickit.motions.importers.agreement import agreeing, standing
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import (
    ImportOptions,
    joint_orders,
    make_clip,
    numbers,
    pose_from_dofs,
    xyzw,
)

KEYS = ("fps", "root_pos", "root_rot", "dof_pos")


def recognise_gmr(content: Content) -> Optional[str]:
    """Why the content is a GMR clip; None if it is not."""
    return f"a pickle with {', '.join(KEYS)}" if content.has(*KEYS) else None


def read_gmr(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one GMR clip.

    Raises:
        MotionError: it is damaged, for another robot, or the order of its joints stays open.
    """
    path, value = content.path, content.value
    root_pos = numbers(path, "root_pos", value["root_pos"], (None, 3))
    frames = len(root_pos)
    quat_order = options.quat_order or "xyzw"
    root_rot = numbers(path, "root_rot", value["root_rot"], (frames, 4))
    root_rot = xyzw(path, "root_rot", root_rot, quat_order)
    dofs = numbers(path, "dof_pos", value["dof_pos"], (frames, None))
    readings = {
        f"joints {label}": pose_from_dofs(character, root_pos, root_rot, dofs, names)
        for label, names in joint_orders(path, character, dofs.shape[1], options).items()
    }
    bodies = value.get("local_body_pos")
    if bodies is not None:
        body_pos = numbers(path, "local_body_pos", bodies, (frames, None, 3))
        at_origin = {
            label: replace(pose, root_pos=0.0 * root_pos, root_rot=_identity(frames))
            for label, pose in readings.items()
        }
        names = value.get("link_body_list")
        if names is not None and len(names) != body_pos.shape[1]:
            raise MotionError(
                f"{path}: link_body_list names {len(names)} bodies, local_body_pos has "
                f"{body_pos.shape[1]}"
            )
        label, note = agreeing(
            path, character, at_origin, body_pos, options.tolerance, "joints (--joints)", names
        )
    elif len(readings) == 1:
        label = next(iter(readings))
        note = f"{label}; the file has no body positions to compare with"
    else:
        label, note = standing(path, character, readings, "joints (--joints)")
    return [make_clip(content, character, options, readings[label], value["fps"], notes=[note])]


def _identity(frames: int) -> np.ndarray:
    return np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1))
