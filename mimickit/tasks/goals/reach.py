"""Bring a body, e.g. a hand, to a point in the air; a new one comes up every few seconds.

Source: ASE (Peng et al. 2022), reach (nv-tlabs/ASE 28952a3,
ase/data/cfg/humanoid_sword_shield_reach.yaml).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs.clock import Clock
from mimickit.errors import IncompatibleParts
from mimickit.geometry.quaternion import heading_inverse, quat_rotate
from mimickit.state import CharacterState, Marker
from mimickit.tasks.checks import check_number, check_range
from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.goals.ground import any_angle, direction, spread


class Reach(Goal):
    """See `mimickit.tasks.goals.goal.Goal`. Legend: N envs.

    Args:
        body: what is to be there; None takes the first of the character's hands.
        distance: least and greatest distance [m] over the ground of a new point from the root; any
            bearing.
        height: least and greatest height [m] of a new point above the ground.
        period_s: least and greatest time [s] until the next point.
        near: closer than this [m] counts as reached in the figures; the reward knows no such limit.
        reward_weight: of the only term, "position".
        position_scale: of the squared distance [1/m^2]; higher forgives less.
    """

    parts = (("target point", 3),)

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        device: torch.device,
        *,
        body: Optional[str],
        distance: Sequence[float],
        height: Sequence[float],
        period_s: Sequence[float],
        near: float,
        reward_weight: float,
        position_scale: float,
    ) -> None:
        check_range(distance, 0.0, "task.goal.distance")
        check_range(height, 0.0, "task.goal.height")
        check_range(period_s, control_dt, "task.goal.period_s")
        check_number(near, 0.0, "task.goal.near")
        check_number(reward_weight, 0.0, "task.goal.reward_weight")
        check_number(position_scale, 0.0, "task.goal.position_scale")
        if body is None and not character.hands:
            raise IncompatibleParts(
                f"character '{character.name}' has no hands to reach with: name a body of it, "
                "task.goal.body=..."
            )
        name = character.hands[0] if body is None else body
        self._body = character.body_ids([name], "task.goal.body")[0]
        self._distance, self._height = tuple(distance), tuple(height)
        self._near, self._weight, self._scale = near, reward_weight, position_scale
        self._generator = generator
        self._target = torch.zeros(num_envs, 3, device=device)
        self._clock = Clock(num_envs, control_dt, device, period_s)
        self.buffers = {"target": self._target, **self._clock.buffers}

    def reset(self, mask: Tensor, start: CharacterState) -> None:
        self._draw(mask, start)

    def advance(self, state: CharacterState) -> None:
        self._draw(self._clock.advance(), state)

    def observe(self, state: CharacterState) -> Tensor:
        return quat_rotate(heading_inverse(state.root_rot), self._target - state.root_pos)

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        return {"position": self._weight * reach_reward(self._offset(state), self._scale)}

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        distance = self._offset(state).norm(dim=-1)
        return {"distance_m": distance, "reached_share": (distance < self._near).float()}

    def markers(self, state: CharacterState) -> list[Marker]:
        body = state.body_pos[:, self._body].clone()
        return [
            Marker(self._target.clone(), radius=max(self._near, 0.05)),
            Marker(body, self._target - body, radius=0.01),
        ]

    def _offset(self, state: CharacterState) -> Tensor:
        """From the body to the point, [N, 3] m."""
        return self._target - state.body_pos[:, self._body]

    def _draw(self, mask: Tensor, state: CharacterState) -> None:
        """New points around the masked roots [N]."""
        draws = torch.rand(4, len(mask), generator=self._generator, device=self._target.device)
        away = spread(draws[0], self._distance).unsqueeze(-1) * direction(any_angle(draws[1]))
        height = spread(draws[2], self._height).unsqueeze(-1)
        point = torch.cat([state.root_pos[:, :2] + away, height], dim=-1)
        self._target.copy_(torch.where(mask.unsqueeze(-1), point, self._target))
        self._clock.wind(mask, draws[3])


def reach_reward(offset: Tensor, position_scale: float) -> Tensor:
    """What being near a point is worth, [N] in (0, 1].

    Args:
        offset: [N, 3] m, from the body to the point. position_scale: [1/m^2].
    """
    return torch.exp(-position_scale * offset.square().sum(-1))
