"""What holds for every character of conf/character, and the published figures of each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimickit.characters import JointKind, Kinematics, load_character
from mimickit.geometry.quaternion import quat_angle
from tests.conftest import CHARACTERS, character_facts

# bodies, joints that are balls, hinges and fixed, degrees of freedom, mass [kg]
# Sources: MimicKit f8d0d70, its configs' lists and `init_pose`; the masses are ours, by the rules
# that each MJCF file states.
PUBLISHED = {
    "humanoid": (15, 8, 4, 2, 28, 50.0),
    "humanoid_sword_shield": (17, 9, 4, 3, 31, 52.9),
    "smpl": (24, 23, 0, 0, 69, 55.0),
    "pi_plus": (24, 0, 22, 1, 22, 11.0),
}


@pytest.fixture(scope="module", params=CHARACTERS)
def character(request):
    return load_character(**character_facts(request.param))


@pytest.fixture(scope="module")
def compiled(character):
    """The MuJoCo model as engines compile it, and its state in the default pose."""
    mujoco = pytest.importorskip("mujoco")
    from mimickit.engines.mujoco_model import build_model

    model = build_model(character, 1 / 120, "pos", 10)
    data = mujoco.MjData(model)
    pose(data, model, character, character.default_dofs, [0, 0, character.default_height])
    mujoco.mj_forward(model, data)
    return model, data


def pose(data, model, character, dofs, root_pos, root_rot=(0.0, 0.0, 0.0, 1.0)):
    """Put angles and exp maps [D] into MuJoCo's coordinates."""
    x, y, z, w = root_rot
    data.qpos[:3], data.qpos[3:7] = root_pos, (w, x, y, z)
    rot = Kinematics(character).dof_to_rot(torch.tensor(dofs, dtype=torch.float32)[None])[0]
    for joint in character.movable_joints:
        start = model.joint(joint.name).qposadr[0]
        if joint.kind is JointKind.BALL:
            x, y, z, w = rot[joint.body - 1].tolist()
            data.qpos[start : start + 4] = (w, x, y, z)
        else:
            data.qpos[start] = dofs[joint.dofs.start]


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_has_the_published_size(name):
    pytest.importorskip("mujoco")
    from mimickit.engines.mujoco_model import build_model

    character = load_character(**character_facts(name))
    kinds = [joint.kind for joint in character.joints]
    counts = [kinds.count(k) for k in (JointKind.BALL, JointKind.HINGE, JointKind.FIXED)]
    mass = build_model(character, 1 / 120, "pos", 10).body_mass.sum()
    expected = PUBLISHED[name]
    assert (character.num_bodies, *counts, character.num_dofs) == expected[:5]
    assert mass == pytest.approx(expected[5], abs=0.05)


def test_forward_kinematics_are_mujocos(character, compiled):
    import mujoco

    model, _ = compiled
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    low, high = character.dof_limits.T
    root_rot = rng.normal(size=4)
    root_rot /= np.linalg.norm(root_rot)
    dofs, root_pos = rng.uniform(low, high), rng.normal(size=3)
    pose(data, model, character, dofs, root_pos, root_rot)
    mujoco.mj_forward(model, data)

    as_tensor = torch.tensor
    kinematics = Kinematics(character)
    joint_rot = kinematics.dof_to_rot(as_tensor(dofs, dtype=torch.float32)[None])
    body_pos, body_rot = kinematics.forward(
        as_tensor(root_pos, dtype=torch.float32)[None],
        as_tensor(root_rot, dtype=torch.float32)[None],
        joint_rot,
    )
    ids = [model.body(name).id for name in character.body_names]
    np.testing.assert_allclose(body_pos[0], data.xpos[ids], atol=1e-5)
    theirs = as_tensor(data.xquat[ids][:, [1, 2, 3, 0]], dtype=torch.float32)
    assert quat_angle(body_rot[0], theirs).max() < 1e-3  # [rad]; fp32 near an angle of zero


def test_default_pose_stands_on_the_ground_and_touches_nothing_else(character, compiled):
    import mujoco

    model, data = compiled
    touching = {
        frozenset(model.geom(geom).name for geom in contact.geom) for contact in data.contact
    }
    assert not touching
    floor = model.geom("floor").id
    gaps = {
        model.body(model.geom_bodyid[geom]).name: mujoco.mj_geomDistance(
            model, data, geom, floor, 10.0, None
        )
        for geom in range(model.ngeom)
        if geom != floor and model.geom_contype[geom]
    }
    lowest = min(gaps, key=lambda body: gaps[body])
    assert 0 <= gaps[lowest] < 0.003
    assert lowest in character.may_touch_ground


def test_default_pose_is_within_the_limits(character):
    low, high = character.dof_limits.T
    assert (character.default_dofs >= low).all()
    assert (character.default_dofs <= high).all()


def test_no_geom_is_of_a_kind_that_engines_collide_differently(character, compiled):
    import mujoco

    model, _ = compiled
    kinds = {mujoco.mjtGeom(kind).name for kind in model.geom_type}
    assert kinds <= {"mjGEOM_PLANE", "mjGEOM_SPHERE", "mjGEOM_CAPSULE", "mjGEOM_BOX"}
    assert model.nmesh == 0


def test_every_drive_has_gains_and_enough_armature(character):
    """Stiff drives of joints without armature chatter at 120 Hz."""
    for joint in character.movable_joints:
        assert joint.kp > 0, joint.name
        assert joint.kd > 0, joint.name
        assert joint.torque_limit > 0, joint.name
        assert joint.armature >= 0.003, joint.name


def test_sword_and_shield_is_the_humanoid_with_things_in_its_hands(humanoid):
    armed = load_character(**character_facts("humanoid_sword_shield"))
    extra = set(armed.body_names) - set(humanoid.body_names)
    assert extra == {"sword", "shield"}
    assert [name for name in armed.body_names if name not in extra] == list(humanoid.body_names)
    ours = {joint.name: joint for joint in armed.movable_joints}
    for joint in humanoid.movable_joints:
        mine = ours[joint.name]
        assert (mine.kp, mine.kd, mine.torque_limit) == (joint.kp, joint.kd, joint.torque_limit)
        assert mine.limits == joint.limits
    assert ours["right_hand"].kind is JointKind.BALL
    parent = {name: armed.body_names[armed.parents[i]] for i, name in enumerate(armed.body_names)}
    assert (parent["sword"], parent["shield"]) == ("right_hand", "left_lower_arm")


def test_tracking_weights_are_the_published_lists():
    """Source: MimicKit f8d0d70, `joint_err_w` of the deepmimic configs, in body order."""
    legs, arms = [1, 0.6, 0.4, 0.3], [1, 0.6, 0.4, 0.3, 0.2]
    pi_leg, pi_arm = [1, 1, 1, 0.6, 0.5, 0.5], [1, 1, 1, 0.6, 0.5]
    published = {
        "smpl": [*legs, *legs, 1, 0.6, 0.6, 0.4, 0.4, *arms, *arms],
        "humanoid_sword_shield": [
            1, 0.6, 0.6, 0.4, 0.4, 0, 0.6, 0.4, 0, 0, 1, 0.6, 0.4, 1, 0.6, 0.4,
        ],
        "pi_plus": [0, *pi_leg, *pi_arm, *pi_leg, *pi_arm],
    }  # fmt: skip
    for name, weights in published.items():
        character = load_character(**character_facts(name))
        assert character.tracking_weights.tolist() == weights, name
