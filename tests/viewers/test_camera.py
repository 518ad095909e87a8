"""The camera follows smoothly, without lag at constant speed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimickit.viewers.camera import LOOK_HEIGHT, FollowCamera

DT = 1.0 / 30.0


def test_first_call_looks_at_the_middle_of_the_roots():
    camera = FollowCamera(root_height=0.8)
    roots = np.array([[1.0, 2.0, 0.8], [3.0, 2.0, 0.8]])
    # The middle is (2, 2, 0.8), looked at 0.05 heights lower: 0.8 - 0.05 * 0.8 = 0.76.
    np.testing.assert_allclose(camera.follow(roots, DT), [2.0, 2.0, 0.76])
    assert pytest.approx(0.95) == LOOK_HEIGHT


@settings(max_examples=10)
@given(st.tuples(*(st.floats(-5.0, 5.0) for _ in range(3))))
def test_target_at_constant_speed_is_followed_without_lag(velocity):
    camera = FollowCamera(root_height=1.0)
    for step in range(1200):  # 40 s, twenty times the slowest time constant
        root = np.array(velocity) * step * DT
        look_at = camera.follow(root[None], DT)
    lower = np.array([0.0, 0.0, LOOK_HEIGHT - 1.0])
    np.testing.assert_allclose(look_at, root + lower, atol=1e-3)


def test_new_episode_elsewhere_is_in_the_picture_at_once():
    camera = FollowCamera(root_height=0.9)
    for step in range(30):  # a run of 6 m/s, and then a start at the origin
        camera.follow(np.array([[6.0 * step * DT, 0.0, 0.9]]), DT)
    # 0.05 heights lower: 0.9 - 0.045 = 0.855; and at rest, since nothing is known of its velocity.
    np.testing.assert_allclose(camera.follow(np.array([[0.0, 0.0, 0.9]]), DT), [0.0, 0.0, 0.855])
    np.testing.assert_allclose(camera.follow(np.array([[0.0, 0.0, 0.9]]), DT), [0.0, 0.0, 0.855])


def test_hop_moves_the_camera_by_less_than_half():
    camera = FollowCamera(root_height=0.9)
    camera.follow(np.array([[0.0, 0.0, 0.9]]), DT)
    start, highest = camera.look_at[2], 0.0
    for step in range(60):  # up 0.6 m and down again, within a second
        hop = 0.6 * max(0.0, np.sin(np.pi * step * DT))
        highest = max(highest, camera.follow(np.array([[0.0, 0.0, 0.9 + hop]]), DT)[2] - start)
    assert 0.0 < highest < 0.3


def test_wider_row_is_seen_from_farther_off():
    assert FollowCamera(0.9, spread=6.0).distance > FollowCamera(0.9).distance + 3.0
