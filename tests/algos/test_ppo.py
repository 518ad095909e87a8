"""PPO: its losses by hand, its passes over a rollout, and that it learns."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from mimickit.algos.actor_critic import bound_loss
from mimickit.algos.ppo import PPO
from mimickit.algos.returns import td_lambda_returns
from mimickit.algos.rollout import Rollout
from mimickit.errors import ConfigError
from mimickit.state import Done
from tests.algos.toy import PointEnv, point_policy

SETTINGS = {
    "steps": 16,
    "discount": 0.9,
    "trace": 0.95,
    "clip": 0.2,
    "advantage_clip": 4.0,
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


def ppo(policy, **changes):
    return PPO(policy, torch.Generator().manual_seed(0), **{**SETTINGS, **changes})


def update(algo, rollout, actor_terms=(), progress=0.0):
    algo.set_progress(progress)
    return algo.update(rollout, actor_terms)


def collect(env, policy, rollout, noise):
    """Fill a rollout; the states that its steps reached, [T, N, 2]."""
    obs, reached = env.observe(), []
    for t in range(rollout.steps):
        action, log_prob = policy.act(obs, noise)
        step = env.step(action)
        reached.append(env.observe()["policy"])
        rollout.record(t, obs, action, log_prob, step, env.observe())
        env.reset(step.done != int(Done.NULL))
        obs = env.observe()
    rollout.finish(obs)
    rollout.reward.copy_(rollout.terms["near"])
    return torch.stack(reached)


def one_rollout(policy, num_envs=8, steps=16, max_steps=PointEnv.max_steps):
    return rollout_and_reached(policy, num_envs, steps, max_steps)[0]


def rollout_and_reached(policy, num_envs=8, steps=16, max_steps=PointEnv.max_steps):
    env = PointEnv(num_envs)
    rollout = Rollout(steps, num_envs, env.groups, 2, env.device, max_steps)
    return rollout, collect(env, policy, rollout, torch.Generator().manual_seed(1))


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


def moved(before, module):
    return any(not torch.equal(a, b) for a, b in zip(before, module.parameters()))


def test_bound_loss_by_hand():
    # Excess over [-1, 1]: (0, 0.5) and (2, 0), squared and summed per row: 0.25 and 4; mean 2.125.
    assert bound_loss(torch.tensor([[0.9, -1.5], [3.0, 1.0]])).item() == pytest.approx(2.125)


def surrogate_gradient(log_ratio, advantage):
    """d(actor loss) / d(mean) of one sample whose probability ratio is exp(log_ratio)."""
    policy = point_policy(sigma_init=1.0)
    algo = ppo(
        policy,
        actor_epochs=1,
        actor_minibatches=1,
        bound_weight=0.0,
        actor_optimizer=partial(torch.optim.SGD, lr=1.0),
    )
    inputs, action = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    before = policy.actor[-1].bias.detach().clone()
    with torch.no_grad():
        old = policy.distribution(inputs).log_prob(action) - log_ratio
    surrogate = partial(algo._surrogate, old, torch.tensor([advantage]))
    metrics = algo.learner.learn(
        [], inputs, torch.zeros(1), [torch.tensor([0])], inputs, action, surrogate, []
    )
    return before - policy.actor[-1].bias.detach(), metrics


def test_unclipped_surrogate_follows_ratio_times_advantage():
    # d(-ratio A) / d(mean) = -A ratio (a - mean) / sigma^2, a - mean = (1, 0), sigma = 1.
    ratio = 1.1
    gradient, metrics = surrogate_gradient(torch.tensor(ratio).log(), 2.0)
    torch.testing.assert_close(gradient, torch.tensor([-2.0 * ratio, 0.0]))
    assert metrics["algo/actor_loss"].item() == pytest.approx(-2.0 * ratio)
    assert metrics["algo/clip_fraction"].item() == 0.0


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "flows"),
    [
        (1.5, 2.0, -1.2 * 2.0, False),  # far enough in the good direction: no further
        (0.5, -2.0, 0.8 * 2.0, False),
        (0.5, 2.0, -0.5 * 2.0, True),  # moved the wrong way: pulled back
        (1.5, -2.0, 1.5 * 2.0, True),
    ],
)
def test_surrogate_clips_only_what_has_gained_enough(ratio, advantage, loss, flows):
    gradient, metrics = surrogate_gradient(torch.tensor(ratio).log(), advantage)
    assert metrics["algo/actor_loss"].item() == pytest.approx(loss, rel=1e-5)
    assert (gradient.abs().max() > 0) == flows
    assert metrics["algo/clip_fraction"].item() == 1.0


def test_kl_estimate_by_hand():
    # r - 1 - ln r at r = 1.5: 0.0945.
    metrics = surrogate_gradient(torch.tensor(1.5).log(), 1.0)[1]
    assert metrics["algo/kl"].item() == pytest.approx(0.5 - 0.405465, rel=1e-3)


def test_critic_descends_the_plain_mean_square_error():
    policy = point_policy()
    algo = ppo(
        policy,
        critic_epochs=1,
        critic_minibatches=1,
        critic_optimizer=partial(torch.optim.SGD, lr=0.1),
    )
    with torch.no_grad():
        policy.critic[-1].weight.zero_()  # V = bias = 0, d loss / d bias = mean(2 (0 - target))
    inputs, action = torch.zeros(2, 2), torch.zeros(2, 2)
    metrics = algo.learner.learn(
        [torch.tensor([0, 1])], inputs, torch.tensor([1.0, 3.0]), [], inputs, action, None, []
    )
    assert metrics["algo/critic_loss"].item() == pytest.approx(5.0)  # (1 + 9) / 2
    assert policy.critic[-1].bias.item() == pytest.approx(0.4)  # 0.1 * 2 * 2


def test_a_pass_sees_every_sample_once_in_a_new_order():
    algo = ppo(point_policy())
    parts = algo._minibatches(10, 2, 4)
    first, second = torch.cat(parts[:4]), torch.cat(parts[4:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert not torch.equal(first, second)
    assert [len(p) for p in parts[:4]] == [3, 3, 2, 2]
    assert len(list(algo._minibatches(2, 1, 4))) == 2  # no empty ones


@pytest.mark.parametrize("max_steps", [1, 8])
def test_values_after_a_timeout_are_of_the_state_reached_not_of_the_next_episode(max_steps):
    policy = point_policy()  # episodes of 8 steps: time-outs at steps 7 and 15
    rollout, reached = rollout_and_reached(policy, max_steps=max_steps)
    algo = ppo(policy)
    inputs = policy.normalize(rollout.obs)
    with torch.no_grad():
        value, next_value = algo._values(rollout, policy.critic_input(inputs))
        reached = policy.value(reached)
        acted = policy.value(rollout.obs["policy"])
    torch.testing.assert_close(value, acted[:-1])
    torch.testing.assert_close(next_value, reached)
    assert not torch.allclose(next_value[7], acted[8])


def test_logged_value_and_explained_variance_are_those_of_the_targets():
    policy = point_policy()
    rollout, reached = rollout_and_reached(policy)
    with torch.no_grad():
        value = policy.value(rollout.obs["policy"][:-1])
        reached = policy.value(reached)
        targets = td_lambda_returns(rollout.reward, reached, rollout.done, 0.9, 0.95)
    metrics = update(ppo(policy), rollout)
    assert metrics["algo/value"].item() == pytest.approx(value.mean().item(), rel=1e-5)
    explained = 1.0 - (targets - value).var().item() / targets.var().item()
    assert metrics["algo/explained_variance"].item() == pytest.approx(explained, rel=1e-4)


def test_an_update_moves_actor_and_critic_and_leaves_statistics_alone():
    policy = point_policy()
    rollout, before = one_rollout(policy), (weights(policy.actor), weights(policy.critic))
    metrics = update(ppo(policy), rollout)
    assert moved(before[0], policy.actor)
    assert moved(before[1], policy.critic)
    assert policy.normalizers["policy"].count.item() == 0
    assert all(torch.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("which", ["actor", "critic"])
def test_without_passes_a_network_stays_and_nothing_of_it_is_logged(which):
    policy = point_policy()
    rollout, before = one_rollout(policy), weights(getattr(policy, which))
    metrics = update(ppo(policy, **{f"{which}_epochs": 0}), rollout)
    assert not moved(before, getattr(policy, which))
    assert f"algo/{which}_loss" not in metrics
    assert all(torch.isfinite(value) for value in metrics.values())


def test_actor_terms_are_added_to_its_loss():
    policy, plain = point_policy(), point_policy()
    rollout, seen = one_rollout(policy), []

    def drift(batch, gaussian):
        seen.append(batch.shape[-1])
        return gaussian.mean.square().sum()

    update(ppo(policy, actor_epochs=1, actor_minibatches=3), rollout, [drift])
    update(ppo(plain, actor_epochs=1, actor_minibatches=3), rollout)
    assert seen == [2, 2, 2]
    assert moved(weights(plain.actor), policy.actor)
    assert not moved(weights(plain.critic), policy.critic)


def test_entropy_bonus_widens_a_learned_sigma():
    policy = point_policy(sigma="learned")
    rollout = one_rollout(policy)
    rollout.reward.zero_()
    metrics = update(ppo(policy, entropy_weight=100.0), rollout)
    assert metrics["algo/sigma"].item() > 0.3


def test_fixed_sigma_never_moves():
    policy = point_policy()
    metrics = update(ppo(policy, entropy_weight=100.0), one_rollout(policy))
    assert metrics["algo/sigma"].item() == pytest.approx(0.3)


def test_linear_schedule_follows_the_run():
    policy = point_policy()
    algo = ppo(policy, schedule="linear")
    metrics = update(algo, one_rollout(policy), progress=0.25)
    assert metrics["algo/lr"].item() == pytest.approx(2.25e-3)


def test_going_on_from_a_state_is_as_if_it_never_stopped():
    straight, first = point_policy(), point_policy()
    rollout = one_rollout(straight)
    algo = ppo(straight)
    for _ in range(2):
        update(algo, rollout)
    before = ppo(first)
    update(before, rollout)
    second = point_policy()
    second.load_state_dict(first.state_dict())
    after = ppo(second)
    after.load_state_dict(before.state_dict())
    update(after, rollout)
    assert not moved(weights(straight), second)


@pytest.mark.parametrize("sigma", ["fixed", "learned", "state"])
def test_learns_to_move_a_point_onto_the_origin(sigma):
    # Standing still is worth about 0.19 a step: the mean of exp(-|x|^2) over [-2, 2]^2. Moving at
    # most half a unit a step, 0.65 needs a policy that heads straight for the origin.
    policy, env = point_policy(sigma=sigma), PointEnv(64)
    algo, noise = ppo(policy), torch.Generator().manual_seed(1)
    rollout = Rollout(16, 64, env.groups, 2, env.device, env.max_steps)
    rewards = []
    for _ in range(30):
        collect(env, policy, rollout, noise)
        update(algo, rollout)
        policy.update_normalizers({"policy": rollout.obs["policy"][:-1]})
        rewards.append(rollout.reward.mean().item())
    assert rewards[0] < 0.25
    assert rewards[-1] > 0.65


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"algo.steps must be in \[1, 1e\+09\], got 0"),
        ({"discount": 1.01}, r"algo.discount must be in \[0, 1\], got 1.01"),
        ({"trace": -0.1}, "algo.trace must be"),
        ({"clip": float("nan")}, "algo.clip must be"),
        ({"advantage_clip": -1.0}, "algo.advantage_clip must be"),
        ({"actor_minibatches": 0}, "algo.actor_minibatches must be"),
        ({"max_grad_norm": 0.0}, "algo.max_grad_norm must be > 0 or null, got 0.0"),
        ({"schedule": "cosine"}, "schedule=cosine: choose one of constant, linear"),
    ],
)
def test_what_cannot_work_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        ppo(point_policy(), **changes)
