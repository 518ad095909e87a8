"""Builds motions/humanoid/ from the DeepMimic clips that the PyPI package pybullet ships.

    python scripts/build_humanoid_motions.py [folder]

Each clip is imported, its cuts are repaired, the seam of a looping clip is closed, and its height
over the ground is set; what was done to it, with the numbers, stands in its provenance. The same
input gives the same bytes. Needs `pip install pybullet` (3.2.7 was used), for its data alone.
"""

from __future__ import annotations

import importlib.metadata
import math
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mimickit import launch
from mimickit.characters import Character, Kinematics
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_from_exp_map,
    quat_from_heading,
    quat_multiply,
    quat_rotate,
    quat_slerp,
    quat_to_exp_map,
)
from mimickit.motions import Clip, save_clip
from mimickit.motions.catalog import MOTIONS, index_facts, write_index
from mimickit.motions.importers.deepmimic import find_pybullet_motions, read_deepmimic

TOOL_VERSION = "1"
GROUND_BAND = 0.02  # [m] how far the lowest geom may be from the ground before we correct it
MAX_ROUNDS = 8
SMOOTHING = 0.08  # [s] standard deviation of the Gaussian that smooths a height correction
TOUCH_HEIGHT = 0.01  # [m] a body that comes this close to the ground touches it


@dataclass(frozen=True)
class Cut:
    """A place where the recording was cut: the pose jumps from frame `before` to frame `after`.

    Attributes:
        window: frames on either side over which the jump is spread; None spreads it evenly over
            the whole of a looping clip.
        joints: those that jump; empty means all of them and the root.
    """

    before: int
    after: int
    window: Optional[int] = None
    joints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """How one clip is made.

    Attributes:
        file: below pybullet_data/data/motions.
        fps: rate to take instead of the file's durations.
        cuts: to repair.
        flights: (first, last) frames without ground contact.
        turns: each round ends with a new heading, as a turning walk's does; otherwise the heading
            returns like the rest of the pose, so that a straight walk stays straight.
        may_touch_ground: None decides by `TOUCH_HEIGHT`.
        notes: what else a user should know.
    """

    file: str
    fps: Optional[float] = None
    cuts: tuple[Cut, ...] = ()
    flights: tuple[tuple[int, int], ...] = ()
    turns: bool = False
    may_touch_ground: Optional[tuple[str, ...]] = None
    notes: str = ""


HANDS_AND_FEET = ("right_hand", "left_hand", "right_foot", "left_foot")

# Flights are where the lowest geom leaves the ground band while the centre of mass falls with more
# than 5 m/s^2; cuts are where joints turn faster than ever near by, for one or two frames only.
RECIPES: dict[str, Recipe] = {
    "backflip": Recipe("humanoid3d_backflip.txt", flights=((11, 18),)),
    "cartwheel": Recipe("humanoid3d_cartwheel.txt", may_touch_ground=HANDS_AND_FEET),
    "crawl": Recipe("humanoid3d_crawl.txt", cuts=(Cut(73, 75, window=15),), may_touch_ground=()),
    "dance_a": Recipe("humanoid3d_dance_a.txt"),
    "dance_b": Recipe("humanoid3d_dance_b.txt", flights=((24, 35), (101, 112))),
    "getup_facedown": Recipe(
        "humanoid3d_getup_facedown.txt",
        cuts=(Cut(162, 163, window=15, joints=("neck",)),),
        may_touch_ground=(),
    ),
    "getup_faceup": Recipe("humanoid3d_getup_faceup.txt", may_touch_ground=()),
    "jump": Recipe("humanoid3d_jump.txt", flights=((44, 75),)),
    "kick": Recipe("humanoid3d_kick.txt", notes="the root is restless during the kick (18-25)"),
    "punch": Recipe("humanoid3d_punch.txt"),
    "roll": Recipe(
        "humanoid3d_roll.txt",
        fps=60.0,
        may_touch_ground=(),
        notes="frame 5 claims to last two frames, its motion does not: taken as 60 Hz throughout",
    ),
    "run": Recipe("humanoid3d_run.txt", cuts=(Cut(11, 12),), flights=((6, 10), (18, 22))),
    "spin": Recipe("humanoid3d_spin.txt", flights=((38, 52),)),
    "spinkick": Recipe(
        "humanoid3d_spinkick.txt",
        flights=((31, 57),),
        notes="the knees are hyperextended by up to 0.22 rad, as recorded",
    ),
    "walk": Recipe("humanoid3d_walk.txt", cuts=(Cut(18, 19),)),
    "walk_forward": Recipe("walker/0walk_forward.txt"),
    "turn_left0": Recipe("walker/turn_left0.txt", turns=True),
    "turn_left1": Recipe("walker/turn_left1.txt", turns=True),
    "turn_right0": Recipe("walker/turn_right0.txt", turns=True),
    "turn_right1": Recipe("walker/turn_right1.txt", turns=True),
}


