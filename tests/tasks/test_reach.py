"""Reaching a point with a body: what is drawn, seen and rewarded."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit import launch
from mimickit.errors import ConfigError, IncompatibleParts, UnknownBody
from mimickit.launch.building import make_character
from mimickit.state import CharacterState
from mimickit.tasks.goals.reach import reach_reward
from tests.tasks.goals import everyone, made, reach


def standing(character, num=1, x=0.0, y=0.0, angle=0.0):
    """Characters whose bodies all are where their root is."""
    state = CharacterState.zeros(num, character.num_bodies, character.num_dofs)
    state.root_pos[:] = torch.tensor([x, y, 0.9])
    state.root_rot[:] = torch.tensor([0.0, 0.0, math.sin(angle / 2), math.cos(angle / 2)])
    state.body_pos[:] = state.root_pos.unsqueeze(1)
    return state


def make(character, num=1, **changes):
    goal = made(reach(**changes), num, character=character)
    goal.reset(everyone(num), standing(character, num))
    return goal


def test_the_reward_by_hand():
    # 0.3 m ahead and 0.4 m up: 0.25 m^2, so exp(-4 * 0.25).
    found = reach_reward(torch.tensor([[0.3, 0.0, 0.4], [0.0, 0.0, 0.0]]), 4.0)
    torch.testing.assert_close(found, torch.tensor([math.exp(-1.0), 1.0]))


def test_the_named_body_counts_and_the_first_hand_by_default(humanoid):
    for body, name in ((None, "right_hand"), ("head", "head")):
        goal = make(humanoid, body=body, reward_weight=0.5)
        state = standing(humanoid)
        goal.buffers["target"].copy_(torch.tensor([[1.0, 0.0, 1.5]]))
        state.body_pos[:, humanoid.body_names.index(name)] = torch.tensor([1.0, 0.5, 1.5])
        # Half a metre to the side: half the weight, times exp(-4 * 0.25).
        found = goal.rewards(state)
        assert found == {"position": pytest.approx(0.5 * math.exp(-1.0))}


def test_points_lie_around_the_root_and_within_heights(humanoid):
    goal = made(reach(distance=[0.2, 1.0], height=[0.5, 1.5]), 4000, character=humanoid)
    goal.reset(everyone(4000), standing(humanoid, 4000, 10.0, -20.0))
    offset = goal.buffers["target"] - torch.tensor([10.0, -20.0, 0.0])
    distance, height = offset[:, :2].norm(dim=-1), offset[:, 2]
    assert distance.min() > 0.199
    assert distance.max() < 1.001
    assert distance.mean().item() == pytest.approx(0.6, abs=0.02)
    assert height.min() >= 0.5
    assert height.max() < 1.5
    assert height.mean().item() == pytest.approx(1.0, abs=0.02)
    assert offset[:, :2].mean(0).norm() < 0.05


def test_a_new_point_comes_up_around_where_the_root_is_then(humanoid):
    goal = make(humanoid, period_s=[1.0, 1.0], distance=[0.5, 0.5])  # two steps
    first = goal.buffers["target"].clone()
    goal.advance(standing(humanoid, x=3.0))
    assert torch.equal(goal.buffers["target"], first)
    goal.advance(standing(humanoid, x=6.0))
    offset = goal.buffers["target"][:, :2] - torch.tensor([6.0, 0.0])
    torch.testing.assert_close(offset.norm(dim=-1), torch.tensor([0.5]))


def test_a_reset_leaves_the_others_their_points(humanoid):
    goal = make(humanoid, 3)
    before = goal.state_dict()
    goal.reset(torch.tensor([False, True, False]), standing(humanoid, 3, 50.0))
    for name, buffer in goal.buffers.items():
        assert torch.equal(buffer[[0, 2]], before[name][[0, 2]])
    assert abs(float(goal.buffers["target"][1, 0]) - 50.0) <= 1.0


def test_the_point_is_seen_from_the_root_and_its_heading(humanoid):
    goal = make(humanoid)
    goal.buffers["target"].copy_(torch.tensor([[1.0, 3.0, 1.4]]))
    # From (1, 1, 0.9), heading along y: 2 m ahead and 0.5 m up.
    seen = goal.observe(standing(humanoid, 1, 1.0, 1.0, math.pi / 2))
    torch.testing.assert_close(seen, torch.tensor([[2.0, 0.0, 0.5]]), atol=1e-6, rtol=0)


def test_figures_and_markers_show_the_way_from_the_body(humanoid):
    goal = make(humanoid, 2, near=0.6)
    goal.buffers["target"].copy_(torch.tensor([[0.0, 3.0, 4.9], [0.5, 0.0, 0.9]]))
    state = standing(humanoid, 2)
    figures = goal.figures(state)
    torch.testing.assert_close(figures["distance_m"], torch.tensor([5.0, 0.5]))
    assert figures["reached_share"].tolist() == [0.0, 1.0]
    disc, arrow = goal.markers(state)
    assert disc.arrow is None
    assert torch.equal(disc.pos, goal.buffers["target"])
    torch.testing.assert_close(arrow.pos, torch.tensor([[0.0, 0.0, 0.9]] * 2))
    torch.testing.assert_close(arrow.arrow, torch.tensor([[0.0, 3.0, 4.0], [0.5, 0.0, 0.0]]))


def test_bodies_that_cannot_reach_are_refused(humanoid):
    with pytest.raises(UnknownBody, match=r"no body 'right_hnd' \(asked for by task.goal.body\)"):
        make(humanoid, body="right_hnd")
    with pytest.raises(IncompatibleParts, match=r"'go2' has no hands.*task\.goal\.body="):
        make(make_character("go2"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": [1.0, 0.5]}, r"task.goal.distance must be \[low, high\]"),
        ({"height": [-1.0, 0.5]}, r"task.goal.height must be \[low, high\]"),
        ({"period_s": [0.1, 0.5]}, r"task.goal.period_s must be \[low, high\] with 0.5"),
        ({"near": -1.0}, "task.goal.near must be >= 0"),
        ({"reward_weight": -1.0}, "task.goal.reward_weight must be >= 0"),
        ({"position_scale": -1.0}, "task.goal.position_scale must be >= 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(humanoid, changes, message):
    with pytest.raises(ConfigError, match=message):
        make(humanoid, **changes)


def test_the_sword_reaches_farther_than_a_hand():
    goal = launch.compose(["method=amp", "task=reach", "character=humanoid_sword_shield"]).task.goal
    assert (goal.body, list(goal.height)) == ("sword", [0.2, 2.0])
    assert launch.compose(["method=amp", "task=reach"]).task.goal.body is None
