"""What goals share, and how a task holds one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimickit.envs.clock import Clock
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import quat_from_heading
from mimickit.state import CharacterState
from mimickit.tasks.goals import Goal
from mimickit.tasks.goals.ground import GroundVelocity, in_heading_frame
from tests.envs.parts import DT, WEIGHTS, make_task, moved, random_state
from tests.no_sync import no_sync
from tests.tasks.goals import GOALS, everyone, location, made

NO_TRACKING = dict.fromkeys(WEIGHTS, 0.0)
CPU = torch.device("cpu")


def standing_at(*places):
    """Characters without bodies at [N] places (x, y), heading along x."""
    state = CharacterState.zeros(len(places), 1, 0)
    state.root_pos[:, :2] = torch.tensor(places)
    return state


class Still(Goal):
    """Wants nothing, and ends episodes of roots that are higher than 5 m or lower than -5 m."""

    parts = (("nothing", 1),)

    def __init__(self, num_envs, device, **others):
        self.buffers = {"seen": torch.zeros(num_envs, device=device)}

    def reset(self, mask, start):
        self.buffers["seen"].masked_fill_(mask, 0.0)

    def advance(self, state):
        self.buffers["seen"] += 1.0

    def observe(self, state):
        return self.buffers["seen"].unsqueeze(-1)

    def rewards(self, state):
        return {"stillness": -state.root_vel.norm(dim=-1)}

    def succeeded(self, state):
        return state.root_pos[:, 2] > 5.0

    def failed(self, state):
        return state.root_pos[:, 2] < -5.0

    def figures(self, state):
        return {"steps": self.buffers["seen"]}


def test_vectors_are_seen_from_the_heading():
    # Heading left (+y): what lies ahead of the world's x axis lies to the right (-y).
    turned = quat_from_heading(torch.tensor([math.pi / 2, 0.0]))
    seen = in_heading_frame(turned, torch.tensor([[2.0, 0.0], [2.0, 0.0]]))
    torch.testing.assert_close(seen, torch.tensor([[0.0, -2.0], [2.0, 0.0]]), atol=1e-6, rtol=0)


def test_velocity_over_the_ground_is_the_way_per_step():
    motion = GroundVelocity(2, 0.5, CPU)
    motion.reset(everyone(2), standing_at((0.0, 0.0), (1.0, 1.0)))
    motion.advance(standing_at((1.0, 0.0), (1.0, 0.5)))
    # 1 m in 0.5 s along x; -0.5 m in 0.5 s along y.
    torch.testing.assert_close(motion.value, torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
    # One that begins anew elsewhere has not moved there.
    motion.reset(torch.tensor([True, False]), standing_at((9.0, 9.0), (7.0, 7.0)))
    motion.advance(standing_at((9.0, 9.0), (1.0, 1.0)))
    torch.testing.assert_close(motion.value, torch.tensor([[0.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("steps", [1, 7, 300])
def test_a_clock_runs_as_many_steps_as_its_period_has(steps):
    clock = Clock(1, DT, CPU, [steps * DT, steps * DT])
    clock.wind(everyone(1), torch.rand(1))
    due = [bool(clock.advance()) for _ in range(steps)]
    assert due == [False] * (steps - 1) + [True]


def test_only_the_masked_clocks_are_wound():
    clock = Clock(3, 1.0, CPU, [2.0, 6.0])
    clock.wind(everyone(3), torch.tensor([0.0, 0.25, 0.5]))
    # 2 + (6 - 2) * draw: 2, 3 and 4 s.
    due = torch.stack([clock.advance() for _ in range(3)])
    assert due.int().tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    clock.wind(torch.tensor([True, True, False]), torch.zeros(3))
    assert clock.advance().tolist() == [False, False, True]


# ------------------------------------------------------------------------------- within a task


def test_a_goal_is_seen_rewarded_and_reported_beside_the_clip(humanoid):
    plain, task = make_task(humanoid), make_task(humanoid, goal=Still)
    state = random_state(humanoid, 4)
    for each in (plain, task):
        each.reset(everyone(4))
        each.advance(state)
    assert task.groups["policy"].parts == (*plain.groups["policy"].parts, ("nothing", 1))
    obs = task.observe(state)["policy"]
    assert torch.equal(obs[:, :-1], plain.observe(state)["policy"])
    assert torch.equal(obs[:, -1], torch.ones(4))
    rewards = task.rewards(state)
    assert list(rewards) == [*WEIGHTS, "goal_stillness"]
    torch.testing.assert_close(rewards["goal_stillness"], -state.root_vel.norm(dim=-1))
    assert task.figures(state)["goal_steps"].tolist() == [1.0] * 4
    assert plain.figures(state) == {}
    assert plain.markers(state) == task.markers(state) == []
    assert "goal" in task.provides - plain.provides


def test_a_goal_ends_episodes(humanoid):
    task = make_task(humanoid, goal=Still, pose_termination=False)
    task.reset(everyone(4))
    state = random_state(humanoid, 4)
    state.root_pos[:, 2] = torch.tensor([0.0, 6.0, -6.0, 1.0])
    assert task.succeeded(state).tolist() == [False, True, False, False]
    assert task.failed(state).tolist() == [False, False, True, False]


def test_tracking_that_weighs_nothing_is_left_out_beside_a_goal_only(humanoid):
    task = make_task(humanoid, goal=Still, reward_weights=NO_TRACKING)
    task.reset(everyone(4))
    state = random_state(humanoid, 4)
    assert list(task.rewards(state)) == ["goal_stillness"]
    one = make_task(humanoid, goal=Still, reward_weights={**NO_TRACKING, "pose": 1.0})
    one.reset(everyone(4))
    assert list(one.rewards(state)) == [*WEIGHTS, "goal_stillness"]
    none = make_task(humanoid, reward_weights=NO_TRACKING)
    none.reset(everyone(4))
    assert list(none.rewards(state)) == list(WEIGHTS)


@pytest.mark.parametrize(
    ("changes", "tracked"),
    [
        ({}, True),
        ({"global_frame": False}, False),
        ({"target_steps": []}, True),  # rewarded all the same
        ({"target_steps": [], "reward_weights": NO_TRACKING}, False),
        ({"reward_weights": NO_TRACKING}, True),  # seen, e.g. for ADD
    ],
)
def test_a_goal_leads_away_from_a_clip_that_has_no_place_in_the_world(humanoid, changes, tracked):
    assert make_task(humanoid, goal=Still, **changes).tracked == tracked


@pytest.mark.parametrize(("end", "expected"), [(True, True), (False, False)])
def test_episodes_end_with_a_clip_that_does_not_loop_only_if_asked(humanoid, end, expected):
    task = make_task(humanoid, [{"name": "kick", "loop": False}], end_with_clip=end)
    task.reset(everyone(4))
    for _ in range(200):
        task.advance(task.reference)
    assert task.succeeded(task.reference).tolist() == [expected] * 4


@pytest.mark.parametrize("goal", GOALS.values(), ids=list(GOALS))
def test_a_goal_goes_on_bit_for_bit(humanoid, goal):
    first, second = (make_task(humanoid, goal=goal, seed=seed) for seed in (1, 2))
    states = [random_state(humanoid, 4, seed) for seed in range(400)]
    first.reset(everyone(4))
    for state in states[:150]:
        first.advance(state)
    second.load_state_dict(first.state_dict())
    for step, state in enumerate(states[150:]):
        for task in (first, second):
            task.advance(state)
            if step % 90 == 0:
                task.reset(torch.tensor([True, False, False, True]))
        a, b = ({**t.rewards(state), **t.observe(state)} for t in (first, second))
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("goal", GOALS.values(), ids=list(GOALS))
def test_a_goal_draws_as_much_whoever_ends(humanoid, goal):
    after = []
    for mask in (torch.zeros(4, dtype=torch.bool), torch.tensor([True, False, True, False])):
        generator = torch.Generator().manual_seed(3)
        made = goal(character=humanoid, num_envs=4, control_dt=DT, generator=generator, device=CPU)
        made.reset(mask, random_state(humanoid, 4))
        made.advance(random_state(humanoid, 4))
        after.append(generator.get_state())
    assert torch.equal(*after)


@pytest.mark.parametrize("goal", GOALS.values(), ids=list(GOALS))
def test_a_goal_never_waits_for_the_device(humanoid, goal):
    one = made(goal, 4, character=humanoid)
    state = random_state(humanoid, 4)
    with no_sync():
        one.reset(everyone(4), state)
        one.advance(state)
        seen = one.observe(state)
        one.rewards(state)
        one.figures(state)
        one.failed(state)
        one.succeeded(state)
    assert seen.shape == (4, sum(width for _, width in one.parts))


@pytest.mark.parametrize("goal", GOALS.values(), ids=list(GOALS))
@settings(max_examples=10)
@given(angle=st.floats(-3.0, 3.0), x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_the_world_may_be_turned_and_moved(humanoid, goal, angle, x, y):
    """With the goal in it, nothing that is seen or rewarded changes."""
    turn, shift = quat_from_heading(torch.tensor(angle)), torch.tensor([x, y, 0.0])
    here, there = (made(goal, 4, character=humanoid) for _ in range(2))
    start, state = random_state(humanoid, 4), random_state(humanoid, 4, seed=1)
    state.root_pos.copy_(start.root_pos + 0.02)
    elsewhere = moved(state, turn, shift)
    here.reset(everyone(4), start)
    here.advance(state)
    there.reset(everyone(4), moved(start, turn, shift))
    there.advance(elsewhere)
    turn_goal(there, here, turn, shift)
    torch.testing.assert_close(there.observe(elsewhere), here.observe(state), atol=1e-4, rtol=1e-4)
    for name, reward in here.rewards(state).items():
        torch.testing.assert_close(there.rewards(elsewhere)[name], reward, atol=1e-3, rtol=1e-3)


def turn_goal(changed, original, turn, shift):
    """Give one goal the target of another, turned and, if it is a place, moved."""
    target = original.buffers["target"]
    angle = 2.0 * torch.atan2(turn[2], turn[3])
    cosine, sine = angle.cos(), angle.sin()
    rotation = torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
    if target.shape[-1] == 2:
        changed.buffers["target"].copy_(target @ rotation + shift[:2])
    elif target.shape[-1] == 3:
        place = target[:, :2] @ rotation
        changed.buffers["target"].copy_(torch.cat([place, target[:, 2:]], dim=-1) + shift)
    else:
        changed.buffers["target"].copy_(
            torch.cat([target[:, :2] @ rotation, target[:, 2:3], target[:, 3:] @ rotation], dim=-1)
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": [3.0, 1.0]}, r"task.goal.distance must be \[low, high\].*got \[3.0, 1.0\]"),
        ({"period_s": [5.0]}, r"task.goal.period_s must be \[low, high\].*got \[5.0\]"),
        ({"period_s": [0.0, 5.0]}, r"task.goal.period_s must be \[low, high\] with 0.5"),
        ({"speed": -1.0}, "task.goal.speed must be >= 0, got -1.0"),
        ({"reward_weights": {"position": 1.0}}, "wants position, velocity, facing; got position"),
        ({"reward_scales": {"position": -1.0, "velocity": 4.0}}, "reward_scales.position must be"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        made(location(**changes))
