"""What goals on flat ground share: headings, speed over the ground.

Legend: N envs. Vectors of the ground plane have two components, x and y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from mimickit.geometry.quaternion import heading
from mimickit.state import CharacterState

MARKER_HEIGHT = 0.03  # [m]


def facing(root_rot: Tensor) -> Tensor:
    """Unit vector [N, 2] along the heading of rotations [N, 4]."""
    return direction(heading(root_rot))


def direction(angle: Tensor) -> Tensor:
    """Unit vector [..., 2] at an angle [...] rad from the x axis."""
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def in_heading_frame(root_rot: Tensor, vector: Tensor) -> Tensor:
    """World vectors [N, 2] as seen from the heading of rotations [N, 4]: forward, left."""
    (cosine, sine), (x, y) = facing(root_rot).unbind(-1), vector.unbind(-1)
    return torch.stack([cosine * x + sine * y, cosine * y - sine * x], dim=-1)


def flat(vector: Tensor) -> Tensor:
    """Vectors [N, 2] as level ones [N, 3]."""
    return torch.cat([vector, torch.zeros_like(vector[:, :1])], dim=-1)


def on_ground(place: Tensor) -> Tensor:
    """Places [N, 2] as points [N, 3] m a little above the ground, where markers can be seen."""
    return torch.cat([place, torch.full_like(place[:, :1], MARKER_HEIGHT)], dim=-1)


def any_angle(draws: Tensor) -> Tensor:
    """Uniform angles [rad] in [-pi, pi), of uniform draws in [0, 1)."""
    return math.pi * (2.0 * draws - 1.0)


def spread(draws: Tensor, limits: Sequence[float]) -> Tensor:
    """Uniform draws in [0, 1), stretched to [low, high)."""
    low, high = limits
    return low + (high - low) * draws


class GroundVelocity:
    """Mean velocity of roots over the last control step, from how far they came.

    Attributes:
        value: [N, 2] m/s.
        buffers: see `Goal`.
    """

    def __init__(self, num_envs: int, control_dt: float, device: torch.device) -> None:
        self.value = torch.zeros(num_envs, 2, device=device)
        self._place = torch.zeros(num_envs, 2, device=device)
        self._dt = control_dt
        self.buffers = {"velocity": self.value, "place": self._place}

    def reset(self, mask: Tensor, start: CharacterState) -> None:
        """Stand still where `start` is, where mask [N] is true."""
        mask = mask.unsqueeze(-1)
        self.value.masked_fill_(mask, 0.0)
        self._place.copy_(torch.where(mask, start.root_pos[:, :2], self._place))

    def advance(self, state: CharacterState) -> None:
        """One control step later."""
        place = state.root_pos[:, :2]
        self.value.copy_((place - self._place) / self._dt)
        self._place.copy_(place)
