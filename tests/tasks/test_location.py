"""Going to a place: what is drawn, seen and rewarded."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.tasks.goals.location import location_rewards
from tests.tasks.goals import at, everyone, location, made


def make(num=1, **changes):
    return made(location(**changes), num)


def reward(offset, velocity, facing, **changes):
    settings = {"speed": 1.0, "near": 0.5**0.5, "position_scale": 0.5, "velocity_scale": 4.0}
    vectors = [torch.tensor([vector]) for vector in (offset, velocity, facing)]
    found = location_rewards(*vectors, **{**settings, **changes})
    return {name: value.item() for name, value in found.items()}


def test_rewards_by_hand():
    # 3 m ahead and 4 m to the left: 5 m, so exp(-0.5 * 25). At (0.3, 0.4) m/s it comes nearer with
    # 0.5 m/s and lacks 0.5: exp(-4 * 0.25). It looks along x: the cosine is 3 / 5.
    found = reward((3.0, 4.0), (0.3, 0.4), (1.0, 0.0))
    assert found["position"] == pytest.approx(math.exp(-12.5))
    assert found["velocity"] == pytest.approx(math.exp(-1.0))
    assert found["facing"] == pytest.approx(0.6)


def test_faster_than_asked_earns_all_and_sideways_costs_nothing():
    assert reward((5.0, 0.0), (3.0, 2.0), (1.0, 0.0))["velocity"] == 1.0


def test_standing_still_or_moving_and_looking_away_earns_nothing():
    still = reward((2.0, 0.0), (0.0, 0.0), (-1.0, 0.0))
    away = reward((2.0, 0.0), (-0.1, 5.0), (0.0, 1.0))
    assert (still["velocity"], still["facing"]) == (0.0, 0.0)
    assert (away["velocity"], away["facing"]) == (0.0, 0.0)


@pytest.mark.parametrize(("distance", "all_of_it"), [(0.70, True), (0.71, False), (0.0, True)])
def test_at_the_target_speed_and_facing_no_longer_matter(distance, all_of_it):
    # The squared distance must be below 0.5 m^2: 0.49 is, 0.5041 is not.
    found = reward((distance, 0.0), (0.0, -1.0), (-1.0, 0.0))
    assert (found["velocity"] == found["facing"] == 1.0) == all_of_it
    assert found["position"] == pytest.approx(math.exp(-0.5 * distance**2))


def test_terms_are_weighed_and_velocity_is_the_way_of_the_last_step():
    goal = make(distance=[5.0, 5.0])
    goal.reset(everyone(), at(0.0, 0.0))
    goal.buffers["target"].copy_(torch.tensor([[5.0, 0.0]]))
    goal.advance(at(0.25, 0.0))  # in 0.5 s: 0.5 m/s, which lacks 0.5; 4.75 m remain
    found = {name: value.item() for name, value in goal.rewards(at(0.25, 0.0)).items()}
    assert found == {
        "position": pytest.approx(0.5 * math.exp(-0.5 * 4.75**2)),
        "velocity": pytest.approx(0.4 * math.exp(-1.0)),
        "facing": pytest.approx(0.1),
    }


def test_targets_lie_in_a_ring_around_the_root_in_all_directions():
    goal = make(num=4000, distance=[2.0, 6.0])
    goal.reset(everyone(4000), at(10.0, -20.0, num=4000))
    offset = goal.buffers["target"] - torch.tensor([10.0, -20.0])
    distance = offset.norm(dim=-1)
    assert distance.min() > 1.999
    assert distance.max() < 6.0
    assert distance.mean().item() == pytest.approx(4.0, abs=0.1)  # uniform in distance, not area
    assert offset.mean(0).norm() < 0.3
    quadrant = (offset > 0).long() @ torch.tensor([1, 2])
    assert quadrant.bincount(minlength=4).min() > 900


def test_a_new_target_comes_up_around_where_the_root_is_then():
    goal = make(num=2, period_s=[1.0, 1.0], distance=[1.0, 1.0])  # two steps
    goal.reset(everyone(2), at(0.0, 0.0, num=2))
    first = goal.buffers["target"].clone()
    goal.advance(at(3.0, 0.0, num=2))
    assert torch.equal(goal.buffers["target"], first)
    goal.advance(at(6.0, 0.0, num=2))
    distance = (goal.buffers["target"] - torch.tensor([6.0, 0.0])).norm(dim=-1)
    torch.testing.assert_close(distance, torch.ones(2))


def test_a_reset_leaves_the_others_their_targets():
    goal = make(num=3)
    goal.reset(everyone(3), at(0.0, 0.0, num=3))
    before = goal.state_dict()
    goal.reset(torch.tensor([False, True, False]), at(50.0, 50.0, num=3))
    for name, buffer in goal.buffers.items():
        assert torch.equal(buffer[[0, 2]], before[name][[0, 2]])
    assert (goal.buffers["target"][1] - 50.0).abs().max() <= 10.0


def test_the_target_is_seen_from_the_heading():
    goal = make()
    goal.reset(everyone(), at(0.0, 0.0))
    goal.buffers["target"].copy_(torch.tensor([[1.0, 3.0]]))
    # From (1, 1), heading along y: 2 m ahead.
    seen = goal.observe(at(1.0, 1.0, math.pi / 2))
    torch.testing.assert_close(seen, torch.tensor([[2.0, 0.0]]), atol=1e-6, rtol=0)


def test_figures_and_markers_show_the_target():
    goal = make(num=2, near=1.0)
    goal.reset(everyone(2), at(0.0, 0.0, num=2))
    goal.buffers["target"].copy_(torch.tensor([[3.0, 4.0], [0.5, 0.0]]))
    figures = goal.figures(at(0.0, 0.0, num=2))
    assert figures["distance_m"].tolist() == [5.0, 0.5]
    assert figures["reached_share"].tolist() == [0.0, 1.0]
    disc, arrow = goal.markers(at(0.0, 0.0, num=2))
    assert disc.arrow is None
    assert disc.radius == 1.0
    torch.testing.assert_close(disc.pos[:, :2], torch.tensor([[3.0, 4.0], [0.5, 0.0]]))
    torch.testing.assert_close(arrow.arrow, torch.tensor([[0.48, 0.64, 0.0], [0.8, 0.0, 0.0]]))
