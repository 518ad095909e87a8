"""Go to a place on the ground; a new one comes up every few seconds.

Source: AMP (Peng et al. 2021), target location, as in MimicKit f8d0d70
(mimickit/envs/task_location_env.py).
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
    in_heading_frame,
    on_ground,
    spread,
)

TERMS = ("position", "velocity", "facing")
SCALED = ("position", "velocity")
ARROW_LENGTH = 0.8  # [m], of the arrow that points at the target


class Location(Goal):
    """See `mimickit.tasks.goals.goal.Goal`. Legend: N envs.

    Args:
        distance: least and greatest distance [m] of a new target from the root; any bearing.
        period_s: least and greatest time [s] until the next target.
        speed: towards the target that is enough [m/s].
        near: closer than this [m] the target is reached, and speed and facing no longer matter.
        reward_weights: per term of `TERMS`.
        reward_scales: of the squared distance [1/m^2] and of the squared lack of speed [s^2/m^2];
            higher forgives less.
    """

    parts = (("target place", 2),)

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        device: torch.device,
        *,
        distance: Sequence[float],
        period_s: Sequence[float],
        speed: float,
        near: float,
        reward_weights: Mapping[str, float],
        reward_scales: Mapping[str, float],
    ) -> None:
        check_range(distance, 0.0, "task.goal.distance")
        check_number(speed, 0.0, "task.goal.speed")
        check_number(near, 0.0, "task.goal.near")
        check_terms(reward_weights, TERMS, "task.goal.reward_weights")
        check_terms(reward_scales, SCALED, "task.goal.reward_scales")
        self._distance = tuple(distance)
        self._speed, self._near = speed, near
        self._weights, self._scales = dict(reward_weights), dict(reward_scales)
        self._generator = generator
        self._target = torch.zeros(num_envs, 2, device=device)
        check_range(period_s, control_dt, "task.goal.period_s")
        self._clock = Clock(num_envs, control_dt, device, period_s)
        self._motion = GroundVelocity(num_envs, control_dt, device)
        self.buffers = {
            "target": self._target, **self._clock.buffers, **self._motion.buffers,
        }  # fmt: skip

    def reset(self, mask: Tensor, start: CharacterState) -> None:
        self._motion.reset(mask, start)
        self._draw(mask, start)

    def advance(self, state: CharacterState) -> None:
        self._motion.advance(state)
        self._draw(self._clock.advance(), state)

    def observe(self, state: CharacterState) -> Tensor:
        return in_heading_frame(state.root_rot, self._target - state.root_pos[:, :2])

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        offset = self._target - state.root_pos[:, :2]
        terms = location_rewards(
            offset, self._motion.value, facing(state.root_rot), self._speed, self._near,
            self._scales["position"], self._scales["velocity"],
        )  # fmt: skip
        return {name: self._weights[name] * term for name, term in terms.items()}

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        distance = (self._target - state.root_pos[:, :2]).norm(dim=-1)
        return {"distance_m": distance, "reached_share": (distance < self._near).float()}

    def markers(self, state: CharacterState) -> list[Marker]:
        place, root = on_ground(self._target), on_ground(state.root_pos[:, :2])
        # Where the target is may lie outside of the picture: an arrow shows the way.
        way = torch.nn.functional.normalize(place - root, dim=-1) * ARROW_LENGTH
        return [Marker(place, radius=max(self._near, 0.1)), Marker(root, way, radius=0.02)]

    def _draw(self, mask: Tensor, state: CharacterState) -> None:
        """New targets around the masked roots [N]."""
        draws = torch.rand(3, len(mask), generator=self._generator, device=self._target.device)
        away = spread(draws[0], self._distance).unsqueeze(-1) * direction(any_angle(draws[1]))
        target = state.root_pos[:, :2] + away
        self._target.copy_(torch.where(mask.unsqueeze(-1), target, self._target))
        self._clock.wind(mask, draws[2])


def location_rewards(
    offset: Tensor,
    velocity: Tensor,
    facing: Tensor,
    speed: float,
    near: float,
    position_scale: float,
    velocity_scale: float,
) -> dict[str, Tensor]:
    """What being near a target, moving towards it and facing it are worth, each [N] in [0, 1].

    Args:
        offset: [N, 2] m, from the root to the target.
        velocity: [N, 2] m/s, of the root.
        facing: [N, 2], unit vector along the heading.
        speed: towards the target that earns all [m/s].
        near: closer than this [m] velocity and facing earn all.
        position_scale: [1/m^2]. velocity_scale: [s^2/m^2].
    """
    squared = offset.square().sum(-1)
    towards = torch.nn.functional.normalize(offset, dim=-1)
    approach = (velocity * towards).sum(-1)
    lack = (speed - approach).clamp_min(0.0)
    reached = squared < near * near
    moving = torch.exp(-velocity_scale * lack.square()) * (approach > 0)
    looking = (facing * towards).sum(-1).clamp_min(0.0)
    return {
        "position": torch.exp(-position_scale * squared),
        "velocity": moving.masked_fill(reached, 1.0),
        "facing": looking.masked_fill(reached, 1.0),
    }
