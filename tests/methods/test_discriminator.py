"""Discriminators: what they learn from, what they reward, and that nothing waits for the device."""

from __future__ import annotations

import io
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from mimickit.algos.rollout import Rollout
from mimickit.envs.signals import Difference, Window
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.methods import PairDiscriminator, Sources, StyleDiscriminator
from mimickit.pooling import ALONE, Pool
from mimickit.specs import GroupSpec
from tests.envs.parts import DT, make_task
from tests.no_sync import no_sync

T, N = 3, 8
SETTINGS = {
    "hidden": [32],
    "activation": "relu",
    "logit_init": 1.0,
    "reward_scale": 2.0,
    "penalty": 1.0,
    "logit_decay": 0.01,
    "epochs": 1,
    "minibatches": 2,
    "share": 1.0,
    "optimizer": partial(torch.optim.SGD, lr=0.02),  # plain Adam counts its steps on the host
    "max_grad_norm": None,
    "replay_capacity": 16,
    "replay_push": 4,
    "normalizer_samples": 1e8,
    "precision": "fp32",
}
KINDS = pytest.mark.parametrize("kind", ["style", "pair"])


class Setting:
    """A part and rollouts for it: of characters that follow their clips, off by `apart` metres."""

    def __init__(self, character, kind, clip="walk", conditions=None, pool=ALONE, **changes):
        self.task = make_task(character, clip, num=N)
        part = StyleDiscriminator if kind == "style" else PairDiscriminator
        own = {"frames": 3} if kind == "style" else {}
        torch.manual_seed(0)
        self.part = part(global_frame=True, **{**SETTINGS, **own, **changes})
        (self.name,) = self.part.signals
        self.signal = self.part.signals[self.name](
            character=character, task=self.task, control_dt=DT
        )
        generator = torch.Generator().manual_seed(1)
        signals = {self.name: self.signal}
        self.part.connect(
            Sources(
                signals=signals,
                conditions=conditions or {},
                policy=None,
                library=self.task.library,
                device=torch.device("cpu"),
                generator=generator,
                pool=pool,
            )
        )

    def rollout(self, apart):
        everyone = torch.ones(N, dtype=torch.bool)
        self.signal.reset(everyone, self.task.reset(everyone))
        rollout = Rollout(T, N, {}, 1, torch.device("cpu"))
        seen = []
        for _ in range(T):
            self.task.advance(self.task.reference)
            state = self.task.reference.clone()
            state.root_pos[:, 2] += apart
            state.body_pos[..., 2] += apart
            state.dof_vel.mul_(1.0 + apart)
            seen.append(self.signal.observe(state))
        rollout.signals[self.name] = torch.stack(seen)
        return rollout


@KINDS
def test_it_asks_for_its_signal_and_for_a_reference(humanoid, kind):
    setting = Setting(humanoid, kind)
    followed = set() if kind == "style" else {"visible_reference"}
    assert setting.part.needs == {"reference"} | followed
    assert isinstance(setting.signal, Window if kind == "style" else Difference)


@KINDS
def test_it_learns_to_tell_bad_motion_and_to_pay_less_for_it(humanoid, kind):
    quick = {"optimizer": partial(torch.optim.Adam, lr=3e-3), "penalty": 0.01}
    setting = Setting(humanoid, kind, **quick)
    for _ in range(60):
        metrics = setting.part.update(setting.rollout(0.5))
    assert metrics["fake_accuracy"] == metrics["real_accuracy"] == 1.0
    good, bad = (setting.part.reward(setting.rollout(apart)) for apart in (0.0, 0.5))
    assert good.shape == (T, N)
    assert good.mean() > 2.0 * bad.mean()


# ------------------------------------------------------------------------------ labelled by clip

CLIPS = ["walk", {"name": "kick", "mirror": True}, "run"]
Z = 4


def latents_on(components, steps=T):
    """Latents [T + 1, N, Z] whose largest component is the given one of each env."""
    latents = torch.zeros(steps + 1, N, Z)
    return latents.scatter_(-1, components.view(1, N, 1).expand(steps + 1, N, 1), 1.0)


@pytest.fixture
def labelled(humanoid):
    latents = SimpleNamespace(spec=GroupSpec(Z))
    return Setting(humanoid, "style", clip=CLIPS, conditions={"latent": latents}, by_clip=True)


def fresh_rows(part, width, asked):
    """Rows of anything, with the labels of clips [M]."""
    return torch.cat([torch.zeros(len(asked), width), part._label(asked)], dim=-1)


