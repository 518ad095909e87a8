"""Legs solved in closed form, gaits that keep to their rule, and the Go2's clips."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mimickit import launch
from mimickit.characters import Kinematics
from mimickit.errors import MotionError, UnknownBody
from mimickit.motions import resolve_motions
from mimickit.motions.measures import limit_excess, penetration, skating, trace
from mimickit.motions.retargeting.quadruped import LEGS, PACE, TROT, Legs, gait_path


@pytest.fixture(scope="module")
def go2():
    return launch.make_character("go2")


def test_angles_put_the_feet_where_they_are_asked_for(go2):
    torch.manual_seed(1)
    legs, kinematics = Legs(go2), Kinematics(go2, dtype=torch.float64)
    angles = torch.rand(50, 4, 3, dtype=torch.float64) * 0.8 + torch.tensor([-0.4, 0.3, -2.2])
    pos = torch.rand(50, 3, dtype=torch.float64)
    rot = torch.nn.functional.normalize(torch.randn(50, 4, dtype=torch.float64), dim=-1)
    body_pos, _ = kinematics.forward(pos, rot, kinematics.dof_to_rot(legs.dofs(angles)))
    feet = body_pos[:, go2.body_ids([f"{leg}_foot" for leg in LEGS], "test")]
    torch.testing.assert_close(legs.angles(pos, rot, feet), angles, atol=1e-9, rtol=0)


def test_a_foot_out_of_reach_is_named(go2):
    feet = torch.zeros(1, 4, 3, dtype=torch.float64)
    upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    with pytest.raises(MotionError, match=r"foot FL is 1\.\d+ m from its thigh.*0\.426 m"):
        Legs(go2).angles(torch.tensor([[0.0, 0.0, 1.0]]).double(), upright, feet)


def test_only_legs_of_this_kind_are_solved(humanoid, go2):
    with pytest.raises(UnknownBody, match="FL_hip"):
        Legs(humanoid)
    crooked = go2.offsets.copy()
    crooked[go2.body_names.index("FL_calf"), 0] = 0.1
    with pytest.raises(MotionError, match="the legs of 'go2' are not of the kind"):
        Legs(replace(go2, offsets=crooked))


@pytest.mark.parametrize("gait", [TROT, PACE])
def test_a_gait_stands_half_of_the_time_and_closes(gait, go2):
    root, feet = gait_path(gait, go2, 60.0)
    radius = Legs(go2).radius
    step = gait.speed * gait.period
    torch.testing.assert_close(
        feet[-1] - feet[0], torch.tensor([step, 0.0, 0.0]).double().expand(4, 3)
    )
    torch.testing.assert_close(root[-1] - root[0], torch.tensor([step, 0.0, 0.0]).double())
    low = feet[:-1, :, 2] < radius + 1e-9
    assert low.sum(0).tolist() == [16, 16, 16, 16]  # of 30 frames: 15 intervals and their end
    assert float(feet[..., 2].max()) == pytest.approx(radius + gait.clearance, abs=1e-3)
    moved = (feet[1:, :, :2] - feet[:-1, :, :2]).norm(dim=-1)
    assert float(moved[low[:] & low.roll(-1, 0)].max()) < 1e-9
    # In the middle of its stance a foot is right under its thigh.
    legs = Legs(go2)
    start = next(number for number, leg in enumerate(LEGS) if gait.phases[leg] == 0.0)
    middle = round(0.25 * gait.period * 60.0 - 0.5)
    under = feet[middle, start, 0] - root[middle, 0] - legs.hips[start, 0]
    assert abs(float(under)) < gait.speed / 60.0


def test_diagonal_legs_go_together_in_a_trot_and_those_of_a_side_in_a_pace(go2):
    for gait, pairs in ((TROT, ("FL RR", "FR RL")), (PACE, ("FL RL", "FR RR"))):
        _, feet = gait_path(gait, go2, 60.0)
        for pair in pairs:
            one, two = (LEGS.index(leg) for leg in pair.split())
            torch.testing.assert_close(feet[:, one, 2], feet[:, two, 2])


def test_the_sway_of_a_pace_obeys_the_pendulum(go2):
    fps = 600.0
    root, feet = gait_path(PACE, go2, fps)
    y = root[:, 1]
    acceleration = (y[2:] - 2.0 * y[1:-1] + y[:-2]) * fps**2
    middle = slice(10, 130)  # of the left stance, 150 intervals long
    wanted = 9.81 / PACE.height * (y[1:-1] - feet[0, 0, 1])
    torch.testing.assert_close(acceleration[middle], wanted[middle], atol=0.02, rtol=0)
    assert float(y.max()) == pytest.approx(-float(y.min()), abs=1e-9)


def test_a_period_must_be_whole_frames(go2):
    with pytest.raises(MotionError, match="no whole number of frames at 61"):
        gait_path(TROT, go2, 61.0)


@pytest.mark.parametrize("name", ["walk", "trot", "pace"])
def test_the_clips_can_be_done(name, go2):
    clip = resolve_motions(name, go2)[0].clip
    shown = trace(clip, go2)
    assert float(penetration(shown).max()) < 0.002
    assert float(limit_excess(shown.dof_pos, go2).max()) == 0.0
    assert float(shown.dof_vel.abs().max()) < 15.7  # [rad/s] the slowest motor's: the calf's
    assert skating(shown, go2.feet) < 0.1
    assert shown.lowest.max() < 0.002  # never in flight
    assert clip.loop
    np.testing.assert_allclose(clip.joint_rot[0], clip.joint_rot[-1], atol=1e-6)
    assert math.isclose(clip.root_pos[0, 2], clip.root_pos[-1, 2], abs_tol=1e-6)
