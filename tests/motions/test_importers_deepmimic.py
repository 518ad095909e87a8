"""DeepMimic's humanoid3d clips: turned to our axes, or refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.characters import Kinematics
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_angle, quat_from_exp_map, quat_rotate
from mimickit.motions.importers import read_deepmimic


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
