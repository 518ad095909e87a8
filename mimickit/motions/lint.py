"""Finds what is wrong with a clip before a policy has to learn it.

Every check measures one figure of a clip and compares it with two thresholds: past the first it
warns, past the second it is an error. Legend: T frames, I = T - 1 intervals, J joints, D dofs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import (
    heading_inverse,
    quat_conjugate,
    quat_multiply,
)
from mimickit.motions.catalog import MotionSource, read_entry
from mimickit.motions.clip import QUAT_TOLERANCE, Clip, clip_of, read_content
from mimickit.motions.measures import (
    GRAVITY,
    Trace,
    center_of_mass,
    flights,
    free_fall,
    limit_excess,
    penetration,
    skating,
    trace,
    turn_angles,
)

AIR = 0.03  # [m] a character whose lowest point is higher than this is off the ground
SHORTEST_FLIGHT = 0.2  # [s] shorter ones say too little about gravity
HOVERING = 2.0  # [m/s^2] what falls with less in the air floats, rather than at a wrong rate
FALL_WINDOW = 0.1  # [s] to either side: how long a fall is watched
JUMP_ACCELERATION = 250.0  # [rad/s^2] below it, a step faster than its neighbours is no jump
ROOT_JUMP_ACCELERATION = 50.0  # [m/s^2] likewise, of the root
STILL = 1e-5  # [rad] and [m] a frame that moves by less repeats the one before


class Severity(IntEnum):
    """How bad a finding is."""

    WARNING = 1  # worth a look
    ERROR = 2  # a policy would learn something else, or nothing


@dataclass(frozen=True)
class Threshold:
    """When a figure becomes a finding.

    Attributes:
        warning, error: the greatest values that are still no warning, no error.
        unit: for the message. meaning: what the figure is.
    """

    warning: float
    error: float
    unit: str
    meaning: str


# Each pair by reason: docs/datasets.md states it. The clips of this repository have no error.
THRESHOLDS: Mapping[str, Threshold] = {
    "quaternion": Threshold(1e-3, QUAT_TOLERANCE, "", "a quaternion's length is off by"),
    "repeats": Threshold(0.1, 0.4, "", "the share of frames that repeat the one before is"),
    "jump": Threshold(0.12, 0.4, "rad", "in one frame a joint turns more than around it by"),
    "root_jump": Threshold(0.02, 0.15, "m", "in one frame the root moves more than around it by"),
    "joint_speed": Threshold(30.0, 60.0, "rad/s", "a joint turns with"),
    "root_speed": Threshold(8.0, 13.0, "m/s", "the root moves with"),
    "hinge_limit": Threshold(0.01, 0.35, "rad", "a hinge is beyond its limit by"),
    "ball_limit": Threshold(0.05, 0.7, "rad", "a ball joint is beyond its limit by"),
    "penetration": Threshold(0.02, 0.10, "m", "the character is in the ground by"),
    "floating": Threshold(0.02, 0.10, "m", "it floats above the ground by"),
    "contact": Threshold(0.0, 0.02, "m", "a body that may not touch the ground is in it by"),
    "skating": Threshold(0.4, 1.2, "m/s", "feet that stand slide with"),
    "gravity": Threshold(1.25, 2.2, "", "in flight it falls with another acceleration by a factor"),
    "fall": Threshold(2.0, 4.0, "g", "on the ground it falls faster than gravity, with"),
    "seam": Threshold(0.05, 0.35, "rad", "the last frame of the loop differs from the first by"),
    "seam_height": Threshold(0.01, 0.05, "m", "the loop ends higher or lower than it begins by"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a clip.

    Attributes:
        check: of `THRESHOLDS`, or `file`, `numbers`, `joints`, `hinge_axis`, `clip`.
        severity: how bad.
        message: what, where and by how much.
    """

    check: str
    severity: Severity
    message: str


