"""Foreign formats: read right, or refused in one line."""

from __future__ import annotations

import enum
import json
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.characters import Kinematics
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_angle, quat_from_exp_map, quat_rotate
from mimickit.motions.importers import read_deepmimic, read_mimickit


def write_pickle(folder, content, protocol=pickle.DEFAULT_PROTOCOL, name="clip.pkl"):
    path = folder / name
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def mimickit_content(frames=None, **changes) -> dict:
    frames = np.zeros((3, 34)) if frames is None else frames
    return {**{"loop_mode": 1, "fps": 30, "frames": frames}, **changes}


# --- MimicKit --------------------------------------------------------------------------------


def test_mimickit_columns_are_root_position_root_exp_map_and_dofs(tmp_path, humanoid):
    frames = np.zeros((2, 34))
    frames[:, :3] = [1.0, 2.0, 0.9]
    frames[:, 3:6] = [0.0, 0.0, np.pi / 2]  # a quarter turn to the left
    frames[:, 6 + 17] = 0.5  # dof 17 is the right knee's, about +y
    clip = read_mimickit(write_pickle(tmp_path, mimickit_content(frames.tolist())), humanoid)
    assert (clip.name, clip.fps, clip.loop, clip.num_frames) == ("clip", 30.0, True, 2)
    np.testing.assert_allclose(clip.root_pos[0], [1.0, 2.0, 0.9], rtol=1e-6)
    np.testing.assert_allclose(clip.root_rot[0], [0, 0, 0.70710678, 0.70710678], atol=1e-6)
    knee = clip.joint_rot[0, clip.joint_names.index("right_knee")]
    np.testing.assert_allclose(knee, [0, np.sin(0.25), 0, np.cos(0.25)], atol=1e-6)
    assert clip.joint_rot_for(humanoid).shape == (2, 14, 4)


@given(st.integers(0, 2**31))
def test_mimickit_dofs_survive_the_way_to_rotations_and_back(tmp_path_factory, humanoid, seed):
    frames = np.random.default_rng(seed).uniform(-1.2, 1.2, (3, 34))
    path = write_pickle(tmp_path_factory.mktemp("pickles"), mimickit_content(frames))
    clip = read_mimickit(path, humanoid)
    rot = torch.from_numpy(clip.joint_rot_for(humanoid))
    dofs = Kinematics(humanoid).rot_to_dof(rot).numpy()
    np.testing.assert_allclose(dofs, frames[:, 6:], atol=2e-6)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make", [np.array, np.asfortranarray, np.ndarray.tolist, list])
def test_mimickit_numbers_may_be_pickled_in_any_way(tmp_path, humanoid, protocol, make):
    frames = np.random.default_rng(0).uniform(-1, 1, (4, 34))
    content = mimickit_content(make(frames), fps=np.float64(29.93), loop_mode=np.int64(0))
    clip = read_mimickit(write_pickle(tmp_path, content, protocol), humanoid)
    assert (clip.fps, clip.loop) == (29.93, False)
    np.testing.assert_allclose(clip.root_pos, frames[:, :3], rtol=1e-6)


@pytest.mark.parametrize(
    ("old", "new"), [("numpy.core", "numpy._core"), ("numpy._core", "numpy.core")]
)
def test_mimickit_pickles_of_both_numpy_generations_are_read(tmp_path, humanoid, old, new):
    data = pickle.dumps(mimickit_content(), protocol=2)  # this protocol names modules as text
    path = tmp_path / "clip.pkl"
    path.write_bytes(data.replace(old.encode(), new.encode()))
    assert read_mimickit(path, humanoid).num_frames == 3


