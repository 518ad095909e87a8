"""Which clip a motion is nearest to, on the scale of the clips themselves."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mimickit.evaluation import clip_windows
from mimickit.evaluation.clip_windows import LEAST_SCALE, MOTION, SIGNALS, ClipWindows
from mimickit.methods.sliced import PROJECTIONS
from tests.envs.parts import make_task

DT = 1.0 / 30.0
MOTIONS = ["walk", {"name": "kick", "mirror": True, "speeds": [0.9, 1]}]


@pytest.fixture(scope="module")
def env(humanoid):
    task = make_task(humanoid, MOTIONS, num=2)
    window = SIGNALS[MOTION](character=humanoid, task=task, control_dt=DT)
    return SimpleNamespace(signals={MOTION: window}, task=task, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def clips(env):
    return ClipWindows(env, seed=0)


def windows(env, clip, times):
    which = torch.full((len(times),), clip)
    return env.signals[MOTION].demonstrations(which, torch.tensor(times))


def test_variants_count_as_their_original(clips):
    kicks = ["kick_x0.9", "kick", "kick_mirrored_x0.9", "kick_mirrored"]
    assert clips.names == ["walk", *kicks]
    assert clips.originals == ["walk", "kick"]
    assert clips.original_of.tolist() == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("clip", range(5))
def test_a_clip_is_nearest_to_itself_also_between_its_frames(env, clips, clip):
    times = [0.4, 0.4 + 0.3 * DT, 0.7, 1.0, 1.2]
    nearest, distance = clips.nearest(clips.standardized(windows(env, clip, times)))
    assert nearest.tolist() == [clip] * 5
    assert float(distance.max()) < 0.3
    assert float(distance[0]) < float(distance[1])


def test_distance_is_the_root_mean_square_of_standardised_features(env, clips):
    own = clips.standardized(windows(env, 0, [0.0]))
    _, distance = clips.nearest(own)
    assert float(distance) < 2e-3
    _, distance = clips.nearest(own + 0.25)  # a quarter of a deviation in every feature
    assert float(distance) <= 0.25 + 1e-3


def test_features_are_in_their_standard_deviations(env, clips):
    generator = torch.Generator().manual_seed(3)
    sampler = clip_windows.MotionSampler(env.task.library, generator)
    window = env.signals[MOTION]
    samples = clips.standardized(window.demonstrations(*sampler.sample(4096, lead=window.span)))
    moving = clips._scale > LEAST_SCALE
    spread = samples[:, moving].std(0)
    torch.testing.assert_close(spread, torch.ones_like(spread), atol=0.1, rtol=0)
    assert float(samples[:, ~moving].std(0).max()) < 1.1  # what hardly moves does not weigh more


def test_windows_of_a_clip_that_does_not_loop_begin_within_it(env, clips):
    library, span = env.task.library, env.signals[MOTION].span
    which, times = clip_windows._every_instant(library, env.signals[MOTION])
    first = {clip: float(times[which == clip].min()) for clip in range(5)}
    last = {clip: float(times[which == clip].max()) for clip in range(5)}
    assert first == {0: 0.0, **{clip: pytest.approx(span) for clip in range(1, 5)}}
    for clip, end in last.items():
        duration = float(library.durations[clip])
        assert duration - DT < end <= duration + 1e-5


def test_of_many_clips_every_few_instants_are_taken(env, monkeypatch):
    monkeypatch.setattr(clip_windows, "MOST_ROWS", 50)
    everything = clip_windows._every_instant(env.task.library, env.signals[MOTION])[0]
    assert 25 <= len(everything) <= 50 + 5
    assert everything.unique().tolist() == list(range(5))


def test_shadows_of_samples_are_new_at_every_call_and_the_same_for_the_same_seed(env, clips):
    one, other = clips.sampled_shadows(64), clips.sampled_shadows(64)
    assert one.shape == (64, PROJECTIONS)
    assert not torch.equal(one, other)
    again = [ClipWindows(env, seed=5).sampled_shadows(8) for _ in range(2)]
    assert torch.equal(*again)
