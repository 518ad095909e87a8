"""The MJCF reader understands what MuJoCo understands, and refuses the rest by name."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimickit.characters.mjcf import read_tree
from mimickit.errors import CharacterError

TEMPLATE = """
<mujoco>
  {head}
  <worldbody>
    <body name="root">
      <freejoint/>
      <geom size="0.1"/>
      {body}
    </body>
  </worldbody>
</mujoco>
"""


def child(attributes="", joint="", inside=""):
    return f'<body name="child" {attributes}>{joint}<geom size="0.1"/>{inside}</body>'


@pytest.fixture
def write(tmp_path):
    def write(body="", head="", text=None):
        path = tmp_path / "model.xml"
        path.write_text(TEMPLATE.format(body=body, head=head) if text is None else text)
        return path

    return write


def test_humanoid_has_fifteen_bodies_and_twelve_joints(humanoid):
    tree = read_tree(humanoid.model)
    assert len(tree) == 15
    joints = [body.joint for body in tree if body.joint is not None]
    assert sum(joint.ball for joint in joints) == 8
    assert sum(not joint.ball for joint in joints) == 4
    # 0.224 m up from the torso, which is 0.236 m up from the pelvis.
    by_name = {body.name: body for body in tree}
    assert by_name["head"].offset == (0.0, 0.0, 0.223894)
    assert tree[by_name["head"].parent].name == "torso"
    assert by_name["right_lower_arm"].joint.limits == (0.0, 2.7925)


def test_bodies_come_depth_first(write):
    body = (
        '<body name="a"><geom size="1"/><body name="a1"><geom size="1"/></body></body>'
        '<body name="b"><geom size="1"/></body>'
    )
    tree = read_tree(write(body))
    assert [(b.name, b.parent) for b in tree] == [("root", -1), ("a", 0), ("a1", 1), ("b", 0)]


def test_rotation_is_read_as_wxyz_and_kept_as_xyzw(write):
    tree = read_tree(write(child('pos="1 2 3" quat="0.5 0.1 0.7 0.5"')))
    assert tree[1].offset == (1.0, 2.0, 3.0)
    assert tree[1].rotation == (0.1, 0.7, 0.5, 0.5)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("", (-math.pi / 2, math.pi)),  # MuJoCo's default unit is the degree
        ('<compiler angle="degree"/>', (-math.pi / 2, math.pi)),
        ('<compiler angle="radian"/>', (-90.0, 180.0)),
    ],
)
def test_range_is_in_the_unit_that_the_file_states(write, head, expected):
    tree = read_tree(write(child(joint='<joint range="-90 180"/>'), head=head))
    assert tree[1].joint.limits == pytest.approx(expected)


def test_unlimited_joint_has_no_limits(write):
    assert read_tree(write(child(joint="<joint/>")))[1].joint.limits is None
    joint = '<joint limited="false" range="-1 1"/>'
    assert read_tree(write(child(joint=joint)))[1].joint.limits is None


def test_axis_is_scaled_to_unit_length(write):
    assert read_tree(write(child(joint='<joint axis="0 3 4"/>')))[1].joint.axis == (0.0, 0.6, 0.8)


DEFAULTS = """
<compiler angle="radian"/>
<default>
  <joint armature="0.1" axis="1 0 0"/>
  <default class="leg">
    <joint armature="0.2"/>
    <default class="knee"><joint axis="0 1 0" range="0 2"/></default>
  </default>
  <default class="spine"><joint axis="0 0 1"/></default>
