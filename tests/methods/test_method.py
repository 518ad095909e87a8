"""Methods: parts, their weights and what they pass on."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mimickit.algos.rollout import Rollout
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.methods import Method, Part
from mimickit.specs import GroupSpec


class Constant(Part):
    """Rewards every step with the same number, and counts its updates."""

    needs = frozenset({"reference"})

    def __init__(self, value):
        self.value = value
        self.updates = 0

    def reward(self, rollout):
        return torch.full_like(rollout.reward, self.value)

    def actor_term(self):
        return lambda batch, gaussian: batch.sum()

    def update(self, rollout):
        self.updates += 1
        return {"updates": torch.tensor(float(self.updates))}

    def state_dict(self):
        return {"updates": self.updates}

    def load_state_dict(self, state):
        self.updates = state["updates"]


@pytest.fixture
def rollout():
    """Two steps of two envs with terms a = 1 and b = 2 everywhere."""
    rollout = Rollout(2, 2, {"policy": GroupSpec(1)}, 1, torch.device("cpu"))
    rollout.terms = {"a": torch.ones(2, 2), "b": torch.full((2, 2), 2.0)}
    return rollout


def test_deepmimic_rewards_the_sum_of_the_tasks_terms(rollout):
    means = Method("deepmimic", {"task": 1.0}, {}).reward(rollout)
    assert torch.equal(rollout.reward, torch.full((2, 2), 3.0))
    assert {k: v.item() for k, v in means.items()} == {"reward/a": 1.0, "reward/b": 2.0}


def test_rewards_are_weighed_by_hand(rollout):
    method = Method("mixed", {"task": 0.5, "style": 2.0}, {"style": Constant(10.0)})
    means = method.reward(rollout)
    assert torch.equal(rollout.reward, torch.full((2, 2), 0.5 * 3.0 + 2.0 * 10.0))
    assert means["reward/style"].item() == 10.0


def test_a_task_that_does_not_count_is_still_logged(rollout):
    means = Method("amp", {"style": 1.0}, {"style": Constant(4.0)}).reward(rollout)
    assert torch.equal(rollout.reward, torch.full((2, 2), 4.0))
    assert means["reward/a"].item() == 1.0


def test_reward_of_the_last_rollout_does_not_linger(rollout):
    method = Method("deepmimic", {"task": 1.0}, {})
    method.reward(rollout)
    method.reward(rollout)
    assert torch.equal(rollout.reward, torch.full((2, 2), 3.0))


def test_parts_pass_on_needs_losses_metrics_and_state(rollout):
    method = Method("m", {"task": 1.0}, {"quiet": Part(), "loud": Constant(1.0)})
    assert method.needs == {"reference"}
    assert [term(torch.ones(3), None).item() for term in method.actor_terms()] == [3.0]
    assert {k: v.item() for k, v in method.update(rollout).items()} == {"loud/updates": 1.0}
    other = Method("m", {"task": 1.0}, {"quiet": Part(), "loud": Constant(1.0)})
    other.load_state_dict(method.state_dict())
    assert other.parts["loud"].updates == 1


def test_a_part_that_does_nothing_changes_nothing(rollout):
    assert Part().reward(rollout) is None
    assert Part().actor_term() is None
    assert (Part().update(rollout), Part().state_dict(), Part().needs) == ({}, {}, frozenset())


def test_a_weight_of_an_unknown_part_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"method 'amp' has no part 'stile' \(asked for by method.reward\). Closest: style",
    ):
        Method("amp", {"stile": 1.0}, {"style": Constant(1.0)})


class Wanting(Part):
    """Asks for a condition with a size."""

    def __init__(self, size):
        self.conditions = {"latent": partial(dict, size=size)}


def test_a_condition_that_two_parts_want_alike_is_made_once():
    method = Method("m", {}, {"one": Wanting(4), "two": Wanting(4), "none": Part()})
    assert [(n, f.keywords) for n, f in method.conditions.items()] == [("latent", {"size": 4})]


def test_a_condition_that_two_parts_want_differently_is_refused():
    with pytest.raises(
        IncompatibleParts,
        match=r"part 'two' .* condition 'latent' with {'size': 8}, another part with {'size': 4}",
    ):
        _ = Method("m", {}, {"one": Wanting(4), "two": Wanting(8)}).conditions
