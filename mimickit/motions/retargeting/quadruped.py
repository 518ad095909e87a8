"""Motions of a quadruped from where its feet are: leg kinematics in closed form, and gaits by rule.

A leg is a hip that turns about x, a thigh and a calf that turn about y, and a foot; its bodies are
`<leg>_hip`, `<leg>_thigh`, `<leg>_calf`, `<leg>_foot`. Legend: T frames, 4 legs, 3 joints each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.characters.shapes import read_shapes
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_rotate_inverse
from mimickit.motions.clip import Clip
from mimickit.motions.measures import GRAVITY

LEGS = ("FL", "FR", "RL", "RR")
LINKS = ("hip", "thigh", "calf", "foot")


@dataclass(frozen=True)
class Gait:
    """A periodic gait straight ahead, each foot on the ground for half of the time.

    Attributes:
        speed: [m/s]. period: [s].
        phases: per leg, when its stance begins, as a fraction of the period.
        clearance: [m], how high a foot is lifted.
        height: [m], of the root over the ground.
        sway: whether the root sways from side to side, as it must where the feet of one side
            stand together: as a linear inverted pendulum over them.
    """

    speed: float
    period: float
    phases: Mapping[str, float]
    clearance: float
    height: float
    sway: bool = False


TROT = Gait(0.8, 0.5, {"FL": 0.0, "RR": 0.0, "FR": 0.5, "RL": 0.5}, 0.06, 0.29)
PACE = Gait(0.6, 0.5, {"FL": 0.0, "RL": 0.0, "FR": 0.5, "RR": 0.5}, 0.06, 0.29, sway=True)


def gait_path(gait: Gait, character: Character, fps: float) -> tuple[Tensor, Tensor]:
    """Where one period of a gait takes the root, [T, 3] m, and the feet, [T, 4, 3] m.

    A foot stands still under its hip's path for half a period, touching down half a step ahead of
    the thigh; in the air it follows a cycloid, which leaves and meets the ground at rest.

    Raises:
        MotionError: the period is no whole number of frames.
    """
    frames = round(gait.period * fps)
    if abs(frames - gait.period * fps) > 1e-6:
        raise MotionError(f"a period of {gait.period} s is no whole number of frames at {fps} Hz")
    legs = Legs(character)
    time = torch.arange(frames + 1, dtype=torch.float64) / fps
    root = torch.zeros(len(time), 3, dtype=torch.float64)
    root[:, 0], root[:, 2] = gait.speed * time, gait.height
    step = gait.speed * gait.period
    feet = []
    for number, leg in enumerate(LEGS):
        cycle = time / gait.period - gait.phases[leg]
        whole = torch.floor(cycle + 1e-9)
        share = (2.0 * (cycle - whole) - 1.0).clamp_min(0.0)  # of the flight that is over
        onward = share - torch.sin(2.0 * math.pi * share) / (2.0 * math.pi)
        begins = (gait.phases[leg] + whole + 0.25) * step  # the root's x in the middle of stance
        hip = legs.hips[number] + legs.sides[number]
        x = begins + hip[0] + step * onward
        z = legs.radius + 0.5 * gait.clearance * (1.0 - torch.cos(2.0 * math.pi * share))
        feet.append(torch.stack([x, hip[1].expand_as(x), z], -1))
    if gait.sway:
        root[:, 1] = _sway(time, gait, float(legs.hips[0, 1] + legs.sides[0, 1]))
    return root, torch.stack(feet, 1)


def _sway(time: Tensor, gait: Gait, width: float) -> Tensor:
    """Sideways path [T] m of an inverted pendulum that stands left, then right, `width` [m] off.

    Over a foot at w it obeys y'' = (g / h) (y - w); the periodic solution is w (1 - cosh(r (t -
    s / 2)) / cosh(r s / 2)) through a stance of s seconds, r^2 = g / h. Source: Kajita et al. 2001,
    "The 3D linear inverted pendulum mode".
    """
    rate, stance = math.sqrt(GRAVITY / gait.height), 0.5 * gait.period
    since = time % stance
    side = torch.where((time // stance) % 2 == 0, 1.0, -1.0).double()
    bow = 1.0 - torch.cosh(rate * (since - 0.5 * stance)) / math.cosh(0.5 * rate * stance)
    return side * width * bow


class Legs:
    """The legs of one quadruped.

    Attributes:
        hips: [4, 3] m, in the root's frame. sides: [4, 3] m, from there to the thighs.
        thigh, calf: lengths [m]. radius: of the feet [m].

    Raises:
        UnknownBody: the character has no such legs. MotionError: they are of another kind.
    """

    def __init__(self, character: Character) -> None:
        self.character = character
        bodies = [[f"{leg}_{link}" for link in LINKS] for leg in LEGS]
        ids = [character.body_ids(names, "a quadruped's legs") for names in bodies]
        offsets = torch.from_numpy(character.offsets)[torch.tensor(ids)]  # [4, 4, 3]
        self.joints = [[character.joints[body - 1] for body in row[:3]] for row in ids]
        axes = np.array([[joint.axis for joint in row] for row in self.joints])
        wanted = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
        straight = offsets[:, 1, [0, 2]].abs().max() + offsets[:, 2:, :2].abs().max()
        if np.abs(axes - wanted).max() > 1e-6 or straight > 1e-6:
            raise MotionError(
                f"the legs of '{character.name}' are not of the kind that is solved here: a hip "
                "about x, thigh and calf about y, each straight under or beside the one before"
            )
        self.hips, self.sides = offsets[:, 0], offsets[:, 1]
        self.thigh, self.calf = -float(offsets[0, 2, 2]), -float(offsets[0, 3, 2])
        self.radius = _foot_radius(character)

    def angles(self, root_pos: Tensor, root_rot: Tensor, feet: Tensor) -> Tensor:
        """Joint angles [T, 4, 3] rad that put the feet [T, 4, 3] m where they should be.

        Raises:
            MotionError: a foot is out of reach.
        """
        local = quat_rotate_inverse(root_rot[:, None], feet - root_pos[:, None]) - self.hips
        side = self.sides[:, 1]
        down = (
            (local[..., 1].square() + local[..., 2].square() - side.square()).clamp_min(0.0).sqrt()
        )
        hip = torch.atan2(local[..., 1], -local[..., 2]) - torch.atan2(side.expand_as(down), down)
        reach = (local[..., 0].square() + down.square()).sqrt()
        farthest, nearest = self.thigh + self.calf, abs(self.thigh - self.calf)
        if reach.max() > farthest or reach.min() < nearest:
            frame, leg = np.argwhere(((reach > farthest) | (reach < nearest)).numpy())[0]
            raise MotionError(
                f"frame {frame}: foot {LEGS[leg]} is {float(reach[frame, leg]):.3f} m from its "
                f"thigh, which reaches from {nearest:.3f} to {farthest:.3f} m"
            )
        thigh, calf = self.thigh, self.calf
        bend = (thigh**2 + calf**2 - reach.square()) / (2.0 * thigh * calf)
        knee = torch.acos(bend.clamp(-1.0, 1.0)) - math.pi
        within = torch.atan2(calf * torch.sin(-knee), thigh + calf * torch.cos(knee))
        return torch.stack([hip, torch.atan2(-local[..., 0], down) + within, knee], -1)

    def dofs(self, angles: Tensor) -> Tensor:
        """The character's dofs [T, D] rad, of joint angles [T, 4, 3] rad; others are 0."""
        dofs = angles.new_zeros(len(angles), self.character.num_dofs)
        for leg, row in enumerate(self.joints):
            for number, joint in enumerate(row):
                dofs[:, joint.dofs.start] = angles[:, leg, number]
        return dofs


