"""Clips of people: SMPL parameters, poselib's skeletons, BVH; and of a dog."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest
import torch

from mimickit.errors import MotionError
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_from_exp_map,
    quat_multiply,
    quat_rotate,
    quat_to_exp_map,
)
from mimickit.motions.importers import ImportOptions, import_motion
from mimickit.motions.importers.amass import BODIES, PELVIS_OFFSETS
from mimickit.motions.importers.poses import JOINT_ORDERS
from tests.motions.foreign import FRAMES, dofs_of, positions, walk_pose

ARMS = {"right": 1.0, "left": -1.0}  # sign of the quarter turn about x that lets an arm hang


def read_one(path, character, **options):
    (imported,) = import_motion(path, character, ImportOptions(**options))
    return imported.clip


# --- AMASS -----------------------------------------------------------------------------------

FACING_X = np.array([2 * np.pi / 3 / np.sqrt(3)] * 3)  # SMPL's z to x, x to y, y to z


def amass(path, width=72, rate="mocap_framerate", root=FACING_X, **changes):
    poses = np.zeros((3, width))
    poses[:, :3] = root
    content = {"trans": np.array([[0.0, 0.0, 0.9]] * 3), "poses": poses, rate: 120.0}
    np.savez(path, **{**content, **changes})
    return path


@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate"])
@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_smpl_at_rest_stands_upright_and_faces_x(tmp_path, smpl, width, rate):
    clip = read_one(amass(tmp_path / "a.npz", width, rate), smpl)
    assert clip.fps == 120.0
    np.testing.assert_allclose(np.abs(clip.root_rot[0]), [0, 0, 0, 1], atol=1e-6)
    body = dict(zip(smpl.body_names, positions(clip, smpl)[0]))
    offset = PELVIS_OFFSETS["smplx" if width == 165 else "smpl"]
    np.testing.assert_allclose(body["Pelvis"], offset + np.array([0.0, 0.0, 0.9]), atol=1e-6)
    assert (body["L_Hand"] - body["Pelvis"])[1] > 0.6  # arms held out, the left one to the left
    assert (body["L_Toe"] - body["L_Ankle"])[0] > 0.1


def test_the_pelvis_offset_does_not_turn_with_the_body(tmp_path, smpl):
    around = quat_to_exp_map(
        quat_multiply(
            torch.tensor([0.0, 0.0, 1.0, 0.0]), quat_from_exp_map(torch.tensor(FACING_X).float())
        )
    ).numpy()
    clip = read_one(amass(tmp_path / "a.npz", root=around), smpl)
    np.testing.assert_allclose(
        clip.root_pos[0], PELVIS_OFFSETS["smpl"] + np.array([0.0, 0.0, 0.9]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("joint", "vector", "body", "expected"),
    [
        ("L_Knee", [0.5, 0.0, 0.0], "L_Ankle", -1.0),  # SMPL's x is left: a knee bends backwards
        ("L_Shoulder", [0.0, 0.0, -0.5], "L_Elbow", None),  # about forward: the left arm sinks
    ],
)
def test_smpl_joints_turn_about_its_own_axes(tmp_path, smpl, joint, vector, body, expected):
    still = positions(read_one(amass(tmp_path / "a.npz"), smpl), smpl)[0]
    poses = np.zeros((3, 72))
    poses[:, :3] = FACING_X
    poses[:, 3 * BODIES.index(joint) : 3 * BODIES.index(joint) + 3] = vector
    moved = positions(read_one(amass(tmp_path / "b.npz", poses=poses), smpl), smpl)[0]
    step = (moved - still)[smpl.body_names.index(body)]
    if expected is None:
        assert step[2] < -0.05
    else:
        assert np.sign(step[0]) == expected


def test_smpl_with_y_up_is_turned_because_only_so_it_stands(tmp_path, smpl):
    path = amass(tmp_path / "a.npz", root=[0.0, 0.0, 0.0], trans=np.array([[0.1, 0.9, 0.2]] * 3))
    clip = read_one(path, smpl)
    assert "up_axis y" in clip.provenance["notes"]
    x, y, z = PELVIS_OFFSETS["smpl"] + np.array([0.1, 0.9, 0.2])
    np.testing.assert_allclose(clip.root_pos[0], [x, -z, y], atol=1e-6)


def test_smpl_lying_down_asks_for_its_up_axis(tmp_path, smpl):
    path = amass(tmp_path / "a.npz", root=[0.8, 0.0, 0.0])
    with pytest.raises(MotionError, match=r"say it with up_axis \(--up-axis z\)"):
        read_one(path, smpl)
    assert "as told" in read_one(path, smpl, up_axis="z").provenance["notes"]


def test_smpl_parameters_are_for_smpl_only(tmp_path, humanoid):
    with pytest.raises(MotionError, match="another skeleton; import it for the character smpl"):
        read_one(amass(tmp_path / "a.npz"), humanoid)


def test_smpl_without_a_rate_asks_for_it_and_with_betas_says_so(tmp_path, smpl):
    path = amass(tmp_path / "a.npz", rate="frames", betas=np.ones(16))
    with pytest.raises(MotionError, match="--fps"):
        read_one(path, smpl)
    assert "betas not used" in read_one(path, smpl, fps=60).provenance["notes"]


def test_members_that_only_unpickling_would_give_are_left_out(tmp_path, smpl):
    labels = np.array([{"pickled": 1}], dtype=object)
    assert read_one(amass(tmp_path / "a.npz", labels_obs=labels), smpl).fps == 120.0


def test_smpl_split_into_root_and_body_is_read(tmp_path, smpl):
    path = tmp_path / "a.npz"
    np.savez(
        path,
        trans=np.zeros((3, 3)),
        root_orient=np.array([FACING_X] * 3),
        pose_body=np.zeros((3, 63)),
        mocap_frame_rate=np.array(30),
        gender=np.array("neutral"),
    )
    assert read_one(path, smpl).fps == 30.0
    np.savez(path, **{**dict(np.load(path)), "surface_model_type": np.array("smplx")})
    assert "pelvis offset of smplx" in read_one(path, smpl).provenance["notes"]


# --- poselib ---------------------------------------------------------------------------------


def skeleton_motion(path, character, fps=30.0, protocol=3, turn=0.0, **changes):
    """A SkeletonMotion of a character: what it would be with arms that hang at rest."""
    pose = walk_pose(character)
    rest = torch.zeros(character.num_bodies, 4, dtype=torch.float64)
    rest[:, 3] = 1.0
    offsets = character.offsets.copy()
    offsets[0] = [0.0, 0.0, 1.0]
    for body, name in enumerate(character.body_names):
        side = name.split("_")[0]
        arm = any(part in name for part in ("upper_arm", "lower_arm", "hand", "sword", "shield"))
        if not arm:
            continue
        sign = ARMS["right" if name == "sword" else "left" if name == "shield" else side]
        rest[body] = quat_from_exp_map(
            torch.tensor([sign * np.pi / 2, 0.0, 0.0], dtype=torch.float64)
        )
        parent = character.parents[body]
        offsets[body] = quat_rotate(rest[parent], torch.from_numpy(offsets[body])).numpy()
    above = torch.stack([rest[max(parent, 0)] for parent in character.parents])
    above[0] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    ours = np.concatenate([pose.root_rot[:, None], pose.joint_rot], axis=1)
    theirs = quat_multiply(
        quat_multiply(above, torch.from_numpy(ours)), quat_conjugate(rest)
    ).numpy()
    theirs[::2] *= -1.0  # the same rotations: signs may flip from frame to frame

    def tensor(array):
        return {"arr": array, "context": {"dtype": str(array.dtype)}}

    content = collections.OrderedDict(
        rotation=tensor(theirs),
        root_translation=tensor(pose.root_pos),
        global_velocity=tensor(np.zeros((FRAMES, character.num_bodies, 3))),
        skeleton_tree=collections.OrderedDict(
            node_names=list(character.body_names),
            parent_indices=tensor(np.array(character.parents)),
            local_translation=tensor(offsets.astype(np.float32)),
        ),
        is_local=True,
        fps=fps,
        __name__="SkeletonMotion",
    )
    content.update(changes)
    boxed = np.empty((), dtype=object)
    boxed[()] = content
    np.save(path, boxed, allow_pickle=True)
    return path


@pytest.mark.parametrize("fps", [29.9, np.float64(60.0), np.array(30)])
@pytest.mark.parametrize("nodes", [15, 17])
def test_poselib_skeletons_with_hanging_arms_become_ours(
    tmp_path, humanoid, sword_shield, nodes, fps
):
    character = {15: humanoid, 17: sword_shield}[nodes]
    assert character.num_bodies == nodes
    clip = read_one(skeleton_motion(tmp_path / "a.npy", character, fps), character)
    assert clip.fps == float(fps)
    pose = walk_pose(character)
    np.testing.assert_allclose(clip.root_pos, pose.root_pos, atol=1e-6)
    expected = replaced(clip, pose)
    np.testing.assert_allclose(
        positions(clip, character), positions(expected, character), atol=1e-5
    )


def replaced(clip, pose):
    """The clip with the rotations of a pose; both are of one character."""
    from dataclasses import replace

    names = clip.joint_names
    columns = list(range(pose.joint_rot.shape[1]))
    if len(columns) != len(names):  # fixed joints are not in the clip
        moving = np.abs(pose.joint_rot[..., :3]).max(axis=(0, 2)) > 0
        columns = [column for column in columns if moving[column]]
    return replace(
        clip,
        root_pos=pose.root_pos,
        root_rot=pose.root_rot,
        joint_rot=pose.joint_rot[:, columns],
    )


def test_a_skeleton_with_other_nodes_is_refused_by_name(tmp_path, humanoid, sword_shield):
    path = skeleton_motion(tmp_path / "a.npy", sword_shield)
    with pytest.raises(MotionError, match=r"not for character 'humanoid': its nodes are .*sword"):
        read_one(path, humanoid)


def test_a_skeleton_of_other_size_is_refused_by_its_bodies(tmp_path, humanoid):
    path = skeleton_motion(tmp_path / "a.npy", humanoid)
    content = np.load(path, allow_pickle=True).item()
    content["skeleton_tree"]["local_translation"]["arr"][11] *= 1.2  # the right foot, 8 cm lower
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(MotionError, match=r"forward kinematics miss .* right_foot"):
        read_one(path, humanoid)


# --- BVH -------------------------------------------------------------------------------------

Z_Y_X = "Zrotation Yrotation Xrotation"


def bvh_text(tree, frames, frame_time):
    """A BVH file of nested (name, offset, children) and frames of {joint: zyx degrees}."""
    names = []

    def write(node, root):
        name, offset, children = node
        names.append(name)
        count, places = ("6", "Xposition Yposition Zposition ") if root else ("3", "")
        lines = [f"{'ROOT' if root else 'JOINT'} {name}", "{"]
        lines += ["OFFSET {} {} {}".format(*offset), f"CHANNELS {count} {places}{Z_Y_X}"]
        for child in children:
            lines += write(child, False)
        if not children:
            lines += ["End Site", "{", "OFFSET 0 0 1", "}"]
        return [*lines, "}"]

    lines = ["HIERARCHY", *write(tree, True), "MOTION", f"Frames: {len(frames)}"]
    lines.append(f"Frame Time: {frame_time}")
    for root_pos, turns in frames:
        row = [*root_pos, *(angle for name in names for angle in turns.get(name, (0, 0, 0)))]
        lines.append(" ".join(map(str, row)))
    return "\n".join(lines) + "\n"


def cmu_tree(leg=7.0):
    """CMU's joints as cgspeed has them: legs that splay at rest, helpers without length."""

    def leg_of(side, sign):
        toe = (f"{side}ToeBase", (0, 0, 2.0), [])
        slope = np.array([sign * np.sin(np.radians(20)), -np.cos(np.radians(20)), 0.0]) * leg
        down = tuple(slope)
        foot = (f"{side}Foot", down, [toe])
        thigh = (f"{side}UpLeg", (1.8 * sign, -1.7, 0.8), [(f"{side}Leg", down, [foot])])
        return (f"{side[0]}HipJoint", (0, 0, 0), [thigh])

    def arm_of(side, sign):
        hand = (f"{side}Hand", (3.4 * sign, 0, 0), [])
        arm = (f"{side}Arm", (3.3 * sign, 0.9, 0), [(f"{side}ForeArm", (5.0 * sign, 0, 0), [hand])])
        return (f"{side}Shoulder", (0, 0, 0), [arm])

    head = ("Neck", (0, 0, 0), [("Neck1", (0, 1.4, 0.2), [("Head", (0, 1.4, 0), [])])])
    chest = ("Spine1", (0, 2.2, 0), [head, arm_of("Left", 1), arm_of("Right", -1)])
    back = ("LowerBack", (0, 0, 0), [("Spine", (0, 2.2, 0), [chest])])
    return ("Hips", (0, 0, 0), [leg_of("Left", 1), leg_of("Right", -1), back])


