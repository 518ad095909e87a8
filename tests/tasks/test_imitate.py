"""Imitation: what is observed of the clip, what is rewarded, and what ends an episode."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mimickit.envs import observations
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_from_heading
from tests.envs.parts import (
    DT,
    SCALES,
    WEIGHTS,
    make_task,
    moved,
    random_state,
    same_bits,
)

# (global_frame, root_height, target_steps); the first and the third see where they are.
FRAMES = [
    (True, True, [1, 2, 3]),
    (False, True, [1, 2, 3]),
    (True, False, [1]),
    (False, False, [2]),
    (True, True, []),
    (True, False, []),
    (False, True, []),
]


def start(task):
    """Begin everywhere; the starts."""
    return task.reset(torch.ones(len(task.clips), dtype=torch.bool))


def options(global_frame, root_height, target_steps):
    return {
        "global_frame": global_frame, "root_height": root_height, "target_steps": target_steps,
    }  # fmt: skip


# ---------------------------------------------------------------------------------- observations


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({}, 464),  # 140 + 3 * 108: facts, table 1.2
        ({"target_steps": []}, 140),
        ({"root_height": False}, 460),
        ({"phase": 2}, 469),
        ({"phase": 0, "target_steps": []}, 141),
        ({"global_frame": False}, 464),
        ({"tracking_error": True}, 464 + 3 + 105 + 6 + 28),
    ],
)
def test_the_layout_has_the_size_of_what_is_observed(humanoid, changes, size):
    task = make_task(humanoid, **changes)
    start(task)
    group = task.groups["policy"]
    assert group.size == size
    assert sum(width for _, width in group.parts) == size
    assert task.observe(random_state(humanoid, 4))["policy"].shape == (4, size)


@pytest.mark.parametrize("frame", FRAMES[:4])
def test_the_policy_sees_itself_then_the_coming_frames(humanoid, frame):
    global_frame, root_height, steps = frame
    task = make_task(humanoid, "backflip", phase=1, **options(*frame))
    start(task)
    for _ in range(4):
        task.advance(task.reference)
    state = random_state(humanoid, 4)
    obs = task.observe(state)["policy"]
    keys = torch.tensor(humanoid.body_ids(humanoid.key_bodies, ""))
    targets = [task.library.lookup(task.clips, task.times + step * DT) for step in steps]
    phase = (task.times / task.library.durations[task.clips]).remainder(1.0)
    expected = [
        observations.character_obs(state, keys, global_frame, root_height),
        observations.target_obs(state, targets, keys, global_frame, root_height),
        observations.phase_obs(phase, 1),
    ]
    torch.testing.assert_close(obs, torch.cat(expected, dim=-1), atol=2e-4, rtol=1e-4)


def test_the_tracking_error_is_reference_minus_character(humanoid):
    task = make_task(humanoid, target_steps=[], tracking_error=True)
    start(task)
    task.advance(task.reference)
    state, reference = random_state(humanoid, 4), task.reference
    obs = task.observe(state)["policy"][:, 140:]
    keys = torch.tensor(humanoid.body_ids(humanoid.key_bodies, ""))

    def pose(s):
        # One target frame, less its root position.
        return observations.target_obs(s, [s], keys, True, True)[:, 3:]

    expected = [
        reference.root_pos - state.root_pos,
        pose(reference) - pose(state),
        reference.root_vel - state.root_vel,
        reference.root_ang_vel - state.root_ang_vel,
        reference.dof_vel - state.dof_vel,
    ]
    torch.testing.assert_close(obs, torch.cat(expected, dim=-1), atol=1e-4, rtol=1e-4)
    here = task.observe(reference)["policy"][:, 140:]
    torch.testing.assert_close(here, torch.zeros_like(here), atol=1e-5, rtol=0)


@settings(max_examples=10)
@given(angle=st.floats(-3.0, 3.0), x=st.floats(-5, 5), y=st.floats(-5, 5))
def test_a_local_policy_sees_neither_place_nor_heading(humanoid, angle, x, y):
    """Neither of the character nor of the clip, nor does its reward."""
    task = make_task(humanoid, global_frame=False)
    start(task)
    state = random_state(humanoid, 4)
    turn, shift = quat_from_heading(torch.tensor(angle)), torch.tensor([x, y, 0.0])
    there = moved(state, turn, shift)
    torch.testing.assert_close(
        task.observe(there)["policy"], task.observe(state)["policy"], atol=2e-4, rtol=1e-4
    )
    before, after = task.rewards(state), task.rewards(there)
    for name, term in before.items():
        torch.testing.assert_close(after[name], term, atol=1e-5, rtol=1e-3, msg=name)
    assert torch.equal(task.failed(there), task.failed(state))
    task._frames = [moved(frame, turn, shift) for frame in task._frames]
    keys = task._key_bodies
    task._encodings = [observations.encode_pose(frame, keys) for frame in task._frames]
    torch.testing.assert_close(
        task.observe(state)["policy"], task.observe(there)["policy"], atol=2e-4, rtol=1e-4
    )
    for name, term in task.rewards(state).items():
        torch.testing.assert_close(term, before[name], atol=1e-5, rtol=1e-3, msg=name)


def phases(task, frequencies):
    return task.observe(task.reference)["policy"][:, -1 - 2 * frequencies]


def test_phase_wraps_in_a_loop_and_stays_at_the_end_of_a_clip(humanoid):
    """At 40 steps, 1.333 s: in the second walk cycle; past the end of the kick it stays 1."""
    task = make_task(humanoid, ["walk", "kick"], num=16, random_start=False, phase=1)
    start(task)
    assert (phases(task, 1) == 0).all()
    steps = 1 + math.ceil(float(task.library.durations.max()) / DT)
    for _ in range(steps):
        task.advance(task.reference)
    walk = task.clips == 0
    assert walk.any()
    assert not walk.all()
    expected = steps * DT / float(task.library.durations[0]) % 1.0
    torch.testing.assert_close(
        phases(task, 1)[walk], torch.full((int(walk.sum()),), expected), atol=1e-4, rtol=0
    )
    assert (phases(task, 1)[~walk] == 1).all()


# ---------------------------------------------------------------------------------- rewards


@pytest.mark.parametrize("frame", FRAMES)
def test_perfect_tracking_earns_every_weight(humanoid, frame):
    task = make_task(humanoid, ["walk", "spinkick", "roll"], num=8, **options(*frame))
    start(task)
    for _ in range(3):
        for name, term in task.rewards(task.reference.clone()).items():
            torch.testing.assert_close(term, torch.full((8,), WEIGHTS[name]), msg=name)
        task.advance(task.reference)


def angle_between(a, b):
    return 2.0 * math.acos(min(1.0, abs(float(np.dot(a, b)))))


def unturned(quat):
    """Heading of (x, y, z, w), and the matrix that takes it away."""
    x, y, z, w = quat
    angle = math.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
    cos, sin = math.cos(angle), math.sin(angle)
    return angle, np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def about_z(angle, quat):
    """The quaternion (0, 0, sin, cos) of half the angle times quat, written out."""
    s, c = math.sin(angle / 2), math.cos(angle / 2)
    x, y, z, w = quat
    return np.array([c * x - s * y, c * y + s * x, c * z + s * w, c * w - s * z])


def rewards_by_hand(humanoid, state, reference, i, track_root, root_height):
    """Facts, section 3.5, in float64 and one number at a time."""
    s = {name: tensor[i].double().numpy() for name, tensor in vars(state).items()}
    r = {name: tensor[i].double().numpy() for name, tensor in vars(reference).items()}
    weights = humanoid.tracking_weights
    pose = sum(
        w * angle_between(a, b) ** 2 for w, a, b in zip(weights, s["joint_rot"], r["joint_rot"])
    )
    velocity = 0.0
    for joint, weight in zip(humanoid.joints, weights):
        for dof in range(joint.dofs.start, joint.dofs.stop):
            velocity += weight * (s["dof_vel"][dof] - r["dof_vel"][dof]) ** 2
    place = s["root_pos"] - r["root_pos"]
    if not root_height:
        place[2] = 0.0
    turns = [np.eye(3), np.eye(3)]
    if not track_root:
        place[:2] = 0.0
        for k, each in enumerate((s, r)):
            heading, turns[k] = unturned(each["root_rot"])
            each["root_rot"] = about_z(-heading, each["root_rot"])
    root = place @ place + 0.1 * angle_between(s["root_rot"], r["root_rot"]) ** 2
    linear = turns[0] @ s["root_vel"] - turns[1] @ r["root_vel"]
    angular = turns[0] @ s["root_ang_vel"] - turns[1] @ r["root_ang_vel"]
    keys = 0.0
    for body in humanoid.body_ids(humanoid.key_bodies, ""):
        own = turns[0] @ (s["body_pos"][body] - s["root_pos"])
        other = turns[1] @ (r["body_pos"][body] - r["root_pos"])
        keys += (own - other) @ (own - other)
    return {
        "pose": 0.5 * math.exp(-0.25 * pose),
        "velocity": 0.1 * math.exp(-0.01 * velocity),
        "root_pose": 0.15 * math.exp(-5.0 * root),
        "root_velocity": 0.1 * math.exp(-1.0 * (linear @ linear + 0.1 * angular @ angular)),
        "key_position": 0.15 * math.exp(-10.0 * keys),
    }


def near(humanoid, reference, seed=0):
    """States close enough to earn something, none like another, of another heading."""
    other = random_state(humanoid, len(reference.root_pos), seed)
    state = reference.clone()
    state.root_pos.add_(0.1 * other.root_pos)
    state.root_rot.copy_(torch.lerp(state.root_rot, other.root_rot, 0.2))
    state.root_rot.div_(state.root_rot.norm(dim=-1, keepdim=True))
    state.joint_rot.copy_(torch.lerp(state.joint_rot, other.joint_rot, 0.3))
    state.joint_rot.div_(state.joint_rot.norm(dim=-1, keepdim=True))
    for name in ("root_vel", "root_ang_vel", "dof_vel"):
        getattr(state, name).add_(0.5 * getattr(other, name))
    state.body_pos.add_(0.05 * torch.randn_like(state.body_pos))
    return state


@pytest.mark.parametrize("frame", FRAMES)
def test_rewards_are_the_published_ones(humanoid, frame):
    global_frame, root_height, steps = frame
    task = make_task(humanoid, "run", **options(*frame))
    start(task)
    task.advance(task.reference)
    state = near(humanoid, task.reference)
    got = task.rewards(state)
    track_root = global_frame and len(steps) > 0
    for i in range(4):
        expected = rewards_by_hand(humanoid, state, task.reference, i, track_root, root_height)
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name][i].item() == pytest.approx(value, abs=1e-5), (name, i)
            assert value > 1e-4  # or the comparison would be of nothing


def test_a_policy_that_sees_its_tracking_error_is_held_to_its_place(humanoid):
    """Without target frames it could not know; with the error it does."""
    for tracking_error, lost in ((False, 0.0), (True, 1.0)):
        task = make_task(humanoid, target_steps=[], tracking_error=tracking_error)
        start(task)
        away = moved(
            task.reference, quat_from_heading(torch.tensor(0.0)), torch.tensor([1.0, 0, 0])
        )
        expected = 0.15 * math.exp(-5.0 * lost)
        torch.testing.assert_close(task.rewards(away)["root_pose"], torch.full((4,), expected))


def test_rewarding_and_observing_change_nothing(humanoid):
    for global_frame in (True, False):
        task = make_task(humanoid, global_frame=global_frame)
        start(task)
        state = random_state(humanoid, 4)
        kept, reference = state.clone(), task.reference.clone()
        task.rewards(state), task.observe(state), task.failed(state)
        assert same_bits(state, kept)
        assert same_bits(task.reference, reference)


# ---------------------------------------------------------------------------------- endings


def pressed(task, humanoid, body):
    """The reference with a body on the ground."""
    state = task.reference.clone()
    state.contact_force[:, humanoid.body_names.index(body), 2] = 50.0
    return state


@pytest.mark.parametrize(
    ("motion", "body", "fails"),
    [
        ("walk", "left_foot", False),
        ("walk", "left_hand", True),
        ("walk", "left_shin", True),
        ("cartwheel", "left_hand", False),
        ("cartwheel", "head", True),
        ("roll", "head", False),  # a tumble may touch with everything
    ],
)
def test_what_may_touch_the_ground_is_the_clips_business(humanoid, motion, body, fails):
    task = make_task(humanoid, motion)
    start(task)
    assert task.failed(pressed(task, humanoid, body)).tolist() == [fails] * 4
    task.contact_termination = False
    assert not task.failed(pressed(task, humanoid, body)).any()


def test_each_env_may_touch_what_its_own_clip_allows(humanoid):
    task = make_task(humanoid, ["walk", "roll"], num=12)
    start(task)
    assert torch.equal(task.failed(pressed(task, humanoid, "head")), task.clips == 0)


def test_a_body_farther_than_the_distance_ends_the_episode(humanoid):
    task = make_task(humanoid, termination_distance=0.5)
    start(task)
    state = task.reference.clone()
    state.body_pos[0, 2, 1] += 0.51
    state.body_pos[1, 2, 1] += 0.49
    assert task.failed(state).tolist() == [True, False, False, False]
    task.pose_termination = False
    assert not task.failed(state).any()


def tipped(task, metres=0.0, angle=0.0):
    """The reference moved along x, and tipped over about its root."""
    state, x = task.reference, torch.tensor([1.0, 0.0, 0.0])
    turn = quat_from_axis_angle(x, torch.tensor(angle))
    home = state.root_pos.clone()
    result = moved(state, turn, torch.zeros(3))
    shift = (home - result.root_pos + metres * x).unsqueeze(1)
    result.root_pos.add_(shift[:, 0])
    result.body_pos.add_(shift)
    return result


@pytest.mark.parametrize(
    ("frame", "place_counts", "tilt_counts"),
    [
        ((True, True, [1]), True, True),  # world positions
        ((True, True, []), False, True),  # relative to the root, in world axes
        ((False, True, [1]), False, False),  # in the root's own frame
    ],
)
def test_the_pose_is_compared_where_the_policy_can_see_it(
    humanoid, frame, place_counts, tilt_counts
):
    """Facts, section 3.6."""
    task = make_task(humanoid, **options(*frame))
    start(task)
    assert not task.failed(tipped(task)).any()
    assert task.failed(tipped(task, metres=1.1)).tolist() == [place_counts] * 4
    assert task.failed(tipped(task, angle=3.0)).tolist() == [tilt_counts] * 4


def test_adaptive_sampling_learns_where_episodes_fail(humanoid):
    sampling = {"mode": "adaptive"}
    clips = ["walk", "roll"]
    task = make_task(humanoid, clips, num=12, sampling=sampling, pose_termination=False)
    start(task)
    state = pressed(task, humanoid, "head")  # fails in walk, roll allows it
    before = task.sampler.probabilities()
    for _ in range(60):
        task.advance(task.reference)
        failed = task.failed(state)
        task.reset(torch.zeros(12, dtype=torch.bool))
    assert torch.equal(failed, task.clips == 0)
    walk = task.sampler._clip_of == 0
    chances = task.sampler.failure_chances()
    assert chances[walk].min() > 0.9
    assert chances[~walk].max() < 0.7
    after = task.sampler.probabilities()
    assert after[walk].sum() > before[walk].sum() + 0.05
    assert after[~walk].sum() > 0.0


def test_other_modes_record_nothing(humanoid, monkeypatch):
    task = make_task(humanoid, sampling={"mode": "length"})
    monkeypatch.setattr(task.sampler, "record", None)
    start(task)
    assert not task.failed(task.reference).any()


def test_success_is_the_end_of_a_clip_that_does_not_loop(humanoid):
    task = make_task(humanoid, ["kick", "walk"], num=8, random_start=False)
    start(task)
    steps = math.ceil(float(task.library.durations[0]) / DT - 1e-6)
    for number in range(steps + 2):
        expected = (task.clips == 0) & (number >= steps)
        assert torch.equal(task.succeeded(task.reference), expected), number
        task.advance(task.reference)


# ---------------------------------------------------------------------------------- the cursor


def test_a_reset_draws_a_clip_and_a_time(humanoid):
    task = make_task(humanoid, ["walk", "run", "backflip"], num=64)
    state = start(task)
    assert set(task.clips.tolist()) == {0, 1, 2}
    assert (task.times >= 0).all()
    assert (task.times <= task.library.durations[task.clips]).all()
    assert len(task.times.unique()) > 60
    found = task.library.lookup(task.clips, task.times)
    torch.testing.assert_close(state.root_pos, found.root_pos)
    assert task.clip_names == ["walk", "run", "backflip"]


def test_a_reset_keeps_the_others_where_they_were(humanoid):
    task = make_task(humanoid, ["walk", "turn_left0"], num=6)
    start(task)
    for _ in range(50):
        task.advance(task.reference)
    mask = torch.tensor([False, True, False, False, True, True])
    before = task.reference.clone(), task.next_reference.clone(), task.times.clone()
    obs = task.observe(task.reference)["policy"].clone()
    task.reset(mask)
    assert same_bits(task.reference, before[0], ~mask)
    assert same_bits(task.next_reference, before[1], ~mask)
    assert torch.equal(task.times[~mask], before[2][~mask])
    assert not torch.equal(task.times[mask], before[2][mask])
    assert torch.equal(task.observe(task.reference)["policy"][~mask], obs[~mask])


@pytest.mark.parametrize("lookups", [1, 27, 512])  # 1, 3 and 56 frames at a time
def test_the_cursor_follows_the_clip_wherever_it_was_reset(humanoid, monkeypatch, lookups):
    """What is kept of coming frames is what a fresh look-up would find, resets or not."""
    monkeypatch.setattr("mimickit.tasks.imitate.LOOKUPS", lookups)
    task = make_task(humanoid, ["walk", "turn_right0", "kick"], num=9, target_steps=[1, 4])
    start(task)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        task.advance(task.reference)
        task.reset(torch.rand(9, generator=generator) < 0.2)
        for step, frame in (
            (0, task.reference),
            (1, task.next_reference),
            (4, task._frames[task._now + 4]),
        ):
            found = task.library.lookup(task.clips, task.times + step * DT)
            torch.testing.assert_close(frame.body_pos, found.body_pos, atol=1e-4, rtol=0)
            torch.testing.assert_close(frame.dof_vel, found.dof_vel, atol=2e-2, rtol=0)


def test_without_random_start_clips_begin_at_their_beginning(humanoid):
    task = make_task(humanoid, random_start=False)
    start(task)
    task.advance(task.reference)
    torch.testing.assert_close(task.times, torch.full((4,), DT))
    task.reset(torch.tensor([True, False, True, False]))
    torch.testing.assert_close(task.times, torch.tensor([0.0, DT, 0.0, DT]))


@pytest.mark.parametrize("mode", ["weights", "adaptive"])
def test_a_saved_task_goes_on_bit_for_bit(humanoid, mode):
    clips, sampling = ["turn_left1", "run"], {"mode": mode}
    original, copy = (make_task(humanoid, clips, 5, seed, sampling=sampling) for seed in (0, 1))
    start(original)
    start(copy)
    away = random_state(humanoid, 5, height=9.0)
    for _ in range(37):
        original.advance(original.reference)
        original.failed(away)
    copy.load_state_dict(original.state_dict())
    state = random_state(humanoid, 5)
    for _ in range(5):
        assert same_bits(copy.reference, original.reference)
        assert torch.equal(copy.observe(state)["policy"], original.observe(state)["policy"])
        for task in (original, copy):
            task.advance(task.reference)
            task.failed(state)
            task.reset(torch.tensor([True, False, False, True, False]))


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_steps": [0, 1]}, r"task.target_steps must be .* 1 or more, got \[0, 1\]"),
        ({"target_steps": [1.5]}, r"task.target_steps must be .* 1 or more, got \[1.5\]"),
        ({"phase": -1}, r"task.phase must be .*, got -1"),
        ({"reward_weights": {**WEIGHTS, "pose": -0.5}}, r"task.reward_weights.pose .* got -0.5"),
        (
            {"reward_scales": {**SCALES, "pose": float("nan")}},
            r"task.reward_scales.pose .* got nan",
        ),
        ({"reward_weights": {"pse": 1.0}}, r"task.reward_weights wants pose, velocity, .*got pse"),
        ({"termination_distance": -1.0}, r"task.termination_distance must be > 0, got -1.0"),
        ({"termination_distance": float("nan")}, r"task.termination_distance must be > 0, got nan"),
        ({"contact_force": -0.1}, r"task.contact_force must be >= 0, got -0.1"),
        ({"tracking_error": True, "global_frame": False}, r"needs task.global_frame=true"),
        ({"sampling": {"mode": "hard"}}, r"task.sampling.mode=hard: choose weights, uniform"),
        (
            {
                "sampling": {"mode": "adaptive"},
                "pose_termination": False,
                "contact_termination": False,
            },
            r"learns from failures, and .* are both off",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(humanoid, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_task(humanoid, **changes)


@pytest.mark.parametrize(
    ("changes", "visible"),
    [
        ({}, True),
        ({"target_steps": []}, False),
        ({"target_steps": [], "tracking_error": True}, True),
        ({"target_steps": [], "phase": 0}, True),
    ],
)
def test_it_provides_a_reference_that_may_be_visible(humanoid, changes, visible):
    task = make_task(humanoid, **changes)
    assert task.provides == {"reference"} | ({"visible_reference"} if visible else set())
    assert task.tracked  # without a goal, being away from the clip is always an error


def test_starts_are_found_among_those_drawn_ahead(humanoid):
    """Until they are used up, of which the last three of eight are not enough."""
    task, seen = make_task(humanoid, num=8), []
    for envs in ([0, 5], [1, 2, 3], [0, 1, 4, 7]):
        mask = torch.zeros(8, dtype=torch.bool)
        mask[envs] = True
        state, drawn = task.reset(mask), task.drawn
        picked = slice(drawn.first, drawn.first + len(envs))
        assert same_bits(state[mask], drawn.states[picked])
        seen.append((drawn.states, drawn.first))
        task.advance(state)
    assert [first for _, first in seen] == [0, 2, 0]
    assert seen[0][0] is seen[1][0] is not seen[2][0]