@launch.friendly_errors()
def main(folder: Path = MOTIONS / "humanoid") -> None:
    """Build every clip and the index into `folder`."""
    source, version = find_pybullet_motions(), importlib.metadata.version("pybullet")
    humanoid = launch.make_character("humanoid")
    ground = Ground(humanoid)
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {}
    for name, recipe in RECIPES.items():
        clip = build(name, recipe, source, version, humanoid, ground)
        save_clip(folder / f"{name}.npz", clip)
        touching = recipe.may_touch_ground
        if touching is None:
            bodies = ground.touching(clip)
            touching = None if set(bodies) <= set(humanoid.may_touch_ground) else bodies
        index[name] = index_facts(clip, f"{name}.npz", touching)
        print(
            f"{name}: {clip.num_frames} frames, {clip.duration:.3f} s; {clip.provenance['notes']}"
        )
    head = (
        "The clips of the humanoid: what `motion=<name>` finds. Made by "
        "scripts/build_humanoid_motions.py; see docs/motions.md."
    )
    write_index(folder, head, index)


def build(
    name: str, recipe: Recipe, source: Path, version: str, humanoid: Character, ground: Ground
) -> Clip:
    """One finished clip."""
    raw = read_deepmimic(source / recipe.file, name, recipe.fps)
    pos = torch.from_numpy(raw.root_pos).double()
    rot = torch.cat(
        [torch.from_numpy(raw.root_rot)[:, None], torch.from_numpy(raw.joint_rot)], dim=1
    ).double()
    labels = ("root", *raw.joint_names)
    notes = [recipe.notes] if recipe.notes else []
    for cut in recipe.cuts:
        rot, worst = repair_cut(rot, cut, [labels.index(j) for j in cut.joints])
        notes.append(
            f"cut between frames {cut.before} and {cut.after} repaired "
            f"({cut.joints[0] if cut.joints else 'whole body'}, up to {worst:.0f} degrees)"
        )
    if raw.loop:
        pos, rot, gaps = close_seam(pos, rot, recipe.turns)
        worst = int(gaps.argmax())
        notes.append(f"seam closed (widest gap {gaps[worst]:.0f} degrees, {labels[worst]})")
    clip = replace(
        raw, root_pos=pos.numpy(), root_rot=rot[:, 0].numpy(), joint_rot=rot[:, 1:].numpy()
    )
    clip, note = set_height(clip, recipe.flights, ground)
    notes.append(note)
    provenance = {
        **raw.provenance,
        "source": f"xbpeng/DeepMimic, as packaged by pybullet {version}: {recipe.file}",
        "licence": "MIT",
        "tool": "scripts/build_humanoid_motions.py",
        "tool_version": TOOL_VERSION,
        "notes": "; ".join(notes),
    }
    return replace(clip, provenance=provenance)