def test_mimickit_loop_mode_may_be_its_enum(tmp_path, humanoid, monkeypatch):
    module = types.ModuleType("anim.motion")
    module.LoopMode = enum.Enum("LoopMode", {"CLAMP": 0, "WRAP": 1}, module="anim.motion")
    monkeypatch.setitem(sys.modules, "anim", types.ModuleType("anim"))
    monkeypatch.setitem(sys.modules, "anim.motion", module)
    path = write_pickle(tmp_path, mimickit_content(loop_mode=module.LoopMode.WRAP))
    assert read_mimickit(path, humanoid).loop


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.mkdir, "mkdir"), (eval, "eval"), (getattr, "getattr"), (np.load, "load")],
)
def test_a_hostile_pickle_is_refused_and_nothing_of_it_runs(
    tmp_path, humanoid, function, name, protocol
):
    trace = tmp_path / "ran"
    path = write_pickle(tmp_path, mimickit_content(fps=Call(function, str(trace))), protocol)
    with pytest.raises(MotionError, match=rf"clip.pkl is refused: its pickle asks for .*{name}"):
        read_mimickit(path, humanoid)
    assert not trace.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        np.array([{}], dtype=object),
        np.array(["text"]),
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"cnumpy\nndarray\n(I1000000000\ntR.",
        b"cnumpy\ndtype\n(Vf8\ntR(dVname\nI1\nsb.",
        b"c_codecs\nencode\n(dV__defaults__\nNsb.",
    ],
)
def test_stand_ins_for_numpy_make_nothing_but_arrays_of_numbers(tmp_path, humanoid, hostile):
    path = tmp_path / "clip.pkl"
    path.write_bytes(hostile if isinstance(hostile, bytes) else pickle.dumps(hostile))
    with pytest.raises(MotionError, match=r"clip\.pkl"):
        read_mimickit(path, humanoid)


@given(st.data())
def test_a_damaged_pickle_gives_a_motion_error_or_a_clip(tmp_path_factory, humanoid, data):
    content = bytearray(pickle.dumps(mimickit_content()))
    for _ in range(3):
        content[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("pickles") / "clip.pkl"
    path.write_bytes(bytes(content))
    try:
        read_mimickit(path, humanoid)
    except MotionError as error:
        assert "clip.pkl" in str(error)


def ragged() -> list:
    return [[0.0] * 34, [0.0] * 33, [0.0] * 34]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "is no MimicKit clip: a list, not a dict"),
        ({"fps": 30, "frame": []}, "lacks loop_mode, frames, and has fps, frame"),
        (
            mimickit_content(np.zeros((3, 35))),
            r"frames have 35 numbers, the character needs 34 = 6",
        ),
        (mimickit_content(ragged()), "rows of 34 numbers each, all as long"),
        (mimickit_content("frames"), "rows of 34 numbers each"),
        (mimickit_content(np.full((3, 34), np.nan)), "frame 0 holds NaN or infinity, number 0"),
        (mimickit_content(np.zeros((1, 34))), "needs at least 2 frames, got 1"),
        (mimickit_content(fps=0), "fps must be finite and > 0, got 0"),
        (mimickit_content(loop_mode=2), r"loop_mode must be 0 \(clamp\) or 1 \(wrap\), got 2"),
        (mimickit_content(loop_mode="wrap"), "got 'wrap'"),
    ],
)
def test_a_mimickit_clip_that_cannot_be_is_refused(tmp_path, humanoid, content, message):
    with pytest.raises(MotionError, match=message):
        read_mimickit(write_pickle(tmp_path, content), humanoid)


@pytest.mark.parametrize(
    "read", [lambda path, c: read_mimickit(path, c), lambda path, _: read_deepmimic(path)]
)
def test_a_git_lfs_pointer_says_what_to_do(tmp_path, humanoid, read):
    path = tmp_path / "clip.pkl"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n")
    with pytest.raises(MotionError, match=r"Git-LFS pointer.*git lfs pull"):
        read(path, humanoid)


# --- DeepMimic -------------------------------------------------------------------------------


def deepmimic_frame(**changes) -> list:
    frame = np.zeros(44)
    frame[0] = 0.033332
    frame[[4, 8, 12, 16, 21, 25, 30, 35, 39]] = 1.0  # the w of every quaternion
    for column, value in changes.items():
        frame[int(column[1:])] = value
    return frame.tolist()


def write_deepmimic(folder, frames, loop="wrap"):
    path = folder / "humanoid3d_test.txt"
    path.write_text(json.dumps({"Loop": loop, "Frames": frames}))
    return path


def body_positions(clip, humanoid) -> dict:
    arrays = (clip.root_pos, clip.root_rot, clip.joint_rot_for(humanoid))
    pos, _ = Kinematics(humanoid).forward(*(torch.from_numpy(array) for array in arrays))
    return dict(zip(humanoid.body_names, pos[0].numpy()))


