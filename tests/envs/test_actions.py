"""From a policy's numbers to commands: bounds, and poses about the reference."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.characters import Kinematics
from mimickit.envs.actions import AbsoluteActions, ReferenceActions, action_bounds
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.geometry.quaternion import quat_angle
from tests.envs.parts import random_state

# Facts, table 1.3, column "action bound" [rad].
PUBLISHED = {
    "abdomen": (-1.8850, 1.8850), "neck": (-1.2566, 1.2566),
    "right_shoulder": (-3.3510, 3.3510), "right_elbow": (-0.5585, 3.3510),
    "left_shoulder": (-3.3510, 3.3510), "left_elbow": (-3.3510, 0.5585),
    "right_hip": (-2.9322, 2.9322), "right_knee": (-0.5585, 3.3510),
    "right_ankle": (-1.1519, 1.1519), "left_hip": (-2.9322, 2.9322),
    "left_knee": (-0.5585, 3.3510), "left_ankle": (-1.1519, 1.1519),
}  # fmt: skip
# The same as a standard deviation of 0.05 half ranges [rad], as section 3.8 gives it.
SIGMA = {"abdomen": 0.094, "neck": 0.063, "right_shoulder": 0.168, "right_hip": 0.147,
         "right_ankle": 0.058, "left_elbow": 0.098, "right_knee": 0.098}  # fmt: skip


def test_bounds_are_the_published_ones(humanoid):
    low, high = action_bounds(humanoid, "pos")
    assert set(PUBLISHED) == {joint.name for joint in humanoid.movable_joints}
    for joint in humanoid.movable_joints:
        for dof in range(joint.dofs.start, joint.dofs.stop):
            assert (low[dof], high[dof]) == pytest.approx(PUBLISHED[joint.name], abs=1e-4)
        if joint.name in SIGMA:
            half = 0.5 * (high - low)[joint.dofs.start]
            assert 0.05 * half == pytest.approx(SIGMA[joint.name], abs=6e-4)


def test_hinges_are_centred_on_zero_when_asked(humanoid):
    """0..2.7925 about 0: +-1.4 * 2.7925 = +-3.9095."""
    low, high = action_bounds(replace(humanoid, zero_center_action=True), "pos")
    assert (low[17], high[17]) == pytest.approx((-3.9095, 3.9095), abs=1e-4)
    assert (low[0], high[0]) == pytest.approx(PUBLISHED["abdomen"], abs=1e-4)


def test_bounds_of_the_other_modes(humanoid):
    low, high = action_bounds(humanoid, "vel")
    assert (high == 2 * math.pi).all()
    assert (low == -high).all()
    _, high = action_bounds(humanoid, "torque")
    assert high[[0, 3, 6, 9, 14, 17, 18]].tolist() == [200, 50, 100, 70, 200, 150, 90]
    low, high = action_bounds(humanoid, "none")
    assert (high == 1).all()
    assert (low == -1).all()


def test_absolute_actions_span_the_bounds_and_no_more(humanoid):
    actions = AbsoluteActions(humanoid, "pos")
    low, high = (torch.tensor(b).float() for b in action_bounds(humanoid, "pos"))
    assert (actions.size, actions.needs) == (28, frozenset())

    def decode(value):
        return actions.decode(torch.full((2, 28), value), random_state(humanoid, 2), None)[1]

    torch.testing.assert_close(decode(0.0), 0.5 * (low + high))
    assert decode(0.0)[9].item() == pytest.approx(1.39625, abs=1e-4)  # elbows half bent
    torch.testing.assert_close(decode(1.0), high)
    torch.testing.assert_close(decode(-1.0), low)
    torch.testing.assert_close(decode(0.5), 0.25 * low + 0.75 * high)
    assert torch.equal(decode(7.0), high)
    assert torch.equal(decode(-1e9), low)


def test_a_nan_action_stays_nan_for_the_engine_to_tell(humanoid):
    reference = random_state(humanoid, 1)
    for actions in (AbsoluteActions(humanoid, "pos"), ReferenceActions(humanoid, "pos")):
        assert actions.decode(torch.full((1, 28), float("nan")), reference, reference).isnan().any()


def plain(humanoid, scale=0.3):
    return ReferenceActions(humanoid, "pos", scale=scale, damping_compensation=0.0)


def test_no_action_asks_for_the_reference(humanoid):
    actions, reference = plain(humanoid), random_state(humanoid, 8)
    assert actions.needs == {"reference", "visible_reference"}
    command = actions.decode(torch.zeros(8, 28), reference, reference)
    asked = Kinematics(humanoid).dof_to_rot(command)
    assert quat_angle(asked, reference.joint_rot).max() < 1e-5


def test_reference_actions_turn_the_reference_in_its_own_frame(humanoid):
    """Abdomen at 90 degrees about x, corrected by 0.3 * 1.885 / 2 rad about its own y.

    (sin 45, 0, 0, cos 45) * (0, sin a, 0, cos a), a = 0.141375:
    x = s cos a, y = c sin a, z = s sin a, w = c cos a, s = c = 0.707107.
    """
    kinematics = Kinematics(humanoid)
    dofs = torch.zeros(1, 28)
    dofs[0, 0] = math.pi / 2
    reference = replace(random_state(humanoid, 1), joint_rot=kinematics.dof_to_rot(dofs))
    action = torch.zeros(1, 28)
    action[0, 1] = 0.5
    asked = kinematics.dof_to_rot(plain(humanoid).decode(action, reference, reference))[0, 0]
    a = 0.25 * 0.3 * 1.88496
    s = math.sqrt(0.5)
    expected = [s * math.cos(a), s * math.sin(a), s * math.sin(a), s * math.cos(a)]
    torch.testing.assert_close(asked, torch.tensor(expected), atol=1e-5, rtol=0)


def test_a_hinge_is_corrected_by_an_angle(humanoid):
    """Knee at 0.5 rad, half an action: 0.5 * 0.3 * 1.95475 = 0.2932 rad more."""
    kinematics = Kinematics(humanoid)
    dofs = torch.zeros(1, 28)
    dofs[0, 17] = 0.5
    reference = replace(random_state(humanoid, 1), joint_rot=kinematics.dof_to_rot(dofs))
    action = torch.zeros(1, 28)
    action[0, 17] = 0.5
    command = plain(humanoid).decode(action, reference, reference)
    assert command[0, 17].item() == pytest.approx(0.79321, abs=1e-4)


@given(knee=st.floats(0.0, 2.7925), action=st.floats(-1.0, 1.0), speed=st.floats(-25.0, 25.0))
def test_a_hinge_target_does_not_wrap_around(humanoid, knee, action, speed):
    """A knee that folds fast is asked to fold on, past pi, not to unfold the other way round."""
    kinematics = Kinematics(humanoid)
    dofs, actions = torch.zeros(1, 28), torch.zeros(1, 28)
    dofs[0, 17], actions[0, 17] = knee, action
    reference = replace(
        random_state(humanoid, 1),
        joint_rot=kinematics.dof_to_rot(dofs),
        dof_vel=torch.full((1, 28), speed),
    )
    command = ReferenceActions(humanoid, "pos").decode(actions, reference, reference)
    expected = knee + action * 0.3 * 1.95475 + 0.1 * speed  # kd / kp = 50 / 500
    assert command[0, 17].item() == pytest.approx(expected, abs=1e-3)


def test_actions_beyond_one_ask_for_no_more(humanoid):
    reference = random_state(humanoid, 4)
    for actions in (plain(humanoid), ReferenceActions(humanoid, "pos")):
        one = actions.decode(torch.ones(4, 28), reference, reference)
        assert torch.equal(actions.decode(torch.full((4, 28), 50.0), reference, reference), one)


def test_compensation_makes_up_for_what_damping_costs(humanoid):
    """kp log(q^-1 target) = kd w when the joint is at the reference: no net torque on it."""
    reference = random_state(humanoid, 8)
    command = ReferenceActions(humanoid, "pos").decode(torch.zeros(8, 28), reference, reference)
    asked = Kinematics(humanoid).dof_to_rot(command)
    lead = Kinematics(humanoid).dof_velocity(reference.joint_rot, asked, 1.0)
    torch.testing.assert_close(lead, 0.1 * reference.dof_vel, atol=2e-4, rtol=0)


def test_corrections_are_a_share_of_the_half_range(humanoid):
    """A full action about one axis turns `scale` half ranges: 0.2 * 1.2566 rad at the neck."""
    reference = random_state(humanoid, 1)
    action = torch.zeros(1, 28)
    action[0, 4] = -1.0
    command = plain(humanoid, scale=0.2).decode(action, reference, reference)
    asked = Kinematics(humanoid).dof_to_rot(command)
    angles = quat_angle(asked, reference.joint_rot)[0]
    assert angles[1].item() == pytest.approx(0.2 * 1.25664, abs=1e-4)
    assert (torch.cat([angles[:1], angles[2:]]) < 1e-5).all()


@pytest.mark.parametrize("mode", ["vel", "torque", "none"])
def test_reference_actions_need_drives_that_take_poses(humanoid, mode):
    with pytest.raises(IncompatibleParts, match=rf"engine.control_mode={mode} takes none"):
        ReferenceActions(humanoid, mode)


@pytest.mark.parametrize("effort_scale", [1.0, 0.5])
def test_an_action_of_one_asks_a_motor_for_its_limit(g1, effort_scale):
    """Of the reference pose at rest; an ankle's 50 Nm are 50 / 28.501 = 1.754 rad away."""
    actions = ReferenceActions(g1, "pos", effort_scale=effort_scale)
    reference = random_state(g1, 4)
    reference.dof_vel.zero_()
    angles = Kinematics(g1).rot_to_dof(reference.joint_rot)
    for sign in (1.0, -1.0):
        error = actions.decode(torch.full((4, 29), sign), reference, reference) - angles
        for joint in g1.movable_joints:
            torque = joint.kp * error[:, joint.dofs]
            expected = torch.full_like(torque, sign * effort_scale * joint.torque_limit)
            torch.testing.assert_close(torque, expected, atol=1e-3, rtol=1e-4, msg=joint.name)
            if joint.name == "left_ankle_roll_joint":
                assert error[0, joint.dofs].item() == pytest.approx(
                    sign * effort_scale * 1.7543, 1e-3
                )


