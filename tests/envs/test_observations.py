"""Observations, number by number against a slow account of the same, and what they do not see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.envs import observations
from mimickit.geometry.quaternion import quat_from_heading
from mimickit.state import CharacterState
from tests.envs.parts import moved, random_state

FRAMES = [(True, True), (True, False), (False, True), (False, False)]  # global_frame, root_height


def matrix(quat):
    """Rotation matrix of (x, y, z, w), from the definition q v q*."""
    x, y, z, w = (float(v) for v in quat)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + 2 * w * cross + 2 * cross @ cross


def unturned(rotation):
    """The matrix that turns a rotation's heading, that of its x axis on the ground, to +x."""
    angle = math.atan2(rotation[1, 0], rotation[0, 0])
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


def six(rotation):
    """R e_x, then R e_z."""
    return [*rotation[:, 0], *rotation[:, 2]]


def numbers(state, i):
    return {name: tensor[i].double().numpy() for name, tensor in vars(state).items()}


def character_by_hand(state, i, keys, global_frame, root_height):
    """Facts, section 3.3: height, root rotation, velocities, joints, dof velocities, key bodies."""
    s = numbers(state, i)
    root = matrix(s["root_rot"])
    turn = np.eye(3) if global_frame else unturned(root)
    row = [s["root_pos"][2]] if root_height else []
    row += six(turn @ root)
    row += [*(turn @ s["root_vel"]), *(turn @ s["root_ang_vel"])]
    for joint in s["joint_rot"]:
        row += six(matrix(joint))
    row += [*s["dof_vel"]]
    for key in keys:
        row += [*(turn @ (s["body_pos"][key] - s["root_pos"]))]
    return row


def targets_by_hand(state, targets, i, keys, global_frame, root_height):
    """Facts, section 3.4: per frame root position, root rotation, joints, key bodies."""
    s, row = numbers(state, i), []
    first = numbers(targets[0], i)
    turn = np.eye(3) if global_frame else unturned(matrix(first["root_rot"]))
    origin = s["root_pos"] if global_frame else first["root_pos"]
    for target in targets:
        t = numbers(target, i)
        x, y, _ = turn @ (t["root_pos"] - origin)
        row += [x, y, t["root_pos"][2]] if root_height else [x, y]
        row += six(turn @ matrix(t["root_rot"]))
        for joint in t["joint_rot"]:
            row += six(matrix(joint))
        for key in keys:
            row += [*(turn @ (t["body_pos"][key] - t["root_pos"]))]
    return row


@pytest.fixture
def keys(humanoid):
    return torch.tensor(humanoid.body_ids(humanoid.key_bodies, ""))


@pytest.mark.parametrize(("global_frame", "root_height"), FRAMES)
def test_the_character_is_observed_as_specified(humanoid, keys, global_frame, root_height):
    state = random_state(humanoid, 3)
    obs = observations.character_obs(state, keys, global_frame, root_height)
    expected = [character_by_hand(state, i, keys, global_frame, root_height) for i in range(3)]
    torch.testing.assert_close(obs, torch.tensor(np.array(expected)).float(), atol=1e-5, rtol=1e-5)
    assert obs.shape[1] == observations.character_spec(14, 28, 5, root_height).size


@pytest.mark.parametrize(("global_frame", "root_height"), FRAMES)
def test_targets_are_observed_as_specified(humanoid, keys, global_frame, root_height):
    state = random_state(humanoid, 3)
    targets = [random_state(humanoid, 3, seed) for seed in (1, 2)]
    obs = observations.target_obs(state, targets, keys, global_frame, root_height)
    expected = [
        targets_by_hand(state, targets, i, keys, global_frame, root_height) for i in range(3)
    ]
    torch.testing.assert_close(obs, torch.tensor(np.array(expected)).float(), atol=1e-5, rtol=1e-5)
    assert obs.shape[1] == observations.target_spec(2, 14, 5, root_height).size


def test_layouts_name_every_number():
    """1 + 6 + 3 + 3 + 6 * 14 + 28 + 3 * 5 = 140; a target is 3 + 6 + 84 + 15 = 108."""
    spec = observations.character_spec(14, 28, 5, root_height=True)
    assert spec.size == 140
    assert dict(spec.parts) == {
        "root_height": 1, "root_rot": 6, "root_vel": 3, "root_ang_vel": 3,
        "joint_rot": 84, "dof_vel": 28, "key_pos": 15,
    }  # fmt: skip
    assert observations.character_spec(14, 28, 5, root_height=False).size == 139
    assert observations.target_spec(3, 14, 5, root_height=True).size == 324
    assert observations.target_spec(3, 14, 5, root_height=False).size == 321
    assert observations.phase_spec(2).size == 5