T_POSE = {"LeftUpLeg": (-20, 0, 0), "RightUpLeg": (20, 0, 0)}
UP = 17.0  # height of the hips in the file's units


def cmu(path, turns, tree=None, tpose=T_POSE):
    """A CMU file: its T-pose, then three frames of `turns` on top of that pose."""
    posed = {**T_POSE, **turns}
    frames = [((0, UP, 0), tpose), *[((0, UP, 1.0 * k), posed) for k in range(3)]]
    path.write_text(bvh_text(tree or cmu_tree(), frames, 0.0083333))
    return path


@pytest.fixture(params=["smpl", "humanoid"])
def person(request, smpl, humanoid):
    return {"smpl": smpl, "humanoid": humanoid}[request.param]


BODY = {  # ours, by what SMPL's is called
    "humanoid": {
        "L_Hip": "left_thigh", "L_Knee": "left_shin", "L_Ankle": "left_foot",
        "L_Shoulder": "left_upper_arm", "L_Elbow": "left_lower_arm", "L_Wrist": "left_hand",
    },
}  # fmt: skip


def where(clip, character, name):
    """World position [3] of a body in the first frame."""
    name = BODY.get(character.name, {}).get(name, name)
    return positions(clip, character)[0, character.body_names.index(name)]


def bone(clip, character, start, end):
    step = where(clip, character, end) - where(clip, character, start)
    return step / np.linalg.norm(step)