def test_bounds_leave_a_motor_all_its_torque_at_either_end_of_its_range(g1):
    """An ankle's roll of +-0.2618 rad is asked for within +-(0.2618 + 50 / 28.501) rad."""
    low, high = action_bounds(g1, "pos")
    for joint in g1.movable_joints:
        dof, (least, most) = joint.dofs.start, joint.limits[0]
        assert joint.kp * (high[dof] - most) >= joint.torque_limit - 1e-9
        assert joint.kp * (least - low[dof]) >= joint.torque_limit - 1e-9
        if joint.name == "left_ankle_roll_joint":
            assert (low[dof], high[dof]) == pytest.approx((-2.0161, 2.0161), abs=1e-4)
    # Drives without limits have the published bounds: 1.4 * 0.2618 = 0.3665 rad.
    low, high = action_bounds(replace(g1, effort_limited=False), "pos")
    ankle = next(j for j in g1.movable_joints if j.name == "left_ankle_roll_joint").dofs.start
    assert (low[ankle], high[ankle]) == pytest.approx((-0.3665, 0.3665), abs=1e-4)


@pytest.mark.parametrize("key", ["scale", "effort_scale"])
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_scales_must_be_positive(humanoid, key, scale):
    with pytest.raises(ConfigError, match=f"action.{key} must be > 0, got"):
        ReferenceActions(humanoid, "pos", **{key: scale})


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_compensation_must_be_a_share(humanoid, share):
    with pytest.raises(ConfigError, match=r"action.damping_compensation must be in \[0, 1\], got"):
        ReferenceActions(humanoid, "pos", damping_compensation=share)
