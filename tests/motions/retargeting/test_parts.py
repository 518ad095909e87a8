"""Which body plays which part: read, checked, and right for every character we ship."""

from __future__ import annotations

import math

import pytest
import torch
import yaml

from mimickit import launch
from mimickit.characters import Kinematics
from mimickit.errors import ConfigError, UnknownBody, UnknownJoint
from mimickit.motions.retargeting import load_parts

CHARACTERS = ("humanoid", "g1", "smpl", "humanoid_sword_shield", "pi_plus")


@pytest.mark.parametrize("name", CHARACTERS)
def test_the_t_pose_holds_the_arms_out_and_the_legs_down(name):
    parts = load_parts(launch.make_character(name))
    kinematics = Kinematics(parts.character, dtype=torch.float64)
    upright = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    pos, _ = kinematics.forward(torch.zeros(3).double(), upright, parts.t_pose_rot)

    def way(start, end):
        step = pos[parts.bodies[end]] - pos[parts.bodies[start]]
        return (step / step.norm()).tolist()

    for side, sign in (("left", 1.0), ("right", -1.0)):
        assert way(f"{side}_upper_arm", f"{side}_forearm")[1] * sign > 0.95
        assert way(f"{side}_forearm", f"{side}_hand")[1] * sign > 0.95
        assert way(f"{side}_thigh", f"{side}_shin")[2] < -0.9
        assert pos[parts.bodies[f"{side}_foot"], 2] < pos[parts.bodies[f"{side}_shin"], 2]
        assert pos[parts.bodies[f"{side}_foot"], 1] * sign > 0


def test_the_first_pattern_that_fits_limits_a_joint():
    parts = load_parts(launch.make_character("g1"))
    limits = {joint.name: parts.speed_limits[joint.dofs.start] for joint in parts.character.joints}
    assert limits["left_hip_roll_joint"] == 20.0
    assert limits["left_hip_pitch_joint"] == 32.0
    assert limits["right_wrist_roll_joint"] == 37.0
    assert limits["right_wrist_yaw_joint"] == 22.0
    assert all(math.isfinite(limit) for limit in limits.values())


def test_feet_are_all_that_hangs_on_them():
    parts = load_parts(launch.make_character("smpl"))
    names = [parts.character.body_names[body] for body in parts.soles]
    assert names == ["L_Ankle", "L_Toe", "R_Ankle", "R_Toe"]


def test_a_part_that_is_missing_is_passed_over():
    parts = load_parts(launch.make_character("pi_plus"))  # whose trunk is its pelvis
    assert parts.parent("left_upper_arm") == "pelvis"
    assert parts.parent("left_hand") == "left_forearm"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bodies": {"left_foott": "left_foot"}}, ConfigError, "'left_foott'.*Closest: left_foot"),
        ({"bodies": {"head": "heat"}}, UnknownBody, "no body 'heat'.*Closest: head"),
        ({"bodies": {"head": {"bodi": "head"}}}, ConfigError, "bodies.head wants a body"),
        ({"bodies": {"pelvis": "torso"}}, ConfigError, "the root body 'pelvis', got 'torso'"),
        ({"bodies": ["pelvis"]}, ConfigError, "bodies must be a mapping"),
        ({"t_pose": {"left_kne": 1.0}}, UnknownJoint, "no joint 'left_kne'.*Closest: left_knee"),
        ({"t_pose": {"left_knee": [1.0, 2.0]}}, ConfigError, r"left_knee wants 1 numbers \[rad\]"),
        ({"t_pose": {"left_hip": "straight"}}, ConfigError, "left_hip wants 3 numbers"),
        ({"speed_limits": {"left_knee": -1}}, ConfigError, "must be a speed > 0"),
        ({"speed_limits": {"*_kneee": 1}}, UnknownJoint, r"no joint '\*_kneee'"),
        ({"sped_limits": {}}, ConfigError, "unknown key 'sped_limits'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(change, error, message, humanoid, tmp_path):
    facts = yaml.safe_load((humanoid.model.parent / "retarget.yaml").read_text())
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(facts.get(key), dict)
        facts[key] = {**facts[key], **value} if both else value
    path = tmp_path / "retarget.yaml"
    path.write_text(yaml.safe_dump(facts))
    with pytest.raises(error, match=message):
        load_parts(humanoid, path)


def test_what_is_needed_must_be_there(humanoid, tmp_path):
    path = tmp_path / "retarget.yaml"
    path.write_text("bodies: {pelvis: pelvis, left_foot: left_foot}")
    with pytest.raises(ConfigError, match="bodies lacks left_thigh, right_thigh, right_foot"):
        load_parts(humanoid, path)
    with pytest.raises(ConfigError, match=r"'humanoid' cannot be retargeted: there is no .*absent"):
        load_parts(humanoid, tmp_path / "absent.yaml")
    path.write_text("bodies: {")
    with pytest.raises(ConfigError, match="not readable YAML"):
        load_parts(humanoid, path)
