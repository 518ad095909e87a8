"""Robots' clips: what the file leaves open is found by kinematics, or asked for."""

from __future__ import annotations

import joblib
import numpy as np
import pytest
import torch

from mimickit.errors import MotionError, UnknownJoint
from mimickit.geometry.quaternion import quat_angle, quat_to_exp_map
from mimickit.motions.importers import ImportOptions, import_motion
from mimickit.motions.importers.agreement import body_positions
from mimickit.motions.importers.poses import JOINT_ORDERS, Pose, breadth_first, pose_from_dofs
from tests.motions.foreign import (
    FRAMES,
    dofs_of,
    positions,
    walk,
    walk_pose,
    write_csv,
    write_pickle,
    wxyz,
)

NO_WRISTS = JOINT_ORDERS["g1"]["no_wrists"]
ONE_WAIST = JOINT_ORDERS["g1"]["one_waist"]


def read_one(path, character, **options):
    (imported,) = import_motion(path, character, ImportOptions(**options))
    return imported.clip


def same_rotations(a, b, atol=1e-6):
    angle = quat_angle(
        torch.from_numpy(np.array(a)).double(), torch.from_numpy(np.array(b)).double()
    )
    return float(angle.max()) < atol


# --- CSV -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["xyzw", "wxyz"])
def test_unitree_and_kimodo_tables_of_one_width_are_told_apart_by_the_upright_root(
    tmp_path, g1, order
):
    root_pos, root_rot, dofs = walk(g1)
    stored = root_rot if order == "xyzw" else wxyz(root_rot)
    clip = read_one(write_csv(tmp_path / "a.csv", root_pos, stored, dofs), g1, fps=30)
    assert same_rotations(clip.root_rot, root_rot, 1e-3)  # to float32, as clips are stored
    np.testing.assert_allclose(dofs_of(clip, g1), dofs, atol=1e-6)
    assert f"quat_order {order}" in clip.provenance["notes"]


def turned_about(root_rot, yaw):
    """Constant upright root with the heading, for all frames."""
    rot = np.zeros_like(root_rot)
    rot[:, 2], rot[:, 3] = np.sin(yaw / 2), np.cos(yaw / 2)
    return rot


def test_a_heading_that_is_upright_either_way_is_settled_by_the_feet(tmp_path, g1):
    # Half a turn about z, stored as wxyz, is (0, 0, 0, 1): read as xyzw no turn at all, as upright,
    # and the walk goes backwards.
    joints = [joint.name for joint in g1.movable_joints]
    legs = {"left_hip_pitch_joint": 0.4, "right_hip_pitch_joint": -0.4}
    time = np.linspace(0.0, 1.0, 40)
    dofs = np.zeros((40, 29))
    for name, size in legs.items():
        dofs[:, joints.index(name)] = size * np.cos(np.pi * time)
    root_rot = turned_about(np.zeros((40, 4)), np.pi)
    still = pose_from_dofs(g1, np.zeros((40, 3)), root_rot, dofs, joints)
    feet = body_positions(g1, still)[:, g1.body_ids(g1.feet, "")]
    lower = feet[..., 2].argmin(axis=1)
    # Move the root so that the lower foot stays where it is.
    root_pos = np.zeros((40, 3))
    for frame in range(1, 40):
        foot = lower[frame - 1]
        root_pos[frame] = root_pos[frame - 1] - (feet[frame, foot] - feet[frame - 1, foot])
    root_pos[:, 2] = 0.75
    path = write_csv(tmp_path / "a.csv", root_pos, wxyz(root_rot), dofs)
    clip = read_one(path, g1, fps=30)
    assert "wxyz, because the feet hold the ground" in clip.provenance["notes"]


def test_an_order_that_nothing_settles_is_asked_for(tmp_path, g1):
    root_pos, root_rot, dofs = walk(g1)
    root_pos[:] = [0.0, 0.0, 0.75]
    path = write_csv(tmp_path / "a.csv", root_pos, wxyz(turned_about(root_rot, np.pi)), dofs)
    with pytest.raises(MotionError, match=r"in several ways, .*tilt: .*say it with quat_order"):
        read_one(path, g1, fps=30)
    clip = read_one(path, g1, fps=30, quat_order="wxyz")
    np.testing.assert_allclose(np.abs(clip.root_rot[0]), [0, 0, 1, 0], atol=1e-6)


def test_a_table_does_not_state_its_rate_and_must_be_told(tmp_path, g1):
    path = write_csv(tmp_path / "a.csv", *walk(g1))
    with pytest.raises(MotionError, match=r"does not state its frame rate; .*--fps"):
        read_one(path, g1)


