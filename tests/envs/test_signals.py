"""What methods see of the states that steps reach."""

from __future__ import annotations

import pytest
import torch

from mimickit.envs.signals import Difference, Window
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import quat_from_heading
from tests.envs.parts import DT, make_task, moved, random_state

K = 4
FRAMES = pytest.mark.parametrize("global_frame", [True, False])


def window(character, task, global_frame=True):
    return Window(character, task, DT, frames=K, global_frame=global_frame)


def begin(task, signal, mask=None):
    """Start new episodes, of all by default."""
    mask = torch.ones(len(task.clips), dtype=torch.bool) if mask is None else mask
    signal.reset(mask, task.reset(mask))


def follow(task, signal, steps):
    """What is seen of a character that is where its reference is."""
    for _ in range(steps):
        task.advance(task.reference)
        seen = signal.observe(task.reference)
    return seen


@FRAMES
@pytest.mark.parametrize("steps", [1, 2, K + 3])
def test_one_that_follows_its_clip_is_seen_as_a_demonstration(humanoid, global_frame, steps):
    task = make_task(humanoid, "walk", num=3)
    signal = window(humanoid, task, global_frame)
    begin(task, signal)
    seen = follow(task, signal, steps)
    shown = signal.demonstrations(task.clips, task.times)
    torch.testing.assert_close(seen, shown, atol=2e-5, rtol=1e-5)


def test_a_window_never_straddles_a_reset(humanoid):
    """Envs that begin anew see the new past only, the others their own."""
    task = make_task(humanoid, "spinkick", num=4)
    signal = window(humanoid, task)
    begin(task, signal)
    task.advance(task.reference)
    signal.observe(random_state(humanoid, 4, seed=1))
    before = signal.state_dict()["frames"]
    mask = torch.tensor([True, False, True, False])
    begin(task, signal, mask)
    after = signal.state_dict()["frames"]
    assert torch.equal(after[~mask], before[~mask])
    torch.testing.assert_close(after[mask], signal.frames_at(task.clips, task.times)[mask])
    seen = follow(task, signal, 1)
    shown = signal.demonstrations(task.clips, task.times)
    torch.testing.assert_close(seen[mask], shown[mask], atol=2e-5, rtol=1e-5)
    assert not torch.isclose(seen[~mask], shown[~mask], atol=1e-2).all(-1).any()


def test_places_on_the_ground_are_seen_from_the_newest_root(humanoid):
    task = make_task(humanoid, num=2)
    here, there = window(humanoid, task), window(humanoid, task)
    straight = quat_from_heading(torch.tensor(0.0))
    for seed in range(K):
        state = random_state(humanoid, 2, seed)
        a = here.observe(state)
        b = there.observe(moved(state, straight, torch.tensor([7.0, -3.0, 0.0])))
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("global_frame", "same"), [(True, False), (False, True)])
def test_only_a_global_frame_shows_where_it_heads(humanoid, global_frame, same):
    task = make_task(humanoid, num=2)
    here, there = (window(humanoid, task, global_frame) for _ in range(2))
    turn = quat_from_heading(torch.tensor(1.0))
    for seed in range(K):
        state = random_state(humanoid, 2, seed)
        a = here.observe(state)
        b = there.observe(moved(state, turn, torch.zeros(3)))
    assert torch.allclose(a, b, atol=1e-3) == same


def test_a_window_goes_on_from_its_state(humanoid):
    task = make_task(humanoid, num=2)
    first, second = window(humanoid, task), window(humanoid, task)
    first.observe(random_state(humanoid, 2, 5))
    second.load_state_dict(first.state_dict())
    state = random_state(humanoid, 2, 6)
    assert torch.equal(first.observe(state), second.observe(state))


def test_one_that_begins_in_the_default_pose_has_stood_there_all_the_time(humanoid):
    """Before K steps its windows hold the pose that was set, never the clip."""
    task = make_task(humanoid, "walk", num=2, pose_termination=False, default_pose_share=1.0)
    signal = window(humanoid, task)
    start = task.reset(torch.ones(2, dtype=torch.bool))
    signal.reset(torch.ones(2, dtype=torch.bool), start)
    here = signal._encode(start)
    assert torch.equal(signal.state_dict()["frames"], here.unsqueeze(1).expand(-1, K, -1))
    # One that goes on standing there has moved nowhere and its ten numbers a frame are known:
    # place (0, 0, default height), the axes x = (1, 0, 0) and z = (0, 0, 1) of its root, rest.
    task.advance(start)
    seen = signal.observe(start).unflatten(-1, (K, -1))
    root = torch.tensor([0.0, 0.0, humanoid.default_height, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    torch.testing.assert_close(seen[..., :9], root.expand(2, K, 9))
    keys = 9 + 3 * len(humanoid.key_bodies)
    assert seen[..., keys : keys + 6].abs().max() == 0  # root velocities
    assert seen[..., -humanoid.num_dofs :].abs().max() == 0
    assert torch.equal(seen, seen[:, :1].expand_as(seen))


def test_each_env_has_the_past_of_where_it_began(humanoid):
    task = make_task(humanoid, "walk", num=64, pose_termination=False, default_pose_share=0.5)
    signal = window(humanoid, task)
    everyone = torch.ones(64, dtype=torch.bool)
    start = task.reset(everyone)
    signal.reset(everyone, start)
    frames, elsewhere = signal.state_dict()["frames"], task.elsewhere
    assert 0 < elsewhere.sum() < 64
    clip = signal.frames_at(task.clips, task.times)
    assert torch.equal(frames[~elsewhere], clip[~elsewhere])
    stood = signal._encode(start).unsqueeze(1).expand_as(frames)
    assert torch.equal(frames[elsewhere], stood[elsewhere])
    # The newest frame is the state that was set, everywhere.
    torch.testing.assert_close(frames[:, -1], stood[:, -1], atol=1e-4, rtol=1e-4)


def test_a_window_of_one_frame_is_refused(humanoid):
    with pytest.raises(ConfigError, match="at least 2 frames"):
        Window(humanoid, make_task(humanoid), DT, frames=1, global_frame=True)


@FRAMES
def test_one_that_follows_its_clip_does_not_differ_from_it(humanoid, global_frame):
    task = make_task(humanoid, num=3)
    signal = Difference(humanoid, task, DT, global_frame=global_frame)
    begin(task, signal)
    seen = follow(task, signal, 2)
    assert seen.shape == (3, signal.size)
    assert seen.abs().max() == 0


def test_a_difference_is_the_reference_minus_the_character(humanoid):
    task = make_task(humanoid, num=2)
    signal = Difference(humanoid, task, DT, global_frame=True)
    begin(task, signal)
    state = task.reference.clone()
    state.root_pos[:, 0] -= 0.5
    state.body_pos[..., 0] -= 0.5
    state.dof_vel[:, 3] += 2.0
    seen = signal.observe(state)
    expected = torch.zeros_like(seen)
    expected[:, 0] = 0.5  # place first, dof velocities last
    expected[:, signal.size - humanoid.num_dofs + 3] = -2.0
    torch.testing.assert_close(seen, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("global_frame", "same"), [(True, False), (False, True)])
def test_only_a_global_frame_compares_place_and_heading(humanoid, global_frame, same):
    task = make_task(humanoid, num=2)
    signal = Difference(humanoid, task, DT, global_frame=global_frame)
    begin(task, signal)
    turn = quat_from_heading(torch.tensor(1.0))
    elsewhere = moved(task.reference, turn, torch.tensor([2.0, 1.0, 0.0]))
    assert (signal.observe(elsewhere).abs().max() < 1e-4) == same
