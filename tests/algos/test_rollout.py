"""What a rollout keeps of each step."""

from __future__ import annotations

import torch

from mimickit.algos.rollout import Rollout
from mimickit.specs import GroupSpec
from mimickit.state import Done, Step

T, N, A = 3, 2, 4


def filled():
    """A rollout in which every number says where it came from: step t stores 10 t, reached + 1."""
    rollout = Rollout(T, N, {"policy": GroupSpec(5)}, A, torch.device("cpu"))
    for t in range(T):
        step = Step(
            obs={"policy": torch.full((N, 5), 10.0 * t + 1.0)},
            reward={"a": torch.full((N,), float(t)), "b": torch.full((N,), -float(t))},
            done=torch.full((N,), int(Done.TIME if t == 1 else Done.NULL)),
            info={},
        )
        obs = {"policy": torch.full((N, 5), 10.0 * t)}
        rollout.record(t, obs, torch.full((N, A), float(t)), torch.full((N,), -0.5 * t), step)
    rollout.finish({"policy": torch.full((N, 5), 99.0)})
    return rollout


def test_keeps_what_was_seen_and_what_was_reached_apart():
    rollout = filled()
    assert rollout.obs["policy"][:, 0, 0].tolist() == [0.0, 10.0, 20.0, 99.0]
    assert rollout.next_obs["policy"][:, 0, 0].tolist() == [1.0, 11.0, 21.0]


def test_keeps_actions_densities_flags_and_terms():
    rollout = filled()
    assert rollout.action[:, 0, 0].tolist() == [0.0, 1.0, 2.0]
    assert rollout.log_prob[:, 1].tolist() == [0.0, -0.5, -1.0]
    assert rollout.done[:, 0].tolist() == [0, 3, 0]
    assert {name: term[:, 0].tolist() for name, term in rollout.terms.items()} == {
        "a": [0.0, 1.0, 2.0],
        "b": [0.0, -1.0, -2.0],
    }
    assert rollout.samples == T * N


def test_copies_so_that_later_writes_to_observations_change_nothing():
    rollout, obs = filled(), {"policy": torch.zeros(N, 5)}
    step = Step(
        obs=obs, reward={"a": torch.ones(N)}, done=torch.zeros(N, dtype=torch.long), info={}
    )
    rollout.record(0, obs, torch.zeros(N, A), torch.zeros(N), step)
    obs["policy"].fill_(7.0)
    assert rollout.obs["policy"][0].abs().max() == 0
    assert rollout.next_obs["policy"][0].abs().max() == 0


def test_buffers_are_allocated_once():
    rollout = filled()
    pointers = [rollout.obs["policy"].data_ptr(), rollout.terms["a"].data_ptr()]
    step = Step(
        obs={"policy": torch.zeros(N, 5)},
        reward={"a": torch.ones(N), "b": torch.ones(N)},
        done=torch.zeros(N, dtype=torch.long),
        info={},
    )
    rollout.record(0, step.obs, torch.zeros(N, A), torch.zeros(N), step)
    assert [rollout.obs["policy"].data_ptr(), rollout.terms["a"].data_ptr()] == pointers