def repair_cut(rot: Tensor, cut: Cut, joints: list[int]) -> tuple[Tensor, float]:
    """Spread a jump of the pose over the frames around it.

    The jump is what the step from `before` to `after` turns more than its neighbours do. Half of
    it is taken by either side, fading with the distance in frames; frames within the cut are
    interpolated.

    Args:
        rot: [T, M, 4], root and joints.
        joints: which of the M jump; empty means all.

    Returns:
        The repaired rotations, and the widest jump [deg].
    """
    before, after = cut.before, cut.after
    frames = len(rot)
    width = after - before
    expected = (turn(rot[before - 1], rot[before]) + turn(rot[after], rot[after + 1])) / 2.0
    jump = turn(rot[before], rot[after]) - width * expected  # [M, 3] rad
    if joints:
        jump[[j for j in range(rot.shape[1]) if j not in joints]] = 0.0
    time = torch.arange(frames, dtype=rot.dtype)
    early = time <= before
    distance = torch.where(early, before - time, time - after)
    if cut.window is None:
        share = 0.5 - distance / (frames - 1 - width)
    else:
        share = 0.25 * (1.0 + torch.cos(math.pi * (distance / cut.window).clamp(0.0, 1.0)))
    share = torch.where(early, share, -share)
    repaired = quat_multiply(rot, quat_from_exp_map(share[:, None, None] * jump))
    for frame in range(before + 1, after):
        fraction = torch.full(rot.shape[1:2], (frame - before) / width, dtype=rot.dtype)
        repaired[frame] = quat_slerp(repaired[before], repaired[after], fraction)
    return repaired, math.degrees(float(jump.norm(dim=-1).max()))


def close_seam(pos: Tensor, rot: Tensor, turns: bool) -> tuple[Tensor, Tensor, np.ndarray]:
    """Make the last frame the first again, up to a step over the ground, and a turn if it `turns`.

    The gap is spread evenly over the clip: a constant turn and climb rate is added, so speeds stay
    as smooth as they were, within the clip and across the seam.

    Returns:
        root_pos [T, 3] m, rotations [T, M, 4], and the gaps [M] deg that were closed.
    """
    last = rot[-1].clone()
    if turns:
        whole = quat_multiply(rot[-1, 0], quat_conjugate(rot[0, 0]))
        yaw = 2.0 * torch.atan2(whole[2], whole[3])
        last[0] = quat_multiply(quat_from_heading(-yaw), rot[-1, 0])
    gap = turn(last, rot[0])
    share = torch.linspace(-0.5, 0.5, len(rot), dtype=rot.dtype)
    rot = quat_multiply(rot, quat_from_exp_map(share[:, None, None] * gap))
    pos = pos.clone()
    pos[:, 2] += share * (pos[0, 2] - pos[-1, 2])
    return pos, rot, np.degrees(gap.norm(dim=-1).numpy())


def set_height(
    clip: Clip, flights: tuple[tuple[int, int], ...], ground: Ground
) -> tuple[Clip, str]:
    """Bring the lowest geom to the ground wherever the character is not in flight.

    Nothing is done where it already is within `GROUND_BAND`; else the whole clip is shifted by the
    median, if that suffices; else the root follows a smoothed correction, taken across flights by
    linear interpolation.
    """
    low = ground.lowest(clip)
    grounded = np.ones(len(low), dtype=bool)
    for first, last in flights:
        grounded[first : last + 1] = False
    if np.abs(low[grounded]).max() <= GROUND_BAND:
        return clip, f"height as recorded (lowest geom {_range(low[grounded])})"
    shift = -float(np.median(low[grounded]))
    if np.abs(low[grounded] + shift).max() <= GROUND_BAND:
        return (
            _raised(clip, np.full(len(low), shift)),
            f"raised by {100 * shift:+.1f} cm (lowest geom now {_range(low[grounded] + shift)})",
        )
    frames = np.arange(len(low))
    lift = np.zeros(len(low))
    for _ in range(MAX_ROUNDS):  # each brings back some of what smoothing took away
        error = np.interp(frames, frames[grounded], -(low + lift)[grounded])
        lift += _smooth(error, SMOOTHING * clip.fps, clip.loop)
        if np.abs((low + lift)[grounded]).max() <= GROUND_BAND:
            break
    return (
        _raised(clip, lift),
        f"height corrected by {_range(lift)} (lowest geom was {_range(low[grounded])}, is "
        f"{_range((low + lift)[grounded])})",
    )


