"""Thrown balls: how they fly, when they hit, what is seen and rewarded."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.errors import ConfigError, UnknownBody
from mimickit.geometry.quaternion import quat_from_heading
from mimickit.objects import read_objects
from mimickit.tasks.goals.dodgeball import dodgeball_rewards, hits, throw
from tests.envs.parts import DT, random_state
from tests.tasks.goals import everyone
from tests.tasks.scenes import made, place

BALLS = [
    {"name": name, "shape": "sphere", "size": 0.1, "mass": 0.4, "pos": [9.0, y, 0.1]}
    for name, y in (("first", 0.0), ("second", 1.0))
]
LIMITS = (0.8, 0.1, 1.5)  # hit_distance, hit_force, hit_velocity


def test_a_throw_by_hand():
    # 6 m ahead and 8 m to the side are 10 m at 5 m/s: 2 s. It has to rise by 1 m and falls by
    # 9.81 * 2^2 / 2 = 19.62 m meanwhile: 20.62 m in 2 s. Who runs with 1 m/s is 2 m further on.
    pos, aim = torch.tensor([[[0.0, 0.0, 0.5]]]), torch.tensor([[[6.0, 8.0, 1.5]]])
    still = throw(pos, aim, torch.zeros(1, 1, 3), torch.tensor([[5.0]]), torch.zeros(1, 1, 3))
    torch.testing.assert_close(still, torch.tensor([[[3.0, 4.0, 10.31]]]))
    running = torch.tensor([[[1.0, 0.0, 7.0]]])  # its jumping does not count
    ahead = throw(pos, aim, running, torch.tensor([[5.0]]), torch.zeros(1, 1, 3))
    torch.testing.assert_close(ahead, torch.tensor([[[4.0, 4.0, 10.31]]]))
    noise = torch.tensor([[[0.2, 0.0, -0.4]]])  # where it is aimed at, so half of it in m/s
    astray = throw(pos, aim, running, torch.tensor([[5.0]]), noise)
    torch.testing.assert_close(astray, torch.tensor([[[4.1, 4.0, 10.11]]]))


def test_rewards_by_hand():
    # 2 m away: 1 - exp(-0.6). (0.6, 0.8) m/s over the ground: exp(-1).
    found = dodgeball_rewards(torch.tensor([2.0]), torch.tensor([[0.6, 0.8, 5.0]]), 0.3)
    assert found["distance"].item() == pytest.approx(1.0 - math.exp(-0.6))
    assert found["stillness"].item() == pytest.approx(math.exp(-1.0))


def test_terms_are_weighed_and_the_nearest_ball_counts(humanoid):
    goal, objects = made(
        "dodgeball", humanoid, objects=read_objects(BALLS), balls=["first", "second"]
    )
    state = random_state(humanoid, 1)
    state.body_pos[:] = 0.0
    state.body_pos[:, 3, 0] = 1.0
    state.root_vel[:] = 0.0
    objects.pos[:, 0] = torch.tensor([10.0, 0.0, 0.0])
    objects.pos[:, 1] = torch.tensor([4.0, 4.0, 0.0])  # 5 m from the body at (1, 0, 0)
    found = {name: value.item() for name, value in goal.rewards(state).items()}
    expected = 0.9 * (1.0 - math.exp(-1.5))
    assert found == {"distance": pytest.approx(expected), "stillness": pytest.approx(0.1)}
    assert goal.figures(state)["ball_distance_m"].item() == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("place", "jolt", "force", "hit"),
    [
        (0.79, 1.6, 0.0, True),
        (0.81, 1.6, 0.0, False),  # too far from all bodies: the ground, or a wall
        (0.79, 1.4, 0.0, False),
        (0.79, 0.0, 0.11, True),
        (0.79, 0.0, -0.11, True),
        (0.79, 0.0, 0.09, False),
    ],
)
def test_a_hit_is_a_touch_or_a_jolt_near_a_body(place, jolt, force, hit):
    pos = torch.tensor([[[5.0 + place, 0.0, 0.0]]])
    bodies = torch.tensor([[[0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]])
    jolts, forces = torch.zeros(1, 1, 3), torch.zeros(1, 1, 2, 3)
    jolts[..., 1], forces[0, 0, 1, 2] = jolt, force
    assert hits(pos, jolts, forces, bodies, *LIMITS).tolist() == [hit]


def test_balls_lie_where_they_will_be_thrown_from_until_they_are(humanoid):
    num = 500
    goal, objects = made("dodgeball", humanoid, num)
    state = random_state(humanoid, num)
    goal.reset(everyone(num), state)
    place(goal, objects)
    distance = (objects.pos[:, 0] - state.root_pos)[:, :2].norm(dim=-1)
    assert 8.0 <= distance.min() < 8.1
    assert 9.9 < distance.max() <= 10.0
    assert (objects.pos[:, 0, 2] == torch.tensor(0.1)).all()
    assert (objects.vel == 0).all()
    thrown = torch.zeros(num)
    for step in range(1, 121):  # 4 s
        goal.advance(state)
        thrown += goal.placement.mask[:, 0]
        if step < 30:
            assert not thrown.any()  # 1 s
    assert (thrown >= 1).all()
    assert (thrown <= 4).all()


def test_throws_have_the_speeds_and_heights_of_the_config(humanoid):
    num = 500
    goal, objects = made("dodgeball", humanoid, num, period_s=[DT, DT], aim_noise=0.0)
    state = random_state(humanoid, num)
    state.root_vel[:] = 0.0
    goal.reset(everyone(num), state)
    goal.advance(state)
    assert goal.placement.mask.all()
    place(goal, objects)
    distance = (objects.pos[:, 0] - state.root_pos)[:, :2].norm(dim=-1)
    speed = objects.vel[:, 0, :2].norm(dim=-1)
    assert 8.0 <= distance.min() < distance.max() <= 10.0
    assert 0.5 <= objects.pos[:, 0, 2].min() < objects.pos[:, 0, 2].max() <= 2.5
    assert 12.0 <= speed.min() < 12.1
    assert 14.9 < speed.max() < 15.001


def test_flying_freely_is_no_hit_and_neither_is_being_thrown(humanoid):
    """Even right beside the character."""
    goal, objects = made("dodgeball", humanoid, distance=[0.1, 0.1], period_s=[0.1, 0.1])
    state = random_state(humanoid, 1)
    goal.reset(everyone(), state)
    for _ in range(30):
        place(goal, objects)
        objects.pos[:, 0] = state.root_pos
        if (objects.vel != 0).any():
            objects.vel[..., 2] -= 9.81 * DT
        goal.advance(state)
        assert goal.failed(state).tolist() == [False]
    place(goal, objects)
    objects.pos[:, 0] = state.root_pos
    objects.vel[..., 0] += 1.6
    goal.advance(state)
    assert goal.failed(state).tolist() == [True]
    assert goal.figures(state)["hit_share"].tolist() == [1.0]
    goal.reset(everyone(), state)
    assert goal.failed(state).tolist() == [False]


def test_balls_are_seen_from_the_heading(humanoid):
    goal, objects = made(
        "dodgeball", humanoid, objects=read_objects(BALLS), balls=["second", "first"]
    )
    state = random_state(humanoid, 1)
    state.root_rot[:] = quat_from_heading(torch.tensor(math.pi / 2))  # looks along +y
    state.root_pos[:] = torch.tensor([1.0, 1.0, 0.8])
    objects.pos[0] = torch.tensor([[1.0, 3.0, 1.0], [0.0, 1.0, 0.8]])
    objects.vel[0] = torch.tensor([[0.0, -2.0, 0.0], [3.0, 0.0, 1.0]])
    # The second, 1 m to the left, flies to the right; the first, 2 m ahead, flies this way.
    expected = [0.0, 1.0, 0.0, 2.0, 0.0, 0.2, 0.0, -3.0, 1.0, -2.0, 0.0, 0.0]
    torch.testing.assert_close(goal.observe(state), torch.tensor([expected]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"balls": []}, ConfigError, "task.goal.balls is empty: name free objects"),
        ({"aim_body": "chest"}, UnknownBody, "no body 'chest' .*task.goal.aim_body"),
        ({"speed": [0.0, 5.0]}, ConfigError, r"task.goal.speed must be \[low, high\] with 0.1"),
        ({"hit_force": -1.0}, ConfigError, "task.goal.hit_force must be >= 0, got -1.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(humanoid, changes, error, message):
    with pytest.raises(error, match=message):
        made("dodgeball", humanoid, **changes)