def test_demonstrations_are_of_the_clips_that_were_asked_for(humanoid, labelled):
    asked = torch.tensor([0] * 60 + [1] * 20 + [2] * 176)
    fresh = fresh_rows(labelled.part, labelled.signal.size, asked)
    windows, labels = labelled.part._real(fresh).split([labelled.signal.size, 3], dim=-1)
    assert labels.max() == pytest.approx(3**0.5)
    assert torch.equal((labels > 0).sum(-1), torch.ones(256, dtype=torch.long))
    assert torch.equal(labels.argmax(-1), asked)
    # A run is where the root is fast: the newest frame's velocity stands behind its vectors.
    vectors = 3 * (3 + len(humanoid.key_bodies))
    speed = windows.unflatten(-1, (3, -1))[:, -1, vectors : vectors + 3].norm(dim=-1)
    assert speed[labels[:, 2] > 0].min() > speed[labels[:, 0] > 0].max()


def test_a_clip_that_is_never_shown_has_no_latents(humanoid):
    latents = SimpleNamespace(spec=GroupSpec(Z))
    clips = ["walk", {"name": "kick", "weight": 0}]
    with pytest.raises(ConfigError, match=r"and kick of weight 0 would never be shown: leave out"):
        Setting(humanoid, "style", clip=clips, conditions={"latent": latents}, by_clip=True)


def test_motion_is_labelled_with_the_clip_of_the_latent_it_acted_on(labelled):
    rollout = labelled.rollout(0.0)
    components = torch.tensor([0, 1, 2, 0, 1, 2, 2, 2])
    rollout.obs["latent"] = latents_on(components)
    rollout.obs["latent"][1:, 0] = torch.tensor([0.1, 0.2, 0.5, 0.9])  # the fourth is no clip's
    labels = labelled.part._labels_of(rollout)
    assert labels.shape == (T, N, 3)
    expected = components.expand(T, N).clone()
    expected[1:, 0] = 2
    assert torch.equal(labels.argmax(-1), expected)


def test_the_right_motion_under_the_wrong_latent_is_not_paid(humanoid):
    """All envs follow their clips to the letter; half of them have the latents of another clip."""
    latents = SimpleNamespace(spec=GroupSpec(Z))
    setting = Setting(
        humanoid, "style", clip=["walk", "kick"], conditions={"latent": latents}, by_clip=True,
        penalty=0.01, optimizer=partial(torch.optim.Adam, lr=3e-3),
    )  # fmt: skip
    wrong = torch.arange(N) % 2 == 1

    def acted():
        rollout = setting.rollout(0.0)
        clips = setting.task.clips
        rollout.obs["latent"] = latents_on(torch.where(wrong, 1 - clips, clips))
        return rollout

    for _ in range(150):
        setting.part.update(acted())
    reward = torch.stack([setting.part.reward(acted()) for _ in range(20)]).mean((0, 1))
    assert reward[~wrong].mean() > 3.0 * reward[wrong].mean()


def test_only_the_motion_is_penalized_for_being_steep(labelled):
    rows = torch.zeros(5, labelled.signal.size + 3)

    def slope(feature, label):
        """Of a network with these two weights."""
        with torch.no_grad():
            for parameter in labelled.part.network.parameters():
                parameter.zero_()
            first, last = labelled.part.network[0], labelled.part.network[-1]
            first.weight[0, 0], first.weight[0, -1] = feature, label
            first.bias[0] = last.weight[0, 0] = 1.0  # on the ReLU's steep side
        return labelled.part._step(rows.clone(), rows.clone())["gradient_penalty"].item()

    assert slope(feature=0.0, label=7.0) == 0.0
    assert slope(feature=3.0, label=7.0) == pytest.approx(9.0)


def test_labelling_never_waits(labelled):
    rollout = labelled.rollout(0.1)
    rollout.obs["latent"] = latents_on(torch.zeros(N, dtype=torch.long))
    labelled.part.update(rollout)
    with no_sync():
        assert labelled.part.reward(rollout).shape == (T, N)
        labelled.part.update(rollout)


def test_labels_need_latents(humanoid):
    with pytest.raises(IncompatibleParts, match=r"by_clip=true labels windows by the latents"):
        Setting(humanoid, "style", by_clip=True)


