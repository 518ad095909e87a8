"""Clips brought to rows of one table: resampled, with velocities and kinematics, many at a time.

Legend: C clips, S own frames of the clips at hand, R rows of them, F rows of all clips, J joints,
B bodies, D dofs. A row is at least `STORED_RATE` frames per second from the next, an integer
multiple of the clip's own rate, so a clip's own frames are kept exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.geometry.quaternion import (
    heading,
    quat_conjugate,
    quat_from_heading,
    quat_multiply,
    quat_rotate,
    quat_slerp,
    quat_to_exp_map,
)
from mimickit.motions.clip import Clip

STORED_RATE = 100.0  # least stored frames per second
CHUNK = 8_192  # rows made at a time: for a CPU's cache few enough, for a GPU's launches many

Device = Optional[Union[str, torch.device]]


@dataclass(frozen=True)
class Table:
    """All clips of a library.

    Attributes:
        rows: [F, columns] float32, clip after clip; see `row_columns`.
        counts: C numbers of rows. rates: C rows per second.
        loop_turns: [C] rad, about z, and loop_steps: [C, 2] m, how one cycle of a looping clip
            moves: it turns about the origin, then steps. 0 for others.
    """

    rows: Tensor
    counts: list[int]
    rates: list[float]
    loop_turns: Tensor
    loop_steps: Tensor


def row_columns(character: Character) -> list[slice]:
    """Where in a row to find root_rot, joint_rot, body_rot, root_pos, the bodies' positions
    relative to the root's, root_vel, root_ang_vel and dof_vel.
    """  # noqa: D205
    joints, bodies, dofs = character.num_joints, character.num_bodies, character.num_dofs
    edges = np.cumsum((0, 4, 4 * joints, 4 * bodies, 3, 3 * bodies, 3, 3, dofs)).tolist()
    return [slice(first, last) for first, last in zip(edges, edges[1:])]


def build_table(clips: Sequence[Clip], character: Character, device: Device = None) -> Table:
    """Bring clips to rows, in float64 on the device.

    Raises:
        MotionError: a clip is another character's.
    """
    factors = [math.ceil(STORED_RATE / clip.fps) for clip in clips]
    counts = [(clip.num_frames - 1) * factor + 1 for clip, factor in zip(clips, factors)]
    columns = row_columns(character)[-1].stop
    rows = torch.empty(sum(counts), columns, device=device)
    kinematics = Kinematics(character, device, torch.float64)
    turns, steps, done = [], [], 0
    for first, last in _chunks(counts):
        frames = _read(clips[first:last], kinematics, device)
        packed = _pack(_upsample(frames, factors[first:last]), kinematics)
        rows[done : done + len(packed)] = packed
        done += len(packed)
        turns.append(frames.loop_turns)
        steps.append(frames.loop_steps)
    return Table(
        rows=rows,
        counts=counts,
        rates=[clip.fps * factor for clip, factor in zip(clips, factors)],
        loop_turns=torch.cat(turns).float(),
        loop_steps=torch.cat(steps).float(),
    )


@dataclass(frozen=True)
class _Frames:
    """Some clips, one after the other, at their own rates; all float64.

    Attributes:
        lengths: frames of each clip.
        root_pos, root_rot, joint_rot: [S, ...]. velocity: [S, 6 + D], root_vel, root_ang_vel and
            dof_vel.
        loop_turns, loop_steps: see `Table`.
    """

    lengths: list[int]
    root_pos: Tensor
    root_rot: Tensor
    joint_rot: Tensor
    velocity: Tensor
    loop_turns: Tensor
    loop_steps: Tensor


def _chunks(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ranges of clips that make no more than `CHUNK` rows, or are a single clip."""
    first, total = 0, 0
    for index, count in enumerate(counts):
        if total and total + count > CHUNK:
            yield first, index
            first, total = index, 0
        total += count
    yield first, len(counts)


