"""Reference motion on the device: any number of clips, looked up at any time by gather and blend.

Legend: N queries (any leading shape), C clips, F stored frames of all clips, J joints, B bodies,
D dofs. Clips are resampled once to at least `STORED_RATE` frames per second (an integer multiple
of their own rate, so their own frames are kept exactly), kinematics run once, and a lookup is two
row gathers and one blend. At that rate a normalised blend of two neighbouring quaternions stays
within 1e-3 rad of slerp for joints of up to 1,800 deg/s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional, Union

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.geometry.quaternion import quat_from_heading, quat_multiply, quat_rotate
from mimickit.motions.catalog import MotionEntry
from mimickit.motions.resampling import build_table, row_columns
from mimickit.state import CharacterState


class MotionLibrary:
    """Clips of one character, resampled, with their kinematics, on one device.

    Attributes:
        names: C clip names.
        originals: names of the clips that are no other's variants.
        original_of: [C] int64, which of them each clip is, or is a variant of.
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
        names = [entry.original or entry.name for entry in entries]
        self.originals = list(dict.fromkeys(names))
        indices = [self.originals.index(name) for name in names]
        self.original_of = torch.tensor(indices, device=device)
        weights = torch.tensor([entry.weight for entry in entries], dtype=torch.float64)
        self.weights = (weights / weights.sum()).float().to(device)
        self.durations = torch.tensor([entry.clip.duration for entry in entries], device=device)
        self.loops = torch.tensor([entry.clip.loop for entry in entries], device=device)
        self.may_touch_ground = _allowed_contacts(character, entries).to(device)

        table = build_table([entry.clip for entry in entries], character, device)
        self._table = table.rows  # [F, columns]
        counts = torch.tensor(table.counts)
        # First row of each clip, and from there its last row that has a next one: [C, 2].
        self._rows = torch.stack([counts.cumsum(0) - counts, counts - 2], -1).to(device)
        # Duration [s], frames per second, 1 for a loop: one gather brings all of a clip's facts.
        self._facts = torch.stack(
            [self.durations.cpu(), torch.tensor(table.rates), self.loops.cpu().float()], -1
        ).to(device)
        self._loop_turn, self._loop_step = table.loop_turns, table.loop_steps
        self._turning = bool((self._loop_turn != 0).any())
        self.all_loop = bool(self.loops.all())
        self._columns = row_columns(character)
        self._rotation_width = self._columns[2].stop

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
