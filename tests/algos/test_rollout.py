"""What a rollout keeps of each step."""

from __future__ import annotations

import pytest
import torch

from mimickit.algos.rollout import Rollout
from mimickit.specs import GroupSpec
from mimickit.state import Done, Step

T, N, A = 3, 2, 4
NULL, FAIL, TIME = int(Done.NULL), int(Done.FAIL), int(Done.TIME)
# Env 0 is cut by the clock at step 1, env 1 fails at step 0 and is cut at step 2.
DONE = [[NULL, FAIL], [TIME, NULL], [NULL, TIME]]


def step_at(t):
    return Step(
        reward={"a": torch.full((N,), float(t)), "b": torch.full((N,), -float(t))},
        done=torch.tensor(DONE[t]),
        info={},
    )


def reached_at(t):
    return {"policy": torch.tensor([[10.0 * t + 1.0], [10.0 * t + 2.0]]).expand(N, 5)}


def filled(max_steps=1, index=int):
    """A rollout in which every number says where it came from.

    Step t stores 10 t, and reaches 10 t + 1 in env 0 and 10 t + 2 in env 1.
    """
    rollout = Rollout(T, N, {"policy": GroupSpec(5)}, A, torch.device("cpu"), max_steps)
    for t in range(T):
        obs = {"policy": torch.full((N, 5), 10.0 * t)}
        action, log_prob = torch.full((N, A), float(t)), torch.full((N,), -0.5 * t)
        rollout.record(index(t), obs, action, log_prob, step_at(t), reached_at(t))
    rollout.finish({"policy": torch.full((N, 5), 99.0)})
    return rollout


def test_keeps_what_was_acted_on_and_what_comes_next():
    assert filled().obs["policy"][:, 0, 0].tolist() == [0.0, 10.0, 20.0, 99.0]


@pytest.mark.parametrize("max_steps", [1, 2, 3, 300])
def test_reached_values_are_of_the_next_row_except_where_the_clock_cut(max_steps):
    rollout = filled(max_steps)
    values, timeout_values = (
        group["policy"][..., 0] for group in (rollout.obs, rollout.timeout_obs)
    )
    reached = rollout.next_values(values, timeout_values)
    # Failures need no value: theirs is that of the next row.
    assert reached.tolist() == [[10.0, 10.0], [11.0, 20.0], [99.0, 22.0]]


def test_one_observation_per_env_and_stretch_is_kept():
    for max_steps, stretches in ((1, 3), (2, 2), (3, 1), (300, 1)):
        assert filled(max_steps).timeout_obs["policy"].shape == (stretches, N, 5)


def test_junk_that_no_timeout_reached_is_not_kept():
    rollout = filled(300)
    junk = {"policy": torch.full((N, 5), float("nan"))}
    rollout.record(0, junk, torch.zeros(N, A), torch.zeros(N), step_at(0), junk)
    assert rollout.timeout_obs["policy"].isfinite().all()


def test_a_step_without_timeouts_needs_no_observation_of_what_it_reached():
    rollout = filled(300)
    before = rollout.timeout_obs["policy"].clone()
    zeros = torch.zeros(N, A), torch.zeros(N)
    rollout.record(0, {"policy": torch.zeros(N, 5)}, *zeros, step_at(0), None)
    assert torch.equal(rollout.timeout_obs["policy"], before)


def test_keeps_actions_densities_flags_and_terms():
    rollout = filled()
    assert rollout.action[:, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert rollout.log_prob[:, 1].tolist() == [0.0, -0.5, -1.0]
    assert rollout.done.tolist() == DONE
    assert {name: term[:, 0].tolist() for name, term in rollout.terms.items()} == {
        "a": [0.0, 1.0, 2.0],
        "b": [0.0, -1.0, -2.0],
    }
    assert rollout.samples == T * N


@pytest.mark.parametrize("max_steps", [2, 300])
def test_a_step_on_the_device_stores_the_same_as_a_number(max_steps):
    ours = filled(max_steps, index=lambda t: torch.tensor([t]))
    theirs = filled(max_steps)
    for name in ("action", "log_prob", "done"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    for name in ("obs", "timeout_obs", "terms"):
        for key, buffer in getattr(ours, name).items():
            assert torch.equal(buffer, getattr(theirs, name)[key])


def test_copies_so_that_later_writes_to_observations_change_nothing():
    rollout, obs = filled(), {"policy": torch.zeros(N, 5)}
    step = Step(reward={"a": torch.ones(N)}, done=torch.tensor([TIME, TIME]), info={})
    rollout.record(0, obs, torch.zeros(N, A), torch.zeros(N), step, obs)
    obs["policy"].fill_(7.0)
    assert rollout.obs["policy"][0].abs().max() == 0
    assert rollout.timeout_obs["policy"][0].abs().max() == 0


def test_buffers_are_allocated_once():
    rollout = filled()

    def pointers():
        named = (*rollout.obs.values(), *rollout.timeout_obs.values(), *rollout.terms.values())
        return [buffer.data_ptr() for buffer in named]

    before, obs = pointers(), reached_at(0)
    rollout.record(0, obs, torch.zeros(N, A), torch.zeros(N), step_at(0), obs)
    assert pointers() == before
