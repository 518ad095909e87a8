"""Each tracking error by hand, and what all of them share."""

from __future__ import annotations

import pytest
import torch

from mimickit.envs import rewards
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_from_heading
from mimickit.state import CharacterState
from tests.envs.parts import moved, random_state

NONE = dict.fromkeys(rewards.REWARD_TERMS, 0.0)


def rest():
    """One character of 3 bodies, 2 joints, 4 dofs."""
    return CharacterState.zeros(1, 3, 4)


def errors(state, reference, joints=(1.0, 1.0), dofs=(1.0,) * 4, keys=(1, 2), **counted):
    """Of the first env, by term."""
    keys = torch.tensor(keys)
    weights = rewards.error_weights(
        torch.tensor(joints),
        torch.tensor(dofs),
        len(keys),
        **{"place": True, "height": True, **counted},
    )
    found = rewards.tracking_errors(rewards.deviations(state, reference, keys), weights)
    return dict(zip(rewards.REWARD_TERMS, found[0].tolist()))


def test_pose_error_by_hand():
    """Joints off by 0.3 and 0.5 rad, weights 1 and 0.4: 0.09 + 0.4 * 0.25."""
    state, reference = rest(), rest()
    state.joint_rot[0, 0] = quat_from_axis_angle(torch.tensor([0.0, 0, 1]), torch.tensor(0.3))
    reference.joint_rot[0, 1] = quat_from_axis_angle(torch.tensor([0, 0.6, 0.8]), torch.tensor(0.5))
    got = errors(state, reference, joints=[1.0, 0.4])
    assert got == pytest.approx({**NONE, "pose": 0.19}, abs=1e-6)


def test_velocity_error_by_hand():
    """Off by 3 and 4 rad/s, weights 1 and 0.5: 9 + 0.5 * 16."""
    state, reference = rest(), rest()
    state.dof_vel[0] = torch.tensor([3.0, 0.0, -2.0, 1.0])
    reference.dof_vel[0] = torch.tensor([0.0, 0.0, 2.0, 1.0])
    got = errors(state, reference, dofs=[1.0, 1.0, 0.5, 0.5])
    assert got == pytest.approx({**NONE, "velocity": 17.0})


@pytest.mark.parametrize(
    ("place", "height", "error"),
    [(True, True, 0.115), (True, False, 0.075), (False, True, 0.065), (False, False, 0.025)],
)
def test_root_pose_error_by_hand(place, height, error):
    """0.01 + 0.04 m^2 off where x and y count, 0.04 where z does, and 0.5 rad: 0.1 * 0.25."""
    state, reference = rest(), rest()
    state.root_pos[0] = torch.tensor([0.1, 0.2, -0.2])
    state.body_pos.add_(state.root_pos)
    state.root_rot[0] = quat_from_axis_angle(torch.tensor([0, 0.6, 0.8]), torch.tensor(0.5))
    got = errors(state, reference, place=place, height=height)
    assert got == pytest.approx({**NONE, "root_pose": error}, abs=1e-6)


def test_root_velocity_error_by_hand():
    """1 m/s and 2 rad/s off: 1 + 0.1 * 4."""
    state, reference = rest(), rest()
    state.root_vel[0] = torch.tensor([0.6, 0.0, 0.8])
    reference.root_ang_vel[0] = torch.tensor([0.0, 2.0, 0.0])
    assert errors(state, reference) == pytest.approx({**NONE, "root_velocity": 1.4})


def test_key_position_error_by_hand():
    """Relative to roots 1 m apart, bodies are 0.1 and 0.2 m off: 0.01 + 0.04."""
    state, reference = rest(), rest()
    state.root_pos[0] = torch.tensor([0.0, 1.0, 0.0])
    state.body_pos[0, 1:] = torch.tensor([[0.1, 1.0, 0.0], [1.0, 1.0, 0.2]])
    reference.body_pos[0, 2, 0] = 1.0
    got = errors(state, reference, place=False)
    assert got == pytest.approx({**NONE, "key_position": 0.05})


def test_the_pose_error_counts_geodesic_angles_whatever_the_sign(humanoid):
    state = random_state(humanoid, 4)
    flipped = state.clone()
    flipped.joint_rot.neg_()
    flipped.root_rot.neg_()
    keys = torch.tensor([3, 5])
    same = rewards.deviations(state, state, keys)
    assert torch.equal(same, torch.zeros_like(same))
    torch.testing.assert_close(rewards.deviations(flipped, state, keys), same, atol=1e-6, rtol=0)


def test_a_weight_of_zero_ignores_a_joint(humanoid):
    state, other = random_state(humanoid, 2), random_state(humanoid, 2, 1)
    got = errors(state, other, joints=[0.0] * 14, dofs=[0.0] * 28)
    assert got["pose"] == got["velocity"] == 0.0
    assert min(got["root_pose"], got["root_velocity"], got["key_position"]) > 0.0


def test_turned_turns_velocities_and_bodies_about_the_root(humanoid):
    """As moving the whole state rigidly would, but for the place and the bodies' rotations."""
    state = random_state(humanoid, 1)
    turn = quat_from_heading(torch.tensor([0.8]))
    got = rewards.turned(state, turn)
    whole = moved(state, turn[0], torch.zeros(3))
    shift = state.root_pos - whole.root_pos
    torch.testing.assert_close(got.root_vel, whole.root_vel)
    torch.testing.assert_close(got.root_ang_vel, whole.root_ang_vel)
    torch.testing.assert_close(got.body_pos, whole.body_pos + shift.unsqueeze(1))
    assert torch.equal(got.root_pos, state.root_pos)
    torch.testing.assert_close(got.root_rot, whole.root_rot)
