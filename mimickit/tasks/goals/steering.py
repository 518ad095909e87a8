"""Walk in a direction at a speed, facing another or the same; new ones come every few seconds.

Source: AMP (Peng et al. 2021), target heading, as in MimicKit f8d0d70
(mimickit/envs/task_steering_env.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs.clock import Clock
from mimickit.state import CharacterState, Marker
from mimickit.tasks.checks import check_number, check_range, check_terms
from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.goals.ground import (
    GroundVelocity,
    any_angle,
    direction,
    facing,
    flat,
    in_heading_frame,
    on_ground,
    spread,
)

TERMS = ("velocity", "facing")
FACING_COLOR = (0.1, 0.65, 0.2, 0.8)
LOOK_LENGTH = 0.8  # [m], of the arrow that shows where to look
SPEED_LENGTH = 0.5  # [m] of the other arrow per m/s


class Steering(Goal):
    """See `mimickit.tasks.goals.goal.Goal`. Legend: N envs.

    Args:
        speed: least and greatest speed asked for [m/s].
        period_s: least and greatest time [s] until the next direction and speed.
        separate_facing: draw where to look apart from where to go; else they are the same.
        reward_weights: per term of `TERMS`.
        velocity_scale: of the squared velocity error [s^2/m^2]; higher forgives less.
    """

    parts = (("target direction", 2), ("target speed", 1), ("target facing", 2))

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        device: torch.device,
        *,
        speed: Sequence[float],
        period_s: Sequence[float],
        separate_facing: bool,
        reward_weights: Mapping[str, float],
        velocity_scale: float,
    ) -> None:
        check_range(speed, 0.0, "task.goal.speed")
        check_terms(reward_weights, TERMS, "task.goal.reward_weights")
        check_number(velocity_scale, 0.0, "task.goal.velocity_scale")
        self._speed_limits = tuple(speed)
        self._separate = separate_facing
        self._weights, self._scale = dict(reward_weights), velocity_scale
        self._generator = generator
        self._target = torch.zeros(num_envs, 5, device=device)  # direction, speed, facing
        self._direction, self._speed, self._facing = self._target.split([2, 1, 2], dim=-1)
        check_range(period_s, control_dt, "task.goal.period_s")
        self._clock = Clock(num_envs, control_dt, device, period_s)
        self._motion = GroundVelocity(num_envs, control_dt, device)
        self.buffers = {
            "target": self._target, **self._clock.buffers, **self._motion.buffers,
        }  # fmt: skip

    def reset(self, mask: Tensor, start: CharacterState) -> None:
        self._motion.reset(mask, start)
        self._draw(mask)

    def advance(self, state: CharacterState) -> None:
        self._motion.advance(state)
        self._draw(self._clock.advance())

    def observe(self, state: CharacterState) -> Tensor:
        go, look = (in_heading_frame(state.root_rot, v) for v in (self._direction, self._facing))
        return torch.cat([go, self._speed, look], dim=-1)

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        terms = steering_rewards(
            self._direction, self._speed.squeeze(-1), self._facing,
            self._motion.value, facing(state.root_rot), self._scale,
        )  # fmt: skip
        return {name: self._weights[name] * term for name, term in terms.items()}

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        error = self._speed * self._direction - self._motion.value
        cosine = (self._facing * facing(state.root_rot)).sum(-1)
        return {
            "velocity_error_m_s": error.norm(dim=-1),
            "facing_error_rad": torch.acos(cosine.clamp(-1.0, 1.0)),
        }

    def markers(self, state: CharacterState) -> list[Marker]:
        root = on_ground(state.root_pos[:, :2])
        go = flat(self._speed * self._direction * SPEED_LENGTH)
        look = flat(self._facing * LOOK_LENGTH)
        arrows = [Marker(root, go, radius=0.03)]
        if self._separate:
            arrows.append(Marker(root, look, radius=0.03, color=FACING_COLOR))
        return arrows

    def _draw(self, mask: Tensor) -> None:
        """New directions and speeds where mask [N] is true."""
        draws = torch.rand(4, len(mask), generator=self._generator, device=self._target.device)
        go = direction(any_angle(draws[0]))
        speed = spread(draws[1], self._speed_limits).unsqueeze(-1)
        look = direction(any_angle(draws[2])) if self._separate else go
        target = torch.cat([go, speed, look], dim=-1)
        self._target.copy_(torch.where(mask.unsqueeze(-1), target, self._target))
        self._clock.wind(mask, draws[3])


def steering_rewards(
    direction: Tensor,
    speed: Tensor,
    target_facing: Tensor,
    velocity: Tensor,
    facing: Tensor,
    velocity_scale: float,
) -> dict[str, Tensor]:
    """What going where and looking where one should is worth, each [N] in [0, 1].

    Args:
        direction, target_facing: unit vectors [N, 2]. speed: [N] m/s.
        velocity: [N, 2] m/s, of the root. facing: unit vector [N, 2] along the heading.
        velocity_scale: [s^2/m^2].
    """
    error = (speed.unsqueeze(-1) * direction - velocity).square().sum(-1)
    forwards = (direction * velocity).sum(-1) >= 0
    return {
        "velocity": torch.exp(-velocity_scale * error) * forwards,
        "facing": (target_facing * facing).sum(-1).clamp_min(0.0),
    }
