"""Reference motion on the device: any number of clips, looked up at any time by gather and blend.

Legend: N queries (any leading shape), C clips, F stored frames of all clips, J joints, B bodies,
D dofs. Clips are resampled once to at least `STORED_RATE` frames per second (an integer multiple
of their own rate, so their own frames are kept exactly), kinematics run once, and a lookup is two
row gathers and one blend. At that rate a normalised blend of two neighbouring quaternions stays
within 1e-3 rad of slerp for joints of up to 1,800 deg/s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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
from mimickit.motions.catalog import MotionEntry
from mimickit.state import CharacterState

STORED_RATE = 100.0  # least stored frames per second


@dataclass(frozen=True)
class _Frames:
    """One clip at its own or the stored rate: poses and velocities, all [T, ...]."""

    root_pos: Tensor
    root_rot: Tensor
    joint_rot: Tensor
    root_vel: Tensor
    root_ang_vel: Tensor
    dof_vel: Tensor


class MotionLibrary:
    """Clips of one character, resampled, with their kinematics, on one device.

    Attributes:
        names: C clip names.
        weights: [C] sampling weights, summing to 1.
        durations: [C] s.
        loops: [C] bool, whether a clip goes on where it ended.
        may_touch_ground: [C, B] bool, bodies allowed on the ground while a clip plays.
    """

    def __init__(
        self,
        character: Character,
        entries: Sequence[MotionEntry],
        device: Optional[Union[str, torch.device]] = None,
    ) -> None:
        self.character = character
        self.names = [entry.name for entry in entries]
        weights = torch.tensor([entry.weight for entry in entries], dtype=torch.float64)
        self.weights = (weights / weights.sum()).float().to(device)
        self.durations = torch.tensor([entry.clip.duration for entry in entries], device=device)
        self.loops = torch.tensor([entry.clip.loop for entry in entries], device=device)
        self.may_touch_ground = _allowed_contacts(character, entries).to(device)

        kinematics = Kinematics(character, dtype=torch.float64)
        rows, counts, rates, loop_turns, loop_steps = [], [], [], [], []
        for entry in entries:
            frames, turn, step = _read(entry, kinematics)
            factor = math.ceil(STORED_RATE / entry.clip.fps)
            packed = _pack(_upsample(frames, factor), kinematics)
            rows.append(packed)
            counts.append(len(packed))
            rates.append(entry.clip.fps * factor)
            loop_turns.append(turn)
            loop_steps.append(step)
        self._table = torch.cat(rows).float().to(device)  # [F, columns]
        last = torch.tensor(counts) - 2  # the last frame that has a next one
        first = torch.tensor([0, *counts[:-1]]).cumsum(0)
        self._rows = torch.stack([first, last], -1).to(device)  # [C, 2], of the table
        # Duration [s], frames per second, 1 for a loop: one gather brings all of a clip's facts.
        self._facts = torch.stack(
            [self.durations.cpu(), torch.tensor(rates), self.loops.cpu().float()], -1
        ).to(device)
        # The planar motion that one cycle of a looping clip makes: a turn about z [rad], then a
        # step [m].
        self._loop_turn = torch.tensor(loop_turns, dtype=torch.float32, device=device)
        self._loop_step = torch.tensor([(step.real, step.imag) for step in loop_steps]).to(device)
        self._turning = bool((self._loop_turn != 0).any())
        self.all_loop = bool(self.loops.all())

        joints, bodies, dofs = character.num_joints, character.num_bodies, character.num_dofs
        widths = (4, 4 * joints, 4 * bodies, 3, 3 * bodies, 3, 3, dofs)
        edges = np.cumsum((0, *widths))
        self._columns = [slice(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:])]
        self._rotation_width = int(edges[3])

    def __len__(self) -> int:
        """C."""
        return len(self.names)

    def lookup(self, clips: Tensor, times: Tensor) -> CharacterState:
        """The reference at any time.

        Looping clips go on for ever in both directions, each cycle where the last one ended, with
        its heading. Others hold their first frame before 0 and their last after the end, with
        zero velocity. Velocities are continuous in between; contact forces are zero.

        Args:
            clips: [...] int64 clip indices. times: [...] s.

        Returns:
            A state of leading shape [...], world frame of the clip.
        """
        return self.unpack(self.lookup_rows(clips, times))

    def lookup_rows(self, clips: Tensor, times: Tensor) -> Tensor:
        """As `lookup`, packed: one fresh row [..., columns] per query, for `unpack`."""
        shape = clips.shape
        clips, times = clips.reshape(-1), times.reshape(-1)
        duration, rate, loop = self._facts.index_select(0, clips).unbind(-1)
        start, last = self._rows.index_select(0, clips).unbind(-1)
        cycles = torch.floor(times / duration) * loop
        local = torch.minimum((times - cycles * duration).clamp_min(0.0), duration)
        frame = local * rate
        whole = torch.minimum(frame.long(), last)
        blend = (frame - whole).unsqueeze(-1)
        first = start + whole
        row = torch.lerp(
            self._table.index_select(0, first), self._table.index_select(0, first + 1), blend
        )

        rotations = row[:, : self._rotation_width].unflatten(-1, (-1, 4))
        rotations.div_(rotations.norm(dim=-1, keepdim=True))
        if not self.all_loop:
            moving = ((loop > 0) | ((times >= 0.0) & (times <= duration))).unsqueeze(-1)
            row[:, self._columns[5].start :].mul_(moving)
        if self._turning:
            self._turn(row, quat_from_heading(self._loop_turn[clips] * cycles))
        root_pos, offsets = row[:, self._columns[3]], row[:, self._columns[4]]
        root_pos[:, :2] += self._cycle_offset(clips, cycles)
        offsets.unflatten(-1, (-1, 3)).add_(root_pos.unsqueeze(1))
        return row.view(*shape, row.shape[-1])

    def unpack(self, rows: Tensor) -> CharacterState:
        """The states in rows [..., columns] of `lookup_rows`, as views; contact forces are zero."""
        root_rot, joint_rot, body_rot, root_pos, body_pos, root_vel, root_ang_vel, dof_vel = (
            rows[..., columns] for columns in self._columns
        )
        body_pos = body_pos.unflatten(-1, (-1, 3))
        return CharacterState(
            root_pos=root_pos,
            root_rot=root_rot,
            root_vel=root_vel,
            root_ang_vel=root_ang_vel,
            joint_rot=joint_rot.unflatten(-1, (-1, 4)),
            dof_vel=dof_vel,
            body_pos=body_pos,
            body_rot=body_rot.unflatten(-1, (-1, 4)),
            contact_force=torch.zeros_like(body_pos),
        )

    def _turn(self, row: Tensor, turn: Tensor) -> None:
        """Turn rows [N, columns] by turn [N, 4] about the origin, in place."""
        columns = self._columns
        for vectors in (columns[3], columns[4], columns[5], columns[6]):
            part = row[:, vectors].unflatten(-1, (-1, 3))
            part.copy_(quat_rotate(turn.unsqueeze(1), part))
        for rotations in (columns[0], columns[2]):
            part = row[:, rotations].unflatten(-1, (-1, 4))
            part.copy_(quat_multiply(turn.unsqueeze(1), part))

    def _cycle_offset(self, clips: Tensor, cycles: Tensor) -> Tensor:
        """Where `cycles` whole cycles lead from the origin, [N, 2] m.

        The n-th power of "turn by psi, then step by d" steps sum_{k<n} e^{i k psi} d, which is
        e^{i (n - 1) psi / 2} sin(n psi / 2) / sin(psi / 2) d, and n d without a turn.
        """
        step = self._loop_step.index_select(0, clips)
        if not self._turning:
            return step * cycles.unsqueeze(-1)
        half = 0.5 * self._loop_turn.index_select(0, clips)
        straight = half.abs() < 1e-7
        ratio = (cycles * half).sin() / torch.where(straight, 1.0, half.sin())
        length = torch.where(straight, cycles, ratio)
        cosine, sine = ((cycles - 1.0) * half).cos(), ((cycles - 1.0) * half).sin()
        x, y = step.unbind(-1)
        return length.unsqueeze(-1) * torch.stack(
            [x * cosine - y * sine, x * sine + y * cosine], -1
        )


def _read(entry: MotionEntry, kinematics: Kinematics) -> tuple[_Frames, float, complex]:
    """A clip's frames with velocities, and its cycle's turn [rad] and step [m]."""
    clip = entry.clip
    root_pos = torch.tensor(clip.root_pos, dtype=torch.float64)
    root_rot = torch.tensor(clip.root_rot, dtype=torch.float64)
    joint_rot = torch.tensor(clip.joint_rot_for(kinematics.character), dtype=torch.float64)
    turn, step = 0.0, 0j
    if clip.loop:
        turn = float(heading(quat_multiply(root_rot[-1], quat_conjugate(root_rot[0]))))
        turn = 0.0 if abs(turn) < 1e-5 else turn
        start = complex(*root_pos[0, :2].tolist()) * complex(math.cos(turn), math.sin(turn))
        step = complex(*root_pos[-1, :2].tolist()) - start

    # Velocities over the intervals between frames, then their mean at the frames: continuous, and
    # never over more than one interval, where a fast joint may turn by more than half a circle.
    between = torch.cat(
        [
            (root_pos[1:] - root_pos[:-1]) * clip.fps,
            quat_to_exp_map(quat_multiply(root_rot[1:], quat_conjugate(root_rot[:-1]))) * clip.fps,
            kinematics.dof_velocity(joint_rot[:-1], joint_rot[1:], 1.0 / clip.fps),
        ],
        dim=-1,
    )
    before, after = between[:1], between[-1:]
    if clip.loop:  # the intervals on the other side of the seam, in this cycle's heading
        cycle = quat_from_heading(torch.tensor(turn, dtype=torch.float64))
        before = _turn_velocities(quat_conjugate(cycle), between[-1:])
        after = _turn_velocities(cycle, between[:1])
    between = torch.cat([before, between, after])
    velocity = 0.5 * (between[:-1] + between[1:])
    frames = _Frames(
        root_pos, root_rot, joint_rot, velocity[:, :3], velocity[:, 3:6], velocity[:, 6:]
    )
    return frames, turn, step


def _turn_velocities(rotation: Tensor, velocity: Tensor) -> Tensor:
    world = quat_rotate(rotation, velocity[:, :6].view(-1, 2, 3)).view(-1, 6)
    return torch.cat([world, velocity[:, 6:]], dim=-1)


def _upsample(frames: _Frames, factor: int) -> _Frames:
    """Insert factor - 1 frames between each two: slerp for rotations, linear for the rest."""
    count = len(frames.root_pos)
    position = torch.arange((count - 1) * factor + 1, dtype=torch.float64) / factor
    first = position.floor().long().clamp_max(count - 2)
    blend = position - first

    def rotations(q: Tensor) -> Tensor:
        t = blend.view(-1, *(1,) * (q.dim() - 2)).expand(len(blend), *q.shape[1:-1])
        return quat_slerp(q[first], q[first + 1], t)

    def vectors(v: Tensor) -> Tensor:
        return torch.lerp(v[first], v[first + 1], blend.unsqueeze(-1))

    return _Frames(
        vectors(frames.root_pos),
        rotations(frames.root_rot),
        rotations(frames.joint_rot),
        vectors(frames.root_vel),
        vectors(frames.root_ang_vel),
        vectors(frames.dof_vel),
    )


def _pack(frames: _Frames, kinematics: Kinematics) -> Tensor:
    """One row per frame, columns as `MotionLibrary` slices them."""
    body_pos, body_rot = kinematics.forward(frames.root_pos, frames.root_rot, frames.joint_rot)
    rotations = torch.cat([frames.root_rot.unsqueeze(1), frames.joint_rot, body_rot], dim=1)
    return torch.cat(
        [
            _continuous(rotations).flatten(1),
            frames.root_pos,
            (body_pos - body_pos[:, :1]).flatten(1),
            frames.root_vel,
            frames.root_ang_vel,
            frames.dof_vel,
        ],
        dim=-1,
    )


def _continuous(q: Tensor) -> Tensor:
    """Flip signs so that neighbouring quaternions [T, ..., 4] blend along the shorter arc."""
    flips = (q[1:] * q[:-1]).sum(-1, keepdim=True) < 0
    sign = torch.where(flips, -1.0, 1.0).to(q).cumprod(0)
    return torch.cat([q[:1], q[1:] * sign])


def _allowed_contacts(character: Character, entries: Sequence[MotionEntry]) -> Tensor:
    allowed = torch.zeros(len(entries), character.num_bodies, dtype=torch.bool)
    for row, entry in zip(allowed, entries):
        names = entry.may_touch_ground
        if names is None:
            names = character.may_touch_ground
        if not names:
            row[:] = True
        else:
            row[character.body_ids(names, f"may_touch_ground of clip '{entry.name}'")] = True
    return allowed
