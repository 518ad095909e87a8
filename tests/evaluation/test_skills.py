"""Episodes under random latents: which latent when, what is recorded, what is said of it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mimickit import launch
from mimickit.envs.conditions import Latents
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.evaluation.clip_windows import ClipWindows
from mimickit.evaluation.skills import (
    SkillRecorder,
    SkillSettings,
    latent_path,
    skill_encoder,
    skill_figures,
    slerp,
)
from mimickit.loaded_run import load_skills
from mimickit.state import Done, Step
from tests.no_sync import no_sync
from tests.training.runs import TINY

DT = 0.5
SETTINGS = SkillSettings(repeats=2, seconds=2.0, switch_seconds=1.5, settle_seconds=0.5)
STEPS = 7  # 4 under the first latent, of which the first settles, and 3 under the second
CLIPS = 3


class MirroringEnv:
    """Shows its latent as its motion; env 1 fails in its third step."""

    num_envs, dt, max_steps = 6, DT, 100
    device = torch.device("cpu")

    def __init__(self, latents=True):
        self.generator = torch.Generator().manual_seed(9)
        self.conditions = {}
        if latents:
            own = Latents(
                self.num_envs, self.device, DT, self.generator, size=CLIPS, period_s=(0.0, 0.5)
            )
            self.conditions = {"latent": own}
        self.signals = {"motion": SimpleNamespace(size=CLIPS)}
        self.steps = torch.zeros((), dtype=torch.long)
        self.started = torch.zeros(self.num_envs, dtype=torch.long)
        self.acted_on = []

    def reset_all(self):
        self.steps.zero_()
        self.started.zero_()
        self.acted_on.clear()
        self.reset(torch.ones(self.num_envs, dtype=torch.bool))

    def reset(self, mask):
        self.started += mask
        for condition in self.conditions.values():
            condition.reset(mask)

    def observe(self):
        return {
            "policy": torch.zeros(self.num_envs, 1),
            "latent": self.conditions["latent"].observe(),
        }

    def step(self, action):
        self.acted_on.append(action.clone())
        self.steps += 1
        self.conditions["latent"].advance()
        fails = torch.zeros(self.num_envs, dtype=torch.long)
        fails[1] = int(Done.FAIL)
        done = torch.where(self.steps == 3, fails, torch.zeros_like(fails))
        return Step(reward={}, done=done, info={}, signals={"motion": action, "window": action})


class Clips:
    """As many clips as a latent has components: the greatest one is the nearest."""

    names = originals = ("walk", "run", "kick")
    original_of = torch.arange(CLIPS)
    weights = torch.full((CLIPS,), 1 / 3)

    def standardized(self, windows):
        return windows

    def nearest(self, windows):
        return windows.argmax(-1), 1.0 - windows.amax(-1)

    def shadows(self, windows):
        return windows

    def sampled_shadows(self, count):
        return torch.zeros(count, CLIPS)


class Policy:
    def act_deterministic(self, obs):
        return obs["latent"]


def recorder(env, encode=lambda windows: windows, settings=SETTINGS, seed=4):
    return SkillRecorder(env, Policy(), encode, Clips(), settings, seed)


def test_every_latent_drives_its_episodes_until_another_one_does():
    env = MirroringEnv()
    record = recorder(env).run()
    assert record.latents.shape == (3, CLIPS)
    torch.testing.assert_close(record.latents.norm(dim=-1), torch.ones(3))
    assert record.skills.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(env.acted_on) == STEPS
    for step, action in enumerate(env.acted_on):
        # Afterwards a latent's first episode goes on with the next one, its second with that after.
        which = record.skills if step < 4 else torch.tensor([1, 2, 0, 2, 0, 1])
        torch.testing.assert_close(action, record.latents[which])


def test_what_fails_stays_failed_though_its_env_starts_anew():
    env = MirroringEnv()
    record = recorder(env).run()
    assert record.up[:, 1].tolist() == [True, True] + [False] * 5
    assert bool(record.up[:, [0, 2, 3, 4, 5]].all())
    assert env.started.tolist() == [1, 2, 1, 1, 1, 1]


def test_figures_of_an_env_that_shows_its_latents():
    record = recorder(MirroringEnv()).run()
    figures = skill_figures(record, Clips())
    assert figures["episodes"] == {
        "count": 6,
        "latents": 3,
        "seconds": 2.0,
        "stays_up": pytest.approx(5 / 6),
        "seconds_up": pytest.approx((5 * 2.0 + 2 * DT) / 6),
    }
    # A latent's clip is where its greatest component is, in both of its episodes.
    greatest = record.latents.argmax(-1)
    shares = torch.bincount(greatest, minlength=CLIPS) / 3
    found = [row["share"] for row in figures["coverage"]["originals"]["labels"].values()]
    assert found == pytest.approx(shares.tolist())
    assert figures["coverage"]["clips"]["min_share"] == pytest.approx(float(shares.min()))
    assert figures["encoder"]["accuracy"] == 1.0
    assert figures["encoder"]["dot_product"] == pytest.approx(1.0)
    # Both episodes of a latent are the same motion. Env 1 failed, so latent 1 has one left.
    assert figures["diversity"]["same"] == pytest.approx(0.0, abs=1e-6)
    assert figures["diversity"]["different"] > 0.1
    assert figures["transitions"]["episodes"] == 5
    assert figures["transitions"]["success_rate"] == 1.0
    assert figures["transitions"]["seconds"] == 1.5
    # Shadows against zeros: the mean size of the components that were shown, envs in order.
    seen = record.shadows[1:4][record.up[1:4]]
    by_size = seen.sort(0)[0].abs().mean()
    assert figures["data"]["distance"] == pytest.approx(float(by_size), abs=1e-6)
    assert figures["data"]["floor"] == 0.0


def test_where_everything_fails_at_once_nothing_is_claimed():
    record = recorder(MirroringEnv()).run()
    record.up.fill_(False)
    figures = skill_figures(record, Clips())
    assert figures["episodes"]["stays_up"] == 0.0
    assert figures["coverage"]["originals"]["matched"] == 0
    assert figures["coverage"]["distance"] is None
    assert figures["encoder"]["accuracy"] is None
    assert figures["diversity"] == {"different": None, "same": None, "ratio": None}
    assert figures["transitions"]["success_rate"] is None
    assert figures["data"] == {"distance": None, "floor": None}


def test_the_same_seed_gives_the_same_record():
    one, again, other = (recorder(MirroringEnv(), seed=seed).run() for seed in (4, 4, 5))
    for field in dataclasses.fields(one):
        same = getattr(one, field.name), getattr(again, field.name)
        assert torch.equal(*map(torch.as_tensor, same)), field.name
    assert not torch.equal(one.latents, other.latents)


def test_a_step_never_waits():
    made = recorder(MirroringEnv())
    made.run()
    made._now.zero_()
    made._env.step = lambda action: Step(
        reward={},
        done=torch.zeros(6, dtype=torch.long),
        info={},
        signals={"motion": action, "window": action},
    )
    with torch.no_grad(), no_sync():
        made._step_once()
    assert int(made._now) == 1


def test_a_policy_without_latents_is_refused():
    with pytest.raises(IncompatibleParts, match="trained without skills; method=ase has them"):
        recorder(MirroringEnv(latents=False))
    with pytest.raises(IncompatibleParts, match="has no skill encoder, only style"):
        skill_encoder({"style": object()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeats": 1}, "repeats must be at least 2, got 1"),
        ({"seconds": 0.5}, "seconds=0.5 and switch=1.5 must be longer than the 0.5 s"),
        ({"switch_seconds": 0.2}, "switch=0.2 must be longer"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeats": 4}, "episodes=6 must be a multiple of repeats=4"),
        ({"repeats": 3}, "are 2 latents; at least 4 are needed"),
        ({"seconds": 60.0}, "episodes of 100 steps are too short for 123 steps"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        recorder(MirroringEnv(), settings=dataclasses.replace(SETTINGS, **change))


def test_slerp_by_hand():
    east, north = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    # A third of 90 degrees: (cos 30, sin 30).
    third = torch.tensor([3**0.5 / 2, 0.5, 0.0])
    torch.testing.assert_close(slerp(east, north, 1 / 3), third)
    torch.testing.assert_close(slerp(east, north, 0.0), east)
    torch.testing.assert_close(slerp(east, north, 1.0), north)
    torch.testing.assert_close(slerp(east, east, 0.7), east)


def test_slerp_keeps_unit_length_and_an_even_pace():
    first, second = torch.nn.functional.normalize(torch.randn(2, 64), dim=-1)
    points = torch.stack([slerp(first, second, share / 8) for share in range(9)])
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(9))
    steps = (points[1:] * points[:-1]).sum(-1)
    torch.testing.assert_close(steps, steps[:1].expand(8), atol=1e-5, rtol=0)


def test_a_path_keeps_each_latent_or_goes_on_to_the_next():
    latents = torch.eye(3)
    kept = list(latent_path(latents, 2, interpolate=False))
    assert [index for index, _ in kept] == [0, 0, 1, 1, 2, 2]
    assert torch.equal(torch.stack([latent for _, latent in kept]), latents.repeat_interleave(2, 0))
    half = 0.5**0.5
    way = torch.stack([latent for _, latent in latent_path(latents, 2, interpolate=True)])
    expected = [[1, 0, 0], [half, half, 0], [0, 1, 0], [0, half, half], [0, 0, 1], [half, 0, half]]
    torch.testing.assert_close(way, torch.tensor(expected))


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_episodes_on_cuda_never_wait(tmp_path):
    on_cuda = [word for word in TINY if not word.startswith("engine")]
    on_cuda += ["engine=mujoco_warp", "device=cuda", "method=ase", "max_samples=64"]
    launch.build(launch.compose(on_cuda), tmp_path).start()
    settings = SkillSettings(seconds=1.5, switch_seconds=1.2)
    run = load_skills(tmp_path, settings.all_seconds, num_envs=64, seed=1)
    clips = ClipWindows(run.env, 1)
    encode = skill_encoder(run.method.parts).encode
    made = SkillRecorder(run.env, run.policy, encode, clips, settings, 1)
    made.run()  # captures
    torch.cuda.set_sync_debug_mode("error")
    try:
        record = made.run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert int(made._now) == len(record.up) == 81
    figures = skill_figures(record, clips)
    assert 0.0 < figures["episodes"]["seconds_up"] <= 1.5
    assert figures["coverage"]["originals"]["labels"]["walk"]["weight"] == 1.0