def test_23_joints_may_be_either_of_two_robots_and_are_asked_for(tmp_path, g1):
    path = write_csv(tmp_path / "a.csv", *walk(g1, joints=NO_WRISTS))
    with pytest.raises(MotionError, match=r"no_wrists.*one_waist.*say it with quat_order, joints"):
        read_one(path, g1, fps=30)
    clip = read_one(path, g1, fps=30, joints="no_wrists")
    names = [joint.name for joint in g1.movable_joints]
    dofs = dofs_of(clip, g1)
    np.testing.assert_allclose(
        dofs[:, [names.index(n) for n in NO_WRISTS]], walk(g1, joints=NO_WRISTS)[2], atol=1e-6
    )
    wrists = [names.index(name) for name in names if "wrist" in name]
    assert not dofs[:, wrists].any()
    assert "not in the file and at zero: left_wrist_roll_joint, " in clip.provenance["notes"]


def test_a_count_of_joints_that_fits_no_order_is_refused(tmp_path, g1):
    root_pos, root_rot, dofs = walk(g1)
    path = write_csv(tmp_path / "a.csv", root_pos, root_rot, dofs[:, :27])
    with pytest.raises(MotionError, match=r"27 numbers for the joints.*no_wrists \(23\).*--joints"):
        read_one(path, g1, fps=30)
    with pytest.raises(UnknownJoint, match=r"'left_kne_joint'.*Closest: left_knee_joint"):
        read_one(path, g1, fps=30, joints="left_kne_joint")


def test_a_quadruped_table_may_start_with_either_side_and_is_asked_for(tmp_path, go2):
    path = write_csv(tmp_path / "a.csv", *walk(go2))
    with pytest.raises(MotionError, match=r"depth_first.*sdk.*say it with quat_order, joints"):
        read_one(path, go2, fps=50)
    sdk = dofs_of(read_one(path, go2, fps=50, joints="sdk", quat_order="xyzw"), go2)
    own = dofs_of(read_one(path, go2, fps=50, joints="depth_first", quat_order="xyzw"), go2)
    # depth first: FL FR RL RR; the SDK's first three columns are FR's
    np.testing.assert_allclose(sdk[:, 3:6], own[:, 0:3])
    np.testing.assert_allclose(sdk[:, 0:3], own[:, 3:6])


