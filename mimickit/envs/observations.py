"""What a policy sees, as pure functions of states.

Legend: N envs, T target frames, J joints, D dofs, K key bodies. `global_frame` keeps world axes, so
that the heading is visible; otherwise everything is turned by an inverse heading.
Source of layouts and their order: MimicKit f8d0d70 (mimickit/envs/char_env.py, deepmimic_env.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor

from mimickit.geometry.quaternion import (
    heading_inverse,
    quat_multiply,
    quat_rotate,
    quat_to_tan_norm,
)
from mimickit.specs import GroupSpec
from mimickit.state import CharacterState


def character_spec(joints: int, dofs: int, key_bodies: int, root_height: bool) -> GroupSpec:
    """The layout of `character_obs`."""
    return GroupSpec.of(
        ("root_height", int(root_height)),
        ("root_rot", 6),
        ("root_vel", 3),
        ("root_ang_vel", 3),
        ("joint_rot", 6 * joints),
        ("dof_vel", dofs),
        ("key_pos", 3 * key_bodies),
    )


def character_obs(
    state: CharacterState,
    key_bodies: Tensor,
    global_frame: bool,
    root_height: bool,
    encoding: Optional[Tensor] = None,
) -> Tensor:
    """Pose and velocity of the character, without its place on the ground: [N, ...].

    Args:
        state: N characters. key_bodies: [K] indices.
        root_height: whether to begin with the root's height above the ground.
        encoding: of the state, as `encode_pose` gives it, if it is there already.
    """
    root_vel, root_ang_vel = state.root_vel, state.root_ang_vel
    turn = None if global_frame else heading_inverse(state.root_rot)
    if turn is not None:
        root_vel, root_ang_vel = quat_rotate(turn, root_vel), quat_rotate(turn, root_ang_vel)
    pose = encode_pose(state, key_bodies, turn) if encoding is None else encoding
    joints = 6 + 6 * state.joint_rot.shape[1]
    parts = [
        pose[:, :6],
        root_vel,
        root_ang_vel,
        pose[:, 6:joints],
        state.dof_vel,
        pose[:, joints:],
    ]
    return torch.cat([state.root_pos[:, 2:], *parts] if root_height else parts, dim=-1)


def target_spec(frames: int, joints: int, key_bodies: int, root_height: bool) -> GroupSpec:
    """The layout of `target_obs`."""
    width = (3 if root_height else 2) + encoding_size(joints, key_bodies)
    return GroupSpec.of(*((f"target_{i}", width) for i in range(frames)))


def target_obs(
    state: CharacterState,
    targets: Sequence[CharacterState],
    key_bodies: Tensor,
    global_frame: bool,
    root_height: bool,
    encodings: Optional[Sequence[Tensor]] = None,
) -> Tensor:
    """Where the reference will be: [N, T * (3 + 6 + 6 J + 3 K)].

    Per frame: root position (z is the absolute height; left out without `root_height`), root
    rotation, joint rotations, key bodies relative to that frame's root. With `global_frame` the
    root position is relative to the simulated root; otherwise all is relative to the root and
    heading of the first target frame, and the offset from character to reference is not seen.

    Args:
        state: N characters. targets: T times N reference states. key_bodies: [K] indices.
        encodings: of the targets, as `encode_pose` gives them, if they are there already.
    """
    turn = None if global_frame else heading_inverse(targets[0].root_rot)
    place = state.root_pos if global_frame else targets[0].root_pos
    origin = torch.cat([place[:, :2], torch.zeros_like(place[:, 2:])], dim=-1)  # on the ground
    parts = []
    for i, target in enumerate(targets):
        root_pos = target.root_pos - origin
        if turn is not None:
            root_pos = quat_rotate(turn, root_pos)
        parts.append(root_pos if root_height else root_pos[:, :2])
        parts.append(encodings[i] if encodings else encode_pose(target, key_bodies, turn))
    return torch.cat(parts, dim=-1)


def encoding_size(joints: int, key_bodies: int) -> int:
    """The width of `encode_pose`."""
    return 6 + 6 * joints + 3 * key_bodies


def encode_pose(state: CharacterState, key_bodies: Tensor, turn: Optional[Tensor] = None) -> Tensor:
    """Rotations of root and joints, key bodies relative to the root: [..., 6 + 6 J + 3 K].

    Args:
        turn: a rotation [..., 4] about z to turn it by; None keeps world axes.
    """
    root_rot = state.root_rot
    key_pos = key_positions(state, key_bodies)
    if turn is not None:
        root_rot = quat_multiply(turn, root_rot)
        key_pos = quat_rotate(turn.unsqueeze(-2), key_pos)
    rotations = quat_to_tan_norm(torch.cat([root_rot.unsqueeze(-2), state.joint_rot], dim=-2))
    return torch.cat([rotations.flatten(-2), key_pos.flatten(-2)], dim=-1)


def key_positions(state: CharacterState, key_bodies: Tensor) -> Tensor:
    """Key bodies relative to the root in world axes, [..., K, 3] m."""
    return state.body_pos.index_select(-2, key_bodies) - state.root_pos.unsqueeze(-2)


def tracking_error_spec(joints: int, dofs: int, key_bodies: int) -> GroupSpec:
    """The layout of `tracking_error_obs`."""
    return GroupSpec.of(
        ("root_pos_error", 3),
        ("pose_error", encoding_size(joints, key_bodies)),
        ("root_vel_error", 6),
        ("dof_vel_error", dofs),
    )


def tracking_error_obs(
    state: CharacterState, reference: CharacterState, encoding: Tensor, reference_encoding: Tensor
) -> Tensor:
    """The reference now minus the character, in world axes: [N, 15 + 6 J + 3 K + D].

    What a tracking policy acts on, spelled out: from absolute states it would first have to learn
    to subtract, and after normalisation small errors of large motions are hard to see.

    Args:
        state, reference: N each.
        encoding, reference_encoding: of both, as `encode_pose` gives them.
    """
    return torch.cat(
        [
            reference.root_pos - state.root_pos,
            reference_encoding - encoding,
            reference.root_vel - state.root_vel,
            reference.root_ang_vel - state.root_ang_vel,
            reference.dof_vel - state.dof_vel,
        ],
        dim=-1,
    )


def phase_spec(frequencies: int) -> GroupSpec:
    """The layout of `phase_obs`."""
    return GroupSpec.of(("phase", 1 + 2 * frequencies))


def phase_obs(phase: Tensor, frequencies: int) -> Tensor:
    """Position in the clip: [phase, sin(2 pi 2^k phase)..., cos(2 pi 2^k phase)...].

    Args:
        phase: [N] in [0, 1]. frequencies: number of k, from 0.
    """
    scale = 2.0 * math.pi * 2.0 ** torch.arange(frequencies, device=phase.device)
    angle = phase.unsqueeze(-1) * scale
    return torch.cat([phase.unsqueeze(-1), angle.sin(), angle.cos()], dim=-1)
