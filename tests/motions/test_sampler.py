"""Resets draw clips and times by what is asked for, from a generator of their own."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.errors import CheckpointError, ConfigError
from mimickit.motions.sampler import (
    LEAST_CHANCE,
    PRIOR_S,
    AdaptiveSampler,
    MotionSampler,
    Sampling,
    make_sampler,
    read_sampling,
)
from tests.no_sync import no_sync
from tests.pools import on_ranks

DT = 0.1


class Clips:
    """What the sampler needs of a library."""

    def __init__(self, weights, durations, loops=None):
        self.weights = torch.tensor(weights)
        self.durations = torch.tensor(durations)
        self.loops = torch.tensor(loops or [False] * len(weights))


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


def test_clips_of_wanted_groups_come_as_they_weigh_within_them(generator):
    """20,000 draws of p = 0.25: five deviations are 0.016. The third clip is no wanted group's."""
    library = Clips([0.15, 0.2, 0.2, 0.0, 0.45], [1.0, 2.0, 3.0, 4.0, 5.0])
    sampler = MotionSampler(library, generator)
    wanted = torch.tensor([1] * 20_000 + [0] * 1_000)
    clips, times = sampler.sample_of(wanted, torch.tensor([1, 0, 2, 1, 1]))
    assert (clips[20_000:] == 1).all()
    share = torch.bincount(clips[:20_000], minlength=5) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.25, 0, 0, 0, 0.75]), atol=0.016, rtol=0)
    assert share[1:4].sum() == 0
    assert (times < sampler.library.durations[clips]).all()
    assert times[clips == 4].max() > 4.9


def test_times_are_even_over_each_clip(generator):
    sampler = MotionSampler(Clips([0.5, 0.5], [1.0, 4.0]), generator)
    clips, times = sampler.sample(20_000)
    for clip, duration in enumerate((1.0, 4.0)):
        own = times[clips == clip] / duration
        assert (own >= 0).all()
        assert (own <= 1).all()
        quarters = torch.histc(own, 4, 0.0, 1.0) / len(own)
        torch.testing.assert_close(quarters, torch.full((4,), 0.25), atol=0.025, rtol=0)


def test_a_lead_is_left_before_the_times_of_clips_that_do_not_loop(generator):
    library = Clips([0.4, 0.3, 0.3], [4.0, 1.0, 4.0], loops=[False, False, True])
    sampler = MotionSampler(library, generator)
    state = generator.get_state()
    plain_clips, plain = sampler.sample(20_000)
    generator.set_state(state)
    clips, times = sampler.sample(20_000, lead=2.0)
    assert torch.equal(clips, plain_clips)
    held, short, loop = (clips == clip for clip in range(3))
    # u 4 s becomes 2 s + u (4 - 2) s; a clip of 1 s has no time with 2 s before it but its end.
    torch.testing.assert_close(times[held], 2.0 + 0.5 * plain[held])
    assert (times[short] == 1.0).all()
    assert torch.equal(times[loop], plain[loop])


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


@pytest.mark.parametrize(
    ("mode", "shares"),
    [
        ("weights", [0.2, 0.2, 0.0, 0.6]),
        ("uniform", [1 / 3, 1 / 3, 0.0, 1 / 3]),
        # 0.2 x 1 s, 0.2 x 4 s, 0.6 x 2 s of together 2.2
        ("length", [0.2 / 2.2, 0.8 / 2.2, 0.0, 1.2 / 2.2]),
        ("adaptive", [0.2 / 2.2, 0.8 / 2.2, 0.0, 1.2 / 2.2]),
    ],
)
def test_modes_draw_clips_as_they_say(generator, mode, shares):
    """20,000 draws: five deviations of the most uncertain share are 0.018."""
    library = Clips([0.2, 0.2, 0.0, 0.6], [1.0, 4.0, 9.0, 2.0])
    sampler = make_sampler(library, generator, True, Sampling(mode), DT)
    clips, times = sampler.sample(20_000)
    found = torch.bincount(clips, minlength=4) / 20_000
    torch.testing.assert_close(found, torch.tensor(shares), atol=0.018, rtol=0)
    own = times[clips == 1]
    assert (own <= 4.0).all()
    torch.testing.assert_close(
        torch.histc(own, 4, 0.0, 4.0) / len(own), torch.full((4,), 0.25), atol=0.05, rtol=0
    )


# ---------------------------------------------------------------------------------- adaptive


def adaptive(library, generator, **settings):
    return AdaptiveSampler(library, generator, True, Sampling("adaptive", **settings), DT)


def stay(sampler, clip, time, steps, fails=0):
    """One env that spends steps at one time of a clip and fails in the first of them."""
    for step in range(steps):
        sampler.record(torch.tensor([clip]), torch.tensor([time]), torch.tensor([step < fails]))