def test_bones_tables_are_in_centimetres_and_degrees(tmp_path, g1):
    joints = [joint.name for joint in g1.movable_joints]
    header = ["Frame", *(f"root_{what}{a}" for what in ("translate", "rotate") for a in "XYZ")]
    header += [f"{name}_dof" for name in joints]
    rows = np.zeros((3, len(header)))
    rows[:, 0] = [0, 1, 2]
    rows[:, 1:4] = [100.0, -50.0, 76.0]
    rows[:, 4:7] = [90.0, 0.0, 90.0]  # about the world's x, then about its z
    rows[:, header.index("left_knee_joint_dof")] = 30.0
    path = tmp_path / "bones.csv"
    np.savetxt(path, rows, delimiter=",", header=",".join(header), comments="")
    clip = read_one(path, g1, fps=120)
    np.testing.assert_allclose(clip.root_pos[0], [1.0, -0.5, 0.76], atol=1e-6)
    # x -> x -> y; y -> z -> z: the matrix with columns y, z, x, a third of a turn about (1, 1, 1)
    np.testing.assert_allclose(clip.root_rot[0], [0.5, 0.5, 0.5, 0.5], atol=1e-6)
    assert dofs_of(clip, g1)[0, joints.index("left_knee_joint")] == pytest.approx(np.pi / 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n4,5,6\n", "is of no known motion format: it is csv"),
        ("1,2,3\n4,5\n", "row 1 of the table has 2 numbers, row 0 has 3"),
        ("1,2,3\n4,x,6\n", "row 1 of the table holds something else than numbers"),
        ("1,2,nan\n4,5,6\n", "row 0 holds NaN or infinity in column 2"),
        ("hello, world\n", "is no motion file of a known kind"),
    ],
)
def test_a_table_that_cannot_be_is_refused(tmp_path, g1, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(MotionError, match=message):
        import_motion(path, g1)


# --- BeyondMimic, ProtoMotions ---------------------------------------------------------------


def tracking(g1, joints, quat_order="wxyz", extra_bodies=0):
    """An .npz's content in one order of joints and quaternions."""
    pose = walk_pose(g1)
    names = [joint.name for joint in g1.movable_joints]
    dofs = walk(g1)[2][:, [names.index(name) for name in joints]]
    body_pos = body_positions(g1, pose)
    if joints != tuple(names):  # the simulator that orders joints so orders bodies so
        of_joint = {j.name: j.body for j in g1.movable_joints}
        body_pos = body_pos[:, [0, *(of_joint[name] for name in joints)]]
    body_pos = np.concatenate([body_pos, body_pos[:, :extra_bodies] + 0.1], axis=1)
    body_quat = np.zeros((*body_pos.shape[:2], 4))
    body_quat[:, :] = [1.0, 0, 0, 0]
    body_quat[:, 0] = wxyz(pose.root_rot) if quat_order == "wxyz" else pose.root_rot
    return {
        "fps": np.array([50]),
        "joint_pos": dofs,
        "joint_vel": np.zeros_like(dofs),
        "body_pos_w": body_pos,
        "body_quat_w": body_quat,
    }


@pytest.mark.parametrize("quat_order", ["wxyz", "xyzw"])
@pytest.mark.parametrize("joints", ["depth_first", "breadth_first"])
def test_the_order_of_joints_and_quaternions_is_the_one_that_fits_the_bodies(
    tmp_path, g1, joints, quat_order
):
    names = tuple(joint.name for joint in g1.movable_joints)
    order = names if joints == "depth_first" else breadth_first(g1)
    path = tmp_path / "clip.npz"
    np.savez(path, **tracking(g1, order, quat_order, extra_bodies=2))
    clip = read_one(path, g1)
    assert clip.fps == 50.0  # an array of one number
    np.testing.assert_allclose(positions(clip, g1), body_positions(g1, walk_pose(g1)), atol=1e-5)
    assert f"joints {joints}, quat_order {quat_order}" in clip.provenance["notes"]


def test_breadth_first_is_isaac_labs_order(g1):
    assert breadth_first(g1)[:6] == (
        "left_hip_pitch_joint", "right_hip_pitch_joint", "waist_yaw_joint",
        "left_hip_roll_joint", "right_hip_roll_joint", "waist_roll_joint",
    )  # fmt: skip


def test_bodies_that_no_order_explains_are_refused_with_the_distances(tmp_path, g1):
    content = tracking(g1, tuple(joint.name for joint in g1.movable_joints))
    content["body_pos_w"][:, 5:] += 0.03
    path = tmp_path / "clip.npz"
    np.savez(path, **content)
    with pytest.raises(
        MotionError, match=r"miss the body positions .* more than 0.01 m.*tolerance"
    ):
        read_one(path, g1)
    assert read_one(path, g1, tolerance=0.06).num_frames == FRAMES


def test_a_pose_that_several_orders_explain_is_asked_for(tmp_path, g1):
    # The last joint is the right wrist's yaw in both orders; the one before it, the right wrist's
    # pitch or the left one's yaw, turns by too little to move a body by a centimetre.
    names = tuple(joint.name for joint in g1.movable_joints)
    content = tracking(g1, names)
    dofs = np.zeros_like(content["joint_pos"])
    dofs[:, -2] = 0.1
    pose = pose_from_dofs(g1, walk(g1)[0], walk(g1)[1], dofs, names)
    content.update(joint_pos=dofs, body_pos_w=body_positions(g1, pose))
    path = tmp_path / "clip.npz"
    np.savez(path, **content)
    with pytest.raises(MotionError, match=r"several ways that differ.*depth_first.*breadth_first"):
        read_one(path, g1)
    clip = read_one(path, g1, joints="depth_first")
    assert dofs_of(clip, g1)[0, names.index("right_wrist_pitch_joint")] == pytest.approx(0.1)


def motion_file(path, g1, **changes):
    pose = walk_pose(g1)
    rot = np.zeros((FRAMES, 30, 4))
    rot[..., 3] = 1.0
    rot[:, 0] = pose.root_rot
    content = {
        "fps": 30,
        "dof_pos": walk(g1)[2],
        "rigid_body_pos": body_positions(g1, pose),
        "rigid_body_rot": rot,
    }
    tensors = {
        key: torch.from_numpy(value).float() if isinstance(value, np.ndarray) else value
        for key, value in {**content, **changes}.items()
    }
    torch.save(tensors, path)
    return path


def test_a_motion_file_is_read_and_its_bodies_agree(tmp_path, g1):
    clip = read_one(motion_file(tmp_path / "a.motion", g1), g1)
    np.testing.assert_allclose(positions(clip, g1), body_positions(g1, walk_pose(g1)), atol=1e-5)
    assert "quat_order xyzw" in clip.provenance["notes"]


def test_a_motion_file_of_another_body_is_refused(tmp_path, g1):
    far = body_positions(g1, walk_pose(g1)) * 1.3
    with pytest.raises(MotionError, match="is not for character 'g1': forward kinematics miss"):
        read_one(motion_file(tmp_path / "a.motion", g1, rigid_body_pos=far), g1)


# --- GMR, ASAP -------------------------------------------------------------------------------


def gmr_content(g1, joints, bodies=True, fps=29.93):
    root_pos, root_rot, dofs = walk(g1, joints=joints)
    pose = walk_pose(g1, joints=joints)
    local = Pose(0.0 * root_pos, np.tile([0, 0, 0, 1.0], (FRAMES, 1)), pose.joint_rot)
    return {
        "fps": fps,
        "root_pos": root_pos,
        "root_rot": root_rot,
        "dof_pos": dofs,
        "local_body_pos": body_positions(g1, local) if bodies else None,
        "link_body_list": list(g1.body_names) if bodies else None,
    }


@pytest.mark.parametrize("joints", [NO_WRISTS, ONE_WAIST])
def test_gmr_bodies_tell_which_23_joints_there_are(tmp_path, g1, joints):
    clip = read_one(write_pickle(tmp_path / "a.pkl", gmr_content(g1, joints)), g1)
    assert clip.fps == 29.93
    np.testing.assert_allclose(
        positions(clip, g1), body_positions(g1, walk_pose(g1, joints=joints)), atol=1e-5
    )


def test_gmr_without_bodies_asks_which_23_joints_there_are(tmp_path, g1):
    path = write_pickle(tmp_path / "a.pkl", gmr_content(g1, NO_WRISTS, bodies=False))
    with pytest.raises(MotionError, match=r"no_wrists.*one_waist.*--joints"):
        read_one(path, g1)
    path = write_pickle(tmp_path / "b.pkl", gmr_content(g1, None, bodies=False))
    assert "no body positions to compare" in read_one(path, g1).provenance["notes"]


def test_gmr_bodies_in_another_order_of_names_are_found_by_name(tmp_path, g1):
    content = gmr_content(g1, NO_WRISTS)
    content["local_body_pos"] = content["local_body_pos"][:, ::-1]
    content["link_body_list"] = content["link_body_list"][::-1]
    assert read_one(write_pickle(tmp_path / "a.pkl", content), g1).num_frames == FRAMES


def test_gmr_with_more_bodies_than_names_is_refused(tmp_path, g1):
    content = gmr_content(g1, NO_WRISTS)
    content["link_body_list"] = content["link_body_list"][:-1]
    with pytest.raises(MotionError, match="names 29 bodies, local_body_pos has 30"):
        read_one(write_pickle(tmp_path / "a.pkl", content), g1)


def asap_content(g1, joints, **changes):
    root_pos, root_rot, dofs = walk(g1, joints=joints)
    axes = {joint.name: np.array(joint.axis) for joint in g1.movable_joints}
    vectors = np.zeros((FRAMES, 4 + len(joints), 3))  # root, joints, and three of no use
    vectors[:, 0] = quat_to_exp_map(torch.from_numpy(root_rot)).numpy()
    for column, name in enumerate(joints):
        vectors[:, 1 + column] = dofs[:, column, None] * axes[name]
    clip = {
        "root_trans_offset": root_pos,
        "root_rot": root_rot,
        "dof": dofs,
        "pose_aa": vectors,
        "fps": 30,
    }
    return {"a clip": {**clip, **changes}}


@pytest.mark.parametrize("order", ["xyzw", "wxyz"])
@pytest.mark.parametrize("joints", [NO_WRISTS, ONE_WAIST])
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_asap_axes_tell_joints_and_quaternions(tmp_path, g1, joints, order, compress):
    root_rot = walk(g1, joints=joints)[1]
    stored = root_rot if order == "xyzw" else wxyz(root_rot)
    path = tmp_path / "a.pkl"
    joblib.dump(asap_content(g1, joints, root_rot=stored), path, compress=compress)
    clip = read_one(path, g1)
    assert clip.name == "a clip"
    np.testing.assert_allclose(
        positions(clip, g1), body_positions(g1, walk_pose(g1, joints=joints)), atol=1e-5
    )


def test_asap_joints_about_other_axes_are_refused(tmp_path, g1):
    content = asap_content(g1, NO_WRISTS)
    content["a clip"]["pose_aa"][:, 4] = np.roll(content["a clip"]["pose_aa"][:, 4], 1, axis=-1)
    path = tmp_path / "a.pkl"
    joblib.dump(content, path)
    with pytest.raises(MotionError, match="no_wrists: left_knee_joint turns about another axis"):
        read_one(path, g1)


def test_asap_without_vectors_asks_which_joints_there_are(tmp_path, g1):
    path = tmp_path / "a.pkl"
    joblib.dump(asap_content(g1, NO_WRISTS, pose_aa=None), path)
    with pytest.raises(MotionError, match=r"no_wrists or one_waist.*--joints"):
        read_one(path, g1)
    assert read_one(path, g1, joints="no_wrists").num_frames == FRAMES
