"""Rates and control modes, checked before any engine is built."""

from __future__ import annotations

import pytest
import torch

from mimickit.characters import Kinematics
from mimickit.engines.engine import CONTROL_MODES, check_control_mode, default_state, substeps
from mimickit.errors import ConfigError, IncompatibleParts


def test_substeps_are_the_ratio_of_the_rates():
    assert substeps(30, 120) == 4
    assert substeps(30.0, 30.0) == 1
    assert substeps(29.97, 119.88) == 4


@pytest.mark.parametrize(("control", "sim"), [(30, 100), (30, 15), (60, 90)])
def test_rates_that_do_not_divide_are_refused(control, sim):
    with pytest.raises(ConfigError) as caught:
        substeps(control, sim)
    assert str(caught.value) == (
        f"engine.sim_hz={sim} must be a whole multiple of engine.control_hz={control}"
    )


@pytest.mark.parametrize(
    ("control", "sim"), [(0, 120), (30, 0), (-30, 120), (float("nan"), 120), (30, float("inf"))]
)
def test_rates_that_are_no_rates_are_refused(control, sim):
    with pytest.raises(ConfigError, match=r"engine.control_hz=.* and engine.sim_hz=.* must be"):
        substeps(control, sim)


def test_an_unknown_control_mode_is_told_the_known_ones(humanoid):
    with pytest.raises(ConfigError) as caught:
        check_control_mode("position", humanoid)
    assert str(caught.value) == (
        "engine.control_mode=position: choose one of none, pos, vel, torque, pd_1d"
    )


def test_pd_1d_names_the_ball_joints_it_cannot_drive(humanoid):
    with pytest.raises(IncompatibleParts) as caught:
        check_control_mode("pd_1d", humanoid)
    message = str(caught.value)
    assert "abdomen, neck, right_shoulder" in message
    assert "elbow" not in message
    assert message.endswith("use engine.control_mode=pos")


def test_a_character_of_hinges_takes_every_mode(wheels):
    for mode in CONTROL_MODES:
        check_control_mode(mode, wheels)


def test_the_default_state_is_at_rest_in_the_default_pose(humanoid):
    kinematics = Kinematics(humanoid)
    state = default_state(humanoid, kinematics, 2)
    height = humanoid.default_height
    torch.testing.assert_close(state.root_pos, torch.tensor([[0.0, 0.0, height]] * 2))
    dofs = kinematics.rot_to_dof(state.joint_rot)
    torch.testing.assert_close(dofs, torch.tensor(humanoid.default_dofs).float().repeat(2, 1))
    assert torch.equal(state.body_pos[:, 0], state.root_pos)
    for velocity in (state.root_vel, state.root_ang_vel, state.dof_vel, state.contact_force):
        assert (velocity == 0).all()
