"""A robot's file is read as MuJoCo reads it, its faults are named, its draft can be trained."""

from __future__ import annotations

import math
import re

import pytest

pytest.importorskip("mujoco")

from mimickit.characters import load_character
from mimickit.engines.mujoco_checks import check_robot
from mimickit.engines.mujoco_draft import config_text, drive_of, read_config
from mimickit.engines.mujoco_robot import read_robot
from mimickit.errors import CharacterError
from mimickit.findings import NOTE, PROBLEM, WARNING, table
from tests.conftest import CHARACTERS, character_facts

ROBOT = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  {head}
  <worldbody>
    {scenery}
    <body name="base" pos="0 0 1">
      {root}
      <geom name="base" size="0.1" mass="5"/>
      <body name="leg" {leg}>
        {joint}
        {geom}
        <body name="foot" pos="0 0 -0.3">{foot}</body>
      </body>
    </body>
  </worldbody>
  {tail}
</mujoco>
"""
SOUND = {
    "head": "",
    "scenery": "",
    "root": "<freejoint/>",
    "leg": 'pos="0 0 -0.2"',
    "joint": '<joint name="hip" axis="0 1 0" range="-1 1" armature="0.02" '
    'actuatorfrcrange="-30 30"/>',
    "geom": '<geom type="capsule" fromto="0 0 -0.05 0 0 -0.25" size="0.03"/>',
    "foot": '<geom type="box" size="0.3 0.3 0.02"/>',
    "tail": "",
}
HINGE = SOUND["joint"]


@pytest.fixture
def robot(tmp_path):
    """Reads a robot that is sound but for what is replaced in it."""

    def read(**parts):
        path = tmp_path / "robot.xml"
        path.write_text(ROBOT.format(**{**SOUND, **parts}))
        return read_robot(path)

    return read


def hip(robot):
    (joint,) = robot.joints
    return drive_of(robot, joint)


def test_a_sound_robot_has_neither_problems_nor_warnings(robot):
    findings, text = check_robot(robot(), "bot")
    assert not [one for one in findings if one.level in (PROBLEM, WARNING)], table(findings)
    assert load_character(**read_config(text)).name == "bot"


@pytest.mark.parametrize("name", CHARACTERS)
def test_characters_of_this_package_have_no_problems(name):
    character = load_character(**character_facts(name))
    findings, text = check_robot(read_robot(character.model), name)
    assert not [one for one in findings if one.level == PROBLEM], table(findings)
    drafted = load_character(**read_config(text))
    assert drafted.body_names == character.body_names
    assert set(character.feet) <= set(drafted.feet)


PROBLEMS = {
    "no free joint": ({"root": ""}, "root", r"body 'base' has no free joint"),
    "second root": ({"scenery": '<body name="ball"><geom size="1"/></body>'}, "root",
                    r"2 bodies hang on the world: ball, base"),
    "no joints": ({"joint": ""}, "joints", "nothing moves"),
    "several joints": ({"joint": HINGE + '<joint name="roll" axis="1 0 0"/>'}, "joints",
                       r"bodies with several joints: leg \(hip, roll\)"),
    "slide": ({"joint": '<joint name="hip" type="slide"/>'}, "joints", "sliding joints: hip"),
    "ref": ({"joint": HINGE.replace("/>", ' ref="0.1"/>')}, "joints", r"hip \(ref=0\.1\)"),
    "anchor": ({"joint": HINGE.replace("/>", ' pos="0 0 0.1"/>')}, "joints",
               "joints not at their bodies' origins: hip"),
    "joint without a name": ({"joint": HINGE.replace('name="hip"', "")}, "names",
                             "1 without: joints, in leg"),
    "body without a name": ({"foot": SOUND["foot"] + "<body><geom size='0.01'/></body>"}, "names",
                            "1 without: bodies #4 in foot"),
    "own floor": ({"scenery": '<geom name="floor" type="plane" size="1 1 1"/>'}, "world",
                  "a geom of the world is called 'floor'"),
    "euler angles": ({"leg": 'pos="0 0 -0.2" euler="0.1 0 0"'}, "file", "uses euler"),
    "frame": ({"foot": "<frame><body name='toe'><geom size='0.01'/></body></frame>"
               + SOUND["foot"]}, "file", "different bodies: toe"),
    "fused bodies": ({"head": '<compiler fusestatic="true"/>'}, "file", "different bodies: foot"),
    "nothing collides": ({"head": '<default><geom contype="0" conaffinity="0"/></default>'},
                         "geoms", "nothing collides with the ground"),
}  # fmt: skip


@pytest.mark.parametrize("case", PROBLEMS)
def test_problem_is_named_and_prevents_the_draft(robot, case):
    parts, subject, text = PROBLEMS[case]
    findings, draft = check_robot(robot(**parts), "bot")
    assert draft == ""
    problems = [one for one in findings if one.level == PROBLEM]
    assert [one.subject for one in problems] == [subject]
    assert re.search(text, problems[0].text), problems[0].text
    assert problems[0].remedy or subject == "file"


WARNINGS = {
    "no limits": ({"joint": HINGE.replace('range="-1 1"', "")}, "limits", "none: hip"),
    "no torque limit": ({"joint": '<joint name="hip" range="-1 1" armature="0.02"/>'},
                        "torque limits", "none: hip"),
    "light rotor": ({"joint": HINGE.replace('"0.02"', '"0.0001"')}, "armature", "hip"),
    "too much damping for its motor": (
        {"tail": '<actuator><position joint="hip" kp="70" kv="900"/></actuator>'}, "gains",
        "kd too high to keep within torque limits at 200 Hz: hip",
    ),
    "spring": ({"joint": HINGE.replace("/>", ' stiffness="5"/>')}, "springs", "hip"),
    "mistyped inertia": (
        {"foot": '<inertial pos="0 0 0" mass="0.5" diaginertia="1 1 1"/>' + SOUND["foot"]},
        "inertia", r"more than bodies of their size can have: foot \(1 kg m\^2 at 0\.5 kg\)",
    ),
    "cylinder": ({"foot": '<geom type="cylinder" size="0.3 0.02"/>'}, "geoms",
                 "1 of kind cylinder collide: foot"),
    "touching": ({"foot": HINGE.replace("hip", "ankle") + '<geom size="0.42" mass="1"/>'}, "pose",
                 "1 pairs of bodies touch: base and foot by"),
    "keyframe beyond limits": ({"tail": '<keyframe><key qpos="0 0 1 1 0 0 0 1.5"/></keyframe>'},
                               "pose", r"beyond the limits: hip at 1\.5 in \[-1, 1\]"),
    "lying": ({"leg": "", "joint": HINGE.replace('"-1 1"', '"-3 3"'),
               "tail": '<keyframe><key qpos="0 0 1 1 0 0 0 3"/></keyframe>'},
              "feet", "the root 'base' lies on the ground"),
    "millimetres": ({"geom": '<geom size="200" mass="900"/>'}, "size", "mass 9"),
    "scenery": ({"scenery": '<geom name="wall" size="1"/>'}, "world", "1 geoms beside the robot"),
    "tendon": ({"tail": '<tendon><fixed><joint joint="hip" coef="1"/></fixed></tendon>'}, "loops",
               "0 equalities and 1 tendons"),
    "moonwalk": ({"head": '<option gravity="0 0 -1.62"/>'}, "size", r"gravity 1\.62"),
}  # fmt: skip


@pytest.mark.parametrize("case", WARNINGS)
def test_what_looks_wrong_is_named_with_a_remedy(robot, case):
    parts, subject, text = WARNINGS[case]
    findings, draft = check_robot(robot(**parts), "bot")
    assert draft
    warnings = [one for one in findings if one.level == WARNING and one.subject == subject]
    assert any(re.search(text, one.text) and one.remedy for one in warnings), table(findings)


# ---------------------------------------------------------------------------------- the draft


def test_gains_of_the_file_come_first(robot):
    position = '<actuator><position joint="hip" kp="70" kv="3" forcerange="-12 12"/></actuator>'
    drive = hip(robot(tail=position))
    assert (drive.kp, drive.kd, drive.torque_limit) == (70, 3, 12)
    # MimicKit's files state gains as a spring, and the torque limit as a motor's gear.
    joint = HINGE.replace('actuatorfrcrange="-30 30"', 'stiffness="500" damping="50"')
    motor = '<actuator><motor joint="hip" gear="200" ctrlrange="-1 1"/></actuator>'
    drive = hip(robot(joint=joint, tail=motor))
    assert (drive.kp, drive.kd, drive.torque_limit) == (500, 50, 200)


def test_gains_follow_from_the_armature_then_from_the_torque_limit(robot):
    """w = 2 pi 10 Hz, zeta = 2: kp = 0.02 w^2 = 78.96, kd = 4 * 0.02 w = 5.027."""
    drive = hip(robot())
    assert drive.kp == pytest.approx(78.957, abs=1e-3)
    assert drive.kd == pytest.approx(5.0265, abs=1e-4)
    # 30 Nm at a quarter of a radian.
    drive = hip(robot(joint=HINGE.replace('armature="0.02"', "")))
    assert (drive.kp, drive.kd) == pytest.approx((120.0, 12.0))


def test_missing_torque_limit_is_guessed_from_the_weight(robot):
    read = robot(joint='<joint name="hip" range="-1 1" armature="0.02"/>')
    drive = hip(read)
    assert drive.torque_limit == pytest.approx(0.25 * read.height * read.mass * 9.81)
    assert "effort_limited: false" in config_text(read, "bot")


def test_root_stands_a_millimetre_above_the_ground(robot):
    """Base to hip 0.2, to the foot 0.3, its sole 0.02 below, and 0.001 of air."""
    read = robot()
    assert read.height == pytest.approx(0.521)
    assert load_character(**read_config(config_text(read, "bot"))).default_height == 0.521
    # The home keyframe wins over the first; the leg is turned by 0.5 rad, sole and all.
    keys = '<key name="prone" qpos="0 0 1 0 1 0 0 0"/><key name="home" qpos="0 0 9 1 0 0 0 0.5"/>'
    read = robot(tail=f"<keyframe>{keys}</keyframe>", foot='<geom size="0.02"/>')
    assert read.pose == "keyframe 'home'"
    assert read.height == pytest.approx(0.2 + 0.3 * math.cos(0.5) + 0.02 + 0.001)
    facts = read_config(config_text(read, "bot"))
    assert facts["default_pose"]["joints"] == {"hip": 0.5}


def test_zero_pose_is_moved_within_the_limits(robot):
    read = robot(joint=HINGE.replace('"-1 1"', '"0.2 1"'))
    assert "nearest limit" in read.pose
    assert read_config(config_text(read, "bot"))["default_pose"]["joints"] == {"hip": 0.2}


def test_names_that_yaml_would_misread_are_quoted(robot):
    joint = HINGE.replace('"hip"', '"on: 1"')
    character = load_character(**read_config(config_text(robot(joint=joint), "no")))
    assert (character.name, character.movable_joints[0].name) == ("no", "on: 1")


def test_foreign_files_with_meshes_includes_and_classes_are_read(tmp_path):
    """A tetrahedron to look at and one to collide with, in a folder that the file names."""
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "part.obj").write_text(
        "v 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    )
    (tmp_path / "classes.xml").write_text(
        """<mujocoinclude>
          <compiler angle="degree" meshdir="meshes" autolimits="true"/>
          <default>
            <default class="leg"><joint axis="0 1 0" range="-60 60" armature="0.02"/></default>
            <default class="visual"><geom type="mesh" contype="0" conaffinity="0"/></default>
          </default>
          <asset><mesh file="part.obj"/></asset>
        </mujocoinclude>"""
    )
    path = tmp_path / "foreign.xml"
    path.write_text(
        """<mujoco>
          <include file="classes.xml"/>
          <worldbody>
            <light pos="0 0 3"/>
            <body name="base" childclass="leg">
              <freejoint/>
              <inertial pos="0 0 0" mass="2" diaginertia="0.01 0.01 0.01"/>
              <geom class="visual" mesh="part"/>
              <body name="shin" pos="0 0 -0.2" quat="0.9 0 0.1 0">
                <joint name="knee" actuatorfrcrange="-20 20"/>
                <geom type="mesh" mesh="part"/>
              </body>
            </body>
          </worldbody>
          <actuator><position joint="knee" kp="30" dampratio="1"/></actuator>
          <sensor><jointpos joint="knee"/></sensor>
        </mujoco>"""
    )
    findings, text = check_robot(read_robot(path), "foreign")
    assert not [one for one in findings if one.level == PROBLEM], table(findings)
    assert any("1 of kind mesh collide: shin" in one.text for one in findings)
    character = load_character(**read_config(text))
    assert character.joints[0].limits[0] == pytest.approx((-math.pi / 3, math.pi / 3))
    assert character.joints[0].kp == 30
    assert [one.level for one in findings if one.subject == "trial"] == [NOTE]  # it topples


def test_files_that_mujoco_refuses_are_an_error_in_a_line(tmp_path):
    with pytest.raises(CharacterError, match=r"there is no file .*nosuch\.xml"):
        read_robot(tmp_path / "nosuch.xml")
    path = tmp_path / "broken.xml"
    path.write_text("<mujoco><worldbody><geom size='-1'/></worldbody></mujoco>")
    with pytest.raises(CharacterError, match=r"MuJoCo cannot use .*broken\.xml: "):
        read_robot(path)
    path.write_text("<mujoco/>")
    with pytest.raises(CharacterError, match="has no bodies"):
        read_robot(path)
