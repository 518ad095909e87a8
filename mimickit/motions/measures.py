"""What a clip does to the ground, to limits and to gravity, in figures: for linter and retargeter.

Legend: T frames, I = T - 1 intervals between them, B bodies, D dofs, G shapes, F feet (or any
chosen bodies). World frame, ground at z = 0; float64 throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.characters.shapes import Shapes, read_masses, read_shapes
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    quat_rotate_inverse,
    quat_to_exp_map,
)
from mimickit.motions.clip import Clip

SLIP_HEIGHT = 0.025  # [m] above which a foot does not count as standing. Source: see `slip_speed`
GRAVITY = 9.81  # [m/s^2]


@dataclass(frozen=True)
class Trace:
    """A clip as a character shows it, frame by frame.

    Attributes:
        clip, character, shapes: of what.
        root_rot: [T, 4]. joint_rot: [T, J, 4].
        body_pos: [T, B, 3] m. body_rot: [T, B, 4].
        dof_pos: [T, D] rad. dof_vel: [I, D] rad/s, over each interval.
        body_heights: [T, B] m, of the lowest point of each body; infinite for one without shapes.
    """

    clip: Clip
    character: Character
    shapes: Shapes
    root_rot: Tensor
    joint_rot: Tensor
    body_pos: Tensor
    body_rot: Tensor
    dof_pos: Tensor
    dof_vel: Tensor
    body_heights: Tensor

    @property
    def lowest(self) -> Tensor:
        """Height [T] m of the lowest point of the character."""
        return self.body_heights.amin(-1)


def trace(clip: Clip, character: Character) -> Trace:
    """Run a clip through a character's kinematics.

    Raises:
        MotionError: the clip is another character's. CharacterError: see `read_shapes`.
    """
    kinematics, shapes = Kinematics(character, dtype=torch.float64), read_shapes(character)
    root_pos, root_rot, joint_rot = (
        torch.from_numpy(array).double()
        for array in (clip.root_pos, clip.root_rot, clip.joint_rot_for(character))
    )
    body_pos, body_rot = kinematics.forward(root_pos, root_rot, joint_rot)
    return Trace(
        clip=clip,
        character=character,
        shapes=shapes,
        root_rot=root_rot,
        joint_rot=joint_rot,
        body_pos=body_pos,
        body_rot=body_rot,
        dof_pos=kinematics.rot_to_dof(joint_rot),
        dof_vel=kinematics.dof_velocity(joint_rot[:-1], joint_rot[1:], 1.0 / clip.fps),
        body_heights=shapes.body_heights(body_pos, body_rot),
    )


def penetration(trace: Trace) -> Tensor:
    """How deep the character is in the ground, [T] m >= 0."""
    return (-trace.lowest).clamp_min(0.0)


def touching(trace: Trace, height: float = 0.01) -> tuple[str, ...]:
    """Bodies that come closer to the ground than `height` [m] at any time."""
    near = (trace.body_heights < height).any(0).tolist()
    return tuple(name for name, touches in zip(trace.character.body_names, near) if touches)


def flights(trace: Trace, height: float) -> list[tuple[int, int]]:
    """First and last frame of each stretch in which all of the character is above `height` [m]."""
    return stretches(trace.lowest > height)


def stretches(mask: Tensor) -> list[tuple[int, int]]:
    """First and last index of each run of true values in a mask [T]."""
    padded = torch.nn.functional.pad(mask.int(), (1, 1))
    change = padded[1:] - padded[:-1]
    firsts, ends = (change == 1).nonzero().flatten(), (change == -1).nonzero().flatten()
    return list(zip(firsts.tolist(), (ends - 1).tolist()))


def limit_excess(dof_pos: Tensor, character: Character) -> Tensor:
    """How far each dof is beyond its limits, [..., D] rad >= 0; a ball's are of its exp map.

    Args:
        dof_pos: [..., D] rad.
    """
    low, high = torch.tensor(character.dof_limits).to(dof_pos).unbind(-1)
    return torch.maximum(low - dof_pos, dof_pos - high).clamp_min(0.0)


def slip_speed(trace: Trace, bodies: Sequence[str]) -> tuple[Tensor, Tensor]:
    """How fast bodies slide over the ground while they stand on it.

    What slides is the point that touches: a foot that rolls from heel to toe does not. Of each
    shape it is the lowest point in the interval's first frame, followed into the next.

    Returns:
        speed: [I, F] m/s, horizontal, of the lowest shape of each body.
        share: [I, F] in [0, 1], how much each body stands: 2 - 2^(h / 2.5 cm), clipped, for the
            greater of the body's heights h before and after.

    Source: the foot skating measure s = v (2 - 2^(h / H)), H = 2.5 cm, of Zhang et al. 2018,
    "Mode-Adaptive Neural Networks for Quadruped Motion Control"; the point is ours, they take v of
    the foot's joint.
    """
    ids = trace.character.body_ids(bodies, "slip_speed")
    points = trace.shapes.lowest_points(trace.body_pos, trace.body_rot)  # [T, G, 3]
    of = trace.shapes.bodies
    local = quat_rotate_inverse(trace.body_rot[:-1, of], points[:-1] - trace.body_pos[:-1, of])
    moved = trace.body_pos[1:, of] + quat_rotate(trace.body_rot[1:, of], local)
    speeds = (moved - points[:-1])[..., :2].norm(dim=-1) * trace.clip.fps  # [I, G]
    height = torch.maximum(points[:-1, :, 2], moved[..., 2])
    columns = []
    for body in ids:
        own = (of == body).nonzero().flatten()
        if len(own) == 0:
            columns.append((torch.zeros(len(speeds)), torch.full((len(speeds),), float("inf"))))
            continue
        best = height[:, own].argmin(-1, keepdim=True)
        columns.append(
            (
                speeds[:, own].gather(-1, best).squeeze(-1),
                torch.maximum(trace.body_heights[:-1, body], trace.body_heights[1:, body]),
            )
        )
    speed = torch.stack([column[0].double() for column in columns], -1)
    above = torch.stack([column[1].double() for column in columns], -1)
    share = (2.0 - torch.pow(2.0, (above / SLIP_HEIGHT).clamp(0.0, 1.0))).clamp(0.0, 1.0)
    return speed, share


def skating(trace: Trace, bodies: Sequence[str]) -> float:
    """Mean speed [m/s] at which bodies slide while they stand; 0 if they never do.

    Args:
        bodies: as a rule the feet.
    """
    speed, share = slip_speed(trace, bodies)
    total = float(share.sum())
    return float((speed * share).sum()) / total if total > 0 else 0.0


def center_of_mass(trace: Trace) -> Tensor:
    """Where the character's centre of mass is, [T, 3] m.

    Raises:
        CharacterError: see `read_masses`.
    """
    masses, centers = (torch.from_numpy(array) for array in read_masses(trace.character))
    world = trace.body_pos + quat_rotate(trace.body_rot, centers)
    return (world * masses.unsqueeze(-1)).sum(-2) / masses.sum()


def free_fall(height: Tensor, fps: float) -> tuple[float, float]:
    """Fit a parabola to heights [T] m, T >= 4, of something in flight.

    Returns:
        Its downward acceleration [m/s^2], and the standard error of that [m/s^2].
    """
    time = np.arange(len(height)) / fps
    design = np.stack([np.ones_like(time), time, -0.5 * time**2], -1)
    values = height.numpy()
    solution, *_ = np.linalg.lstsq(design, values, rcond=None)
    residual = values - design @ solution
    variance = (residual @ residual) / max(1, len(time) - 3)
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[2, 2])
    return float(solution[2]), float(error)


def turn_angles(start: Tensor, end: Tensor) -> Tensor:
    """Angle [...] rad between rotations [..., 4]."""
    return quat_to_exp_map(quat_multiply(quat_conjugate(start), end)).norm(dim=-1)