def test_bins_are_equal_parts_of_a_clip_no_longer_than_asked(generator):
    sampler = adaptive(Clips([0.5, 0.5], [2.5, 0.8]), generator, bin_s=1.0)
    # 2.5 s make three bins of 0.833 s, 0.8 s one.
    torch.testing.assert_close(sampler._width, torch.tensor([2.5 / 3, 2.5 / 3, 2.5 / 3, 0.8]))
    torch.testing.assert_close(sampler._start, torch.tensor([0.0, 2.5 / 3, 5.0 / 3, 0.0]))
    assert sampler._clip_of.tolist() == [0, 0, 0, 1]
    assert len(adaptive(Clips([1.0], [3.0]), generator, bin_s=1.0)._width) == 3


def test_the_chance_to_fail_is_that_of_the_rate_and_the_prior(generator):
    """Two bins of 1 s; 4 s and 2 failures in one, 6 s and none in the other.

    The average rate is 2 / 10 per second; with 2 s of it, (2 + 0.4) / (4 + 2) = 0.4 and
    0.4 / (6 + 2) = 0.05 per second.
    """
    sampler = adaptive(Clips([1.0], [2.0]), generator, memory_s=1e9)
    stay(sampler, 0, 0.5, steps=40, fails=2)
    stay(sampler, 0, 1.5, steps=60)
    assert PRIOR_S == 2.0
    expected = 1.0 - torch.exp(-torch.tensor([0.4, 0.05]))
    torch.testing.assert_close(sampler.failure_chances(), expected, atol=1e-5, rtol=0)


def test_probabilities_follow_the_documented_formula(generator):
    """Chances q = 1 - e^-0.4 = 0.3297 and 1 - e^-0.05 = 0.0488 as above; the clip does not loop.

    Scores with decay 0.5 and two bins: 0.3297 + 0.5 x 0.0488 = 0.3541 and, staying in the last
    bin, 1.5 x 0.0488 = 0.0732. Shares 0.5 each: 0.9 x 0.3541 / 0.4273 + 0.1 / 2 = 0.7959.
    """
    sampler = adaptive(Clips([1.0], [2.0]), generator, memory_s=1e9, lookahead=2, decay=0.5)
    stay(sampler, 0, 0.5, steps=40, fails=2)
    stay(sampler, 0, 1.5, steps=60)
    found = sampler.probabilities()
    torch.testing.assert_close(found, torch.tensor([0.7959, 0.2041]), atol=2e-4, rtol=0)
    _, times = sampler.sample(20_000)
    assert float((times < 1.0).float().mean()) == pytest.approx(0.7959, abs=0.015)


def test_what_fails_in_one_bin_is_practised_from_before_it(generator):
    """Failures in the bin 3 of 5 raise those that begin up to two bins earlier."""
    for loop, raised in ((False, [1, 2, 3]), (True, [1, 2, 3])):
        sampler = adaptive(Clips([1.0], [5.0], [loop]), generator, lookahead=3)
        for second in range(5):
            stay(sampler, 0, second + 0.5, steps=100, fails=50 if second == 3 else 0)
        found = sampler.probabilities()
        assert found.topk(3).indices.sort().values.tolist() == raised
        assert found.argmax() == 3


def test_a_loop_looks_ahead_to_its_beginning(generator):
    for loop, probable in ((True, True), (False, False)):
        sampler = adaptive(Clips([1.0], [4.0], [loop]), generator, lookahead=2)
        for second in range(4):
            stay(sampler, 0, second + 0.5, steps=100, fails=50 if second == 0 else 0)
        assert bool(sampler.probabilities()[3] > 0.25) is probable


def test_times_past_the_end_count_where_they_are(generator):
    sampler = adaptive(Clips([0.5, 0.5], [2.0, 2.0], [True, False]), generator)
    sampler.record(
        torch.tensor([0, 0, 1, 1]), torch.tensor([2.5, 5.0, 7.0, -1.0]), torch.ones(4).bool()
    )
    # The loop at 2.5 s is in its first second, at 5 s in its second; the other stays at its ends.
    assert sampler._failures.tolist() == [1.0, 1.0, 1.0, 1.0]


def test_a_bin_remembers_its_own_last_seconds(generator):
    sampler = adaptive(Clips([1.0], [2.0]), generator, memory_s=10.0)
    stay(sampler, 0, 0.5, steps=5000, fails=1)
    # Seconds settle at dt / (1 - e^(-dt / memory)) = 10.05, and the failure has faded.
    assert float(sampler._seconds[0]) == pytest.approx(10.05, abs=0.01)
    assert float(sampler._failures[0]) < 1e-6
    assert float(sampler._seconds[1]) == 0.0  # what is not visited does not fade


