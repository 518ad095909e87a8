"""Where a clip of one character takes the parts of another: the poses that retargeting aims at.

Rotations are copied: from the T-pose on, each part turns in the world as the source's part does.
The pelvis travels as far over the ground and as high as the legs are long. Feet are placed in the
world, by the spot of the sole under the ankle, so that a foot that stands still stays still; where
the source's foot touches the ground, the lowest point of the target's does. All other parts hang
on their parents.

Legend: T frames, B bodies, P parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Kinematics
from mimickit.characters.shapes import Shapes, read_shapes
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import (
    heading,
    quat_conjugate,
    quat_from_axis_angle,
    quat_from_heading,
    quat_multiply,
    quat_rotate,
    quat_rotate_inverse,
)
from mimickit.motions.clip import Clip
from mimickit.motions.measures import GRAVITY, Trace, flights, slip_speed, trace
from mimickit.motions.retargeting.parts import SIDES, Parts, descendants

FEET = ("left_foot", "right_foot")
HANDS = ("left_hand", "right_hand")
TOUCH_HEIGHT = 0.03  # [m] a foot that is lower, and slower than the next, stands on the ground
TOUCH_SPEED = 0.4  # [m/s] of the lowest point of the foot
REACH_HEIGHT = 0.15  # [m] a hand that comes this close to the ground is led to its height over it
FADE_TIME = 0.1  # [s] within which what is done to a standing foot fades from one that does not
FLAT_TILT = (math.radians(6.0), math.radians(15.0))  # up to the first, a standing sole is laid flat
NEIGHBOUR_TIME = 1.0  # [s] of the rounds before and after that a looping clip is solved with
FLIGHT_TIME = 0.1  # [s] shorter flights are taken for a slip of the recording


@dataclass(frozen=True)
class Target:
    """Where one part should be.

    Attributes:
        pos: [T, 3] m, of its body's origin. rot: [T, 4].
    """

    pos: Tensor
    rot: Tensor


@dataclass(frozen=True)
class Targets:
    """Where all parts should be.

    Attributes:
        parts: per part.
        scale: of lengths: the target's legs over the source's.
        lowest: [T] m, the height that the target's lowest point should have.
        stands: per foot, [T] in [0, 1], 1 while it stands on the ground, fading to 0 around that.
    """

    parts: dict[str, Target]
    scale: float
    lowest: Tensor
    stands: dict[str, Tensor]

    def raised(self, lift: Tensor) -> Targets:
        """All but the feet higher by lift [T] m."""
        up = lift[:, None] * torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        raised = {p: t if p in FEET else Target(t.pos + up, t.rot) for p, t in self.parts.items()}
        return replace(self, parts=raised)

    def frames(self, which: slice) -> Targets:
        """The targets of some frames only."""
        return replace(
            self,
            parts={p: Target(t.pos[which], t.rot[which]) for p, t in self.parts.items()},
            lowest=self.lowest[which],
            stands={part: stands[which] for part, stands in self.stands.items()},
        )


def make_targets(clip: Clip, source: Parts, target: Parts) -> Targets:
    """Where a clip of the source takes the parts that both characters have.

    Args:
        clip: of the source; a looping one is taken to stand between its neighbours (`unroll`).

    Raises:
        MotionError: the clip is another character's.
    """
    seen = trace(clip, source.character)
    from_pose, to_pose = _t_pose(source), _t_pose(target)
    scale = to_pose.leg / from_pose.leg
    turns = {
        part: quat_multiply(seen.body_rot[:, body], quat_conjugate(from_pose.rot[body]))
        for part, body in source.bodies.items()
    }
    stands = {foot: _stands(seen, source, foot) for foot in FEET}
    # How far each sole misses the ground where it stands; in between, from one to the next.
    gaps = {foot: _bridged(-_height(seen, source, foot), stands[foot]) for foot in FEET}
    raised = torch.stack(list(gaps.values())).mean(0)
    lift = (1.0 - scale) * fall_heights(seen)
    shares = {foot: _fading(stands[foot], FADE_TIME * clip.fps) for foot in FEET}
    for foot, share in shares.items():
        gaps[foot] = share * gaps[foot]
        turns[foot] = _flattened(turns[foot], share)

    hips = seen.body_pos[:, 0] + quat_rotate(turns["pelvis"], from_pose.hips)
    hips = scale * hips
    hips[:, 2] += scale * raised + lift
    rot = {
        part: quat_multiply(turns[part], to_pose.rot[body].expand(len(hips), 4))
        for part, body in target.bodies.items()
        if part in turns
    }
    origins = {"pelvis": hips - quat_rotate(turns["pelvis"], to_pose.hips)}
    for part, body in target.bodies.items():
        if part == "pelvis" or part not in turns:
            continue
        parent = target.parent(part)
        if parent not in origins:
            raise ConfigError(
                f"'{target.character.name}' has the parts '{part}' and '{parent}', and "
                f"'{source.character.name}' lacks '{parent}'"
            )
        above, centre = target.bodies[parent], target.centres[part]
        hangs = to_pose.pos[centre] - to_pose.pos[above]
        reach = to_pose.pos[body] - to_pose.pos[centre]
        origins[part] = (
            origins[parent] + quat_rotate(turns[parent], hangs) + quat_rotate(turns[part], reach)
        )
    for foot in FEET:
        body, centre = target.bodies[foot], source.bodies[foot]
        sole = to_pose.sole(body)
        aside = sole - to_pose.hips - scale * (from_pose.sole(centre) - from_pose.hips)
        spot = seen.body_pos[:, centre] + quat_rotate(
            turns[foot], from_pose.sole(centre) - from_pose.pos[centre]
        )
        place = scale * spot + quat_rotate(turns[foot], aside - (sole - to_pose.pos[body]))
        high = scale * (_height(seen, source, foot) + gaps[foot]).clamp_min(0.0) + lift
        place[:, 2] += high - _rigid_height(to_pose, target, foot, place, turns[foot])
        origins[foot] = place
    for hand in (part for part in HANDS if part in origins):
        high = (scale * _height(seen, source, hand)).clamp_min(0.0)
        low = _rigid_height(to_pose, target, hand, origins[hand], turns[hand])
        near = (1.0 - high / REACH_HEIGHT).clamp_min(0.0)
        origins[hand][:, 2] += torch.maximum(near * (high - low), -low)
    low = scale * (seen.lowest + raised).clamp_min(0.0) + lift
    return Targets({p: Target(origins[p], rot[p]) for p in rot}, scale, low, shares)


def unroll(clip: Clip) -> tuple[Clip, slice]:
    """A looping clip with a second of its neighbours on either side, and its own frames in that.

    Others stay as they are.
    """
    if not clip.loop:
        return clip, slice(0, clip.num_frames)
    pos, rot = torch.from_numpy(clip.root_pos).double(), torch.from_numpy(clip.root_rot).double()
    turn = quat_from_heading(heading(quat_multiply(rot[-1], quat_conjugate(rot[0]))))
    step = pos[-1] - quat_rotate(turn, pos[0])
    step[2] = 0.0
    margin = min(clip.num_frames - 1, math.ceil(NEIGHBOUR_TIME * clip.fps))
    early, late = slice(-margin - 1, -1), slice(1, margin + 1)
    before = quat_rotate_inverse(turn, pos[early] - step)
    after = quat_rotate(turn, pos[late]) + step
    rot_before = quat_multiply(quat_conjugate(turn), rot[early])
    rot_after = quat_multiply(turn, rot[late])
    joints = clip.joint_rot
    unrolled = replace(
        clip,
        root_pos=torch.cat([before, pos, after]).numpy(),
        root_rot=torch.cat([rot_before, rot, rot_after]).numpy(),
        joint_rot=np.concatenate([joints[early], joints, joints[late]]),
    )
    return unrolled, slice(margin, margin + clip.num_frames)


def fall_heights(seen: Trace) -> Tensor:
    """How much higher than a straight line free fall is, [T] m; 0 but in flights.

    A smaller character that flies as long must rise as high: what scaling takes from the fall,
    (1 - scale) times this, is given back.
    """
    rise = torch.zeros(seen.clip.num_frames, dtype=torch.float64)
    for first, last in flights(seen, TOUCH_HEIGHT):
        start, end = max(first - 1, 0), min(last + 1, len(rise) - 1)
        if end - start >= FLIGHT_TIME * seen.clip.fps:
            time = torch.arange(end - start + 1, dtype=torch.float64) / seen.clip.fps
            rise[start : end + 1] = 0.5 * GRAVITY * time * (time[-1] - time)
    return rise


@dataclass(frozen=True)
class _TPose:
    """A character in its T-pose, root at the origin.

    Attributes:
        pos: [B, 3] m. rot: [B, 4]. hips: [3] m, halfway between the thighs' centres.
        floor: height [m] of the soles. shapes: of the character.
    """

    pos: Tensor
    rot: Tensor
    hips: Tensor
    floor: float
    shapes: Shapes

    @property
    def leg(self) -> float:
        """From the hips to the soles [m]."""
        return float(self.hips[2]) - self.floor

    def sole(self, foot: int) -> Tensor:
        """The spot [3] m of the sole right under the ankle."""
        return torch.cat([self.pos[foot, :2], self.pos.new_tensor([self.floor])])


def _t_pose(parts: Parts) -> _TPose:
    kinematics = Kinematics(parts.character, dtype=torch.float64)
    origin = torch.zeros(3, dtype=torch.float64)
    upright = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    pos, rot = kinematics.forward(origin, upright, parts.t_pose_rot)
    shapes = read_shapes(parts.character)
    heights = shapes.body_heights(pos, rot)
    feet = [descendants(parts.character, parts.bodies[f"{side}_foot"]) for side in SIDES]
    floor = min(float(heights[bodies].min()) for bodies in feet)
    hips = 0.5 * (pos[parts.centres["left_thigh"]] + pos[parts.centres["right_thigh"]])
    if not np.isfinite(floor):
        raise ConfigError(f"the feet of '{parts.character.name}' have no geoms that collide")
    return _TPose(pos, rot, hips, floor, shapes)


def _height(seen: Trace, parts: Parts, part: str) -> Tensor:
    """Height [T] m of the lowest point of a part and what hangs on it."""
    return seen.body_heights[:, descendants(parts.character, parts.bodies[part])].amin(-1)


def _stands(seen: Trace, parts: Parts, foot: str) -> Tensor:
    """Whether a foot stands on the ground, [T] bool: low, and slow where it is lowest."""
    bodies = descendants(parts.character, parts.bodies[foot])
    shaped = [body for body in bodies if bool(torch.isfinite(seen.body_heights[0, body]))]
    names = [parts.character.body_names[body] for body in shaped]
    speeds, _ = slip_speed(seen, names)  # [I, F]
    lowest = seen.body_heights[:-1, shaped].argmin(-1, keepdim=True)
    slow = speeds.gather(-1, lowest).squeeze(-1) < TOUCH_SPEED
    still = torch.zeros(seen.clip.num_frames, dtype=torch.bool)
    still[:-1] |= slow
    still[1:] |= slow
    return still & (_height(seen, parts, foot) < TOUCH_HEIGHT)


def _bridged(values: Tensor, known: Tensor) -> Tensor:
    """Values [T], interpolated where they are not `known` [T]; 0 where none is."""
    if not known.any():
        return torch.zeros_like(values)
    frames = np.arange(len(values))
    mask = known.numpy()
    return torch.from_numpy(np.interp(frames, frames[mask], values.numpy()[mask]))


def _fading(stands: Tensor, width: float) -> Tensor:
    """1 where `stands` [T] is true, falling to 0 within `width` frames of it, [T]."""
    frames = torch.arange(len(stands), dtype=torch.float64)
    known = frames[stands]
    if len(known) == 0:
        return torch.zeros_like(frames)
    distance = (frames[:, None] - known).abs().amin(-1)
    return 0.5 + 0.5 * torch.cos(math.pi * (distance / width).clamp_max(1.0))


def _flattened(turn: Tensor, share: Tensor) -> Tensor:
    """Turns [T, 4] of feet, upright where their tilt is small, as far as `share` [T] says."""
    up = quat_rotate(turn, turn.new_tensor([0.0, 0.0, 1.0]))
    level = torch.stack([up[:, 1], -up[:, 0], torch.zeros_like(up[:, 0])], -1)  # up x z
    sine = level.norm(dim=-1)
    tilt = torch.atan2(sine, up[:, 2])
    low, high = FLAT_TILT
    rest = ((high - tilt) / (high - low)).clamp(0.0, 1.0)
    angle = share * rest * rest * (3.0 - 2.0 * rest) * tilt
    return quat_multiply(
        quat_from_axis_angle(level / sine.clamp_min(1e-9).unsqueeze(-1), angle), turn
    )


def _rigid_height(pose: _TPose, parts: Parts, part: str, place: Tensor, turn: Tensor) -> Tensor:
    """Height [T] m of the lowest point of a part at `place` [T, 3] m, turned by `turn` [T, 4]."""
    body = parts.bodies[part]
    bodies = descendants(parts.character, body)
    frames = len(place)
    pos = torch.zeros(frames, len(pose.pos), 3, dtype=torch.float64)
    rot = pose.rot.expand(frames, *pose.rot.shape).clone()
    for other in bodies:
        pos[:, other] = place + quat_rotate(turn, pose.pos[other] - pose.pos[body])
        rot[:, other] = quat_multiply(turn, pose.rot[other].expand(frames, 4))
    return pose.shapes.body_heights(pos, rot)[:, bodies].amin(-1)