@dataclass
class Report:
    """What was found in one clip.

    Attributes:
        name: of the clip, as a run would call it. source: where it is.
        readable: whether there was anything to look at.
        measured: whether it was sound enough to be played.
        findings: worst first.
        figures: what each check of `THRESHOLDS` measured; those that do not apply are absent.
        fps, duration: as the clip states them; None if it states none that can be.
    """

    name: str
    source: MotionSource
    readable: bool = True
    measured: bool = False
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    fps: Optional[float] = None
    duration: Optional[float] = None

    @property
    def severity(self) -> int:
        """That of the worst finding; 0 without any."""
        return max((finding.severity for finding in self.findings), default=0)

    def measure(self, check: str, value: float, where: str = "") -> None:
        """Note a figure, and the finding that it makes past a threshold."""
        threshold = THRESHOLDS[check]
        self.figures[check] = value
        if not value > threshold.warning:
            return
        severity = Severity.ERROR if value > threshold.error else Severity.WARNING
        unit = f" {threshold.unit}" if threshold.unit else ""
        self.add(check, severity, f"{threshold.meaning} {value:.3g}{unit}{where}")

    def add(self, check: str, severity: Severity, message: str) -> None:
        """Note a finding."""
        self.findings.append(Finding(check, severity, message))
        self.findings.sort(key=lambda finding: -finding.severity)


def lint(source: MotionSource, character: Character) -> Report:
    """Look at one clip that a run would train on.

    Raises:
        CharacterError: the character itself cannot be measured.
    """
    report = Report(source.label, source)
    try:
        if source.path.suffix.lower() == ".npz":
            content = read_content(source.path)
            _check_numbers(report, content)
            clip = _clip_if_sound(report, content, character)
            clip = None if clip is None else source.varied(clip, character)
        else:
            clip = read_entry(source, character).clip
    except MotionError as error:
        report.readable = False
        report.add("file", Severity.ERROR, str(error))
        return report
    if clip is not None:
        report.fps, report.duration, report.measured = clip.fps, clip.duration, True
        _measure(report, trace(clip, character), clip.loop)
    return report


def _measure(report: Report, seen: Trace, loop: bool) -> None:
    _check_repeats(report, seen)
    _check_steps(report, seen, loop)
    _check_limits(report, seen)
    _check_ground(report, seen)
    _check_gravity(report, seen)
    if loop:
        _check_seam(report, seen)


def _check_numbers(report: Report, content: Mapping[str, Any]) -> None:
    """Look for NaN and for quaternions that are none, in what a file holds."""
    for name in ("root_pos", "root_rot", "joint_rot"):
        array = np.asarray(content[name])
        if array.dtype.kind not in "fiu" or array.ndim < 2:
            continue  # `clip_of` says what is wrong with it
        bad = ~np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if bad.any():
            message = f"{name} holds NaN or infinity in {int(bad.sum())} frames, first in frame"
            report.add("numbers", Severity.ERROR, f"{message} {int(bad.argmax())}")
        elif name != "root_pos":
            off = np.abs(np.linalg.norm(array.astype(np.float64), axis=-1) - 1.0)
            worst = max(float(off.max()), report.figures.get("quaternion", 0.0))
            frame = np.unravel_index(off.argmax(), off.shape)[0]
            report.measure("quaternion", worst, f" in {name}, frame {frame}")


def _clip_if_sound(
    report: Report, content: Mapping[str, Any], character: Character
) -> Optional[Clip]:
    """The clip, unless what is wrong with it stands in the way of measuring it."""
    if report.severity == Severity.ERROR:
        return None
    try:
        clip = clip_of(content)
    except MotionError as error:
        report.add("clip", Severity.ERROR, str(error))
        return None
    report.fps, report.duration = clip.fps, clip.duration
    wanted = {joint.name for joint in character.movable_joints}
    check = "hinge_axis" if wanted == set(clip.joint_names) else "joints"
    try:
        clip.check_fits(character)
    except MotionError as error:
        report.add(check, Severity.ERROR, str(error))
        return None
    return clip