def test_nothing_is_forgotten_and_nothing_takes_all(generator):
    """A thousand clips of 1 s; in one of them every step fails, the others never.

    Its chance is 1, theirs the least there is, 0.02: 0.9 / (1 + 999 x 0.02) + 0.1 / 1000 = 0.0430
    for it, and at least 0.1 / 1000 for each other.
    """
    sampler = adaptive(Clips([1e-3] * 1000, [1.0] * 1000), generator)
    clips = torch.arange(1000)
    for _ in range(300):
        sampler.record(clips, torch.full((1000,), 0.5), clips == 7)
    found = sampler.probabilities()
    assert LEAST_CHANCE == 0.02
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-4)
    assert float(found[7]) == pytest.approx(0.0430, abs=1e-4)
    assert float(found.min()) >= 0.1 * 1e-3


def test_equal_experience_draws_equal_starts():
    draws = []
    for _ in range(2):
        sampler = adaptive(
            Clips([0.2, 0.8], [1.0, 4.0]), torch.Generator().manual_seed(3), bin_s=0.5
        )
        stay(sampler, 1, 2.2, steps=20, fails=9)
        draws.append(sampler.sample(64))
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])


def test_adaptive_sampling_goes_on_from_a_checkpoint(generator):
    library = Clips([0.2, 0.8], [1.0, 4.0])
    first, second = (adaptive(library, generator) for _ in range(2))
    stay(first, 1, 2.2, steps=20, fails=9)
    second.load_state_dict(first.state_dict())
    stay(first, 0, 0.2, steps=1)
    assert not torch.equal(first.probabilities(), second.probabilities())
    stay(second, 0, 0.2, steps=1)
    assert torch.equal(first.probabilities(), second.probabilities())
    even = second.state_dict()
    second.load_state_dict({})  # of a run in another mode
    assert torch.equal(second.state_dict()["seconds"], even["seconds"])
    with pytest.raises(CheckpointError, match=r"has 5 bins, this run 10: keep motion and task"):
        adaptive(library, generator, bin_s=0.5).load_state_dict(even)


def test_recording_and_drawing_never_wait(generator):
    sampler = adaptive(Clips([0.2, 0.8], [1.0, 4.0], [True, False]), generator)
    clips, times, failed = (
        torch.tensor([0, 1]),
        torch.tensor([0.4, 5.0]),
        torch.tensor([True, False]),
    )
    places = (sampler._failures.data_ptr(), sampler._seconds.data_ptr())
    with no_sync():
        sampler.record(clips, times, failed)
        sampler.sample(8)
    assert places == (sampler._failures.data_ptr(), sampler._seconds.data_ptr())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "adaptiv"}, r"sampling\.mode=adaptiv: choose .*Closest: adaptive"),
        ({"mod": "uniform"}, r"task\.sampling has no 'mod'\. Closest: mode\. All: mode, bin_s"),
        ({"bin_s": 0}, r"task\.sampling\.bin_s must be above 0, got 0"),
        ({"memory_s": float("inf")}, r"memory_s must be above 0, got inf"),
        ({"even_share": 1.5}, r"even_share must be from 0 to 1, got 1\.5"),
        ({"decay": "fast"}, r"decay must be from 0 to 1, got fast"),
        ({"lookahead": 0}, r"lookahead must be at least 1, got 0"),
        ({"lookahead": 1.5}, r"lookahead must be whole, got 1\.5"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        read_sampling(settings)


def test_ranks_share_what_they_saw(generator):
    """Bins of 1 s; 10 steps of 0.1 s are a second of experience, which fades by e^(-1/10)."""
    first, second = (
        adaptive(Clips([1.0], [2.0]), torch.Generator().manual_seed(rank), memory_s=10.0)
        for rank in (0, 1)
    )
    samplers = [first, second]

    def look(rank, pool):
        stay(samplers[rank], 0, 0.5 + rank, steps=10, fails=1 + rank)
        samplers[rank].exchange(pool)
        samplers[rank].exchange(pool)  # nothing new: nothing changes
        if rank == 0:
            stay(samplers[0], 0, 0.5, steps=10)
        samplers[rank].exchange(pool)
        return samplers[rank].state_dict()

    one, other = on_ranks(look)
    faded = math.exp(-1 / 10)
    torch.testing.assert_close(one["seconds"], torch.tensor([faded + 1.0, 1.0]))
    torch.testing.assert_close(one["failures"], torch.tensor([faded, 2.0]))
    assert all(torch.equal(one[name], other[name]) for name in one)
