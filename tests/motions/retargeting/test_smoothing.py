"""Courses of one number: smooth, bounded, slow enough, closed."""

from __future__ import annotations

import numpy as np
import pytest

from mimickit.motions.retargeting.smoothing import smooth_course, unwound

FPS = 50.0


def test_nothing_changes_without_a_reason():
    values = np.array([0.0, 1.0, 0.5, 2.0])
    np.testing.assert_allclose(smooth_course(values, FPS, False, cutoff=np.inf), values)


def test_the_cutoff_is_where_oscillations_are_halved():
    time = np.arange(201) / FPS
    for frequency, left in ((5.0, 0.5), (1.0, 1.0), (20.0, 0.0)):
        wave = np.cos(2.0 * np.pi * frequency * time)  # whole cycles in a loop: no edge counts
        course = smooth_course(wave, FPS, True, cutoff=5.0)
        assert np.abs(course).max() == pytest.approx(left, abs=0.02)


def test_a_constant_slope_is_left_alone():
    ramp = np.linspace(0.0, 3.0, 40)
    np.testing.assert_allclose(smooth_course(ramp, FPS, False, cutoff=3.0), ramp, atol=1e-9)


def test_a_loop_ends_where_it_began():
    values = np.array([0.0, 0.3, 0.6, 0.2, 0.1])
    course = smooth_course(values, FPS, True, cutoff=8.0)
    assert course[0] == course[-1]
    assert smooth_course(values, FPS, True, cutoff=np.inf)[0] == pytest.approx(0.05)  # the mean


def test_bounds_hold_and_the_rest_keeps_its_distance():
    values = np.array([0.0, 1.0, 2.0, 1.0, 0.0])
    pytest.importorskip("qpsolvers")
    course = smooth_course(values, FPS, False, cutoff=np.inf, bounds=(0.1, 1.5))
    np.testing.assert_allclose(course, [0.1, 1.0, 1.5, 1.0, 0.1], atol=1e-9)


def test_a_jump_is_spread_so_that_no_step_is_too_fast():
    pytest.importorskip("qpsolvers")
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    course = smooth_course(values, 10.0, False, cutoff=np.inf, speed=4.0)  # 0.4 per frame
    assert np.abs(np.diff(course)).max() <= 0.4
    # The least change splits the missing 0.6 evenly around the jump.
    np.testing.assert_allclose(course, [0.0, 0.0, 0.3, 0.7, 1.0, 1.0], atol=2e-3)


def test_speed_counts_across_the_seam():
    pytest.importorskip("qpsolvers")
    values = np.array([0.0, 0.5, 1.0, 1.5, 0.0])
    course = smooth_course(values, 10.0, True, cutoff=np.inf, speed=6.0)
    assert np.abs(np.diff(course)).max() <= 0.6


def test_what_cannot_be_is_said():
    pytest.importorskip("qpsolvers")
    with pytest.raises(ValueError, match="no course of 2 values"):
        smooth_course(np.array([0.0, 5.0]), 1.0, False, np.inf, bounds=(1.0, 0.5))


def test_exp_maps_go_on_past_half_a_turn():
    angles = np.linspace(2.0, 4.5, 6)
    axis = np.array([0.0, 0.6, 0.8])
    wrapped = (np.where(angles > np.pi, angles - 2.0 * np.pi, angles))[:, None] * axis
    np.testing.assert_allclose(unwound(wrapped), angles[:, None] * axis, atol=1e-12)