def test_cmus_t_pose_is_left_out_and_stands_for_ours(tmp_path, person):
    clip = read_one(cmu(tmp_path / "a.bvh", {}), person)
    assert (clip.fps, clip.num_frames) == (120.0, 3)
    # Facing the file's z, which is -y here: left is x.
    np.testing.assert_allclose(bone(clip, person, "L_Hip", "L_Knee"), [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(bone(clip, person, "L_Knee", "L_Ankle"), [0, 0, -1], atol=1e-6)
    np.testing.assert_allclose(bone(clip, person, "L_Shoulder", "L_Elbow"), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(bone(clip, person, "L_Elbow", "L_Wrist"), [1, 0, 0], atol=1e-6)
    assert "T-pose in frame 0 left out" in clip.provenance["notes"]


def test_cmus_lengths_are_inches_over_045(tmp_path, smpl):
    clip = read_one(cmu(tmp_path / "a.bvh", {}), smpl)
    # 1 unit is 0.0254 / 0.45 m of an actor whose legs, 2 * 7 units, are 0.790 m long.
    ours = sum(
        np.linalg.norm(smpl.offsets[smpl.body_names.index(b)]) for b in ("L_Knee", "L_Ankle")
    )
    step = clip.root_pos[1] - clip.root_pos[0]
    np.testing.assert_allclose(step, [0, -ours / 14.0, 0], atol=1e-5)
    assert f"root scaled by {ours / (14 * 0.0254 / 0.45):.3f}" in clip.provenance["notes"]


def test_bvh_limbs_point_where_the_actors_do(tmp_path, person):
    # Thigh forward by 40 degrees, shin back by 60; arm down by 70, forearm forward by 80.
    turns = {"LeftUpLeg": (-20, 0, -40), "LeftLeg": (0, 0, 0), "LeftArm": (-70, 0, 0)}
    turns["LeftForeArm"] = (0, -80, 0)
    clip = read_one(cmu(tmp_path / "a.bvh", turns), person)
    s, c = np.sin(np.radians(70)), np.cos(np.radians(70))
    np.testing.assert_allclose(bone(clip, person, "L_Shoulder", "L_Elbow"), [c, 0, -s], atol=1e-5)
    # The forearm turns in the arm's frame from (1, 0, 0) to (cos 80, 0, sin 80) in the file's
    # axes, so that after the arm's own turn it points forward, along our -y.
    a, b = np.cos(np.radians(80)), np.sin(np.radians(80))
    np.testing.assert_allclose(
        bone(clip, person, "L_Elbow", "L_Wrist"), [a * c, -b, -a * s], atol=1e-5
    )
    if person.name == "humanoid":
        elbow = dofs_of(clip, person)[0, 13]
        assert elbow == pytest.approx(-np.radians(80), abs=1e-5)  # the hinge alone does it


def test_the_feet_stand_where_they_stand_in_the_default_pose(tmp_path, person):
    clip = read_one(cmu(tmp_path / "a.bvh", {}), person)
    feet = positions(clip, person)[:, person.body_ids(person.feet, "")]
    assert 0.0 < feet[..., 2].min() < 0.12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: cmu(p, {}, tree=cmu_tree(leg=70.0)), r"its legs are 7.90 m long"),
        (
            lambda p: cmu(p, {}, tpose={**T_POSE, "LeftArm": (-80, 0, 0)}),
            r"first frame is no T-pose.*left upper arm",
        ),
        (
            lambda p: p.write_text(bvh_text(("Root", (0, 0, 0), []), [((0, 0, 0), {})] * 2, 0.01)),
            r"no known source: cmu lacks .*LeftUpLeg.*; lafan1 lacks .*Its joints: Root",
        ),
    ],
)
def test_a_bvh_of_another_source_is_refused(tmp_path, smpl, make, message):
    path = tmp_path / "a.bvh"
    make(path)
    with pytest.raises(MotionError, match=message):
        read_one(path, smpl)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Frames: 4", "Frames: 5"), "announces 5 frames of .* holds 4 lines"),
        (("Frame Time: 0.0083333", "Frame Time: 0"), "'Frame Time:' > 0"),
        (("Zrotation", "Wrotation"), "line 5 is no BVH"),
        (("0 17.0 0", "0 nan 0"), "frame 0 holds NaN or infinity, number 1"),
        (("}\nMOTION", "MOTION"), "its tree of joints does not end"),
    ],
)
def test_a_damaged_bvh_is_refused_with_its_place(tmp_path, smpl, change, message):
    path = cmu(tmp_path / "a.bvh", {})
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(MotionError, match=message):
        read_one(path, smpl)


