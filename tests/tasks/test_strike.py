"""Felling a target: where it stands, what is seen and rewarded, and what may not touch it."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.errors import ConfigError, IncompatibleParts, UnknownBody
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_from_heading
from mimickit.tasks.goals.strike import strike_rewards, upward_part
from tests.envs.parts import random_state
from tests.tasks.goals import everyone
from tests.tasks.scenes import made, place


def reward(upward, offset, velocity):
    found = strike_rewards(
        torch.tensor([upward]), torch.tensor([offset]), torch.tensor([velocity]), 1.0, 0.2, 4.0
    )
    return {name: value.item() for name, value in found.items()}


def test_rewards_by_hand():
    # 3 m ahead, 4 m to the left. At (0.3, 0.4) m/s it comes nearer with 0.5 m/s and lacks 0.5:
    # exp(-4 * 0.25). A target that leans by 60 degrees has an upward part of 0.5.
    found = reward(0.5, (3.0, 4.0), (0.3, 0.4))
    assert found == {"tilt": pytest.approx(0.5), "velocity": pytest.approx(math.exp(-1.0))}


def test_an_upright_target_and_walking_away_earn_nothing():
    assert reward(1.0, (3.0, 0.0), (-0.1, 2.0)) == {"tilt": 0.0, "velocity": 0.0}


@pytest.mark.parametrize(("upward", "felled"), [(0.21, False), (0.19, True), (-1.0, True)])
def test_a_felled_target_earns_all_wherever_one_walks(upward, felled):
    found = reward(upward, (3.0, 0.0), (-1.0, 0.0))
    assert (found == {"tilt": 1.0, "velocity": 1.0}) == felled


def test_the_upward_part_is_the_cosine_of_the_lean():
    axis = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.6, 0.8, 0.0]])
    angle = torch.tensor([0.5, 1.2, 2.0, math.pi])
    expected = torch.tensor([math.cos(0.5), math.cos(1.2), 1.0, -1.0])
    torch.testing.assert_close(upward_part(quat_from_axis_angle(axis, angle)), expected)


def test_terms_are_weighed(humanoid):
    goal, objects = made("strike", humanoid)
    start = random_state(humanoid, 1)
    goal.reset(everyone(), start)
    place(goal, objects)
    objects.pos[:, 0, :2] = start.root_pos[:, :2] + torch.tensor([5.0, 0.0])
    objects.rot[:, 0] = torch.tensor([math.sin(0.5), 0.0, 0.0, math.cos(0.5)])  # leans by 1 rad
    after = start.clone()
    after.root_pos[:, 0] += 0.5 / 30  # in a step of 1/30 s: 0.5 m/s
    goal.advance(after)
    found = {name: value.item() for name, value in goal.rewards(after).items()}
    assert found == {
        "tilt": pytest.approx(0.6 * (1.0 - math.cos(1.0)), abs=1e-5),
        "velocity": pytest.approx(0.4 * math.exp(-1.0), abs=1e-4),
    }


def test_targets_stand_where_the_numbers_say(humanoid):
    num = 4000
    goal, objects = made("strike", humanoid, num)
    start = random_state(humanoid, num)
    goal.reset(everyone(num), start)
    place(goal, objects)
    offset = (objects.pos[:, 0] - start.root_pos)[:, :2]
    distance = offset.norm(dim=-1)
    assert 0.5 <= distance.min() < 0.52
    assert 9.9 < distance.max() <= 10.0
    # Half of them within 1.5 m, and a share of 1 / 9.5 of the others.
    expected = 0.5 + 0.5 / 9.5
    assert float((distance < 1.5).float().mean()) == pytest.approx(expected, abs=0.03)
    assert (offset[:, 0] > 0).float().mean() == pytest.approx(0.5, abs=0.03)
    assert (objects.pos[:, 0, 2] == 0.9).all()
    torch.testing.assert_close(upward_part(objects.rot[:, 0]), torch.ones(num))
    assert objects.rot[:, 0, 2].std() > 0.5  # turned about the vertical


def test_the_target_is_seen_from_the_heading_at_its_height(humanoid):
    goal, objects = made("strike", humanoid)
    state = random_state(humanoid, 1)
    state.root_rot[:] = quat_from_heading(torch.tensor(math.pi / 2))  # looks along +y
    state.root_pos[:] = torch.tensor([1.0, 1.0, 0.8])
    objects.pos[:, 0] = torch.tensor([1.0, 3.0, 0.9])
    objects.rot[:, 0] = quat_from_heading(torch.tensor(math.pi / 2))
    objects.vel[:, 0] = torch.tensor([-1.0, 0.0, 0.5])
    objects.ang_vel[:, 0] = torch.tensor([0.0, 2.0, 0.0])
    expected = [2.0, 0.0, 0.9, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.5, 2.0, 0.0, 0.0]
    torch.testing.assert_close(goal.observe(state), torch.tensor([expected]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("body", "force", "failed"),
    [
        ("right_hand", (50.0, 0.0, 0.0), False),
        ("left_hand", (50.0, 0.0, 0.0), True),
        ("left_hand", (0.0, -1.1, 0.0), True),
        ("left_hand", (0.9, 0.0, 0.0), False),
        ("left_hand", (0.0, 0.0, 50.0), False),  # nothing sideways
        ("right_foot", (50.0, 0.0, 0.0), False),
    ],
)
def test_what_may_not_touch_the_target_fails(humanoid, body, force, failed):
    goal, objects = made("strike", humanoid)
    objects.contact_force[0, 0, humanoid.body_names.index(body)] = torch.tensor(force)
    assert goal.failed(random_state(humanoid, 1)).tolist() == [failed]


def test_figures_say_how_near_and_whether_it_fell(humanoid):
    goal, objects = made("strike", humanoid, 2)
    state = random_state(humanoid, 2)
    objects.pos[:, 0, :2] = state.root_pos[:, :2] + torch.tensor([3.0, 4.0])
    objects.rot[1, 0] = torch.tensor([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)])
    found = goal.figures(state)
    torch.testing.assert_close(found["distance_m"], torch.tensor([5.0, 5.0]))
    assert found["felled_share"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"strike_bodies": []},
            IncompatibleParts,
            "task.goal.strike_bodies is empty: name bodies of",
        ),
        ({"strike_bodies": ["hand"]}, UnknownBody, "no body 'hand' .*task.goal.strike_bodies"),
        ({"near_distance": 0.4}, ConfigError, "task.goal.near_distance must be >= 0.5, got 0.4"),
        ({"near_share": 1.5}, ConfigError, r"task.goal.near_share must be in \[0, 1\], got 1.5"),
        ({"felled": 2.0}, ConfigError, r"task.goal.felled must be in \[-1, 1\], got 2.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(humanoid, changes, error, message):
    with pytest.raises(error, match=message):
        made("strike", humanoid, **changes)
