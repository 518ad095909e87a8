"""Walk up to a target and fell it with a hand or a weapon, touching it with nothing else.

Source: ASE (Peng et al. 2022), strike (nv-tlabs/ASE 28952a3, ase/env/tasks/humanoid_strike.py),
which replaced the fixed target of AMP's (Peng et al. 2021).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.geometry.quaternion import (
    heading_inverse,
    quat_from_heading,
    quat_multiply,
    quat_rotate,
    quat_to_tan_norm,
)
from mimickit.objects import Placement, SceneObjects, free_objects
from mimickit.state import CharacterState
from mimickit.tasks.checks import check_number, check_range, check_terms
from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.goals.ground import GroundVelocity, any_angle, direction, spread

TERMS = ("tilt", "velocity")


class Strike(Goal):
    """See `mimickit.tasks.goals.goal.Goal`. Legend: N envs, O free objects, B bodies.

    An episode fails when a body that is neither to strike with nor a foot pushes the target.

    Args:
        target: which of the free objects; it starts upright.
        strike_bodies: what may touch it.
        distance: least and greatest distance [m] of the target from the root; any bearing.
        near_distance: greatest distance [m] where it starts near. near_share: how often it does.
        speed: towards the target that is enough [m/s].
        felled: a target whose upward axis has no more than this upward part is felled, unitless.
        touch_force: least horizontal force component [N] on the target that fails.
        reward_weights: per term of `TERMS`.
        velocity_scale: of the squared lack of speed [s^2/m^2]; higher forgives less.
    """

    parts = (
        ("target place", 3), ("target rotation", 6), ("target velocity", 3), ("target spin", 3),
    )  # fmt: skip

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        device: torch.device,
        *,
        target: str,
        strike_bodies: Sequence[str],
        distance: Sequence[float],
        near_distance: float,
        near_share: float,
        speed: float,
        felled: float,
        touch_force: float,
        reward_weights: Mapping[str, float],
        velocity_scale: float,
    ) -> None:
        check_range(distance, 0.0, "task.goal.distance")
        check_number(near_distance, distance[0], "task.goal.near_distance")
        if not 0 <= near_share <= 1:
            raise ConfigError(f"task.goal.near_share must be in [0, 1], got {near_share}")
        check_number(speed, 0.0, "task.goal.speed")
        check_number(touch_force, 0.0, "task.goal.touch_force")
        if not -1 <= felled <= 1:
            raise ConfigError(f"task.goal.felled must be in [-1, 1], got {felled}")
        check_terms(reward_weights, TERMS, "task.goal.reward_weights")
        check_number(velocity_scale, 0.0, "task.goal.velocity_scale")
        if not strike_bodies:
            raise IncompatibleParts(
                f"character '{character.name}' has no hands to strike with, and "
                "task.goal.strike_bodies is empty: name bodies of it there"
            )
        allowed = (*strike_bodies, *character.feet)
        others = torch.ones(character.num_bodies, dtype=torch.bool)
        others[character.body_ids(allowed, "task.goal.strike_bodies")] = False
        self._others = others.to(device)
        self._name = target
        self._distance, self._near = tuple(distance), (near_distance, near_share)
        self._speed, self._felled, self._touch_force = speed, felled, touch_force
        self._weights, self._scale = dict(reward_weights), velocity_scale
        self._generator = generator
        self._motion = GroundVelocity(num_envs, control_dt, device)
        self.buffers = self._motion.buffers

    def connect(self, objects: SceneObjects) -> None:
        index = objects.index(self._name, "task.goal.target")
        self._target = objects.state[:, index]  # views
        mask = torch.zeros_like(objects.state.pos[..., 0], dtype=torch.bool)
        self.placement = Placement(mask, objects.state.clone())
        self._mask, self._place = mask[:, index], self.placement.state[:, index]
        self._place.pos[:, 2] = free_objects(objects.specs)[index].pos[2]
        self.buffers = {
            **self._motion.buffers,
            "placed": mask,
            "pos": self.placement.state.pos,
            "rot": self.placement.state.rot,
        }

    def reset(self, mask: Tensor, start: CharacterState) -> None:
        self._motion.reset(mask, start)
        draws = torch.rand(4, len(mask), generator=self._generator, device=self._mask.device)
        near_distance, near_share = self._near
        near = spread(draws[0], (self._distance[0], near_distance))
        far = spread(draws[0], self._distance)
        away = torch.where(draws[1] < near_share, near, far).unsqueeze(-1)
        place = start.root_pos[:, :2] + away * direction(any_angle(draws[2]))
        rot = quat_from_heading(any_angle(draws[3]))
        chosen = mask.unsqueeze(-1)
        self._place.pos[:, :2] = torch.where(chosen, place, self._place.pos[:, :2])
        self._place.rot.copy_(torch.where(chosen, rot, self._place.rot))
        self._mask.logical_or_(mask)

    def advance(self, state: CharacterState) -> None:
        self._motion.advance(state)
        self._mask.zero_()

    def observe(self, state: CharacterState) -> Tensor:
        target, turn = self._target, heading_inverse(state.root_rot)
        offset = target.pos - state.root_pos
        offset = torch.cat([offset[:, :2], target.pos[:, 2:]], dim=-1)
        return torch.cat(
            [
                quat_rotate(turn, offset),
                quat_to_tan_norm(quat_multiply(turn, target.rot)),
                quat_rotate(turn, target.vel),
                quat_rotate(turn, target.ang_vel),
            ],
            dim=-1,
        )

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        offset = (self._target.pos - state.root_pos)[:, :2]
        terms = strike_rewards(
            upward_part(self._target.rot), offset, self._motion.value, self._speed, self._felled,
            self._scale,
        )  # fmt: skip
        return {name: self._weights[name] * term for name, term in terms.items()}

    def failed(self, state: CharacterState) -> Tensor:
        force = self._target.contact_force[..., :2].abs().amax(-1)  # [N, B]
        return ((force > self._touch_force) & self._others).any(-1)

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        distance = (self._target.pos - state.root_pos)[:, :2].norm(dim=-1)
        felled = upward_part(self._target.rot) < self._felled
        return {"distance_m": distance, "felled_share": felled.float()}


def upward_part(rot: Tensor) -> Tensor:
    """The world's z of the local z axis of rotations [N, 4]: 1 upright, 0 lying, [N]."""
    x, y, _, _ = rot.unbind(-1)
    return 1.0 - 2.0 * (x * x + y * y)


def strike_rewards(
    upward: Tensor,
    offset: Tensor,
    velocity: Tensor,
    speed: float,
    felled: float,
    velocity_scale: float,
) -> dict[str, Tensor]:
    """What tilting a target and walking towards it are worth, each [N] in [0, 1].

    Args:
        upward: [N], upward part of the target's axis.
        offset: [N, 2] m, from the root to the target. velocity: [N, 2] m/s, of the root.
        speed: towards the target that earns all [m/s].
        felled: both terms are 1 where `upward` is below this.
        velocity_scale: [s^2/m^2].
    """
    approach = (velocity * torch.nn.functional.normalize(offset, dim=-1)).sum(-1)
    lack = (speed - approach).clamp_min(0.0)
    moving = torch.exp(-velocity_scale * lack.square()) * (approach > 0)
    down = upward < felled
    return {
        "tilt": (1.0 - upward).clamp_min(0.0).masked_fill(down, 1.0),
        "velocity": moving.masked_fill(down, 1.0),
    }
