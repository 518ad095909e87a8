"""Evaluation in turns beside training: of the policy as it was, with the numbers of `run`."""

from __future__ import annotations

import copy

import pytest
import torch

from mimickit.evaluation import background
from mimickit.evaluation.background import BackgroundEvaluation
from mimickit.evaluation.evaluator import Evaluator
from tests.algos.toy import point_policy
from tests.evaluation.points import EvaluatedPoints


def point_evaluator(seed=5):
    env = EvaluatedPoints(num_envs=4)
    return Evaluator(env, env.generator, seed, episodes=8)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(background, "STEPS_PER_TURN", 5)  # 16 steps are needed: two episodes of 8


def spoil(policy):
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1.0)


def test_judges_the_policy_as_it_was_when_it_began():
    policy = point_policy()
    expected = point_evaluator().run(copy.deepcopy(policy))
    beside = BackgroundEvaluation(point_evaluator(), policy)
    beside.begin(policy)
    spoil(policy)
    found = [beside.proceed() for _ in range(4)]
    assert found == [None, None, None, expected]  # after 5, 10, 15 and 20 steps
    assert not beside.busy


def test_the_next_one_judges_the_policy_as_it_is_then():
    policy = point_policy()
    beside = BackgroundEvaluation(point_evaluator(), policy)
    beside.begin(policy)
    first = beside.finish()
    spoil(policy)
    beside.begin(policy)
    assert beside.finish() == point_evaluator().run(policy) != first


def test_turns_are_counted_from_the_start_whatever_was_prepared():
    policy = point_policy()
    beside = BackgroundEvaluation(point_evaluator(), policy)
    beside.prepare(policy)
    assert not beside.busy
    beside.begin(policy)
    assert beside.busy
    assert beside.finish() == point_evaluator().run(policy)


def test_without_an_evaluation_there_is_nothing_to_fetch():
    beside = BackgroundEvaluation(point_evaluator(), point_policy())
    assert beside.proceed() is None
    assert beside.finish() is None


def test_the_evaluated_policy_is_left_alone():
    policy = point_policy()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    beside = BackgroundEvaluation(point_evaluator(), policy)
    beside.begin(policy)
    beside.finish()
    assert all(torch.equal(value, before[name]) for name, value in policy.state_dict().items())
