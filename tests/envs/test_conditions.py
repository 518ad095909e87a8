"""Latents: where they lie, when they change, and what an environment does with conditions."""

from __future__ import annotations

import pytest
import torch

from mimickit.envs.actions import AbsoluteActions
from mimickit.envs.conditions import (
    Latents,
    latents_of_clips,
    random_latents,
    shares_of_latents,
)
from mimickit.envs.env import Env
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.specs import GroupSpec
from tests.envs.parts import DT, make_task
from tests.no_sync import no_sync

N, Z = 6, 8
CPU = torch.device("cpu")
EVERYWHERE = torch.ones(N, dtype=torch.bool)


def latents(seed=0, period_s=(0.0, 5.0), num=N, dt=DT, size=Z, **options):
    generator = torch.Generator().manual_seed(seed)
    return Latents(num, CPU, dt, generator, size=size, period_s=period_s, **options)


def test_latents_are_uniform_on_the_unit_sphere():
    drawn = random_latents(200_000, 3, torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.norm(dim=-1), torch.ones(200_000))
    # The mean is the centre; E z z^T = 1/3 by symmetry and unit trace; a cap of height h holds the
    # share h/2 of the sphere (Archimedes), so z_x > 0.8 has 0.1.
    torch.testing.assert_close(drawn.mean(0), torch.zeros(3), atol=5e-3, rtol=0)
    torch.testing.assert_close(drawn.T @ drawn / 200_000, torch.eye(3) / 3, atol=5e-3, rtol=0)
    assert (drawn[:, 0] > 0.8).float().mean().item() == pytest.approx(0.1, abs=3e-3)


def test_a_latent_stays_as_many_steps_as_its_period_has():
    condition = latents(period_s=(3 * DT, 3 * DT))
    condition.reset(EVERYWHERE)
    seen = [condition.observe()]
    for _ in range(6):
        condition.advance()
        seen.append(condition.observe())
    same = [torch.equal(a, b) for a, b in zip(seen, seen[1:])]
    assert same == [True, True, False, True, True, False]
    assert condition.switched.all()


def test_periods_are_uniform_between_their_bounds():
    condition = latents(period_s=(1.0, 5.0), num=4_000, dt=1.0)
    condition.reset(torch.ones(4_000, dtype=torch.bool))
    condition.advance()
    # None lasts a second or less, but for what the clock allows rounding: 0.01 of a step.
    assert condition.switched.float().mean() < 0.01
    # Of periods from 1 to 5 s, a quarter each is over after the 2nd, 3rd, 4th and 5th second.
    first, still = [], ~condition.switched
    for _ in range(4):
        condition.advance()
        first.append((still & condition.switched).float().mean().item())
        still &= ~condition.switched
    assert first == pytest.approx([0.25] * 4, abs=0.03)


def test_a_period_shorter_than_a_step_lasts_one_step():
    condition = latents(period_s=(0.0, 0.0))
    condition.reset(EVERYWHERE)
    before = condition.observe()
    condition.advance()
    assert condition.switched.all()
    assert not torch.isclose(before, condition.observe()).all(-1).any()


def test_a_reset_draws_for_the_masked_only_and_winds_their_clocks():
    condition = latents(period_s=(2 * DT, 2 * DT))
    condition.reset(EVERYWHERE)
    before = condition.observe()
    condition.advance()
    mask = torch.arange(N) % 2 == 0
    condition.reset(mask)
    assert torch.equal(condition.switched, mask)
    assert torch.equal(condition.observe()[~mask], before[~mask])
    condition.advance()  # the second step of those that were not reset, the first of the others
    assert torch.equal(condition.switched, ~mask)


def test_it_goes_on_from_its_state_bit_by_bit():
    first, second = latents(seed=1), latents(seed=2)
    first.reset(EVERYWHERE)
    first.advance()
    second.load_state_dict(first.state_dict())
    second._generator.set_state(first._generator.get_state())
    for _ in range(20):
        assert torch.equal(first.observe(), second.observe())
        first.advance()
        second.advance()


