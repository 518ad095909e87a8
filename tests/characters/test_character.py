"""A character's facts are joined by name, and every wrong one is named with its key."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimickit.characters import JointKind, load_character
from mimickit.characters.character import asset_path
from mimickit.errors import CharacterError, ConfigError, UnknownBody, UnknownJoint


def test_humanoid_has_the_published_size(humanoid):
    # Source: MimicKit f8d0d70, humanoid.xml: 15 bodies, 28 degrees of freedom.
    assert (humanoid.num_bodies, humanoid.num_joints, humanoid.num_dofs) == (15, 14, 28)
    kinds = [joint.kind for joint in humanoid.joints]
    assert [kinds.count(kind) for kind in (JointKind.BALL, JointKind.HINGE, JointKind.FIXED)] == [
        8, 4, 2,
    ]  # fmt: skip


def test_dofs_of_the_joints_tile_the_dof_vector(humanoid):
    indices = [i for joint in humanoid.joints for i in range(humanoid.num_dofs)[joint.dofs]]
    assert indices == list(range(humanoid.num_dofs))


def test_joint_of_a_body_is_one_before_it(humanoid):
    assert [joint.body for joint in humanoid.joints] == list(range(1, humanoid.num_bodies))
    assert humanoid.joints[humanoid.body_names.index("right_hand") - 1].kind is JointKind.FIXED


def test_gains_and_limits_are_those_of_the_config(humanoid):
    knee = next(joint for joint in humanoid.joints if joint.name == "right_knee")
    assert (knee.kp, knee.kd, knee.torque_limit, knee.armature) == (500, 50, 150, 0.02)
    assert knee.limits == ((0.0, 2.7925),)  # a hinge's come from the MJCF file
    hip = next(joint for joint in humanoid.joints if joint.name == "right_hip")
    assert hip.limits == ((-1.0472, 0.5236), (-2.4435, 1.0472), (-1.0472, 1.0472))
    np.testing.assert_array_equal(humanoid.dof_limits[hip.dofs], hip.limits)


def test_left_mirrors_right(humanoid):
    joints = {joint.name: joint for joint in humanoid.movable_joints}
    for name, right in joints.items():
        if name.startswith("right_"):
            left = joints[name.replace("right_", "left_")]
            assert (left.kp, left.kd, left.torque_limit) == (right.kp, right.kd, right.torque_limit)
            if right.kind is JointKind.BALL:
                # Mirroring in the x-z plane turns the sense of rotations about x and z.
                (xl, xh), y, (zl, zh) = right.limits
                assert left.limits == ((-xh, -xl), y, (-zh, -zl))


def test_default_pose_stands_with_hanging_arms(humanoid):
    dofs = {joint.name: humanoid.default_dofs[joint.dofs] for joint in humanoid.movable_joints}
    np.testing.assert_array_equal(dofs.pop("right_shoulder"), [1.5708, 0, 0])
    np.testing.assert_array_equal(dofs.pop("left_shoulder"), [-1.5708, 0, 0])
    assert not any(angles.any() for angles in dofs.values())
    assert humanoid.default_height == 0.882416


def test_tracking_weights_belong_to_the_joint_that_moves_the_body(humanoid, humanoid_facts):
    weights = dict(zip(humanoid.body_names[1:], humanoid.tracking_weights))
    assert (weights["torso"], weights["left_shin"], weights["left_hand"]) == (1.0, 0.6, 0.0)
    humanoid_facts["tracking_weights"] = {"head": 0.5}
    weights = load_character(**humanoid_facts).tracking_weights
    assert weights[humanoid.body_names.index("head") - 1] == 0.5
    assert weights.sum() == 13.5  # all others are 1
    humanoid_facts["tracking_weights"] = None
    assert load_character(**humanoid_facts).tracking_weights.sum() == 14


def test_values_per_joint_are_repeated_for_each_dof(humanoid):
    values = humanoid.per_dof(np.arange(14))
    assert values.shape == (28,)
    for i, joint in enumerate(humanoid.joints):
        assert (values[joint.dofs] == i).all()


def test_body_ids_keep_the_order_asked_for(humanoid):
    ids = humanoid.body_ids(["left_foot", "pelvis"], "task.bodies")
    assert [humanoid.body_names[i] for i in ids] == ["left_foot", "pelvis"]
    with pytest.raises(
        UnknownBody, match=r"'left_fot' \(asked for by task\.bodies\)\. Closest: left_"
    ):
        humanoid.body_ids(["left_fot"], "task.bodies")


def test_model_is_found_in_assets_anywhere_and_in_packages(tmp_path):
    assert asset_path("humanoid/humanoid.xml").is_file()
    assert asset_path(str(tmp_path / "a.xml")) == tmp_path / "a.xml"
    assert asset_path("pkg://pytest/__init__.py").is_file()
    with pytest.raises(CharacterError, match="there is no package 'nosuchpackage'"):
        asset_path("pkg://nosuchpackage/a.xml")


def set_at(facts, keys, value):
    for key in keys[:-1]:
        facts = facts[key]
    facts[keys[-1]] = value


MISTAKES = {
    "joint that the model lacks": (
        ("joints", "right_kne"), {"kp": 1, "kd": 1, "torque_limit": 1},
        UnknownJoint, r"'right_kne' \(asked for by character\.joints\)\. Closest: right_knee",
    ),
    "misspelt gain": (
        ("joints", "neck"), {"kpp": 1, "kd": 1, "torque_limit": 1, "limits": [[-1, 1]] * 3},
        ConfigError, r"character\.joints\.neck wants .* unknown: \['kpp'\], missing: \['kp'\]",
    ),
    "negative gain": (
        ("joints", "neck", "kp"), -1,
        ConfigError, r"character\.joints\.neck\.kp must be >= 0, got -1",
    ),
    "infinite torque limit": (
        ("joints", "neck", "torque_limit"), math.inf,
        ConfigError, r"character\.joints\.neck\.torque_limit must be >= 0, got inf",
    ),
    "ball joint without limits": (
        ("joints", "neck"), {"kp": 1, "kd": 1, "torque_limit": 1},
        ConfigError, r"character\.joints\.neck\.limits is missing, and the MJCF file",
    ),
    "too few limits": (
        ("joints", "neck", "limits"), [[-1, 1], [-1, 1]],
        ConfigError, r"character\.joints\.neck\.limits wants 3 pairs",
    ),
    "limits the wrong way round": (
        ("joints", "neck", "limits"), [[-1, 1], [1, -1], [-1, 1]],
        ConfigError, r"character\.joints\.neck\.limits wants finite pairs with low < high",
    ),
    "NaN limits": (
        ("joints", "neck", "limits"), [[-1, 1], [math.nan, 1], [-1, 1]],
        ConfigError, r"character\.joints\.neck\.limits wants finite pairs",
    ),
    "default pose of an unknown joint": (
        ("default_pose", "joints", "left_sholder"), [0, 0, 0],
        UnknownJoint, r"'left_sholder' \(asked for by character\.default_pose\.joints\)\. Closest",
    ),
    "one number for a ball joint": (
        ("default_pose", "joints", "left_shoulder"), 1.5,
        ConfigError, r"character\.default_pose\.joints\.left_shoulder wants 3 numbers",
    ),
    "unknown foot": (
        ("bodies", "feet"), ["right_foot", "left_fot"],
        UnknownBody, r"'left_fot' \(asked for by character\.bodies\.feet\)\. Closest: left_foot",
    ),
    "unknown body with a tracking weight": (
        ("tracking_weights", "hed"), 1.0,
        UnknownBody, r"'hed' \(asked for by character\.tracking_weights\)\. Closest: head",
    ),
    "negative tracking weight": (
        ("tracking_weights", "head"), -0.1,
        ConfigError, r"character\.tracking_weights must be >= 0",
    ),
    "height of zero": (
        ("default_pose", "height"), 0.0,
        ConfigError, r"default_height must be > 0, got 0\.0",
    ),
    "NaN exploration": (
        ("exploration_std",), math.nan,
        ConfigError, r"exploration_std must be > 0, got nan",
    ),
    "motors for ball joints": (
        ("effort_limited",), True,
        ConfigError, r"character\.effort_limited needs hinges only, .* ball joints \(abdomen, neck",
    ),
    "control rate of zero": (
        ("control_hz",), 0,
        ConfigError, r"control_hz must be > 0, got 0\.0",
    ),
    "simulation rate in words": (
        ("sim_hz",), "fast",
        ConfigError, r"character\.sim_hz=fast: a number is needed",
    ),
    "missing model": (
        ("model",), "humanoid/humaniod.xml",
        CharacterError, r"no character file .*humaniod\.xml \(character\.model\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_named_with_its_key(humanoid_facts, mistake):
    keys, value, error, message = MISTAKES[mistake]
    set_at(humanoid_facts, keys, value)
    with pytest.raises(error, match=message):
        load_character(**humanoid_facts)


def test_movable_joint_without_gains_is_named(humanoid_facts):
    del humanoid_facts["joints"]["neck"]
    with pytest.raises(ConfigError, match=r"character\.joints has no entry for joint 'neck'"):
        load_character(**humanoid_facts)
