"""When an episode ends, as pure functions. Legend: N envs, B bodies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mimickit.geometry.quaternion import quat_rotate_inverse
from mimickit.state import CharacterState, Done


def contact_limits(allowed: Tensor, force: float) -> Tensor:
    """The force [N] of the ground on each body above which it ends an episode, [..., B, 1].

    Args:
        allowed: [..., B] bool, bodies that may.
        force: of the others.
    """
    return torch.where(allowed, math.inf, force).unsqueeze(-1)


def forbidden_contact(state: CharacterState, limits: Tensor) -> Tensor:
    """Whether a body that may not touch the ground does, [N] bool.

    Args:
        limits: [N or 1, B, 1], see `contact_limits`; any component of the ground's force above
            its body's is a touch.

    Source: MimicKit f8d0d70, threshold 0.1 N.
    """
    return (state.contact_force.abs() > limits).flatten(1).any(-1)


def far_from_reference(
    state: CharacterState, reference: CharacterState, distance: float, frame: str
) -> Tensor:
    """Whether any body is farther than `distance` [m] from its reference, [N] bool.

    Args:
        frame: what positions are compared: "world" as they are; "world_axes" relative to the root;
            "root" relative to the root and in the root's own frame.

    Source: MimicKit f8d0d70 (mimickit/envs/deepmimic_env.py).
    """
    offset = _body_pos_in(frame, state) - _body_pos_in(frame, reference)
    return (offset.square().sum(-1) > distance * distance).any(-1)


def _body_pos_in(frame: str, state: CharacterState) -> Tensor:
    if frame == "world":
        return state.body_pos
    offset = state.body_pos - state.root_pos.unsqueeze(1)
    if frame == "world_axes":
        return offset
    assert frame == "root", frame
    return quat_rotate_inverse(state.root_rot.unsqueeze(1), offset)


def done_flags(time_up: Tensor, succeeded: Tensor, failed: Tensor) -> Tensor:
    """The `Done` flag of each env, [N] int64: FAIL overrides SUCC, which overrides TIME.

    Source: MimicKit f8d0d70 (mimickit/envs/deepmimic_env.py).
    """
    done = time_up * int(Done.TIME)
    return done.masked_fill_(succeeded, int(Done.SUCC)).masked_fill_(failed, int(Done.FAIL))
