"""From a clip of one character to the same motion of another.

Legend: T frames, J joints, D dofs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind, Kinematics
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
from mimickit.motions.retargeting.poses import Pose, copied, lowest, reachable, shares_skeleton
from mimickit.motions.retargeting.report import Report, make_report
from mimickit.motions.retargeting.smoothing import CUTOFF, smooth_course, unwound
from mimickit.motions.retargeting.targets import Target, Targets, make_targets, unroll

TOOL = "mimickit.motions.retargeting"
TOOL_VERSION = "1"
STAY_COST = 0.5  # of a radian away from the smoothed pose, when feet are put back in place
RAISE_COST = 0.1  # of a radian away from the pose before, when the body is raised out of the ground
HEIGHT_ERROR = 0.005  # [m] that the lowest point may be off before the body is raised or lowered
HEIGHT_CUTOFF = 3.0  # [Hz] of what is added to heights
HEIGHT_ROUNDS = 4


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

    Where the target shares the source's skeleton, its joints are copied. Else: inverse kinematics,
    smoothing, inverse kinematics from the smoothed poses (which puts the feet back), and last a
    smoothing of what breaks a speed limit.

    Args:
        may_touch_ground: of the source's bodies, as in `MotionEntry`.

    Raises:
        ConfigError: mink is not installed. MotionError: the clip is not the source's.
    """
    if shares_skeleton(source.character, target.character):
        pose, targets = _copy(clip, source, target)
    else:
        pose, targets = _solve(clip, source, target)
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


def _copy(clip: Clip, source: Parts, target: Parts) -> tuple[Pose, Targets]:
    """The clip's own poses, out of the ground; the targets are where its parts are."""
    seen = trace(clip, source.character)
    parts = {
        part: Target(seen.body_pos[:, body], seen.body_rot[:, body])
        for part, body in source.bodies.items()
    }
    pose = copied(clip, source.character, target.character)
    pose = replace(pose, dof_pos=_within_limits(pose.dof_pos, target.character))
    return _out_of_ground(pose, clip, target), Targets(parts, 1.0, seen.lowest, {})


def _within_limits(dof_pos: Tensor, character: Character) -> Tensor:
    limits = np.concatenate([reachable(joint) for joint in character.movable_joints])
    low, high = torch.from_numpy(limits).unbind(-1)
    return dof_pos.clamp(low, high)


def _solve(clip: Clip, source: Parts, target: Parts) -> tuple[Pose, Targets]:
    """Inverse kinematics, within the ground's limits and the joints', smooth."""
    try:
        from mimickit.motions.retargeting import solving
    except ImportError as error:
        raise ConfigError(
            f"retargeting needs the package '{error.name}', which is not installed: "
            "`pip install 'mimickit[retarget]'` (Python 3.11 or newer)"
        ) from None
    rounds, middle = unroll(clip)
    targets = make_targets(rounds, source, target)
    pose = solving.solve(targets, target)
    for _ in range(HEIGHT_ROUNDS):
        missing = _missing_height(pose, targets, target)
        if missing.abs().max() < HEIGHT_ERROR:
            break
        lift = smooth_course(missing.numpy(), clip.fps, False, HEIGHT_CUTOFF)
        targets = targets.raised(torch.from_numpy(lift))
        pose = solving.solve_near(targets, target, pose, RAISE_COST)
    pose, targets = pose.frames(middle), targets.frames(middle)
    pelvis = targets.parts["pelvis"]
    way = pelvis.pos * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)  # closed but for its end

    def smoothed(pose: Pose, cutoff: float) -> Pose:
        turned = quat_to_exp_map(quat_multiply(quat_conjugate(pelvis.rot), pose.root_rot))
        moved = torch.cat([pose.root_pos - way, turned], -1).numpy()
        moved = np.stack([smooth_course(c, clip.fps, clip.loop, cutoff) for c in moved.T], -1)
        place, turned = torch.from_numpy(moved).split(3, -1)
        return Pose(
            way + place,
            quat_multiply(pelvis.rot, quat_from_exp_map(turned)),
            _smooth_dofs(pose.dof_pos, target, clip, cutoff),
        )

    pose = solving.solve_near(targets, target, smoothed(pose, CUTOFF), STAY_COST)
    return _out_of_ground(smoothed(pose, math.inf), clip, target), targets


def _missing_height(pose: Pose, targets: Targets, target: Parts) -> Tensor:
    """How much higher the lowest point should be, [T] m; in flights, only out of the ground."""
    low = lowest(pose, target.character)
    grounded = targets.lowest < HEIGHT_ERROR
    return torch.where(grounded, targets.lowest - low, (-low).clamp_min(0.0))


def _out_of_ground(pose: Pose, clip: Clip, target: Parts) -> Pose:
    """The poses, raised as a whole, smoothly, where they would still be in the ground."""
    depth = (-lowest(pose, target.character)).clamp_min(0.0)
    if depth.max() < HEIGHT_ERROR:
        return pose
    reach = math.ceil(0.5 * clip.fps / HEIGHT_CUTOFF)
    padded = np.pad(depth.numpy()[:-1], reach, mode="wrap" if clip.loop else "edge")
    padded = np.append(padded, padded[2 * reach] if clip.loop else depth[-1])
    widest = np.array([padded[i : i + 2 * reach + 1].max() for i in range(len(depth))])
    lift = torch.from_numpy(smooth_course(widest, clip.fps, clip.loop, HEIGHT_CUTOFF))
    height = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return replace(pose, root_pos=pose.root_pos + lift[:, None] * height)


def _smooth_dofs(dof_pos: Tensor, target: Parts, clip: Clip, cutoff: float) -> Tensor:
    """Dofs [T, D] rad, smooth, within limits, and no faster than theirs."""
    dofs = dof_pos.numpy().copy()
    for joint in target.character.movable_joints:
        if joint.kind is JointKind.BALL:
            dofs[:, joint.dofs] = unwound(dofs[:, joint.dofs])
        limits = reachable(joint)
        for dof, (low, high) in zip(range(joint.dofs.start, joint.dofs.stop), limits):
            dofs[:, dof] = smooth_course(
                dofs[:, dof],
                clip.fps,
                clip.loop,
                cutoff,
                (low, high),
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