class Ground:
    """How high a clip takes a character's geoms: the spheres, capsules and boxes of its MJCF."""

    def __init__(self, character: Character) -> None:
        self.character = character
        self.kinematics = Kinematics(character, dtype=torch.float64)
        bodies, points, radii = [], [], []
        for element in ET.parse(character.model).getroot().iter("body"):
            body = character.body_names.index(str(element.get("name")))
            for geom in element.findall("geom"):
                for point, radius in _extremes(geom):
                    bodies.append(body)
                    points.append(point)
                    radii.append(radius)
        self.bodies = torch.tensor(bodies)
        self.points = torch.tensor(np.array(points), dtype=torch.float64)
        self.radii = torch.tensor(radii, dtype=torch.float64)

    def body_heights(self, clip: Clip) -> np.ndarray:
        """Height [T, B] m of the lowest point of each body's geoms."""
        pos, rot = self.kinematics.forward(
            *(
                torch.from_numpy(array).double()
                for array in (clip.root_pos, clip.root_rot, clip.joint_rot_for(self.character))
            )
        )
        world = pos[:, self.bodies] + quat_rotate(rot[:, self.bodies], self.points)
        heights = (world[..., 2] - self.radii).numpy()
        lowest = np.full((len(heights), self.character.num_bodies), np.inf)
        for column, body in enumerate(self.bodies.tolist()):
            lowest[:, body] = np.minimum(lowest[:, body], heights[:, column])
        return lowest

    def lowest(self, clip: Clip) -> np.ndarray:
        """Height [T] m of the lowest point of the character."""
        return self.body_heights(clip).min(axis=1)

    def touching(self, clip: Clip) -> tuple[str, ...]:
        """Bodies that come within `TOUCH_HEIGHT` of the ground."""
        touches = self.body_heights(clip).min(axis=0) < TOUCH_HEIGHT
        return tuple(n for n, touch in zip(self.character.body_names, touches) if touch)


def turn(start: Tensor, end: Tensor) -> Tensor:
    """The exp map [..., 3] rad, in the frame of `start`, that turns it into `end`."""
    return quat_to_exp_map(quat_multiply(quat_conjugate(start), end))


def _raised(clip: Clip, lift: np.ndarray) -> Clip:
    pos = clip.root_pos.astype(np.float64)
    pos[:, 2] += lift
    return replace(clip, root_pos=pos)


def _smooth(values: np.ndarray, width: float, loop: bool) -> np.ndarray:
    """Gaussian smoothing by `width` frames; a loop's last value is its first."""
    reach = max(1, math.ceil(4.0 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    if loop:
        closed = values.copy()
        closed[0] = closed[-1] = (values[0] + values[-1]) / 2.0
        padded = np.pad(closed[:-1], reach, mode="wrap")
        smooth = np.convolve(padded, kernel / kernel.sum(), mode="valid")
        return np.append(smooth, smooth[0])
    padded = np.pad(values, reach, mode="reflect")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _extremes(geom: ET.Element) -> list[tuple[np.ndarray, float]]:
    """Points [m] and radii [m] of spheres that reach as far down as the geom, however turned."""
    size = _numbers(geom, "size")
    kind = geom.get("type", "sphere")
    if kind == "sphere":
        return [(_numbers(geom, "pos"), float(size[0]))]
    if kind == "capsule":
        ends = _numbers(geom, "fromto")
        return [(ends[:3], float(size[0])), (ends[3:], float(size[0]))]
    if kind == "box":
        corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
        return [(_numbers(geom, "pos") + corner * size, 0.0) for corner in corners]
    raise MotionError(f"geom '{geom.get('name')}' is a {kind}; sphere, capsule and box are known")


def _numbers(geom: ET.Element, attribute: str) -> np.ndarray:
    return np.array([float(text) for text in geom.get(attribute, "0 0 0").split()])


def _range(values: np.ndarray) -> str:
    return f"{100 * values.min():+.1f} to {100 * values.max():+.1f} cm"


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
