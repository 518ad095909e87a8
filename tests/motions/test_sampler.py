"""Resets draw clips by weight and times evenly, from a generator of their own."""

from __future__ import annotations

import pytest
import torch

from mimickit.motions.sampler import MotionSampler


class Clips:
    """What the sampler needs of a library."""

    def __init__(self, weights, durations):
        self.weights = torch.tensor(weights)
        self.durations = torch.tensor(durations)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


def test_clips_come_as_often_as_they_weigh(generator):
    """20,000 draws of p = 0.3: 6,000 +- 65; five deviations are 0.016."""
    sampler = MotionSampler(Clips([0.3, 0.0, 0.7], [1.0, 2.0, 4.0]), generator)
    clips, _ = sampler.sample(20_000)
    share = torch.bincount(clips, minlength=3) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.3, 0.0, 0.7]), atol=0.016, rtol=0)
    assert share[1] == 0


def test_times_are_even_over_each_clip(generator):
    sampler = MotionSampler(Clips([0.5, 0.5], [1.0, 4.0]), generator)
    clips, times = sampler.sample(20_000)
    for clip, duration in enumerate((1.0, 4.0)):
        own = times[clips == clip] / duration
        assert (own >= 0).all()
        assert (own <= 1).all()
        quarters = torch.histc(own, 4, 0.0, 1.0) / len(own)
        torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.025, rtol=0)


def test_without_random_start_every_clip_begins_at_its_beginning(generator):
    sampler = MotionSampler(Clips([0.5, 0.5], [1.0, 4.0]), generator, random_start=False)
    clips, times = sampler.sample(50)
    assert (times == 0).all()
    assert set(clips.tolist()) == {0, 1}


def test_how_much_is_drawn_does_not_depend_on_random_start():
    library = Clips([0.5, 0.5], [1.0, 4.0])
    states = []
    for random_start in (True, False):
        generator = torch.Generator().manual_seed(1)
        MotionSampler(library, generator, random_start).sample(33)
        states.append(generator.get_state())
    assert torch.equal(*states)


def test_equal_generators_draw_equal_starts():
    library = Clips([0.2, 0.8], [1.0, 4.0])
    draws = [MotionSampler(library, torch.Generator().manual_seed(3)).sample(64) for _ in range(2)]
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])


def test_global_randomness_is_left_alone(generator):
    before = torch.get_rng_state()
    MotionSampler(Clips([1.0], [1.0]), generator).sample(10)
    assert torch.equal(torch.get_rng_state(), before)