def _read(clips: Sequence[Clip], kinematics: Kinematics, device: Device) -> _Frames:
    """The clips' frames, with velocities."""

    def joined(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays)).to(device).double()

    lengths = [clip.num_frames for clip in clips]
    root_pos = joined([clip.root_pos for clip in clips])
    root_rot = joined([clip.root_rot for clip in clips])
    joint_rot = joined([clip.joint_rot_for(kinematics.character) for clip in clips])
    ends = np.cumsum(lengths)
    first, last = (torch.from_numpy(ends + k).to(device) for k in (-np.array(lengths), -1))
    loops = torch.tensor([clip.loop for clip in clips], device=device)

    turns = heading(quat_multiply(root_rot[last], quat_conjugate(root_rot[first])))
    turns = torch.where(loops & (turns.abs() >= 1e-5), turns, 0.0)
    cycle = quat_from_heading(turns)
    steps = (root_pos[last] - quat_rotate(cycle, root_pos[first]))[:, :2]
    steps = torch.where(loops.unsqueeze(-1), steps, 0.0)

    # Velocities over the intervals between frames, then their mean at the frames: continuous, and
    # never over more than one interval, where a fast joint may turn by more than half a circle.
    fps = torch.from_numpy(np.repeat([clip.fps for clip in clips], lengths)).to(device)
    rate = fps[:-1].unsqueeze(-1)
    between = torch.cat(
        [
            (root_pos[1:] - root_pos[:-1]) * rate,
            quat_to_exp_map(quat_multiply(root_rot[1:], quat_conjugate(root_rot[:-1]))) * rate,
            kinematics.dof_velocity(joint_rot[:-1], joint_rot[1:], 1.0 / rate),
        ],
        dim=-1,
    )  # also from each clip to the next; these are not used
    frames = torch.arange(len(root_pos), device=device)
    before, after = frames - 1, frames.clone()
    # Before the first frame and after the last of a loop come the intervals on the other side of
    # the seam, in this cycle's heading; of others, their own first and last.
    before[first] = torch.where(loops, last - 1, first)
    after[last] = torch.where(loops, first, last - 1)
    earlier, later = between[before], between[after]
    earlier[first] = _turn_velocities(quat_conjugate(cycle), earlier[first])
    later[last] = _turn_velocities(cycle, later[last])
    velocity = 0.5 * (earlier + later)
    return _Frames(lengths, root_pos, root_rot, joint_rot, velocity, turns, steps)


def _turn_velocities(rotation: Tensor, velocity: Tensor) -> Tensor:
    """Turn a root's velocities [..., 6 + D] in the world, and leave the dofs'."""
    world = quat_rotate(rotation.unsqueeze(1), velocity[:, :6].view(-1, 2, 3)).view(-1, 6)
    return torch.cat([world, velocity[:, 6:]], dim=-1)


def _upsample(frames: _Frames, factors: Sequence[int]) -> _Frames:
    """Insert factor - 1 frames between each two: slerp for rotations, linear for the rest."""
    device = frames.root_pos.device
    firsts, blends, offset = [], [], 0
    for length, factor in zip(frames.lengths, factors):
        position = np.arange((length - 1) * factor + 1) / factor
        whole = np.minimum(position.astype(np.int64), length - 2)
        firsts.append(offset + whole)
        blends.append(position - whole)
        offset += length
    first, blend = (torch.from_numpy(np.concatenate(part)).to(device) for part in (firsts, blends))

    def rotations(q: Tensor) -> Tensor:
        t = blend.view(-1, *(1,) * (q.dim() - 2)).expand(len(blend), *q.shape[1:-1])
        return quat_slerp(q[first], q[first + 1], t)

    def vectors(v: Tensor) -> Tensor:
        return torch.lerp(v[first], v[first + 1], blend.unsqueeze(-1))

    return _Frames(
        [len(part) for part in firsts],
        vectors(frames.root_pos),
        rotations(frames.root_rot),
        rotations(frames.joint_rot),
        vectors(frames.velocity),
        frames.loop_turns,
        frames.loop_steps,
    )


def _pack(frames: _Frames, kinematics: Kinematics) -> Tensor:
    """One row per frame, [R, columns]; see `row_columns`."""
    body_pos, body_rot = kinematics.forward(frames.root_pos, frames.root_rot, frames.joint_rot)
    rotations = torch.cat([frames.root_rot.unsqueeze(1), frames.joint_rot, body_rot], dim=1)
    return torch.cat(
        [
            _continuous(rotations, frames.lengths).flatten(1),
            frames.root_pos,
            (body_pos - body_pos[:, :1]).flatten(1),
            frames.velocity,
        ],
        dim=-1,
    )


def _continuous(q: Tensor, lengths: Sequence[int]) -> Tensor:
    """Flip signs so that a clip's neighbouring quaternions [R, ..., 4] blend by the shorter arc."""
    flips = (q[1:] * q[:-1]).sum(-1, keepdim=True) < 0
    firsts = torch.from_numpy(np.cumsum([0, *lengths[:-1]])).to(q.device)
    flips[firsts[1:] - 1] = False  # each clip begins as it is
    sign = torch.where(flips, -1.0, 1.0).to(q).cumprod(0)
    sign = torch.cat([torch.ones_like(sign[:1]), sign])
    starts = torch.repeat_interleave(
        sign[firsts], torch.tensor(lengths, device=q.device), dim=0, output_size=len(q)
    )
    return q * (sign * starts)
