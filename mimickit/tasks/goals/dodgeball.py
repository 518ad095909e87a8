"""Stay clear of balls that are thrown every few seconds.

Source: SMP's dodgeball as in MimicKit f8d0d70 (mimickit/envs/task_dodgeball_env.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs.clock import Clock
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import heading_inverse, quat_rotate
from mimickit.objects import Placement, SceneObjects, free_objects
from mimickit.state import CharacterState
from mimickit.tasks.checks import check_number, check_range, check_terms
from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.goals.ground import any_angle, direction, spread

TERMS = ("distance", "stillness")
GRAVITY = 9.81  # [m/s^2]


class Dodgeball(Goal):
    """See `mimickit.tasks.goals.goal.Goal`. Legend: N envs, K balls, O free objects, B bodies.

    A ball lies on the ground where it will be thrown from, is thrown, rolls on, and is thrown
    again. An episode fails when one hits the character.

    Args:
        balls: which of the free objects are thrown.
        aim_body: what is aimed at; None is the root.
        period_s: least and greatest time [s] until the next throw of each ball.
        distance, height: least and greatest of where throws come from [m]: horizontally from the
            root, any bearing; above the ground.
        speed: least and greatest horizontal speed of throws [m/s].
        aim_noise: standard deviation of the place that is aimed at, per axis [m].
        hit_distance: a ball farther than this from all bodies' origins [m] hits nothing.
        hit_force: least force component [N] of a body on a ball that is a hit.
        hit_velocity: least change of a ball's velocity [m/s], gravity's left out, that is a hit.
        reward_weights: per term of `TERMS`.
        distance_scale: of the distance to the nearest ball [1/m]; higher asks for less distance.
    """

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        device: torch.device,
        *,
        balls: Sequence[str],
        aim_body: Optional[str],
        period_s: Sequence[float],
        distance: Sequence[float],
        height: Sequence[float],
        speed: Sequence[float],
        aim_noise: float,
        hit_distance: float,
        hit_force: float,
        hit_velocity: float,
        reward_weights: Mapping[str, float],
        distance_scale: float,
    ) -> None:
        if not balls:
            raise ConfigError("task.goal.balls is empty: name free objects of task.objects")
        check_range(distance, 0.1, "task.goal.distance")
        check_range(height, 0.0, "task.goal.height")
        check_range(speed, 0.1, "task.goal.speed")
        for key, value in (
            ("aim_noise", aim_noise), ("hit_distance", hit_distance), ("hit_force", hit_force),
            ("hit_velocity", hit_velocity), ("distance_scale", distance_scale),
        ):  # fmt: skip
            check_number(value, 0.0, f"task.goal.{key}")
        check_terms(reward_weights, TERMS, "task.goal.reward_weights")
        bodies = character.body_names[:1] if aim_body is None else [aim_body]
        self._aim_body = character.body_ids(bodies, "task.goal.aim_body")[0]
        self._names, self._noise = tuple(balls), aim_noise
        self._distance, self._height, self._speed = tuple(distance), tuple(height), tuple(speed)
        self._hit_limits = (hit_distance, hit_force, hit_velocity)
        self._weights, self._scale = dict(reward_weights), distance_scale
        self._generator, self._dt = generator, control_dt
        count = len(balls)
        self.parts = (("ball places", 3 * count), ("ball velocities", 3 * count))
        check_range(period_s, control_dt, "task.goal.period_s")
        self._clock = Clock(num_envs * count, control_dt, device, period_s)
        self._expected = torch.zeros(num_envs, count, 3, device=device)  # velocities without a hit
        self._hit = torch.zeros(num_envs, dtype=torch.bool, device=device)

    def connect(self, objects: SceneObjects) -> None:
        indices = [objects.index(name, "task.goal.balls") for name in self._names]
        device = self._expected.device
        self._balls, self._objects = torch.tensor(indices, device=device), objects.state
        resting = [free_objects(objects.specs)[index].pos[2] for index in indices]
        self._resting = torch.tensor(resting, device=device)  # [K] heights
        mask = torch.zeros_like(objects.state.pos[..., 0], dtype=torch.bool)
        self.placement = Placement(mask, objects.state.clone())
        self._mask, self._placed = mask, self.placement.state
        self.buffers = {
            **self._clock.buffers,
            "expected_velocity": self._expected,
            "hit": self._hit,
            "placed": mask,
            "pos": self._placed.pos,
            "vel": self._placed.vel,
        }

    def reset(self, mask: Tensor, start: CharacterState) -> None:
        chosen = mask.unsqueeze(-1).expand(-1, len(self._names))
        pos, _ = self._draw(chosen, start)
        pos = torch.cat([pos[..., :2], self._resting.expand_as(pos[..., 2]).unsqueeze(-1)], dim=-1)
        self._put(chosen, pos, torch.zeros_like(pos))
        self._hit.masked_fill_(mask, False)

    def advance(self, state: CharacterState) -> None:
        vel = self._objects.vel[:, self._balls]
        self._hit.copy_(
            hits(
                self._objects.pos[:, self._balls],
                vel - self._expected,
                self._objects.contact_force[:, self._balls],
                state.body_pos,
                *self._hit_limits,
            )
        )
        thrown = self._clock.advance().view_as(vel[..., 0])
        self._mask.zero_()
        self._expected.copy_(vel)
        self._put(thrown, *self._draw(thrown, state))
        self._expected[..., 2] -= GRAVITY * self._dt

    def observe(self, state: CharacterState) -> Tensor:
        turn = heading_inverse(state.root_rot).unsqueeze(1)
        offset = self._objects.pos[:, self._balls] - state.root_pos.unsqueeze(1)
        vel = self._objects.vel[:, self._balls]
        return torch.cat([quat_rotate(turn, offset), quat_rotate(turn, vel)], dim=1).flatten(1)

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        terms = dodgeball_rewards(self._nearest(state), state.root_vel, self._scale)
        return {name: self._weights[name] * term for name, term in terms.items()}

    def failed(self, state: CharacterState) -> Tensor:
        return self._hit.clone()

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        return {"ball_distance_m": self._nearest(state), "hit_share": self._hit.float()}

    def _nearest(self, state: CharacterState) -> Tensor:
        """Distance of the nearest ball to the nearest body [N] m."""
        return distances(self._objects.pos[:, self._balls], state.body_pos).flatten(1).amin(-1)

    def _draw(self, chosen: Tensor, state: CharacterState) -> tuple[Tensor, Tensor]:
        """Throws [N, K, 3]: from where [m], how fast [m/s]; winds the clocks of the chosen."""
        device = self._expected.device
        draws = torch.rand(5, *chosen.shape, generator=self._generator, device=device)
        noise = torch.randn(*chosen.shape, 3, generator=self._generator, device=device)
        away = spread(draws[0], self._distance).unsqueeze(-1) * direction(any_angle(draws[1]))
        place = state.root_pos[:, None, :2] + away
        pos = torch.cat([place, spread(draws[2], self._height).unsqueeze(-1)], dim=-1)
        vel = throw(
            pos,
            state.body_pos[:, self._aim_body, None],
            state.root_vel.unsqueeze(1),
            spread(draws[3], self._speed),
            self._noise * noise,
        )
        self._clock.wind(chosen.flatten(), draws[4].flatten())
        return pos, vel

    def _put(self, chosen: Tensor, pos: Tensor, vel: Tensor) -> None:
        """Mark the chosen [N, K] to be placed, and expect their velocities."""
        chosen_3 = chosen.unsqueeze(-1)
        self._expected.copy_(torch.where(chosen_3, vel, self._expected))
        for buffer, new in ((self._placed.pos, pos), (self._placed.vel, vel)):
            old = buffer[:, self._balls]
            buffer.index_copy_(1, self._balls, torch.where(chosen_3, new, old))
        self._mask.index_copy_(1, self._balls, self._mask[:, self._balls] | chosen)


def throw(pos: Tensor, aim: Tensor, aim_vel: Tensor, speed: Tensor, noise: Tensor) -> Tensor:
    """Velocities [N, K, 3] m/s of throws that pass where something will be.

    Args:
        pos: from where [N, K, 3] m. aim: what is thrown at [N, 1, 3] m; aim_vel: its velocity.
        speed: horizontal speed of throws [N, K] m/s, if `aim` stood still.
        noise: added to where it will be [N, K, 3] m.
    """
    time = ((aim - pos)[..., :2].norm(dim=-1) / speed).unsqueeze(-1)  # [s] of flight
    ahead = time * torch.cat([aim_vel[..., :2], torch.zeros_like(aim_vel[..., 2:])], dim=-1)
    vel = (aim + ahead + noise - pos) / time
    return torch.cat([vel[..., :2], vel[..., 2:] + 0.5 * GRAVITY * time], dim=-1)


def hits(
    pos: Tensor,
    jolt: Tensor,
    force: Tensor,
    body_pos: Tensor,
    hit_distance: float,
    hit_force: float,
    hit_velocity: float,
) -> Tensor:
    """Whether a ball has hit the character in the last step, [N] bool.

    A touch may begin and end between two control steps, and what then shows it is the velocity.
    A bounce off the ground right beside the character counts as well, as in MimicKit.

    Args:
        pos: [N, K, 3] m. jolt: unexpected change of the balls' velocities [N, K, 3] m/s.
        force: of each body on each ball [N, K, B, 3] N. body_pos: [N, B, 3] m.
    """
    near = distances(pos, body_pos).amin(-1) < hit_distance
    touched = (force.abs() > hit_force).flatten(2).any(-1)
    return (near & (touched | (jolt.norm(dim=-1) > hit_velocity))).any(-1)


def distances(pos: Tensor, body_pos: Tensor) -> Tensor:
    """From each ball [N, K, 3] to each body's origin [N, B, 3]: [N, K, B] m."""
    return (pos.unsqueeze(2) - body_pos.unsqueeze(1)).norm(dim=-1)


def dodgeball_rewards(nearest: Tensor, root_vel: Tensor, scale: float) -> dict[str, Tensor]:
    """What being far from balls and standing still are worth, each [N] in [0, 1].

    Args:
        nearest: distance to the nearest ball [N] m. root_vel: [N, 3] m/s. scale: [1/m].
    """
    return {
        "distance": 1.0 - torch.exp(-scale * nearest),
        "stillness": torch.exp(-root_vel[:, :2].square().sum(-1)),
    }
