"""The whole way: close to the source, on the ground, within limits, closed, and reported."""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest
import torch

from mimickit import launch
from mimickit.errors import ConfigError
from mimickit.motions import resolve_motions
from mimickit.motions.measures import limit_excess, trace
from mimickit.motions.retargeting import figures, load_parts, retarget, table
from mimickit.motions.retargeting.poses import reachable, shares_skeleton


@pytest.fixture(scope="module")
def humanoid_parts():
    return load_parts(launch.make_character("humanoid"))


@pytest.fixture(scope="module")
def g1_parts():
    return load_parts(launch.make_character("g1"))


def entry(name, parts):
    return resolve_motions(name, parts.character)[0]


@pytest.fixture(scope="module")
def g1_walk(humanoid_parts, g1_parts):
    pytest.importorskip("mink")
    return retarget(entry("walk", humanoid_parts).clip, humanoid_parts, g1_parts)


def test_the_walk_fits_the_robot(g1_walk, g1_parts):
    report = g1_walk.report
    assert report.foot_error < 0.002
    assert report.penetration < 0.002
    assert report.beyond_limit == 0.0
    assert report.speed_share < 0.6
    shown = trace(g1_walk.clip, g1_parts.character)
    assert float(limit_excess(shown.dof_pos, g1_parts.character).max()) == 0.0
    assert g1_walk.may_touch_ground is None


def test_the_seam_is_closed(g1_walk):
    clip = g1_walk.clip
    np.testing.assert_allclose(clip.joint_rot[0], clip.joint_rot[-1], atol=1e-6)
    assert clip.root_pos[0, 2] == pytest.approx(clip.root_pos[-1, 2], abs=1e-6)
    heading = clip.root_rot[[0, -1]]
    np.testing.assert_allclose(np.abs(heading[0]), np.abs(heading[1]), atol=1e-5)


def test_the_motion_is_still_the_same(g1_walk, humanoid_parts, g1_parts):
    source = trace(entry("walk", humanoid_parts).clip, humanoid_parts.character)
    shown = trace(g1_walk.clip, g1_parts.character)
    for part, most in (("torso", 10.0), ("left_shin", 15.0), ("right_upper_arm", 15.0)):
        turns = []
        for seen, parts in ((source, humanoid_parts), (shown, g1_parts)):
            rot = seen.body_rot[:, parts.bodies[part]]
            turns.append((rot[10] * rot).sum(-1).abs().clamp_max(1.0).arccos() * 2.0)
        assert math.degrees(float((turns[0] - turns[1]).abs().max())) < most


def test_the_provenance_names_the_chain(g1_walk, humanoid_parts):
    source = entry("walk", humanoid_parts).clip
    record = g1_walk.clip.provenance
    assert record["source"] == source.provenance["source"]
    assert record["licence"] == "MIT"
    assert record["tool"] == "mimickit.motions.retargeting"
    assert len(record["source_hash"]) == 64
    assert "retargeted from humanoid's walk, lengths scaled by 0.78" in record["notes"]


def test_the_report_is_a_table_and_figures(g1_walk):
    text = table(["walk"], [g1_walk.report])
    head, rule, row = text.splitlines()
    assert head.count("|") == rule.count("|") == row.count("|") == 10
    assert "left_knee_joint" in row or "right_knee_joint" in row
    assert figures(g1_walk.report)["beyond_limit"] == 0.0


def test_a_shared_skeleton_is_copied(humanoid_parts):
    armed = load_parts(launch.make_character("humanoid_sword_shield"))
    assert shares_skeleton(humanoid_parts.character, armed.character)
    source = entry("walk", humanoid_parts).clip
    made = retarget(source, humanoid_parts, armed).clip
    for joint in source.joint_names:
        np.testing.assert_allclose(
            made.joint_rot[:, made.joint_names.index(joint)],
            source.joint_rot[:, source.joint_names.index(joint)],
            atol=2e-6,
        )
    hand = made.joint_rot[:, made.joint_names.index("right_hand")]
    np.testing.assert_array_equal(hand, np.tile([0.0, 0.0, 0.0, 1.0], (len(hand), 1)))


def test_skeletons_differ_where_a_bone_or_a_joint_does(humanoid_parts, g1_parts):
    armed = launch.make_character("humanoid_sword_shield")
    assert not shares_skeleton(humanoid_parts.character, g1_parts.character)
    assert not shares_skeleton(armed, humanoid_parts.character)  # which has no sword


def test_bodies_that_touch_the_ground_are_translated(humanoid_parts, g1_parts):
    pytest.importorskip("mink")
    clip = entry("turn_left0", humanoid_parts).clip
    made = retarget(clip, humanoid_parts, g1_parts, ("left_hand", "left_foot"))
    assert "left_wrist_yaw_link" in made.may_touch_ground
    assert set(g1_parts.character.may_touch_ground) <= set(made.may_touch_ground)
    assert "right_wrist_yaw_link" not in made.may_touch_ground
    assert retarget(clip, humanoid_parts, humanoid_parts, ()).may_touch_ground == ()


def test_it_says_which_package_is_missing(humanoid_parts, g1_parts, monkeypatch):
    real = builtins.__import__

    def without_mink(name, *args, **kwargs):
        if name == "mink":
            raise ModuleNotFoundError("No module named 'mink'", name="mink")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_mink)
    monkeypatch.delitem(__import__("sys").modules, "mimickit.motions.retargeting.solving", False)
    import mimickit.motions.retargeting as package

    monkeypatch.delattr(package, "solving", raising=False)
    with pytest.raises(ConfigError, match=r"package 'mink'.*pip install 'mimickit\[retarget\]'"):
        retarget(entry("walk", humanoid_parts).clip, humanoid_parts, g1_parts)


def test_ball_joints_keep_to_the_components_of_their_exp_maps(humanoid_parts):
    """The exp-map limit of the solver is the change of the exp map itself, by differences."""
    pytest.importorskip("mink")
    from mimickit.geometry.quaternion import quat_from_exp_map, quat_multiply, quat_to_exp_map
    from mimickit.motions.retargeting.solving import _inverse_right_jacobian

    for exp_map in ([0.3, -0.8, 1.1], [1e-6, 0.0, 0.0]):
        start = torch.tensor(exp_map, dtype=torch.float64)
        turns = 1e-6 * torch.eye(3, dtype=torch.float64)
        turned = quat_multiply(quat_from_exp_map(start).expand(3, 4), quat_from_exp_map(turns))
        slope = ((quat_to_exp_map(turned) - start) / 1e-6).T
        np.testing.assert_allclose(_inverse_right_jacobian(start.numpy()), slope, atol=1e-5)


def test_a_hinge_keeps_within_what_a_rotation_can_tell():
    joints = {joint.name: joint for joint in launch.make_character("pi_plus").joints}
    low, high = reachable(joints["l_shoulder_pitch_joint"])[0]  # whose range is -4.18 to 1.04
    assert (low, high) == pytest.approx((-math.pi + 1e-4, 1.04 - 1e-4))