def test_deepmimic_rest_is_a_stand_with_hanging_arms(tmp_path, humanoid):
    path = write_deepmimic(tmp_path, [deepmimic_frame(c1=1.0, c2=0.9, c3=0.5)] * 2)
    clip = read_deepmimic(path)
    body = body_positions(clip, humanoid)
    np.testing.assert_allclose(body["pelvis"], [1.0, -0.5, 0.9], atol=1e-6)  # y up -> z up
    for side in ("right", "left"):
        arm = body[f"{side}_hand"] - body[f"{side}_upper_arm"]
        np.testing.assert_allclose(arm, [0, 0, -(0.274788 + 0.258947)], atol=1e-5)


def test_deepmimic_knees_bend_backwards_and_elbows_forwards(tmp_path, humanoid):
    bent = deepmimic_frame(c20=-1.0, c34=-1.0, c29=1.0, c43=1.0)
    body = body_positions(read_deepmimic(write_deepmimic(tmp_path, [bent] * 2)), humanoid)
    for side in ("right", "left"):
        # 1 rad: the shin ends 0.40987 sin 1 behind the knee, the forearm 0.258947 sin 1 ahead
        shin = body[f"{side}_foot"] - body[f"{side}_shin"]
        np.testing.assert_allclose(shin, 0.40987 * np.array([-np.sin(1), 0, -np.cos(1)]), atol=1e-5)
        arm = body[f"{side}_hand"] - body[f"{side}_lower_arm"]
        np.testing.assert_allclose(arm, 0.258947 * np.array([np.sin(1), 0, -np.cos(1)]), atol=1e-5)


@given(st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3))
def test_deepmimic_rotations_turn_with_the_axes(tmp_path_factory, exp_map):
    quat = quat_from_exp_map(torch.tensor(exp_map, dtype=torch.float64))
    x, y, z, w = quat.tolist()
    frame = deepmimic_frame(c4=w, c5=x, c6=y, c7=z)
    clip = read_deepmimic(write_deepmimic(tmp_path_factory.mktemp("clips"), [frame] * 2))
    swap = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)  # y up -> z up
    vector = torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64)
    here = quat_rotate(torch.from_numpy(clip.root_rot[0]).double(), swap @ vector)
    torch.testing.assert_close(here, swap @ quat_rotate(quat, vector), atol=1e-6, rtol=0)


def test_deepmimic_frame_rates_are_rounded_and_the_last_duration_is_not_used(tmp_path):
    frames = [deepmimic_frame()] * 2 + [deepmimic_frame(c0=0.0)]
    clip = read_deepmimic(write_deepmimic(tmp_path, frames, loop="none"), name="still")
    assert (clip.name, clip.fps, clip.loop) == ("still", 30.0, False)
    assert clip.duration == pytest.approx(2 / 30)


def test_deepmimic_quaternions_are_normalised(tmp_path):
    clip = read_deepmimic(write_deepmimic(tmp_path, [deepmimic_frame(c8=0.8)] * 2))
    identity = torch.tensor([0.0, 0, 0, 1])
    assert quat_angle(torch.from_numpy(clip.joint_rot[0, 0]), identity) < 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not readable JSON"),
        ("[]", "has no 'Frames'"),
        ('{"Frames": [[1, 2], [3, 4]]}', r"frames have \[2\] numbers, not 44"),
        ('{"Frames": []}', "is no humanoid3d clip"),
        ('{"Frames": [1, 2]}', "is no humanoid3d clip"),
        (json.dumps({"Frames": [deepmimic_frame()]}), "needs at least 2 frames, got 1"),
        (json.dumps({"Frames": [deepmimic_frame()] * 2, "Loop": "ping"}), "got 'ping'"),
        (json.dumps({"Frames": [deepmimic_frame(c0=0.0)] * 2}), "more than 0 s"),
        (
            json.dumps({"Frames": [deepmimic_frame(), deepmimic_frame(c0=0.1), deepmimic_frame()]}),
            r"frame 0 lasts 0.033332 s, frame 1 0.1 s; .* \(fps\)",
        ),
        (
            json.dumps({"Frames": [deepmimic_frame(c8=0.2)] * 2}),
            "'abdomen': a quaternion of length",
        ),
        (
            json.dumps({"Frames": [deepmimic_frame(c9=float("nan"))] * 2}),
            "NaN or infinity, number 9",
        ),
    ],
)
def test_a_deepmimic_clip_that_cannot_be_is_refused(tmp_path, text, message):
    path = tmp_path / "humanoid3d_test.txt"
    path.write_text(text)
    with pytest.raises(MotionError, match=message):
        read_deepmimic(path)
