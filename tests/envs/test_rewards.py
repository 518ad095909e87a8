"""Each reward term by hand, and what all of them share."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.envs import rewards
from mimickit.geometry.quaternion import quat_from_axis_angle, quat_from_heading, quat_multiply
from mimickit.state import CharacterState
from tests.envs.parts import moved, random_state


def rest():
    """One character of 3 bodies, 2 joints, 4 dofs."""
    return CharacterState.zeros(1, 3, 4)


def test_pose_reward_by_hand():
    """Joints off by 0.3 and 0.5 rad, weights 1 and 0.4: exp(-0.25 (0.09 + 0.4 * 0.25))."""
    state, reference = rest(), rest()
    state.joint_rot[0, 0] = quat_from_axis_angle(torch.tensor([0.0, 0, 1]), torch.tensor(0.3))
    reference.joint_rot[0, 1] = quat_from_axis_angle(torch.tensor([0, 0.6, 0.8]), torch.tensor(0.5))
    got = rewards.pose_reward(state, reference, torch.tensor([1.0, 0.4]), 0.25)
    assert got.item() == pytest.approx(math.exp(-0.25 * 0.19), abs=1e-6)


def test_velocity_reward_by_hand():
    """Off by 3 and 4 rad/s, weights 1 and 0.5: exp(-0.01 (9 + 0.5 * 16)) = exp(-0.17)."""
    state, reference = rest(), rest()
    state.dof_vel[0] = torch.tensor([3.0, 0.0, -2.0, 1.0])
    reference.dof_vel[0] = torch.tensor([0.0, 0.0, 2.0, 1.0])
    got = rewards.velocity_reward(state, reference, torch.tensor([1.0, 1.0, 0.5, 0.5]), 0.01)
    assert got.item() == pytest.approx(math.exp(-0.17), abs=1e-6)


def test_root_pose_reward_by_hand():
    """0.3 m and 0.5 rad off: exp(-5 (0.09 + 0.1 * 0.25)) = exp(-0.575)."""
    got = rewards.root_pose_reward(torch.tensor([[0.1, 0.2, -0.2]]), torch.tensor([0.5]), 5.0, 0.1)
    assert got.item() == pytest.approx(math.exp(-0.575), abs=1e-6)


def test_root_velocity_reward_by_hand():
    """1 m/s and 2 rad/s off: exp(-1 (1 + 0.1 * 4)) = exp(-1.4)."""
    got = rewards.root_velocity_reward(
        torch.tensor([[0.6, 0.0, 0.8]]), torch.tensor([[0.0, 2.0, 0.0]]), 1.0, 0.1
    )
    assert got.item() == pytest.approx(math.exp(-1.4), abs=1e-6)


def test_key_position_reward_by_hand():
    """Bodies 0.1 and 0.2 m off: exp(-10 (0.01 + 0.04)) = exp(-0.5)."""
    key = torch.tensor([[[0.1, 0.0, 0.0], [1.0, 0.0, 0.2]]])
    reference = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    assert rewards.key_position_reward(key, reference, 10.0).item() == pytest.approx(
        math.exp(-0.5), abs=1e-6
    )


def test_key_positions_are_relative_to_the_root():
    state = rest()
    state.root_pos[0] = torch.tensor([1.0, 2.0, 3.0])
    state.body_pos[0, 2] = torch.tensor([1.5, 2.0, 2.0])
    got = rewards.key_positions(state, torch.tensor([2]))
    assert torch.equal(got, torch.tensor([[[0.5, 0.0, -1.0]]]))


def test_the_pose_reward_counts_geodesic_angles_whatever_the_sign(humanoid):
    state = random_state(humanoid, 4)
    flipped = state.clone()
    flipped.joint_rot.neg_()
    weights = torch.ones(14)
    assert torch.equal(rewards.pose_reward(state, state, weights, 1.0), torch.ones(4))
    torch.testing.assert_close(rewards.pose_reward(flipped, state, weights, 1.0), torch.ones(4))


def test_a_weight_of_zero_ignores_a_joint(humanoid):
    state, other = random_state(humanoid, 2), random_state(humanoid, 2, 1)
    weights, dofs = torch.zeros(14), torch.zeros(28)
    assert torch.equal(rewards.pose_reward(state, other, weights, 1.0), torch.ones(2))
    assert torch.equal(rewards.velocity_reward(state, other, dofs, 1.0), torch.ones(2))


def test_turned_turns_velocities_and_bodies_about_the_root(humanoid):
    """As moving the whole state rigidly would, but for the place and the rotations kept."""
    state = random_state(humanoid, 1)
    turn = quat_from_heading(torch.tensor([0.8]))
    got = rewards.turned(state, turn)
    whole = moved(state, turn[0], torch.zeros(3))
    shift = state.root_pos - whole.root_pos
    torch.testing.assert_close(got.root_vel, whole.root_vel)
    torch.testing.assert_close(got.root_ang_vel, whole.root_ang_vel)
    torch.testing.assert_close(got.body_pos, whole.body_pos + shift.unsqueeze(1))
    assert torch.equal(got.root_pos, state.root_pos)
    assert torch.equal(got.root_rot, state.root_rot)
    assert quat_multiply(turn, state.root_rot).shape == (1, 4)
