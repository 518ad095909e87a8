"""The clip and its file: what it accepts, what it refuses, and that nothing is lost on disk."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimickit.errors import MotionError
from mimickit.motions import Clip, load_clip, save_clip


def make_clip(**changes) -> Clip:
    frames = 5
    rot = np.zeros((frames, 2, 4))
    angle = np.linspace(0.0, 1.0, frames)
    rot[:, 0, 1], rot[:, 0, 3] = np.sin(angle / 2), np.cos(angle / 2)
    rot[:, 1, 3] = 1.0
    facts = {
        "name": "wave",
        "fps": 30.0,
        "loop": True,
        "joint_names": ("left_knee", "abdomen"),
        "root_pos": np.arange(frames * 3).reshape(frames, 3) / 7.0,
        "root_rot": np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1)),
        "joint_rot": rot,
        "provenance": {"source": "hand", "licence": "CC0"},
    }
    return Clip(**{**facts, **changes})


def humanoid_clip(humanoid, **changes) -> Clip:
    names = [joint.name for joint in humanoid.movable_joints]
    rot = np.zeros((3, len(names), 4))
    rot[..., 3] = 1.0
    facts = {
        "joint_names": tuple(names),
        "root_pos": np.zeros((3, 3)),
        "root_rot": np.tile([0.0, 0.0, 0.0, 1.0], (3, 1)),
        "joint_rot": rot,
    }
    return make_clip(**{**facts, **changes})


def members(path) -> dict:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def test_duration_counts_the_steps_between_frames():
    assert make_clip().num_frames == 5
    assert make_clip().duration == pytest.approx(4 / 30)  # 5 frames, 4 steps of 1/30 s


def test_a_saved_clip_loads_bit_for_bit(tmp_path):
    clip = make_clip()
    save_clip(tmp_path / "wave.npz", clip)
    loaded = load_clip(tmp_path / "wave.npz")
    for field in ("name", "fps", "loop", "joint_names", "provenance"):
        assert getattr(loaded, field) == getattr(clip, field)
    for field in ("root_pos", "root_rot", "joint_rot"):
        np.testing.assert_array_equal(getattr(loaded, field), getattr(clip, field))
        assert getattr(loaded, field).dtype == np.float32


@given(st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4))
def test_loading_and_saving_again_changes_no_byte(tmp_path_factory, values):
    quat = np.array(values)
    length = np.linalg.norm(quat)
    quat = quat / length if length > 0.1 else np.array([0.0, 0.0, 0.0, 1.0])
    folder = tmp_path_factory.mktemp("clips")
    save_clip(folder / "a.npz", make_clip(root_rot=np.tile(quat * 1.004, (5, 1))))
    save_clip(folder / "b.npz", load_clip(folder / "a.npz"))
    assert (folder / "a.npz").read_bytes() == (folder / "b.npz").read_bytes()


def test_quaternions_near_unit_length_are_normalised():
    clip = make_clip(root_rot=np.tile([0.0, 0.0, 0.0, 1.005], (5, 1)))
    np.testing.assert_array_equal(clip.root_rot, np.tile([0.0, 0.0, 0.0, 1.0], (5, 1)))


def test_the_given_arrays_are_copied():
    pos = np.zeros((5, 3), dtype=np.float32)
    clip = make_clip(root_pos=pos)
    pos += 1.0
    assert (clip.root_pos == 0.0).all()


def test_joint_order_of_the_file_does_not_matter(humanoid):
    clip = humanoid_clip(humanoid)
    knee = clip.joint_names.index("left_knee")
    rot = clip.joint_rot.copy()
    rot[:, knee] = [0.0, np.sin(0.2), 0.0, np.cos(0.2)]  # 0.4 rad about +y, the knee's axis
    order = np.random.default_rng(0).permutation(len(clip.joint_names))
    shuffled = replace(
        clip,
        joint_names=tuple(clip.joint_names[i] for i in order),
        joint_rot=rot[:, order],
    )
    placed = shuffled.joint_rot_for(humanoid)
    np.testing.assert_array_equal(placed, replace(clip, joint_rot=rot).joint_rot_for(humanoid))
    shin = humanoid.body_names.index("left_shin")
    np.testing.assert_allclose(placed[0, shin - 1], [0.0, np.sin(0.2), 0.0, np.cos(0.2)], rtol=1e-6)


def test_fixed_joints_get_the_identity(humanoid):
    placed = humanoid_clip(humanoid).joint_rot_for(humanoid)
    hand = humanoid.body_names.index("left_hand")
    assert placed.shape == (3, humanoid.num_joints, 4)
    np.testing.assert_array_equal(placed[:, hand - 1], [[0.0, 0.0, 0.0, 1.0]] * 3)


def test_missing_and_unknown_joints_are_named_with_what_is_closest(humanoid):
    clip = humanoid_clip(humanoid)
    names = tuple("left_kneee" if name == "left_knee" else name for name in clip.joint_names)
    with pytest.raises(MotionError) as error:
        replace(clip, joint_names=names).joint_rot_for(humanoid)
    assert str(error.value) == (
        "clip 'wave' is not for character 'humanoid': missing joints: left_knee (closest: "
        "left_kneee); unknown joints: left_kneee (closest: left_knee)"
    )


def test_a_hinge_that_turns_about_another_axis_is_refused(humanoid):
    clip = humanoid_clip(humanoid)
    rot = clip.joint_rot.copy()
    rot[1, clip.joint_names.index("left_knee")] = [np.sin(0.2), 0.0, 0.0, np.cos(0.2)]
    with pytest.raises(MotionError, match=r"in frame 1 joint 'left_knee' turns 22\.9 degrees"):
        replace(clip, joint_rot=rot).joint_rot_for(humanoid)


def nan_in_joint() -> np.ndarray:
    rot = make_clip().joint_rot.copy()
    rot[3, 1, 2] = np.nan
    return rot


def long_quaternion() -> np.ndarray:
    rot = make_clip().root_rot.copy()
    rot[2] *= 1.5
    return rot


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0.0}, "clip 'wave': fps must be finite and > 0, got 0.0"),
        ({"fps": -30.0}, "fps must be finite and > 0, got -30.0"),
        ({"fps": float("nan")}, "fps must be finite and > 0, got nan"),
        ({"fps": "fast"}, "fps must be finite and > 0, got fast"),
        ({"name": ""}, "a clip needs a name"),
        ({"joint_names": ()}, "names no joints"),
        ({"joint_names": ("knee", "knee")}, "joint names must be unique; twice: knee"),
        ({"joint_names": ("knee", "")}, "joint names must be unique; #1 has no name"),
        ({"joint_names": ("a", "b", "c")}, r"joint_rot must have shape \(frames, 3, 4\)"),
        ({"root_pos": np.zeros((1, 3))}, "needs at least 2 frames, got 1"),
        ({"root_pos": np.zeros((5, 2))}, r"root_pos must have shape \(frames, 3\), got \(5, 2\)"),
        ({"root_pos": np.zeros((4, 3))}, "root_rot has 5 frames, root_pos has 4"),
        ({"root_pos": [["up"] * 3] * 5}, "root_pos is not numbers"),
        ({"joint_rot": nan_in_joint()}, "NaN or infinity in frame 3, joint 'abdomen'"),
        ({"root_rot": long_quaternion()}, "in frame 2: a quaternion of length 1.500"),
        ({"provenance": {"year": 2018}}, "provenance must map words to text"),
    ],
)
def test_a_clip_that_cannot_be_is_refused(changes, message):
    with pytest.raises(MotionError, match=message):
        make_clip(**changes)


def test_a_clip_is_only_saved_under_npz(tmp_path):
    with pytest.raises(MotionError, match=r"must end in \.npz"):
        save_clip(tmp_path / "wave.pkl", make_clip())


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "wave.npz"
    save_clip(path, make_clip())
    before = path.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mimickit.motions.clip.os.replace", no_space)
    with pytest.raises(MotionError, match=r"cannot write .*wave\.npz: No space left on device"):
        save_clip(path, make_clip(fps=60.0))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["wave.npz"]


def test_a_save_into_a_missing_folder_says_so(tmp_path):
    with pytest.raises(MotionError, match=r"cannot write .*: No such file or directory"):
        save_clip(tmp_path / "nowhere" / "wave.npz", make_clip())


def test_a_missing_file_is_named_with_what_is_closest(tmp_path):
    save_clip(tmp_path / "wave.npz", make_clip())
    with pytest.raises(MotionError, match=r"no motion file .*wav\.npz\. Closest: wave\.npz\."):
        load_clip(tmp_path / "wav.npz")


def test_a_folder_is_not_a_clip(tmp_path):
    with pytest.raises(MotionError, match=r"cannot read .*: Is a directory"):
        load_clip(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"hello", "is not an .npz file"),
        (pickle.dumps([1, 2, 3]), "is not an .npz file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git-LFS pointer"),
    ],
)
def test_what_is_no_npz_is_refused(tmp_path, data, message):
    path = tmp_path / "wave.npz"
    path.write_bytes(data)
    with pytest.raises(MotionError, match=message):
        load_clip(path)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "wave.npz"
    save_clip(path, make_clip())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MotionError, match="is truncated"):
        load_clip(path)


def test_an_npz_with_pickled_objects_is_refused_unread(tmp_path):
    path = tmp_path / "wave.npz"
    np.savez(path, format=np.array([{"a": 1}], dtype=object))
    with pytest.raises(MotionError, match="holds pickled objects, which are not read"):
        load_clip(path)


def test_an_npz_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "wave.npz"
    np.savez(path, fps=30, joint_pos=np.zeros(3))
    with pytest.raises(MotionError, match=r"not a motion clip of this package \(it holds: fps, j"):
        load_clip(path)


def test_a_missing_member_is_named(tmp_path):
    path = tmp_path / "wave.npz"
    save_clip(path, make_clip())
    content = members(path)
    del content["fps"]
    np.savez(path, **content)
    with pytest.raises(MotionError, match="is damaged: it lacks fps"):
        load_clip(path)


def test_an_edited_member_is_noticed(tmp_path):
    path = tmp_path / "wave.npz"
    save_clip(path, make_clip())
    np.savez(path, **{**members(path), "fps": np.array(60.0)})
    with pytest.raises(MotionError, match="does not match the sha256 stored in it"):
        load_clip(path)


def test_a_newer_format_asks_for_a_newer_reader(tmp_path):
    path = tmp_path / "wave.npz"
    save_clip(path, make_clip())
    np.savez(path, **{**members(path), "version": np.array(2)})
    with pytest.raises(MotionError, match="has clip format 2, and this version reads up to 1"):
        load_clip(path)


@given(st.data())
def test_a_flipped_byte_is_noticed_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("clips") / "wave.npz"
    clip = make_clip()
    save_clip(path, clip)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(content))
    try:
        loaded = load_clip(path)
    except MotionError as error:
        assert "wave.npz" in str(error)
    else:
        np.testing.assert_array_equal(loaded.joint_rot, clip.joint_rot)
        assert (loaded.fps, loaded.joint_names) == (clip.fps, clip.joint_names)


def test_the_file_is_readable_without_this_package(tmp_path):
    path = tmp_path / "wave.npz"
    save_clip(path, make_clip())
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    content = members(path)
    assert json.loads(str(content["provenance"])) == {"source": "hand", "licence": "CC0"}
    assert list(content["joint_names"]) == ["left_knee", "abdomen"]
