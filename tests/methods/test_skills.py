"""The skill encoder and the diversity loss: their arithmetic, and what they refuse."""

from __future__ import annotations

import io
from functools import partial

import pytest
import torch

from mimickit.algos.rollout import Rollout
from mimickit.envs.conditions import Latents, on_sphere, random_latents
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.methods import Diversity, SkillEncoder, Sources
from mimickit.methods.diversity import distance_ratio, diversity_loss
from mimickit.models.distributions import DiagonalGaussian
from mimickit.models.policy import Policy
from mimickit.specs import GroupSpec
from tests.no_sync import no_sync

T, N, Z, D = 3, 16, 2, 2
CPU = torch.device("cpu")
SETTINGS = {
    "latent_size": Z,
    "latent_scale": 1.0,
    "by_clip": False,
    "return_share": 0.0,
    "period_s": [0.0, 5.0],
    "frames": 2,
    "global_frame": False,
    "hidden": [],
    "activation": "relu",
    "output_scale": 0.1,
    "penalty": 0.0,
    "epochs": 1,
    "minibatches": 1,
    "share": 1.0,
    "optimizer": partial(torch.optim.SGD, lr=1.0),
    "max_grad_norm": None,
    "normalizer_samples": 0,  # frozen from the beginning: the identity
    "precision": "fp32",
}


class Seen:
    """A signal of a width."""

    size = D


def make_policy(scale=1.0, actor_groups=None, hidden=()):
    groups = {"policy": GroupSpec(3), "latent": GroupSpec(Z, scale=scale)}
    return Policy(
        groups,
        2,
        actor_groups=actor_groups,
        critic_groups=None,
        actor_hidden=list(hidden),
        critic_hidden=[4],
        activation="tanh",
        action_scale=0.01,
        sigma="fixed",
        sigma_init=0.1,
        normalizer_samples=1e8,
    )


def sources(policy=None, conditions=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if conditions is None:
        latents = Latents(N, CPU, 0.1, generator, size=Z, period_s=(0.0, 1.0))
        conditions = {"latent": latents}
    return Sources(
        signals={"window": Seen()},
        conditions=conditions,
        policy=policy or make_policy(),
        library=None,
        device=CPU,
        generator=generator,
    )


def encoder(seed=0, **changes):
    part = SkillEncoder(**{**SETTINGS, **changes})
    torch.manual_seed(seed)
    part.connect(sources(seed=seed))
    return part


def rollout(windows, latents):
    """One of windows [T, N, D] that followed on latents [T, N, Z]."""
    steps, num = windows.shape[:2]
    found = Rollout(steps, num, {"latent": GroupSpec(Z)}, 1, CPU)
    found.signals["window"] = windows
    found.obs["latent"][:steps] = latents
    return found


def identity(part):
    """The part with an encoder that only brings windows to unit length."""
    with torch.no_grad():
        part.network[-1].weight.copy_(torch.eye(Z))
        part.network[-1].bias.zero_()
    return part


ONE = rollout(torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[1.0, 0.0]]]))


def test_the_reward_is_how_well_the_motion_shows_its_latent():
    # e = (3, 4) / 5 = (0.6, 0.8); e . z = 0.6 for z = (1, 0), 1 for z = e, -0.8 for z = (0, -1).
    windows = torch.tensor([3.0, 4.0]).expand(1, 3, D)
    latents = torch.tensor([[[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]]])
    reward = identity(encoder()).reward(rollout(windows, latents))
    torch.testing.assert_close(reward, torch.tensor([[0.6, 1.0, 0.0]]))


def test_the_reward_is_of_the_latent_that_was_acted_on_not_of_the_next():
    found = rollout(torch.tensor([[[3.0, 4.0]], [[3.0, 4.0]]]), torch.tensor([[[1.0, 0.0]]] * 2))
    found.obs["latent"][1] = torch.tensor([[0.0, 1.0]])
    reward = identity(encoder()).reward(found)
    torch.testing.assert_close(reward, torch.tensor([[0.6], [0.8]]))