def test_bvh_is_for_people(tmp_path, g1):
    with pytest.raises(MotionError, match="for the characters humanoid and smpl, not for 'g1'"):
        read_one(cmu(tmp_path / "a.bvh", {}), g1)


def lafan1_tree():
    """LAFAN1's joints: all bones along x."""

    def leg_of(side, sign):
        foot = (f"{side}Foot", (42.0, 0, 0), [(f"{side}Toe", (17.0, 0, 0), [])])
        return (f"{side}UpLeg", (0.1, 1.8, 10.5 * sign), [(f"{side}Leg", (43.0, 0, 0), [foot])])

    def arm_of(side, sign):
        hand = (f"{side}Hand", (25.0, 0, 0), [])
        arm = (f"{side}Arm", (11.0, 0, 0), [(f"{side}ForeArm", (33.0, 0, 0), [hand])])
        return (f"{side}Shoulder", (19.7, -1.5, 6.0 * sign), [arm])

    neck = ("Neck", (26.0, 0, 0), [("Head", (12.0, 0, 0), [])])
    chest = ("Spine2", (12.0, 0, 0), [neck, arm_of("Left", 1), arm_of("Right", -1)])
    spine = ("Spine", (7.0, -2.6, 0), [("Spine1", (12.0, 0, 0), [chest])])
    return ("Hips", (0, 0, 0), [leg_of("Left", 1), leg_of("Right", -1), spine])


