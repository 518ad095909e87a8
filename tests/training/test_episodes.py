"""Statistics of training episodes, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.state import Done
from mimickit.training.episodes import EpisodeStatistics

DT = 0.5


def statistics(num_envs=2):
    return EpisodeStatistics(num_envs, dt=DT, device=torch.device("cpu"))


def added(episodes, reward, done):
    figures = episodes.add(torch.tensor(reward), torch.tensor(done))
    return {name: value.item() for name, value in figures.items()}


def test_two_envs_by_hand():
    # Env 0: rewards 1, 2 and FAIL; then 3 and TIME. Env 1: 10, 20, 30, still going on.
    figures = added(
        statistics(),
        [[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]],
        [[Done.NULL, Done.NULL], [Done.FAIL, Done.NULL], [Done.TIME, Done.NULL]],
    )
    assert figures["train/return"] == pytest.approx((3.0 + 3.0) / 2)
    assert figures["train/episode_length_s"] == pytest.approx((2 + 1) / 2 * DT)
    assert figures["train/fail_rate"] == 0.5


def test_an_episode_counts_when_it_ends_however_many_iterations_it_took():
    episodes = statistics(1)
    figures = added(episodes, [[1.0], [2.0]], [[Done.NULL], [Done.NULL]])
    assert all(math.isnan(value) for value in figures.values())
    assert added(episodes, [[4.0]], [[Done.SUCC]]) == {
        "train/return": 7.0,
        "train/episode_length_s": 1.5,
        "train/fail_rate": 0.0,
    }


def test_each_iteration_starts_over():
    episodes = statistics(1)
    assert added(episodes, [[1.0]], [[Done.FAIL]])["train/fail_rate"] == 1.0
    assert math.isnan(added(episodes, [[1.0]], [[Done.NULL]])["train/fail_rate"])


@given(
    done=st.lists(
        st.lists(st.sampled_from([0, 0, 1, 2, 3]), min_size=3, max_size=3), min_size=4, max_size=4
    ),
    seed=st.integers(0, 100),
)
def test_agrees_with_walking_through_the_steps(done, seed):
    reward = torch.randn(4, 3, generator=torch.Generator().manual_seed(seed))
    finished, running = [], [[] for _ in range(3)]
    for rewards, flags in zip(reward.tolist(), done):
        for env, (value, flag) in enumerate(zip(rewards, flags)):
            running[env].append(value)
            if flag != Done.NULL:
                finished.append(running[env])
                running[env] = []
    episodes, flags = statistics(3), torch.tensor(done)
    # Half of it in each of two iterations: the figures are of those that end in the second.
    before = sum(1 for row in done[:2] for flag in row if flag != Done.NULL)
    episodes.add(reward[:2], flags[:2])
    figures = {name: value.item() for name, value in episodes.add(reward[2:], flags[2:]).items()}
    late = finished[before:]
    if not late:
        assert all(math.isnan(value) for value in figures.values())
        return
    assert figures["train/return"] == pytest.approx(sum(map(sum, late)) / len(late), abs=1e-5)
    assert figures["train/episode_length_s"] == pytest.approx(DT * sum(map(len, late)) / len(late))


def test_what_is_not_a_number_stays_within_its_episode():
    episodes = statistics(1)
    nan = float("nan")
    assert math.isnan(added(episodes, [[nan], [1.0]], [[Done.FAIL], [Done.NULL]])["train/return"])
    assert added(episodes, [[2.0]], [[Done.TIME]])["train/return"] == 3.0


def test_a_state_is_a_snapshot_from_which_to_go_on():
    first, second = statistics(1), statistics(1)
    added(first, [[1.0], [2.0]], [[Done.FAIL], [Done.NULL]])
    state = first.state_dict()
    added(first, [[100.0]], [[Done.TIME]])  # must not reach the snapshot
    second.load_state_dict(state)
    assert added(second, [[3.0]], [[Done.TIME]]) == {
        "train/return": 5.0,
        "train/episode_length_s": 1.0,
        "train/fail_rate": 0.0,
    }


def test_a_state_with_sums_from_before_they_were_logged_at_once_is_read():
    episodes = statistics(1)
    episodes.load_state_dict(
        {"return": torch.ones(1), "steps": torch.ones(1), "sums": torch.zeros(5)}
    )
    assert added(episodes, [[2.0]], [[Done.TIME]])["train/return"] == 3.0
