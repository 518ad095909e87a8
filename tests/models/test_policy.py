"""Actor and critic over observation groups."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.models.policy import Policy
from mimickit.specs import GroupSpec

GROUPS = {"body": GroupSpec(3), "goal": GroupSpec(2), "secret": GroupSpec(4)}
SETTINGS = {
    "actor_groups": ["body", "goal"],
    "critic_groups": ["secret", "body"],
    "actor_hidden": [8],
    "critic_hidden": [6],
    "activation": "relu",
    "action_scale": 0.01,
    "sigma": "fixed",
    "sigma_init": 0.1,
    "normalizer_samples": 1e8,
}


def policy(**changes):
    return Policy(GROUPS, 2, **{**SETTINGS, **changes})


def observations(rows=5):
    return {name: torch.randn(rows, spec.size) for name, spec in GROUPS.items()}


def test_each_network_sees_its_own_groups_in_its_own_order():
    obs = observations()
    inputs = policy().normalize(obs)  # the identity so far
    assert torch.equal(policy().actor_input(inputs), torch.cat([obs["body"], obs["goal"]], -1))
    assert torch.equal(policy().critic_input(inputs), torch.cat([obs["secret"], obs["body"]], -1))


def test_groups_nobody_asks_for_have_no_normaliser():
    only = policy(actor_groups=["goal"], critic_groups=["goal"])
    assert list(only.normalizers) == ["goal"]
    assert set(only.normalize(observations())) == {"goal"}


def test_without_names_each_network_sees_all_groups():
    net = policy(actor_groups=None, critic_groups=None)
    assert net.actor_groups == net.critic_groups == tuple(GROUPS)


def test_a_group_of_known_scale_is_not_standardised():
    groups = {"body": GroupSpec(3), "latent": GroupSpec(2, scale=3.0)}
    names = ["body", "latent"]
    net = Policy(groups, 2, **{**SETTINGS, "actor_groups": names, "critic_groups": names})
    obs = {"body": torch.randn(50, 3) + 5.0, "latent": torch.randn(50, 2) + 5.0}
    net.update_normalizers(obs)
    inputs = net.normalize(obs)
    assert torch.equal(inputs["latent"], 3.0 * obs["latent"])
    assert inputs["body"].mean().abs() < 0.1
    assert not [name for name in net.state_dict() if "normalizers.latent" in name]


def test_columns_of_a_group_are_where_the_actor_sees_it():
    net, obs = policy(), observations()
    inputs = net.normalize(obs)
    seen = net.actor_input(inputs)
    assert torch.equal(seen[:, net.actor_columns("body")], inputs["body"])
    assert torch.equal(seen[:, net.actor_columns("goal")], inputs["goal"])


def test_actor_and_critic_share_no_weights():
    net = policy()
    net.value(torch.randn(5, 7)).sum().backward()
    assert all(p.grad is None for p in net.actor.parameters())
    assert all(p.grad is not None for p in net.critic.parameters())


@pytest.mark.parametrize(
    ("sigma", "heads", "trainable"),
    [("fixed", 1, False), ("learned", 1, True), ("state", 2, False)],
)
def test_sigma_types_start_from_sigma_init_and_differ_in_what_learns(sigma, heads, trainable):
    net = policy(sigma=sigma, action_scale=0.0)
    gaussian = net.distribution(torch.randn(5, 5))
    torch.testing.assert_close(gaussian.log_std.exp().expand(5, 2), torch.full((5, 2), 0.1))
    assert net.actor[-1].out_features == heads * 2
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert ("log_std" in learning) == trainable
    assert "log_std" in net.state_dict()


def test_state_dependent_sigma_adds_the_second_head_to_the_first_sigma():
    net = policy(sigma="state")
    with torch.no_grad():
        net.actor[-1].weight.zero_()
        net.actor[-1].bias.copy_(torch.tensor([1.0, 2.0, math.log(2.0), math.log(3.0)]))
    gaussian = net.distribution(torch.randn(1, 5))
    torch.testing.assert_close(gaussian.mean, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(gaussian.log_std.exp(), torch.tensor([[0.2, 0.3]]))


def test_drawn_action_comes_with_its_own_density():
    net, obs = policy(), observations()
    action, log_prob = net.act(obs, torch.Generator().manual_seed(3))
    gaussian = net.distribution(net.actor_input(net.normalize(obs)))
    torch.testing.assert_close(log_prob, gaussian.log_prob(action))
    assert not action.requires_grad
    assert not torch.equal(action, gaussian.mean)


def test_deterministic_action_is_the_mean_and_draws_nothing():
    net, obs = policy(), observations()
    before = torch.get_rng_state()
    first, second = net.act_deterministic(obs), net.act_deterministic(obs)
    assert torch.equal(first, second)
    gaussian = net.distribution(net.actor_input(net.normalize(obs)))
    assert torch.equal(first, gaussian.mean)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("precision", ["tf32", "fp32", "bf16"])
def test_a_cpu_multiplies_in_float32_whatever_is_asked(precision):
    plain, net, obs = policy(), policy(precision=precision), observations()
    net.load_state_dict(plain.state_dict())
    assert torch.equal(net.act_deterministic(obs), plain.act_deterministic(obs))
    assert torch.get_float32_matmul_precision() == "highest"


def test_actions_start_near_zero():
    assert policy().act_deterministic(observations(100)).abs().max() < 0.1


def test_update_normalizers_folds_in_used_groups_of_any_shape():
    net = policy(actor_groups=["body"], critic_groups=["body"])
    body = torch.randn(7, 5, 3) + 3.0
    net.update_normalizers({"body": body, "goal": torch.full((7, 5, 2), float("nan"))})
    torch.testing.assert_close(
        net.normalizers["body"].mean, body.double().mean((0, 1)), atol=1e-6, rtol=0
    )


def test_state_round_trip_includes_sigma_and_statistics():
    net, other, obs = policy(sigma="learned"), policy(sigma="learned"), observations()
    net.update_normalizers(observations(50))
    with torch.no_grad():
        net.log_std.add_(0.5)
    other.load_state_dict(net.state_dict())
    for ours, theirs in zip(net.act(obs, generator()), other.act(obs, generator())):
        assert torch.equal(ours, theirs)


def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"actor_groups": ["bdy"]},
            IncompatibleParts,
            "the environment offers no observation group 'bdy' .*Closest: body.*All: body, goal",
        ),
        ({"critic_groups": ["x"]}, IncompatibleParts, "no observation group 'x'"),
        ({"sigma": "free"}, ConfigError, "model.sigma=free: choose one of fixed, learned, state"),
        (
            {"precision": "fp16"},
            ConfigError,
            "model.precision=fp16: choose one of tf32, fp32, bf16",
        ),
        ({"sigma_init": 0.0}, ConfigError, "model.sigma_init must be > 0, got 0.0"),
        ({"sigma_init": float("nan")}, ConfigError, "model.sigma_init must be > 0, got nan"),
    ],
)
def test_what_cannot_work_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        policy(**changes)