def _check_repeats(report: Report, seen: Trace) -> None:
    """Frames shown twice in a motion that goes on: a rate that the recording did not have."""
    turned = turn_angles(_rotations(seen)[:-1], _rotations(seen)[1:]).amax(-1)
    moved = (seen.body_pos[1:, 0] - seen.body_pos[:-1, 0]).norm(dim=-1)
    still = torch.maximum(turned, moved) < STILL
    between = still[1:-1] & ~still[:-2] & ~still[2:]
    report.measure("repeats", float(between.double().mean()) if len(between) else 0.0)


def _check_steps(report: Report, seen: Trace, loop: bool) -> None:
    """How far joints and root go in one interval, and whether that fits what is around it."""
    fps, names = seen.clip.fps, _joint_names(seen.character)
    rot = _rotations(seen)
    turns = turn_angles(rot[:-1], rot[1:])  # [I, 1 + J]
    steps = (seen.body_pos[1:, 0] - seen.body_pos[:-1, 0]).norm(dim=-1, keepdim=True)  # [I, 1]
    frame, joint = _place(turns)
    where = f" ({names[joint]}, frame {frame})"
    report.measure("joint_speed", float(turns[frame, joint]) * fps, where)
    frame, _ = _place(steps)
    report.measure("root_speed", float(steps[frame, 0]) * fps, f" (frame {frame})")
    jumps = _jumps(turns, fps, JUMP_ACCELERATION, loop)
    frame, joint = _place(jumps)
    where = f" ({names[joint]}, frame {frame} to {frame + 1})"
    report.measure("jump", float(jumps[frame, joint]), where)
    jumps = _jumps(steps, fps, ROOT_JUMP_ACCELERATION, loop)
    frame, _ = _place(jumps)
    report.measure("root_jump", float(jumps[frame, 0]), f" (frame {frame} to {frame + 1})")


def _jumps(sizes: Tensor, fps: float, least: float, loop: bool) -> Tensor:
    """How much greater each step is than the two before and the two after it, [I, K] >= 0.

    A cut lasts one interval; a fast motion builds up and dies down. What would take less than
    the acceleration `least` [1/s^2] is fast at a low rate, and counts as 0.
    """
    ends = sizes[-2:], sizes[:2]  # around a seam the other end goes on
    if not loop:
        ends = sizes[:1].repeat(2, 1), sizes[-1:].repeat(2, 1)
    padded = torch.cat([ends[0], sizes, ends[1]])
    count = len(sizes)
    around = torch.stack([padded[k : k + count] for k in (0, 1, 3, 4)]).amax(0)
    excess = (sizes - around).clamp_min(0.0)
    return torch.where(excess * fps**2 > least, excess, 0.0)


def _check_limits(report: Report, seen: Trace) -> None:
    excess = limit_excess(seen.dof_pos, seen.character)
    for kind, check in ((JointKind.HINGE, "hinge_limit"), (JointKind.BALL, "ball_limit")):
        joints = [joint for joint in seen.character.joints if joint.kind is kind]
        if not joints:
            continue
        worst = torch.stack([excess[:, joint.dofs].amax(-1) for joint in joints], -1)
        frame, joint = _place(worst)
        share = float((worst.amax(-1) > THRESHOLDS[check].warning).double().mean())
        where = f" ({joints[joint].name}, frame {frame}; {share:.0%} of the frames)"
        report.measure(check, float(worst[frame, joint]), where)