def test_pair_reward_of_no_difference_is_that_of_the_zero_vector(humanoid):
    setting = Setting(humanoid, "pair")
    setting.part.update(setting.rollout(0.5))
    with torch.no_grad():
        logit = setting.part.logit(torch.zeros(1, setting.signal.size))
    # 2 * -ln(1 - p) with p = 1 / (1 + e^-logit): 2 ln(1 + e^logit).
    expected = 2.0 * torch.log1p(logit.exp())
    reward = setting.part.reward(setting.rollout(0.0))
    torch.testing.assert_close(reward, expected.expand(T, N), rtol=1e-4, atol=1e-5)


def test_demonstrations_are_drawn_anywhere_in_the_clip_even_if_episodes_begin_at_its_start(
    humanoid,
):
    setting = Setting(humanoid, "style")
    setting.task.sampler.random_start = False
    real = setting.part._real(torch.zeros(64, setting.signal.size))
    assert real.std(0).max() > 0.1
    assert len(real.unique(dim=0)) > 32


def test_demonstrations_never_reach_back_to_before_a_clip_that_does_not_loop(humanoid):
    setting = Setting(humanoid, "style", clip="kick", frames=10)
    # Before its first frame a clip stands still: velocity 0. The kick itself never does.
    fresh = torch.zeros(256, setting.signal.size)
    windows = setting.part._real(fresh).unflatten(-1, (10, -1))
    speed = windows[..., -humanoid.num_dofs :].abs().amax(-1)  # [M, K]
    assert speed.min() > 0.0
    assert isinstance(setting.signal, Window)
    early = setting.signal.demonstrations(torch.zeros(1, dtype=torch.long), torch.full((1,), 0.1))
    held = early.unflatten(-1, (10, -1))[..., -humanoid.num_dofs :].abs().amax(-1)
    assert held[0, 0] == 0.0


@KINDS
def test_an_update_never_waits(humanoid, kind):
    setting = Setting(humanoid, kind)
    rollout = setting.rollout(0.1)
    setting.part.update(rollout)
    with no_sync():
        reward = setting.part.reward(rollout)
        metrics = setting.part.update(rollout)
    assert reward.shape == (T, N)
    assert all(value.shape == () for value in metrics.values())


@KINDS
def test_it_goes_on_from_its_state_bit_by_bit(humanoid, kind):
    first, second = Setting(humanoid, kind), Setting(humanoid, kind)
    rollouts = [first.rollout(0.2) for _ in range(3)]
    first.part.update(rollouts[0])
    file = io.BytesIO()
    torch.save(first.part.state_dict(), file)
    file.seek(0)
    second.part.load_state_dict(torch.load(file, weights_only=True))
    for rollout in rollouts[1:]:
        ours, theirs = second.part.update(rollout), first.part.update(rollout)
        assert ours == theirs
        assert torch.equal(first.part.reward(rollout), second.part.reward(rollout))


class OneOfTwo(Pool):
    ranks = 2


@KINDS
def test_what_one_of_several_ranks_learned_judges_in_a_run_of_one(humanoid, kind):
    ranked, alone = Setting(humanoid, kind, pool=OneOfTwo()), Setting(humanoid, kind)
    rollout = ranked.rollout(0.2)
    ranked.part.update(rollout)
    assert not torch.equal(ranked.part.reward(rollout), alone.part.reward(rollout))
    alone.part.load_networks(ranked.part.state_dict())
    assert torch.equal(ranked.part.reward(rollout), alone.part.reward(rollout))


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_pass_looks_at_its_share_of_the_rollout(humanoid, share):
    part = Setting(humanoid, "pair", share=share, epochs=2).part
    batches = part._batches(80)
    assert len(batches) == 4
    assert len(torch.cat(batches[:2]).unique()) == round(80 * share)


@pytest.mark.parametrize("num", [1, 40])
def test_the_replay_takes_any_number_of_samples(humanoid, num):
    setting = Setting(humanoid, "pair", replay_capacity=8, replay_push=100)
    rollout = setting.rollout(0.1)
    found = rollout.signals[setting.name]
    rollout.signals[setting.name] = found[:, :1].expand(T, num, -1).contiguous()
    setting.part.update(rollout)


@pytest.mark.parametrize(
    ("key", "value"), [("share", 0), ("share", 2), ("penalty", -1), ("precision", "fp8")]
)
def test_settings_that_cannot_work_are_refused(humanoid, key, value):
    with pytest.raises(ConfigError, match=rf"\.{key}"):
        Setting(humanoid, "pair", **{key: value})