@given(angle=st.floats(-3.0, 3.0), x=st.floats(-5, 5), y=st.floats(-5, 5), seed=st.integers(0, 99))
def test_local_observations_do_not_see_place_or_heading(humanoid, angle, x, y, seed):
    keys = torch.tensor(humanoid.body_ids(humanoid.key_bodies, ""))
    turn, shift = quat_from_heading(torch.tensor(angle)), torch.tensor([x, y, 0.0])
    state = random_state(humanoid, 1, seed)
    targets = [random_state(humanoid, 1, seed + k) for k in (100, 200)]

    def observe(state, targets):
        return torch.cat(
            [
                observations.character_obs(state, keys, False, True),
                observations.target_obs(state, targets, keys, False, True),
            ],
            dim=-1,
        )

    here = observe(state, targets)
    there = observe(moved(state, turn, shift), [moved(t, turn, shift) for t in targets])
    torch.testing.assert_close(there, here, atol=2e-4, rtol=1e-4)


def test_local_targets_do_not_see_where_the_character_is(humanoid, keys):
    state, targets = random_state(humanoid, 2), [random_state(humanoid, 2, 1)]
    far = moved(state, quat_from_heading(torch.tensor(0.5)), torch.tensor([3.0, 0.0, 0.0]))
    local = [observations.target_obs(s, targets, keys, False, True) for s in (state, far)]
    world = [observations.target_obs(s, targets, keys, True, True) for s in (state, far)]
    assert torch.equal(*local)
    assert not torch.allclose(*world)


def test_global_observations_see_the_heading_but_not_the_place(humanoid, keys):
    state = random_state(humanoid, 2)
    turn, still = quat_from_heading(torch.tensor(0.5)), quat_from_heading(torch.tensor(0.0))
    shift = torch.tensor([7.0, -2.0, 0.0])
    here = observations.character_obs(state, keys, True, True)
    shifted = observations.character_obs(moved(state, still, shift), keys, True, True)
    turned = observations.character_obs(moved(state, turn, 0 * shift), keys, True, True)
    torch.testing.assert_close(shifted, here, atol=1e-5, rtol=1e-5)
    assert (turned - here).abs().max() > 0.1


def test_the_sign_of_a_quaternion_is_not_seen(humanoid, keys):
    state = random_state(humanoid, 2)
    flipped = state.clone()
    flipped.root_rot.neg_()
    flipped.joint_rot.neg_()
    for global_frame in (True, False):
        torch.testing.assert_close(
            observations.character_obs(flipped, keys, global_frame, True),
            observations.character_obs(state, keys, global_frame, True),
        )


def test_phase_by_hand():
    """phi = 1/8 and two frequencies: sin and cos of 45 and of 90 degrees."""
    obs = observations.phase_obs(torch.tensor([0.125, 0.0]), 2)
    root = math.sqrt(0.5)
    expected = [[0.125, root, 1.0, root, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0]]
    torch.testing.assert_close(obs, torch.tensor(expected), atol=1e-6, rtol=0)
    assert torch.equal(observations.phase_obs(torch.tensor([0.3]), 0), torch.tensor([[0.3]]))


def test_observing_changes_nothing(humanoid, keys):
    state, target = random_state(humanoid, 2), random_state(humanoid, 2, 1)
    before = state.clone(), target.clone()
    for global_frame in (True, False):
        observations.character_obs(state, keys, global_frame, True)
        observations.target_obs(state, [target], keys, global_frame, True)
    for kept, now in zip(before, (state, target)):
        for name, tensor in vars(kept).items():
            assert torch.equal(tensor, getattr(now, name)), name


def test_key_positions_are_relative_to_the_root():
    state = CharacterState.zeros(1, 3, 4)
    state.root_pos[0] = torch.tensor([1.0, 2.0, 3.0])
    state.body_pos[0, 2] = torch.tensor([1.5, 2.0, 2.0])
    got = observations.key_positions(state, torch.tensor([2]))
    assert torch.equal(got, torch.tensor([[[0.5, 0.0, -1.0]]]))
