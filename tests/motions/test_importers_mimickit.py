"""MimicKit's pickles: read right, or refused in one line."""

from __future__ import annotations

import enum
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
from mimickit.motions.importers import read_mimickit
from tests.motions.foreign import ENUM_PICKLES


def write_pickle(folder, content, protocol=pickle.DEFAULT_PROTOCOL, name="clip.pkl"):
    path = folder / name
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def mimickit_content(frames=None, **changes) -> dict:
    frames = np.zeros((3, 34)) if frames is None else frames
    return {**{"loop_mode": 1, "fps": 30, "frames": frames}, **changes}


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


@pytest.mark.parametrize("reduced", ENUM_PICKLES)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_mimickit_loop_mode_may_be_its_enum(tmp_path, humanoid, monkeypatch, reduced, protocol):
    module = types.ModuleType("anim.motion")
    module.LoopMode = enum.Enum("LoopMode", {"CLAMP": 0, "WRAP": 1}, module="anim.motion")
    module.LoopMode.__reduce_ex__ = ENUM_PICKLES[reduced]
    monkeypatch.setitem(sys.modules, "anim", types.ModuleType("anim"))
    monkeypatch.setitem(sys.modules, "anim.motion", module)
    for mode, loops in ((module.LoopMode.WRAP, True), (module.LoopMode.CLAMP, False)):
        path = write_pickle(tmp_path, mimickit_content(loop_mode=mode), protocol)
        assert read_mimickit(path, humanoid).loop is loops


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
