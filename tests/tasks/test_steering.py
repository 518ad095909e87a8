"""Walking in a direction: what is drawn, seen and rewarded."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.tasks.goals.steering import steering_rewards
from tests.tasks.goals import at, everyone, made, steering


def make(num=1, **changes):
    return made(steering(**changes), num)


def set_target(goal, direction, speed, facing):
    goal.buffers["target"].copy_(torch.tensor([[*direction, speed, *facing]]))


def reward(direction, speed, target_facing, velocity, facing, scale=0.5):
    direction, target_facing, velocity, facing = (
        torch.tensor([vector]) for vector in (direction, target_facing, velocity, facing)
    )
    found = steering_rewards(
        direction, torch.tensor([speed]), target_facing, velocity, facing, scale
    )
    return {name: value.item() for name, value in found.items()}


def test_rewards_by_hand():
    # Asked for (2, 0) m/s, walks (1, 1): the error's square is 1 + 1, so exp(-0.5 * 2). Asked to
    # look along y, it looks at (0.8, 0.6).
    found = reward((1.0, 0.0), 2.0, (0.0, 1.0), (1.0, 1.0), (0.8, 0.6))
    assert found == {"velocity": pytest.approx(math.exp(-1.0)), "facing": pytest.approx(0.6)}


def test_walking_backwards_or_looking_away_earns_nothing():
    found = reward((1.0, 0.0), 0.5, (1.0, 0.0), (-0.01, 0.0), (-1.0, 0.0))
    assert found == {"velocity": 0.0, "facing": 0.0}


def test_standing_still_is_not_backwards():
    # exp(-0.5 * 0.25)
    found = reward((1.0, 0.0), 0.5, (1.0, 0.0), (0.0, 0.0), (1.0, 0.0))
    assert found["velocity"] == pytest.approx(math.exp(-0.125))


def test_terms_are_weighed_and_velocity_is_the_way_of_the_last_step():
    goal = make()
    goal.reset(everyone(), at(0.0, 0.0))
    set_target(goal, (0.0, 1.0), 3.0, (1.0, 0.0))
    goal.advance(at(0.0, 1.0))  # 2 m/s along y: 1 too slow
    found = {name: value.item() for name, value in goal.rewards(at(0.0, 1.0)).items()}
    assert found == {
        "velocity": pytest.approx(0.7 * math.exp(-0.5)),
        "facing": pytest.approx(0.3),
    }


def test_directions_are_drawn_all_around_and_speeds_between_their_limits():
    goal = make(num=4000, speed=[1.0, 3.0])
    goal.reset(everyone(4000), at(0.0, 0.0, num=4000))
    go, speed, look = goal.buffers["target"].split([2, 1, 2], dim=-1)
    assert torch.equal(go, look)
    torch.testing.assert_close(go.norm(dim=-1), torch.ones(4000))
    assert go.mean(0).norm() < 0.05
    assert speed.min() >= 1.0
    assert speed.max() < 3.0
    assert speed.mean().item() == pytest.approx(2.0, abs=0.05)


def test_where_to_look_may_be_drawn_apart():
    goal = make(num=4000, separate_facing=True)
    goal.reset(everyone(4000), at(0.0, 0.0, num=4000))
    go, _, look = goal.buffers["target"].split([2, 1, 2], dim=-1)
    torch.testing.assert_close(look.norm(dim=-1), torch.ones(4000))
    assert (go * look).sum(-1).mean().abs() < 0.05  # they have nothing to do with each other


def test_new_targets_come_up_when_their_time_is_over():
    goal = make(num=2, period_s=[1.0, 1.0])  # two steps
    goal.reset(everyone(2), at(0.0, 0.0, num=2))
    first = goal.buffers["target"].clone()
    goal.advance(at(0.0, 0.0, num=2))
    assert torch.equal(goal.buffers["target"], first)
    goal.reset(torch.tensor([True, False]), at(0.0, 0.0, num=2))
    begun = goal.buffers["target"].clone()
    assert torch.equal(begun[1], first[1])
    assert not torch.equal(begun[0], first[0])
    goal.advance(at(0.0, 0.0, num=2))
    assert torch.equal(goal.buffers["target"][0], begun[0])
    assert not torch.equal(goal.buffers["target"][1], begun[1])


def test_the_target_is_seen_from_the_heading():
    goal = make()
    goal.reset(everyone(), at(0.0, 0.0))
    set_target(goal, (1.0, 0.0), 2.5, (0.0, 1.0))
    # Heading along y, the x axis lies to the right.
    seen = goal.observe(at(0.0, 0.0, math.pi / 2))
    torch.testing.assert_close(seen, torch.tensor([[0.0, -1.0, 2.5, 1.0, 0.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("separate", "count"), [(False, 1), (True, 2)])
def test_figures_and_markers_show_the_target(separate, count):
    goal = make(separate_facing=separate)
    goal.reset(everyone(), at(0.0, 0.0))
    set_target(goal, (0.0, 1.0), 2.0, (0.0, 1.0))
    goal.advance(at(0.0, 0.25))  # 0.5 m/s along y: 1.5 too slow, looking 90 degrees away
    figures = goal.figures(at(0.0, 0.25))
    assert figures["velocity_error_m_s"].item() == pytest.approx(1.5)
    assert figures["facing_error_rad"].item() == pytest.approx(math.pi / 2)
    arrows = goal.markers(at(0.0, 0.25))
    assert len(arrows) == count
    torch.testing.assert_close(arrows[0].arrow, torch.tensor([[0.0, 1.0, 0.0]]))  # 0.5 m per m/s
