"""What goals that move objects share, and how the environment moves them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimickit.errors import UnknownName
from mimickit.geometry.quaternion import quat_from_heading
from tests.envs.parts import moved, random_state
from tests.no_sync import no_sync
from tests.tasks.goals import everyone
from tests.tasks.scenes import KINDS, made, place, random_objects, turned

every_goal = pytest.mark.parametrize("task", KINDS)


def fill(objects, values):
    for name, tensor in vars(objects).items():
        tensor.copy_(getattr(values, name))


@every_goal
def test_it_never_waits_for_the_device(humanoid, task):
    goal, _ = made(task, humanoid, 4)
    state = random_state(humanoid, 4)
    with no_sync():
        goal.reset(everyone(4), state)
        goal.advance(state)
        seen = goal.observe(state)
        goal.rewards(state)
        goal.figures(state)
        goal.failed(state)
        goal.succeeded(state)
    assert seen.shape == (4, sum(width for _, width in goal.parts))


@every_goal
def test_it_draws_as_much_whoever_ends(humanoid, task):
    after = []
    for mask in (torch.zeros(4, dtype=torch.bool), torch.tensor([True, False, True, False])):
        goal, _ = made(task, humanoid, 4, seed=3)
        goal.reset(mask, random_state(humanoid, 4))
        goal.advance(random_state(humanoid, 4))
        after.append(goal._generator.get_state())
    assert torch.equal(*after)


@every_goal
def test_a_reset_moves_the_objects_of_the_masked_worlds_only(humanoid, task):
    goal, objects = made(task, humanoid, 4)
    before, mask = objects.clone(), torch.tensor([True, False, False, True])
    goal.reset(mask, random_state(humanoid, 4))
    place(goal, objects, mask)
    same = (objects.pos == before.pos).all(-1).all(-1)
    assert same.tolist() == [False, True, True, False]


@every_goal
def test_nothing_is_moved_twice(humanoid, task):
    """What a reset has placed stays where it is by the next step, whatever the physics did."""
    goal, _ = made(task, humanoid, 4)
    goal.reset(everyone(4), random_state(humanoid, 4))
    assert goal.placement.mask.all()
    goal.advance(random_state(humanoid, 4))
    assert not goal.placement.mask.any()


@every_goal
def test_it_goes_on_bit_for_bit(humanoid, task):
    changes = {"period_s": [0.1, 0.5]} if task == "dodgeball" else {}
    (first, a), (second, b) = (made(task, humanoid, 4, seed, **changes) for seed in (1, 2))
    states = [random_state(humanoid, 4, seed) for seed in range(60)]
    motions = [random_objects(4, 1, seed=seed) for seed in range(60)]

    def step(goal, objects, number):
        place(goal, objects)
        fill(objects, motions[number])
        goal.advance(states[number])
        if number % 13 == 0:
            goal.reset(torch.tensor([True, False, False, True]), states[number])

    first.reset(everyone(4), states[0])
    for number in range(30):
        step(first, a, number)
    second.load_state_dict(first.state_dict())
    second._generator.set_state(first._generator.get_state())
    fill(b, a)
    for number in range(30, 60):
        step(first, a, number)
        step(second, b, number)
        assert torch.equal(first.placement.mask, second.placement.mask)
        for name in ("pos", "rot", "vel"):
            one, other = (getattr(g.placement.state, name) for g in (first, second))
            assert torch.equal(one, other), name
        assert torch.equal(first.observe(states[number]), second.observe(states[number]))
        assert torch.equal(first.failed(states[number]), second.failed(states[number]))
        rewards = [goal.rewards(states[number]) for goal in (first, second)]
        assert all(torch.equal(rewards[0][name], rewards[1][name]) for name in rewards[0])


@every_goal
@settings(max_examples=10)
@given(angle=st.floats(-3.0, 3.0), x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_the_world_may_be_turned_and_moved(humanoid, task, angle, x, y):
    """With the objects in it, nothing that is seen or rewarded changes."""
    turn, shift = quat_from_heading(torch.tensor(angle)), torch.tensor([x, y, 0.0])
    (here, objects), (there, theirs) = (made(task, humanoid, 4) for _ in range(2))
    start, state = random_state(humanoid, 4), random_state(humanoid, 4, seed=1)
    state.root_pos.copy_(start.root_pos + 0.02)
    elsewhere, positions = moved(state, turn, shift), random_objects(4, 1)
    here.reset(everyone(4), start)
    there.reset(everyone(4), moved(start, turn, shift))
    fill(objects, positions)
    fill(theirs, turned(positions, turn, shift))
    here.advance(state)
    there.advance(elsewhere)
    torch.testing.assert_close(there.observe(elsewhere), here.observe(state), atol=1e-4, rtol=1e-4)
    for name, reward in here.rewards(state).items():
        torch.testing.assert_close(there.rewards(elsewhere)[name], reward, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("task", "changes", "key"),
    [("strike", {"target": "post"}, "target"), ("dodgeball", {"balls": ["post"]}, "balls")],
)
def test_an_object_that_does_not_exist_is_told_by_name(humanoid, task, changes, key):
    with pytest.raises(UnknownName, match=rf"no free object 'post' \(asked for by task.goal.{key}"):
        made(task, humanoid, **changes)
