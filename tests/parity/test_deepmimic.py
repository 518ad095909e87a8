"""experiment=mimickit_deepmimic is the published setting, number by number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from mimickit import launch
from mimickit.algos.ppo import PPO
from mimickit.characters import Character
from mimickit.envs.actions import AbsoluteActions
from mimickit.launch.building import make
from mimickit.models.policy import Policy
from mimickit.motions.catalog import resolve_motions
from mimickit.motions.library import MotionLibrary
from mimickit.specs import GroupSpec
from mimickit.state import CharacterState
from mimickit.tasks import Imitate

EXPECTED = yaml.safe_load(Path(__file__).with_name("deepmimic.yaml").read_text())


@pytest.fixture(scope="module")
def config():
    """The preset, resolved and plain."""
    cfg = launch.check_config(launch.compose(["experiment=mimickit_deepmimic", "engine=mujoco"]))
    return OmegaConf.to_container(cfg, resolve=True)


@pytest.fixture(scope="module")
def policy(config):
    size = EXPECTED["observation_size"]
    return make(config["model"], groups={"policy": GroupSpec(size)}, action_size=28)


@pytest.fixture(scope="module")
def algo(config, policy):
    return make(config["algo"], policy=policy, generator=torch.Generator())


def at(config, key):
    for part in key.split("."):
        config = config[part]
    return config


@pytest.mark.parametrize("key", EXPECTED["config"])
def test_setting_is_the_published_one(config, key):
    assert at(config, key) == EXPECTED["config"][key]


@pytest.mark.parametrize("node", ["task", "model", "algo", "method"])
def test_no_setting_that_learning_depends_on_escapes_the_comparison(config, node):
    compared = {key.split(".")[1] for key in EXPECTED["config"] if key.startswith(f"{node}.")}
    # Minibatches are compared as sizes below.
    elsewhere = {"_target_", "actor_minibatches", "critic_minibatches"}
    assert set(config[node]) - elsewhere == compared


def test_batches_and_gradient_steps_are_the_published_ones(config, algo):
    samples = config["num_envs"] * algo.steps
    assert samples == EXPECTED["samples_per_iteration"]
    for name in ("actor", "critic"):
        epochs, parts = getattr(algo, f"{name}_epochs"), getattr(algo, f"{name}_minibatches")
        batches = [len(rows) for rows in algo._minibatches(samples, epochs, parts)]
        assert set(batches) == {EXPECTED[name]["minibatch"]}
        assert len(batches) == EXPECTED[name]["steps"]


def test_networks_have_the_published_sizes(policy):
    assert isinstance(policy, Policy)
    for name, count in EXPECTED["parameters"].items():
        assert sum(p.numel() for p in getattr(policy, name).parameters()) == count
    assert not policy.log_std.requires_grad
    torch.testing.assert_close(policy.log_std.exp(), torch.full((28,), 0.05))


def test_normaliser_clips_and_floors_as_published(policy):
    normalizer = policy.normalizers["policy"]
    assert normalizer.clip == EXPECTED["normalizer"]["clip"]
    assert normalizer.min_std == EXPECTED["normalizer"]["min_std"]


def test_optimisers_are_plain_momentum_without_decay(algo):
    assert isinstance(algo, PPO)
    for optimizer in (algo.learner.actor_optimizer, algo.learner.critic_optimizer):
        (group,) = optimizer.optimizer.param_groups
        assert isinstance(optimizer.optimizer, torch.optim.SGD)
        settings = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        assert [group[k] for k in settings] == [1e-4, 0.9, 0, 0, False]
        assert optimizer.max_grad_norm is None


def test_joint_weights_are_the_published_ones(config):
    character: Character = make(config["character"])
    assert list(character.tracking_weights) == EXPECTED["joint_weights"]
    assert character.num_bodies == 15


def test_action_bounds_are_the_published_ones(config):
    character: Character = make(config["character"])
    actions = make(config["action"], character=character, control_mode="pos", device=None)
    assert isinstance(actions, AbsoluteActions)
    assert actions.size == EXPECTED["action_size"]
    for joint in character.movable_joints:
        low, high = EXPECTED["action_bounds"][joint.name]
        assert actions.low[joint.dofs].tolist() == pytest.approx([low] * joint.kind.value, abs=1e-4)
        assert actions.high[joint.dofs].tolist() == pytest.approx(
            [high] * joint.kind.value, abs=1e-4
        )


def test_an_untrained_policy_asks_for_straight_balls_and_half_bent_hinges(config):
    # MimicKit: zero exp maps, and elbows and knees in the middle of their range, 1.396 rad.
    character: Character = make(config["character"])
    actions = make(config["action"], character=character, control_mode="pos", device=None)
    state = CharacterState.zeros(1, character.num_bodies, 28)
    command = actions.decode(torch.zeros(1, 28), state, None)[0]
    for joint in character.movable_joints:
        middle = sum(EXPECTED["action_bounds"][joint.name]) / 2
        assert command[joint.dofs].abs().max().item() == pytest.approx(abs(middle), abs=1e-4)


def test_the_task_observes_as_much_and_rewards_one_for_perfection(config):
    character: Character = make(config["character"])
    cpu = torch.device("cpu")
    library = MotionLibrary(character, resolve_motions(config["motion"], character), cpu)
    task = make(
        config["task"],
        character=character,
        library=library,
        num_envs=2,
        control_dt=1.0 / config["engine"]["control_hz"],
        generator=torch.Generator(),
    )
    assert isinstance(task, Imitate)
    assert task.groups["policy"].size == EXPECTED["observation_size"]
    task.reset(torch.ones(2, dtype=torch.bool))
    best = sum(task.rewards(task.reference).values())
    torch.testing.assert_close(best, torch.ones(2), atol=1e-3, rtol=0)
    steps = config["task"]["episode_length_s"] * config["engine"]["control_hz"]
    assert steps == EXPECTED["timeout_steps"]
