"""Statistics of training episodes, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.state import Done
from mimickit.training.episodes import EpisodeStatistics


def statistics(num_envs=2):
    return EpisodeStatistics(num_envs, dt=0.5, device=torch.device("cpu"))


def columns(*rows):
    return torch.tensor(rows)


def test_two_envs_by_hand():
    episodes = statistics()
    # Env 0: rewards 1, 2 and FAIL; then 3 and TIME. Env 1: 10, 20, 30, still going on.
    episodes.add(
        columns([1.0, 10.0], [2.0, 20.0], [3.0, 30.0]),
        columns([Done.NULL, Done.NULL], [Done.FAIL, Done.NULL], [Done.TIME, Done.NULL]),
    )
    figures = episodes.flush()
    assert figures["train/return"] == pytest.approx((3.0 + 3.0) / 2)
    assert figures["train/episode_length_s"] == pytest.approx((2 + 1) / 2 * 0.5)
    assert figures["train/fail_rate"] == 0.5


def test_an_episode_counts_when_it_ends_however_many_iterations_it_took():
    episodes = statistics(1)
    episodes.add(columns([1.0], [2.0]), columns([Done.NULL], [Done.NULL]))
    assert math.isnan(episodes.flush()["train/return"])
    episodes.add(columns([4.0]), columns([Done.SUCC]))
    figures = episodes.flush()
    assert figures == {
        "train/return": 7.0,
        "train/episode_length_s": 1.5,
        "train/fail_rate": 0.0,
    }


def test_flushing_starts_over():
    episodes = statistics(1)
    episodes.add(columns([1.0]), columns([Done.FAIL]))
    assert episodes.flush()["train/fail_rate"] == 1.0
    assert all(math.isnan(value) for value in episodes.flush().values())


def test_a_state_is_a_snapshot_from_which_to_go_on():
    first, second = statistics(1), statistics(1)
    first.add(columns([1.0], [2.0]), columns([Done.FAIL], [Done.NULL]))
    state = first.state_dict()
    first.add(columns([100.0]), columns([Done.TIME]))  # must not reach the snapshot
    second.load_state_dict(state)
    second.add(columns([3.0]), columns([Done.TIME]))
    assert second.flush() == {
        "train/return": pytest.approx((1.0 + 5.0) / 2),
        "train/episode_length_s": pytest.approx(0.75),
        "train/fail_rate": 0.5,
    }