</default>
"""


@pytest.mark.parametrize(
    ("attributes", "joint", "armature", "axis", "limits"),
    [
        ("", "<joint/>", 0.1, (1, 0, 0), None),
        ("", '<joint class="leg"/>', 0.2, (1, 0, 0), None),
        ("", '<joint class="knee"/>', 0.2, (0, 1, 0), (0, 2)),
        ('childclass="leg"', "<joint/>", 0.2, (1, 0, 0), None),
        ('childclass="leg"', '<joint class="spine"/>', 0.1, (0, 0, 1), None),
        ('childclass="leg"', '<joint class="main"/>', 0.1, (1, 0, 0), None),
        ('childclass="leg"', '<joint class="knee" armature="0.4"/>', 0.4, (0, 1, 0), (0, 2)),
    ],
)
def test_defaults_are_inherited_as_mujoco_does(write, attributes, joint, armature, axis, limits):
    path = write(child(attributes, joint), head=DEFAULTS)
    read = read_tree(path)[1].joint
    assert (read.armature, read.axis, read.limits) == (armature, axis, limits)
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(path))
    assert model.dof_armature[6] == armature
    assert tuple(model.jnt_axis[1]) == axis
    assert tuple(model.jnt_range[1]) == (limits or (0, 0))


def test_includes_are_read_as_mujoco_does(write, tmp_path):
    """Bodies and defaults of other files, in files within files, relative to the main one."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "settings.xml").write_text(
        '<mujocoinclude><compiler angle="radian"/><include file="parts/more.xml"/></mujocoinclude>'
    )
    (tmp_path / "parts" / "more.xml").write_text(
        '<mujoco><default><joint armature="0.3" range="-1 2"/></default></mujoco>'
    )
    (tmp_path / "arm.xml").write_text(
        '<mujocoinclude><body name="arm"><joint name="arm"/><geom size="0.1"/></body>'
        "</mujocoinclude>"
    )
    head = '<compiler autolimits="true"/><include file="settings.xml"/>'
    path = write('<include file="arm.xml"/>' + child(joint='<joint name="other"/>'), head)
    tree = read_tree(path)
    assert [body.name for body in tree] == ["root", "arm", "child"]
    assert (tree[1].joint.armature, tree[1].joint.limits) == (0.3, (-1.0, 2.0))
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(path))
    assert model.dof_armature[6] == 0.3
    assert tuple(model.jnt_range[1]) == (-1.0, 2.0)


def test_missing_or_repeated_includes_are_named(write, tmp_path):
    with pytest.raises(CharacterError, match=r"there is no character file .*legs\.xml"):
        read_tree(write('<include file="legs.xml"/>'))
    (tmp_path / "legs.xml").write_text("<mujocoinclude/>")
    with pytest.raises(CharacterError, match=r"model\.xml includes .*legs\.xml more than once"):
        read_tree(write('<include file="legs.xml"/>' * 2))


def test_humanoid_tree_is_the_one_that_mujoco_compiles(humanoid):
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(humanoid.model))
    tree = read_tree(humanoid.model)
    assert [body.name for body in tree] == [model.body(i).name for i in range(1, model.nbody)]
    assert [body.parent for body in tree[1:]] == list(model.body_parentid[2:] - 1)
    np.testing.assert_allclose([body.offset for body in tree], model.body_pos[1:])
    for body in tree:
        if body.joint is not None:
            joint = model.joint(body.joint.name)
            assert model.body(joint.bodyid[0]).name == body.name
            assert (joint.type[0] == mujoco.mjtJoint.mjJNT_BALL) == body.joint.ball
            assert model.dof_armature[joint.dofadr[0]] == body.joint.armature
            if not body.joint.ball:
                np.testing.assert_allclose(joint.axis, body.joint.axis)
                np.testing.assert_allclose(joint.range, body.joint.limits)


def test_humanoid_weighs_what_mimickits_weighs(humanoid):
    # Source: MimicKit f8d0d70, humanoid.xml: its densities times its volumes add up to 50.05 kg.
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_path(str(humanoid.model))
    assert model.body_mass.sum() == pytest.approx(50.05, abs=0.005)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (child(joint='<joint name="a"/><joint name="b"/>'), r"'child' has 2 joints \(a, b\)"),
        (child(joint='<joint name="a" type="slide"/>'), "'a' is a slide; use hinge or ball"),
        (child(joint='<joint name="a" pos="0 0 1"/>'), "'a' is not at its body's origin"),
        (child('quat="0 0 0 0"'), "the quat of body 'child' has no direction"),
        (child('euler="0 0 90"'), "'child' uses euler; state its rotation as quat"),
        ('<body><geom size="1"/></body>', "a body under body #0 has no name"),
    ],
)
def test_what_cannot_be_simulated_is_refused(write, body, message):
    with pytest.raises(CharacterError, match=message) as error:
        read_tree(write(body))
    assert "model.xml" in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<mujoco><worldbody>", "is not readable XML: no element found"),
        ("<robot/>", "is not MJCF: its root element is <robot>, not <mujoco>"),
        ("<mujoco/>", "one root body is needed, found: none"),
        (
            '<mujoco><worldbody><body name="a"/><body name="b"/></worldbody></mujoco>',
            "one root body is needed, found: a, b",
        ),
        (
            '<mujoco><worldbody><body name="a"/></worldbody></mujoco>',
            "root body 'a' has no free joint",
        ),
    ],
)
def test_file_that_is_no_character_is_refused(write, text, message):
    with pytest.raises(CharacterError, match=message):
        read_tree(write(text=text))


def test_missing_file_names_the_key(tmp_path):
    with pytest.raises(
        CharacterError, match=r"no character file .*nosuch\.xml \(character\.model\)"
    ):
        read_tree(tmp_path / "nosuch.xml")
