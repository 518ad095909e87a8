"""Tracking errors by hand. The humanoid has 15 bodies, 14 joints and 28 dofs."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.evaluation import tracking
from mimickit.geometry.quaternion import quat_from_axis_angle
from mimickit.state import CharacterState

CPU = torch.device("cpu")


@pytest.fixture
def zeros():
    return CharacterState.zeros(1, 15, 28)


def moved(state, offset, bodies=slice(None)):
    """The state with some bodies shifted; the root among them moves with its body."""
    state = state.clone()
    state.body_pos[:, bodies] += torch.tensor(offset)
    state.root_pos.copy_(state.body_pos[:, 0])
    return state


def random_state():
    state = CharacterState.zeros(6, 15, 28)
    for name in ("body_pos", "dof_vel"):
        getattr(state, name).normal_()
    state.root_pos.copy_(state.body_pos[:, 0])
    state.body_rot.copy_(torch.nn.functional.normalize(torch.randn(6, 15, 4), dim=-1))
    state.root_rot.copy_(state.body_rot[:, 0])
    return state


def test_position_error_of_a_displaced_character_is_its_roots_share(zeros):
    # Everything 0.3 m away: joints relative to the root agree, so 0.3 / 15.
    state = moved(zeros, [0.1, 0.2, 0.2])
    assert tracking.position_error(state, zeros).item() == pytest.approx(0.3 / 15)
    assert tracking.root_position_error(state, zeros).item() == pytest.approx(0.3)
    assert tracking.body_position_error(state, zeros).item() == pytest.approx(0.0, abs=1e-7)


def test_position_error_of_one_wrong_joint(zeros):
    # The root 0.3 m away, and one hand 0.6 m off within the character: (0.3 + 0.6) / 15.
    state = moved(moved(zeros, [0.1, 0.2, 0.2]), [0.0, 0.0, 0.6], bodies=5)
    assert tracking.position_error(state, zeros).item() == pytest.approx(0.9 / 15)
    assert tracking.body_position_error(state, zeros).item() == pytest.approx(0.6 / 15)


def test_position_error_of_a_wrong_root_alone(zeros):
    # The root moves off and 14 joints stay: each is 0.1 m wrong relative to it: 15 * 0.1 / 15.
    state = moved(zeros, [0.1, 0.0, 0.0], bodies=0)
    assert tracking.position_error(state, zeros).item() == pytest.approx(0.1)


def test_velocity_error_is_of_joints_and_per_dof_of_components(zeros, humanoid):
    state = zeros.clone()
    state.dof_vel[0, :3] = torch.tensor([3.0, -4.0, 0.0])  # abdomen, a ball: norm 5
    state.dof_vel[0, 9] = -2.0  # right elbow, a hinge: 2
    error = tracking.DofVelocityError(humanoid, CPU)
    assert error(state, zeros).item() == pytest.approx((5.0 + 2.0) / 15)
    assert error.per_dof(state, zeros).item() == pytest.approx((3.0 + 4.0 + 2.0) / 28)


def test_every_dof_belongs_to_one_joint(zeros, humanoid):
    error = tracking.DofVelocityError(humanoid, CPU)
    for dof in range(28):
        state = zeros.clone()
        state.dof_vel[0, dof] = 3.0
        assert error(state, zeros).item() == pytest.approx(3.0 / 15)


def test_rotation_errors_by_hand(zeros):
    state = zeros.clone()
    turn = quat_from_axis_angle(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(math.pi / 2))
    state.root_rot[0] = turn
    state.body_rot[0, 3] = turn
    assert tracking.root_rotation_error(state, zeros).item() == pytest.approx(math.pi / 2, rel=1e-5)
    assert tracking.body_rotation_error(state, zeros).item() == pytest.approx(
        math.pi / 2 / 15, rel=1e-4
    )


def test_perfect_tracking_has_no_error(humanoid):
    state = random_state()
    for metric in (
        tracking.position_error,
        tracking.root_position_error,
        tracking.root_rotation_error,
        tracking.body_position_error,
        tracking.body_rotation_error,
        tracking.DofVelocityError(humanoid, CPU),
        tracking.DofVelocityError.per_dof,
    ):
        torch.testing.assert_close(metric(state, state), torch.zeros(6), atol=2e-3, rtol=0)


def test_the_papers_error_is_the_logged_ones_put_together():
    # facts: e_pos = body_pos_err + root_pos_err / B
    state, reference = random_state(), random_state()
    torch.testing.assert_close(
        tracking.position_error(state, reference),
        tracking.body_position_error(state, reference)
        + tracking.root_position_error(state, reference) / 15,
    )


def test_errors_do_not_depend_on_where_both_stand():
    state, reference = random_state(), random_state()
    shift = [3.0, -2.0, 1.0]
    torch.testing.assert_close(
        tracking.position_error(moved(state, shift), moved(reference, shift)),
        tracking.position_error(state, reference),
        rtol=1e-4,
        atol=1e-4,
    )