def _check_ground(report: Report, seen: Trace) -> None:
    """Penetration, forbidden contact and foot skating."""
    names = seen.character.body_names
    frame, body = _place(-seen.body_heights)
    deep = penetration(seen)
    share = float((deep > THRESHOLDS["penetration"].warning).double().mean())
    where = f" ({names[body]}, frame {frame}; {share:.0%} of the frames)"
    report.measure("penetration", float(deep.max()), where)
    allowed = report.source.may_touch_ground
    allowed = seen.character.may_touch_ground if allowed is None else allowed
    if allowed:  # an empty list allows all
        forbidden = [name not in allowed for name in names]
        depths = torch.where(torch.tensor(forbidden), -seen.body_heights, -torch.inf)
        frame, body = _place(depths)
        where = f" ({names[body]}, frame {frame}; allowed: {', '.join(allowed)})"
        report.measure("contact", max(0.0, float(depths[frame, body])), where)
    if seen.character.feet:
        report.measure("skating", skating(seen, seen.character.feet))


def _check_gravity(report: Report, seen: Trace) -> None:
    """Whether the centre of mass falls as things fall; if not, time or height is wrong.

    A clip whose rate is stated k times too high falls with k^2 g. What does not fall floats.
    """
    fps = seen.clip.fps
    height = center_of_mass(seen)[:, 2]
    fits = []  # factor and what to say of it, per flight
    floats = [(max(0.0, float(seen.lowest.min())), " throughout")]  # height, and where
    for first, last in flights(seen, AIR):
        if last - first < max(4, round(SHORTEST_FLIGHT * fps)):
            continue
        fitted, error = free_fall(height[first : last + 1], fps)
        # As near to gravity as two standard errors allow.
        near = float(np.clip(GRAVITY, fitted - 2.0 * error, fitted + 2.0 * error))
        told = f"{fitted:.1f} m/s^2 in frames {first} to {last}"
        if near < HOVERING:
            height_above = float(seen.lowest[first : last + 1].median())
            floats.append((height_above, f", falling with {told}"))
            continue
        right = fps * (GRAVITY / near) ** 0.5
        told += f"; right at {right:.0f} fps, the clip states {fps:g}, or it floats"
        fits.append((max(near / GRAVITY, GRAVITY / near), f": {told}"))
    report.measure("floating", *max(floats))
    if fits:
        report.measure("gravity", *max(fits))
    reach = max(2, round(FALL_WINDOW * fps))
    if len(height) > 2 * reach:
        falls = _falls(height.numpy(), reach, fps) / GRAVITY
        frame = int(falls.argmax())
        where = f" around frame {frame + reach}; is its rate of {fps:g} fps right?"
        report.measure("fall", max(0.0, float(falls[frame])), where)


def _falls(height: np.ndarray, reach: int, fps: float) -> np.ndarray:
    """Downward acceleration [m/s^2] of the parabola through each window of 2 reach + 1 frames.

    Source: Savitzky and Golay 1964: such a fit is a convolution.
    """
    time = np.arange(-reach, reach + 1) / fps
    design = np.stack([np.ones_like(time), time, -0.5 * time**2], -1)
    return np.convolve(height, np.linalg.pinv(design)[2][::-1], mode="valid")


def _check_seam(report: Report, seen: Trace) -> None:
    """Whether the last frame is the first again, but for a move over the ground."""
    rot = _rotations(seen)
    whole = quat_multiply(rot[-1, 0], quat_conjugate(rot[0, 0]))
    upright = torch.cat([quat_multiply(heading_inverse(whole), rot[-1, 0])[None], rot[-1, 1:]])
    gaps = turn_angles(rot[0], upright)
    joint = int(gaps.argmax())
    name = _joint_names(seen.character)[joint]
    report.measure("seam", float(gaps[joint]), f" ({name}); close it, or play it with loop: false")
    rise = abs(float(seen.body_pos[-1, 0, 2] - seen.body_pos[0, 0, 2]))
    report.measure("seam_height", rise)


def _rotations(seen: Trace) -> Tensor:
    """Of the root and of all joints, [T, 1 + J, 4]."""
    return torch.cat([seen.root_rot.unsqueeze(1), seen.joint_rot], dim=1)


def _joint_names(character: Character) -> list[str]:
    return ["root", *(joint.name for joint in character.joints)]


def _place(values: Tensor) -> tuple[int, int]:
    """Row and column of the greatest value."""
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column
