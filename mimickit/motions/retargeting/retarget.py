"""From a clip of one character to the same motion of another.

Legend: T frames, J joints, D dofs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import JointKind, Kinematics
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_from_exp_map,
    quat_multiply,
    quat_to_exp_map,
)
from mimickit.motions.clip import Clip, content_hash
from mimickit.motions.measures import touching, trace
from mimickit.motions.retargeting.parts import Parts
from mimickit.motions.retargeting.report import Report, make_report
from mimickit.motions.retargeting.smoothing import CUTOFF, smooth_course, unwound
from mimickit.motions.retargeting.targets import Targets, make_targets, unroll

if TYPE_CHECKING:
    from mimickit.motions.retargeting.solving import Pose

TOOL = "mimickit.motions.retargeting"
TOOL_VERSION = "1"
STAY_COST = 0.5  # of a radian away from the smoothed pose, when feet are put back in place


@dataclass(frozen=True)
class Retargeted:
    """A motion on its new character.

    Attributes:
        clip: with a provenance that names its source.
        report: how well it went.
        may_touch_ground: bodies that do so in this clip, in `MotionEntry`'s terms.
    """

    clip: Clip
    report: Report
    may_touch_ground: Optional[tuple[str, ...]]


def retarget(
    clip: Clip,
    source: Parts,
    target: Parts,
    may_touch_ground: Optional[Sequence[str]] = None,
) -> Retargeted:
    """The motion of a clip on another character.

    Inverse kinematics, smoothing, inverse kinematics from the smoothed poses (which puts the feet
    back), and last a smoothing of what breaks a speed limit.

    Args:
        may_touch_ground: of the source's bodies, as in `MotionEntry`.

    Raises:
        ConfigError: mink is not installed. MotionError: the clip is not the source's.
    """
    rounds, middle = unroll(clip)
    targets = make_targets(rounds, source, target)
    pose, targets = _solve(clip, targets, middle, target)
    kinematics = Kinematics(target.character, dtype=torch.float64)
    movable = target.character.movable_joints
    made = Clip(
        name=clip.name,
        fps=clip.fps,
        loop=clip.loop,
        joint_names=tuple(joint.name for joint in movable),
        root_pos=pose.root_pos.numpy(),
        root_rot=pose.root_rot.numpy(),
        joint_rot=kinematics.dof_to_rot(pose.dof_pos)[:, [j.body - 1 for j in movable]].numpy(),
        provenance={
            **clip.provenance,
            "tool": TOOL,
            "tool_version": TOOL_VERSION,
            "source_hash": content_hash(clip),
        },
    )
    report = make_report(made, target, targets, clip, source)
    notes = (
        f"retargeted from {source.character.name}'s {clip.name}, lengths scaled by "
        f"{targets.scale:.3f}; feet {100 * report.foot_error:.1f} cm off on average; "
        f"of the source: {clip.provenance.get('notes') or 'nothing noted'}"
    )
    made = replace(made, provenance={**made.provenance, "notes": notes})
    return Retargeted(made, report, _may_touch(made, source, target, may_touch_ground))


def _solve(clip: Clip, targets: Targets, middle: slice, target: Parts) -> tuple[Pose, Targets]:
    """Poses of the frames `middle`, and their targets."""
    try:
        from mimickit.motions.retargeting import solving
    except ImportError as error:
        raise ConfigError(
            f"retargeting needs the package '{error.name}', which is not installed: "
            "`pip install 'mimickit[retarget]'` (Python 3.11 or newer)"
        ) from None
    pose = solving.solve(targets, target).frames(middle)
    targets = targets.frames(middle)
    pelvis = targets.parts["pelvis"]

    def smoothed(pose: Pose, cutoff: float) -> Pose:
        turned = quat_to_exp_map(quat_multiply(quat_conjugate(pelvis.rot), pose.root_rot))
        moved = torch.cat([pose.root_pos - pelvis.pos, turned], -1).numpy()
        moved = np.stack([smooth_course(c, clip.fps, clip.loop, cutoff) for c in moved.T], -1)
        place, turned = torch.from_numpy(moved).split(3, -1)
        return solving.Pose(
            pelvis.pos + place,
            quat_multiply(pelvis.rot, quat_from_exp_map(turned)),
            _smooth_dofs(pose.dof_pos, target, clip, cutoff, solving.LIMIT_MARGIN),
        )

    pose = solving.solve_near(targets, target, smoothed(pose, CUTOFF), STAY_COST)
    return smoothed(pose, math.inf), targets


def _smooth_dofs(
    dof_pos: Tensor, target: Parts, clip: Clip, cutoff: float, margin: float
) -> Tensor:
    """Dofs [T, D] rad, smooth, within limits by `margin` [rad], and no faster than theirs."""
    dofs = dof_pos.numpy().copy()
    for joint in target.character.movable_joints:
        if joint.kind is JointKind.BALL:
            dofs[:, joint.dofs] = unwound(dofs[:, joint.dofs])
        for dof, (low, high) in zip(range(joint.dofs.start, joint.dofs.stop), joint.limits):
            dofs[:, dof] = smooth_course(
                dofs[:, dof],
                clip.fps,
                clip.loop,
                cutoff,
                (low + margin, high - margin),
                target.speed_limits[dof],
            )
    return torch.from_numpy(dofs)


def _may_touch(
    clip: Clip, source: Parts, target: Parts, given: Optional[Sequence[str]]
) -> Optional[tuple[str, ...]]:
    """The target's bodies that play the source's, its own list, and what does touch the ground."""
    if given is not None and not given:
        return ()
    names = target.character.body_names
    allowed = {*target.character.may_touch_ground, *touching(trace(clip, target.character))}
    for part, body in source.bodies.items():
        if given and source.character.body_names[body] in given and part in target.bodies:
            allowed.add(names[target.bodies[part]])
    if allowed == set(target.character.may_touch_ground):
        return None
    return tuple(name for name in names if name in allowed)