def test_a_step_follows_the_gradient_of_the_agreement():
    # With e = x / |x|, d(e . z)/dx = (z - (e . z) e) / |x| = ((1, 0) - 0.6 (0.6, 0.8)) / 5
    # = (0.128, -0.096) at the network's output, and times the input (3, 4) at its weights.
    part = identity(encoder())
    metrics = part.update(ONE)
    change = torch.tensor([0.128, -0.096])
    weight = torch.eye(2) + change.unsqueeze(-1) * torch.tensor([3.0, 4.0])
    torch.testing.assert_close(part.network[-1].weight.detach(), weight)
    torch.testing.assert_close(part.network[-1].bias.detach(), change)
    assert metrics["dot_product"].item() == pytest.approx(0.6)


def test_the_penalty_is_the_squared_slope_of_the_agreement():
    # By the window as well it is (0.128, -0.096): 0.128^2 + 0.096^2 = 0.0256.
    metrics = identity(encoder(penalty=2.0)).update(ONE)
    assert metrics["gradient_penalty"].item() == pytest.approx(0.0256, rel=1e-5)


def test_it_learns_which_latent_a_motion_has_and_shuffled_ones_stay_at_chance():
    generator = torch.Generator().manual_seed(1)
    latents = random_latents(T * N, Z, generator).view(T, N, Z)
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # the motion is the latent, a quarter turn on
    found = rollout(3.0 + 2.0 * latents @ turn.T, latents)
    part = encoder(
        hidden=[32], epochs=4, normalizer_samples=1e8, optimizer=partial(torch.optim.Adam, lr=1e-2)
    )
    metrics = [part.update(found) for _ in range(60)]
    assert metrics[-1]["dot_product"] > 0.98
    chance = torch.stack([m["shuffled_dot_product"] for m in metrics[-20:]]).mean()
    assert chance.abs() < 0.2
    assert part.reward(found).mean() > 0.95


def test_encoded_windows_are_unit_vectors():
    part = encoder(hidden=[8])
    torch.testing.assert_close(part.encode(torch.randn(5, D)).norm(dim=-1), torch.ones(5))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_the_encoder_never_waits_and_goes_on_bit_by_bit(penalty):
    settings = {"hidden": [8], "penalty": penalty, "minibatches": 4, "share": 0.5}
    first, second = encoder(0, **settings), encoder(1, **settings)
    generator = torch.Generator().manual_seed(0)
    windows = torch.randn(T, N, D, generator=generator)
    found = rollout(windows, random_latents(T * N, Z, generator).view(T, N, Z))
    first.update(found)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(2):
        with no_sync():
            ours, theirs = first.update(found), second.update(found)
            rewards = first.reward(found), second.reward(found)
        assert ours == theirs
        assert torch.equal(*rewards)


# ---------------------------------------------------------------------------------- diversity


def diversity(policy, weight=1.0, share=1.0, seed=0):
    part = Diversity(weight=weight, share=share)
    part.connect(sources(policy, seed=seed))
    return part