def _foot_radius(character: Character) -> float:
    """How far the ground is under a foot's origin, with the legs as in the default pose [m]."""
    kinematics, shapes = Kinematics(character, dtype=torch.float64), read_shapes(character)
    rot = kinematics.dof_to_rot(torch.from_numpy(character.default_dofs))
    upright = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    pos, rot = kinematics.forward(torch.zeros(3, dtype=torch.float64), upright, rot)
    foot = character.body_names.index(f"{LEGS[0]}_foot")
    return float(pos[foot, 2] - shapes.body_heights(pos, rot)[foot])


def make_clip(
    name: str,
    character: Character,
    fps: float,
    root_pos: Tensor,
    root_rot: Tensor,
    angles: Tensor,
    provenance: Mapping[str, str],
) -> Clip:
    """A looping clip of the root's poses and the legs' joint angles [T, 4, 3] rad."""
    legs = Legs(character)
    rot = Kinematics(character, dtype=torch.float64).dof_to_rot(legs.dofs(angles))
    movable = character.movable_joints
    return Clip(
        name=name,
        fps=fps,
        loop=True,
        joint_names=tuple(joint.name for joint in movable),
        root_pos=root_pos.numpy(),
        root_rot=root_rot.numpy(),
        joint_rot=rot[:, [joint.body - 1 for joint in movable]].numpy(),
        provenance=dict(provenance),
    )