def test_lafan1s_t_pose_stands_for_ours(tmp_path, person):
    # The hips' axes (up, forward, left) along the file's y, z, x are a turn about (1, 1, 1) by
    # 120 degrees: zyx angles (90, 0, 90). Legs turn by 180 about y: x down, y forward, z right.
    # Feet bend by 60 about z, toes by 30: the toes lie flat. Arms: x to the side, y back.
    turns = {"Hips": (90, 0, 90)}
    for side in ("Left", "Right"):
        turns.update(
            {f"{side}UpLeg": (0, 180, 0), f"{side}Foot": (60, 0, 0), f"{side}Toe": (30, 0, 0)}
        )
    # In the chest's frame (up, forward, left): the left arm's x is (0, 0, 1), its y (0, -1, 0).
    turns["LeftShoulder"] = (180, -90, 0)
    turns["RightShoulder"] = (180, 90, 0)
    path = tmp_path / "a.bvh"
    path.write_text(
        bvh_text(lafan1_tree(), [((0, 92.0, 1.0 * k), turns) for k in range(3)], 0.033333)
    )
    clip = read_one(path, person)
    assert clip.fps == 30.0
    legs = ("L_Knee", "L_Ankle") if person.name == "smpl" else ("left_shin", "left_foot")
    ours = sum(np.linalg.norm(person.offsets[person.body_names.index(name)]) for name in legs)
    assert f"root scaled by {ours / 0.85:.3f}" in clip.provenance["notes"]  # 43 + 42 centimetres
    # The file's z is our -y: the actor faces it, and left is x.
    for side, sign in (("L", 1.0), ("R", -1.0)):
        if person.name == "humanoid" and side == "R":
            continue
        np.testing.assert_allclose(
            bone(clip, person, f"{side}_Hip", f"{side}_Knee"), [0, 0, -1], atol=1e-5
        )
        np.testing.assert_allclose(
            bone(clip, person, f"{side}_Shoulder", f"{side}_Elbow"), [sign, 0, 0], atol=1e-5
        )
    rot = torch.from_numpy(clip.joint_rot_for(person))
    root = torch.from_numpy(clip.root_rot[0])
    turned = quat_rotate(root, torch.tensor([1.0, 0.0, 0.0]))
    np.testing.assert_allclose(turned, [0, -1, 0], atol=1e-5)
    # But for the few degrees by which our limbs are not straight at rest, no joint turns.
    assert float(quat_to_exp_map(rot[0]).norm(dim=-1).max()) < np.radians(17.0)


