"""AWR: its loss by hand, what it keeps, and that it learns."""

from __future__ import annotations

import io
from functools import partial

import pytest
import torch

from mimickit.algos.awr import AWR
from mimickit.algos.returns import td_lambda_returns
from mimickit.algos.rollout import Rollout
from mimickit.algos.side_by_side import side_by_side
from mimickit.errors import ConfigError
from mimickit.state import Done
from tests.algos.toy import PointEnv, point_policy
from tests.no_sync import no_sync

SGD = partial(torch.optim.SGD, lr=1e-2)
SETTINGS = {
    "steps": 16,
    "rollouts": 3,
    "discount": 0.9,
    "trace": 0.95,
    "temperature": 1.0,
    "max_weight": 20.0,
    "actor_epochs": 4,
    "critic_epochs": 4,
    "actor_minibatches": 4,
    "critic_minibatches": 4,
    "actor_optimizer": partial(torch.optim.Adam, lr=3e-3),
    "critic_optimizer": partial(torch.optim.Adam, lr=3e-3),
    "bound_weight": 10.0,
    "entropy_weight": 0.0,
    "max_grad_norm": None,
    "schedule": "constant",
}


def awr(policy, **changes):
    algo = AWR(policy, torch.Generator().manual_seed(0), **{**SETTINGS, **changes})
    algo.set_progress(0.0)
    return algo


def collect(env, policy, rollout, noise):
    obs = env.observe()
    for t in range(rollout.steps):
        action, log_prob = policy.act(obs, noise)
        step = env.step(action)
        rollout.record(t, obs, action, log_prob, step, env.observe())
        env.reset(step.done != int(Done.NULL))
        obs = env.observe()
    rollout.finish(obs)
    rollout.reward.copy_(rollout.terms["near"])


def new_rollout(env, steps=16):
    return Rollout(steps, env.num_envs, env.groups, 2, env.device, env.max_steps)


@pytest.mark.parametrize(("advantage", "weight"), [(0.5, 1.6487), (-1.0, 0.3679), (9.0, 20.0)])
def test_density_is_weighted_by_the_exponential_of_the_advantage(advantage, weight):
    # The loss -w log p(a) has the gradient -w (a - mean) / sigma^2 by the mean.
    policy = point_policy(sigma_init=1.0)
    algo = awr(policy)
    found = (torch.tensor([advantage]) / algo.temperature).exp().clamp_max(algo.max_weight)
    loss, _ = algo._surrogate(found, torch.tensor([-2.0]), torch.tensor([0]))
    assert loss.item() == pytest.approx(2.0 * weight, rel=1e-4)


def test_states_of_every_kept_rollout_are_valued_by_the_present_critic():
    env, policy = PointEnv(4), point_policy()
    algo = awr(policy, rollouts=2, actor_epochs=0, critic_epochs=0)
    noise = torch.Generator().manual_seed(1)
    first, second = new_rollout(env), new_rollout(env)
    values = []
    for rollout in (first, second):
        collect(env, policy, rollout, noise)
        metrics = algo.update(rollout, [])
    with torch.no_grad():
        for rollout in (first, second):
            value = policy.value(rollout.obs["policy"])
            timeout = policy.value(rollout.timeout_obs["policy"])
            next_value = rollout.next_values(value, timeout)
            values.append(value[:-1])
            td_lambda_returns(rollout.reward, next_value, rollout.done, 0.9, 0.95)
    assert metrics["algo/value"].item() == pytest.approx(torch.cat(values).mean().item(), rel=1e-5)


def test_the_oldest_rollout_makes_place_and_the_first_fills_what_is_missing():
    env, policy = PointEnv(2), point_policy()
    algo = awr(policy, rollouts=3, actor_epochs=0, critic_epochs=0)
    rollout, marks = new_rollout(env), []
    for mark in range(5):
        rollout.reward.fill_(float(mark))
        algo.update(rollout, [])
        marks.append(sorted(set(algo._kept["reward"].flatten().tolist())))
    assert marks == [[0], [0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_a_pass_looks_at_as_many_samples_as_a_rollout_has_of_all_that_are_kept():
    algo = awr(point_policy(), rollouts=3)
    rows = torch.cat(algo._minibatches(8, 1, 4))
    assert len(rows) == len(set(rows.tolist())) == 8
    assert rows.max() >= 8
    assert all(0 <= row < 24 for row in rows.tolist())


@pytest.mark.parametrize("rollouts", [1, 4])
def test_it_learns_to_stay_near_the_origin(rollouts):
    env, policy = PointEnv(64), point_policy()
    algo, rollout = awr(policy, rollouts=rollouts), new_rollout(env)
    noise, rewards = torch.Generator().manual_seed(1), []
    for _ in range(25):
        collect(env, policy, rollout, noise)
        rewards.append(rollout.reward.mean().item())
        algo.update(rollout, [])
        policy.update_normalizers({k: v[: rollout.steps] for k, v in rollout.obs.items()})
    assert sum(rewards[-3:]) / 3 > 2.0 * rewards[0]


def test_an_update_never_waits_and_goes_on_from_a_checkpoint_bit_by_bit(monkeypatch):
    in_turn = lambda work, device, in_turn: side_by_side(work, device, True)  # noqa: E731
    monkeypatch.setattr("mimickit.algos.actor_critic.side_by_side", in_turn)
    env, policy = PointEnv(4), point_policy()
    algo = awr(policy, actor_optimizer=SGD, critic_optimizer=SGD)
    rollout, noise = new_rollout(env), torch.Generator().manual_seed(1)
    collect(env, policy, rollout, noise)
    algo.update(rollout, [])
    with no_sync():
        algo.update(rollout, [])
    file = io.BytesIO()
    torch.save([policy.state_dict(), algo.state_dict()], file)
    file.seek(0)
    collect(env, policy, rollout, noise)
    algo.update(rollout, [])
    again = point_policy()
    later = awr(again, actor_optimizer=SGD, critic_optimizer=SGD)
    weights, state = torch.load(file, weights_only=True)
    again.load_state_dict(weights)
    later.load_state_dict(state)
    later.update(rollout, [])
    for ours, theirs in zip(again.parameters(), policy.parameters()):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("key", "value"), [("rollouts", 0), ("temperature", 0), ("trace", 2)])
def test_settings_out_of_range_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"algo\.{key} must be in"):
        awr(point_policy(), **{key: value})