def batch_of(policy, count=64, seed=0):
    """What the actor sees of samples whose latents are unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    obs = {
        "policy": torch.randn(count, 3, generator=generator),
        "latent": random_latents(count, Z, generator),
    }
    return policy.actor_input(policy.normalize(obs)).requires_grad_()


def follows_latents(policy, slope):
    """The policy whose mean action is its latent, as it sees it, times a slope."""
    with torch.no_grad():
        policy.actor[-1].weight.zero_()
        policy.actor[-1].weight[:, 3:] = slope * torch.eye(2)
    return policy


def test_distances_of_actions_and_latents_by_hand():
    # Actions: ((0.3 - 0)^2 + (0 - 0.1)^2) / 2 = 0.05. Latents at a right angle: (1 - 0) / 2 = 0.5.
    # Ratio 0.05 / 0.50001, loss (1 - 0.099998)^2.
    one, other = torch.tensor([[0.3, 0.0]]), torch.tensor([[0.0, 0.1]])
    ratio = distance_ratio(one, other, torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert ratio.item() == pytest.approx(0.05 / 0.50001)
    assert diversity_loss(ratio).item() == pytest.approx((1.0 - 0.05 / 0.50001) ** 2)


@pytest.mark.parametrize("scale", [1.0, 8.0])
@pytest.mark.parametrize(("slope", "ratio"), [(0.0, 0.0), (0.5**0.5, 1.0), (1.0, 2.0)])
def test_the_loss_compares_with_another_latent_in_the_same_state(scale, slope, ratio):
    # With mean action k z: |k z - k z'|^2 / 2 = k^2 (1 - z . z'), over (1 - z . z') / 2: 2 k^2,
    # whatever the latents, and whatever the policy multiplies them with when it sees them.
    policy = follows_latents(make_policy(scale), slope / scale)
    part, batch = diversity(policy, weight=3.0), batch_of(policy)
    loss = part.actor_term()(batch, policy.distribution(batch))
    assert loss.item() == pytest.approx(3.0 * (1.0 - ratio) ** 2, abs=2e-2)
    metrics = part.update(None)
    assert metrics["ratio"].item() == pytest.approx(ratio, abs=1e-2)
    assert metrics["loss"].item() == pytest.approx(loss.item() / 3.0)


def test_actions_of_different_latents_move_apart():
    torch.manual_seed(0)
    policy = make_policy(hidden=[16])
    part, batch = diversity(policy), batch_of(policy)
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=3e-3)
    ratios = []
    for _ in range(300):
        optimizer.zero_grad()
        part.actor_term()(batch, policy.distribution(batch)).backward()
        optimizer.step()
        ratios.append(part.update(None)["ratio"].item())
    assert ratios[0] < 0.01
    assert ratios[-1] == pytest.approx(1.0, abs=0.3)


def test_only_its_share_of_a_minibatch_is_looked_at(monkeypatch):
    policy = make_policy()
    seen = []
    whole = policy.distribution
    monkeypatch.setattr(policy, "distribution", lambda x: seen.append(len(x)) or whole(x))
    batch = batch_of(policy, 40)
    diversity(policy, share=0.25).actor_term()(batch, DiagonalGaussian(batch[:, :2], batch[0, :2]))
    assert seen == [10]


def test_the_loss_never_waits_and_its_latents_go_on_from_its_state():
    policy = make_policy()
    first, second = diversity(policy, seed=0), diversity(policy, seed=1)
    batch = batch_of(policy)
    distribution = policy.distribution(batch)
    with no_sync():
        first.actor_term()(batch, distribution)
    second.load_state_dict(first.state_dict())
    losses = [part.actor_term()(batch, distribution).item() for part in (first, second)]
    assert losses[0] == losses[1]


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "part", [lambda: SkillEncoder(**SETTINGS), lambda: Diversity(weight=1.0, share=1.0)]
)
def test_a_policy_that_does_not_see_the_latents_is_refused(part):
    with pytest.raises(IncompatibleParts, match="actor sees policy and no skill's latent"):
        part().connect(sources(make_policy(actor_groups=["policy"])))


def test_diversity_without_latents_is_refused():
    with pytest.raises(IncompatibleParts, match="no part of the method gives the policy latents"):
        Diversity(weight=1.0, share=1.0).connect(sources(conditions={}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("share", 0), ("penalty", -1.0), ("epochs", -1), ("minibatches", 0), ("precision", "fp8")],
)
def test_settings_of_the_encoder_that_cannot_work_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"method.parts.<skill>\.{key}"):
        encoder(**{key: value})


@pytest.mark.parametrize(("key", "value"), [("share", 1.5), ("weight", float("nan"))])
def test_settings_of_the_diversity_that_cannot_work_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"method.parts.<diversity>\.{key}"):
        Diversity(**{"weight": 1.0, "share": 1.0, key: value})


def test_unit_vectors_are_left_as_they_are():
    vectors = random_latents(4, 8, torch.Generator().manual_seed(0))
    torch.testing.assert_close(on_sphere(3.0 * vectors), vectors)