# --- motion_imitation ------------------------------------------------------------------------


def dog(path, angles=(0.0, 0.2, -1.0) * 4, mode="Wrap", rotation=(0.5, 0.5, 0.5, 0.5), **changes):
    frame = [0.0, 0.0, 0.42, *rotation, *angles]
    content = {"LoopMode": mode, "FrameDuration": 0.01667, "Frames": [frame] * 3}
    path.write_text(json.dumps({**content, **changes}))
    return path


def test_the_laikagos_rest_rotation_is_taken_out(tmp_path, go2):
    clip = read_one(dog(tmp_path / "a.txt"), go2)
    assert (clip.fps, clip.loop) == (60.0, True)
    np.testing.assert_allclose(np.abs(clip.root_rot[0]), [0, 0, 0, 1], atol=1e-6)


def test_the_laikagos_angles_are_undone_and_its_legs_start_at_the_front_right(tmp_path, go2):
    angles = np.array([0.1, 0.2, -1.0, 0.2, 0.3, -1.1, 0.3, 0.4, -1.2, 0.4, 0.5, -1.3])
    clip = read_one(dog(tmp_path / "a.txt", angles.tolist()), go2)
    ours = dict(zip([joint.name for joint in go2.movable_joints], dofs_of(clip, go2)[0]))
    assert JOINT_ORDERS["go2"]["sdk"][:3] == ("FR_hip_joint", "FR_thigh_joint", "FR_calf_joint")
    assert ours["FR_hip_joint"] == pytest.approx(-0.1, abs=1e-6)  # the right hips turn otherwise
    assert ours["FL_hip_joint"] == pytest.approx(0.2, abs=1e-6)
    assert ours["RR_hip_joint"] == pytest.approx(-0.3, abs=1e-6)
    assert ours["FR_thigh_joint"] == pytest.approx(0.2 + 0.6, abs=1e-6)
    assert ours["RL_calf_joint"] == pytest.approx(-1.3 - 0.66, abs=1e-6)


def test_the_dog_stands_on_its_feet(tmp_path, go2):
    clip = read_one(dog(tmp_path / "a.txt"), go2)
    lowest = positions(clip, go2)[:, go2.body_ids(go2.feet, ""), 2].min()
    assert lowest == pytest.approx(0.023, abs=2e-3)  # its feet's radius, and 1 mm of air


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "Ping"}, "LoopMode must be 'Wrap' or 'Clamp', got 'Ping'"),
        ({"FrameDuration": 0}, "FrameDuration must be > 0 s, got 0"),
        ({"Frames": [[0.0] * 61] * 3}, "rows of 19 numbers, got 61"),
        ({"rotation": (0.1, 0.1, 0.1, 0.1)}, "no rotation in frame 0"),
    ],
)
def test_a_dogs_clip_that_cannot_be_is_refused(tmp_path, go2, changes, message):
    with pytest.raises(MotionError, match=message):
        read_one(dog(tmp_path / "a.txt", **changes), go2)


def test_a_dogs_clip_is_not_for_people(tmp_path, humanoid):
    with pytest.raises(MotionError, match=r"quadruped's clip.*import it for the character go2"):
        read_one(dog(tmp_path / "a.txt"), humanoid)