def test_held_latents_stay_over_steps_and_resets_until_they_are_let_go():
    condition = latents(period_s=(0.0, 0.0))
    wanted = 3.0 * torch.eye(Z)[:N]
    condition.hold(wanted)
    condition.advance()
    condition.reset(EVERYWHERE)
    assert torch.equal(condition.observe(), torch.eye(Z)[:N])
    condition.hold(None)
    condition.advance()
    assert not torch.equal(condition.observe(), torch.eye(Z)[:N])


def test_nothing_waits_for_the_device():
    condition = latents()
    with no_sync():
        condition.reset(EVERYWHERE)
        condition.advance()
        condition.observe()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 1}, r"latent_size must be whole and at least 2, got 1"),
        ({"size": 2.5}, r"latent_size .* got 2.5"),
        ({"period_s": (2.0, 1.0)}, r"period_s must be \[low, high\] .* got \[2.0, 1.0\]"),
        ({"period_s": (-1.0, 1.0)}, "period_s"),
        ({"period_s": (1.0,)}, "period_s"),
        ({"period_s": (0.0, float("inf"))}, "period_s"),
        ({"by_clip": True, "return_share": 1.5}, r"return_share must be from 0 to 1, got 1.5"),
        ({"return_share": 0.5}, r"return_share=0.5 returns .* by_clip=false .*: set it to 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        latents(**settings)


# --------------------------------------------------------------------------- clips' own latents


def test_the_largest_component_changes_places_with_that_of_the_clip():
    drawn = torch.tensor([[0.1, 0.7, -0.3, 0.9], [0.1, 0.7, -0.3, 0.9], [0.6, 0.2, 0.5, 0.8]])
    own = latents_of_clips(drawn, torch.tensor([2, 1, 0]), 3)  # the fourth component is no clip's
    expected = [[0.1, -0.3, 0.7, 0.9], [0.1, 0.7, -0.3, 0.9], [0.6, 0.2, 0.5, 0.8]]
    torch.testing.assert_close(own, torch.tensor(expected))
    assert shares_of_latents(own, 3).tolist() == [2, 1, 0]
    assert shares_of_latents(drawn, 4).tolist() == [3, 3, 3]


def test_of_more_clips_than_components_some_have_the_same():
    drawn = random_latents(5, 2, torch.Generator().manual_seed(0))
    clips = torch.tensor([0, 1, 2, 3, 4])
    assert shares_of_latents(latents_of_clips(drawn, clips, 5), 5).tolist() == [0, 1, 0, 1, 0]


def test_latents_of_clips_that_come_equally_often_are_uniform_on_the_sphere():
    generator = torch.Generator().manual_seed(0)
    drawn = random_latents(200_000, 3, generator)
    own = latents_of_clips(drawn, torch.arange(200_000) % 2, 2)
    torch.testing.assert_close(own.mean(0), torch.zeros(3), atol=5e-3, rtol=0)
    torch.testing.assert_close(own.T @ own / 200_000, torch.eye(3) / 3, atol=5e-3, rtol=0)
    assert (own[:, 0] > 0.8).float().mean().item() == pytest.approx(0.1, abs=3e-3)


# ---------------------------------------------------------------------- within an environment


def make_env(humanoid, name="latent", seed=0, motion="walk", num=2, **options):
    from mimickit.engines.mujoco import MujocoEngine

    engine = MujocoEngine(humanoid, num, control_mode="pos", threads=1)
    chosen = {key: options.pop(key) for key in ("by_clip", "return_share") if key in options}
    task = make_task(humanoid, motion, num, seed, **options)
    condition = Latents(
        num, CPU, DT, task.generator, task, size=Z, period_s=(2 * DT, 2 * DT), **chosen
    )
    return Env(engine, task, AbsoluteActions(humanoid, "pos"), conditions={name: condition})


@pytest.mark.engine("mujoco")
def test_an_environment_observes_its_conditions_in_the_state_that_a_step_reached(humanoid):
    env = make_env(humanoid)
    assert list(env.groups) == ["policy", "latent"]
    assert env.groups["latent"] == GroupSpec(Z, (("latent", Z),), scale=1.0)
    first = env.observe()["latent"]
    zero = torch.zeros(2, env.action_size)
    env.step(zero)
    assert torch.equal(env.observe()["latent"], first)  # what the second action is conditioned on
    env.step(zero)
    assert not torch.equal(env.observe()["latent"], first)
    torch.testing.assert_close(env.observe()["latent"].norm(dim=-1), torch.ones(2))


@pytest.mark.engine("mujoco")
def test_episodes_begin_under_latents_of_the_clip_that_they_begin_in(humanoid):
    motion = [{"name": "kick", "mirror": True}, "walk", "run"]
    env = make_env(
        humanoid, motion=motion, num=64, by_clip=True, pose_termination=False,
        end_with_clip=False, default_pose_share=0.3,
    )  # fmt: skip
    latent = env.conditions["latent"].latent

    def belongs():
        original = env.task.library.original_of[env.task.clips]
        return shares_of_latents(latent, 3) == original

    stands = env.task.elsewhere
    assert belongs()[~stands].all()  # its mirror image counts as the kick
    assert 0 < stands.sum() < 64
    assert not belongs()[stands].all()
    before = latent.clone()
    some = torch.arange(64) < 20
    env.reset(some)
    assert belongs()[~env.task.elsewhere].all()
    assert torch.equal(latent[~some], before[~some])
    for _ in range(2):  # until the next ones, which are any
        env.step(torch.zeros(64, env.action_size))
    assert not belongs()[~env.task.elsewhere].all()
    torch.testing.assert_close(latent.norm(dim=-1), torch.ones(64))


@pytest.mark.engine("mujoco")
@pytest.mark.parametrize(
    ("share", "least", "most"), [(0.0, 0.2, 0.47), (0.5, 0.52, 0.82), (1, 1, 1)]
)
def test_a_share_of_the_latents_that_follow_is_the_clips_again(humanoid, share, least, most):
    env = make_env(
        humanoid, motion=["kick", "walk", "run"], num=256, by_clip=True, return_share=share,
        pose_termination=False, end_with_clip=False, default_pose_share=0.3,
    )  # fmt: skip
    for _ in range(2):
        env.step(torch.zeros(256, env.action_size))
    # Also of those that began elsewhere, in the clip that was drawn for them. By chance it is one
    # third; of 256, 0.5 + 0.5 / 3 has a deviation of 0.03.
    belong = shares_of_latents(env.conditions["latent"].latent, 3) == env.task.clips
    assert least <= belong.float().mean().item() <= most


def test_without_a_task_there_is_no_clip_to_return_to():
    condition = latents(period_s=(0.0, 0.0), by_clip=True, return_share=0.5)
    before = condition.observe()
    condition.advance()
    assert not torch.equal(condition.observe(), before)


@pytest.mark.engine("mujoco")
def test_seeding_the_task_repeats_latents_as_well(humanoid):
    env, seen = make_env(humanoid), []
    for _ in range(2):
        env.generator.manual_seed(5)
        env.reset_all()
        obs = [env.observe()["latent"]]
        for _ in range(4):
            env.step(torch.zeros(2, env.action_size))
            obs.append(env.observe()["latent"])
        seen.append(torch.stack(obs))
    assert torch.equal(*seen)


@pytest.mark.engine("mujoco")
def test_an_environment_goes_on_with_its_conditions(humanoid):
    first, second = make_env(humanoid), make_env(humanoid, seed=9)
    first.step(torch.zeros(2, first.action_size))
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        for env in (first, second):
            env.step(torch.zeros(2, env.action_size))
        seen, again = first.observe(), second.observe()
        assert all(torch.equal(seen[name], again[name]) for name in ("latent", "policy"))


@pytest.mark.engine("mujoco")
def test_a_name_that_the_task_has_is_refused(humanoid):
    with pytest.raises(IncompatibleParts, match="adds an observation group 'policy'"):
        make_env(humanoid, name="policy")
