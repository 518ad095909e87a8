"""What recorded motion says of skills, each figure by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.evaluation.skill_figures import (
    NO_MATCH,
    best_match,
    coverage,
    diversity,
    mean,
    retrieval,
    transitions,
    votes,
)
from mimickit.methods.sliced import random_directions, sliced_distance

NAMES = ("walk", "run", "kick", "jump")


def test_votes_count_the_steps_that_count():
    labels = torch.tensor([[0, 3], [0, 3], [2, 1], [2, 1]])  # [T, N]
    counted = torch.tensor([[True, True], [True, True], [True, False], [False, False]])
    # Episode 0: two steps of 0 and one of 2; episode 1: two of 3, and its steps of 1 came too late.
    expected = torch.tensor([[2.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    assert torch.equal(votes(labels, counted, 4), expected)


def test_an_episode_without_votes_has_no_match():
    counts = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
    assert best_match(counts).tolist() == [0, 2, NO_MATCH]


def test_coverage_by_hand():
    matches = torch.tensor([0, 0, 1, 3, NO_MATCH])
    found = coverage(matches, NAMES, [0.25] * 4)
    # Of four with a match: 1/2, 1/4, 0, 1/4; entropy 1/2 ln 2 + 2 x 1/4 ln 4 = 3/2 ln 2.
    shares = {name: row["share"] for name, row in found["labels"].items()}
    assert shares == {"walk": 0.5, "run": 0.25, "kick": 0.0, "jump": 0.25}
    assert (found["min_share"], found["least"], found["matched"]) == (0.0, "kick", 3)
    assert found["matches"] == 4
    assert found["entropy"] == pytest.approx(1.5 * math.log(2.0))
    assert found["even_entropy"] == pytest.approx(math.log(4.0))
    assert found["labels"]["walk"]["weight"] == 0.25


def test_an_even_spread_has_the_entropy_of_an_even_spread():
    found = coverage(torch.arange(4).repeat(3), NAMES, [0.25] * 4)
    assert found["entropy"] == pytest.approx(found["even_entropy"])
    assert found["min_share"] == 0.25


def test_one_clip_for_all_has_none():
    found = coverage(torch.full((5,), 2), NAMES, [0.25] * 4)
    assert (found["entropy"], found["matched"], found["min_share"]) == (0.0, 1, 0.0)


def test_transitions_by_hand():
    before = torch.tensor([0, 0, 0, 1, 2, NO_MATCH])
    after = torch.tensor([1, 1, 0, 0, NO_MATCH, 3])
    succeeded = torch.tensor([True, True, False, True, False, True])
    found = transitions(before, after, succeeded, NAMES)
    assert found["episodes"] == 6
    assert found["success_rate"] == pytest.approx(4 / 6)
    assert found["pairs"] == 3 / 16  # walk-run, walk-walk, run-walk
    assert found["matrix"] == {
        "walk": {
            "episodes": 3,
            "success_rate": pytest.approx(2 / 3),
            "to": {"walk": pytest.approx(1 / 3), "run": pytest.approx(2 / 3)},
        },
        "run": {"episodes": 1, "success_rate": 1.0, "to": {"walk": 1.0}},
        "kick": {"episodes": 1, "success_rate": 0.0, "to": {}},  # fell before anything showed
    }


def test_sliced_distance_by_hand():
    # Sorted shadows: 0, 1, 5 against 1, 1, 2: (1 + 0 + 3) / 3; of the second direction all 2 apart.
    first = torch.tensor([[5.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    second = torch.tensor([[1.0, 2.0], [2.0, 2.0], [1.0, 2.0]])
    assert float(sliced_distance(first, second)) == pytest.approx((4 / 3 + 2.0) / 2)
    assert float(sliced_distance(first, first.flip(0))) == 0.0  # in whatever order


def test_shadows_of_standard_features_are_standard():
    samples = torch.randn(20_000, 50)
    spread = (samples @ random_directions(50)).std(0)
    # A direction's length is 1 on average, give or take 10 %.
    assert float(spread.mean()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(random_directions(50), random_directions(50))


def test_diversity_by_hand():
    # Along one direction; two latents with two episodes each, of two steps.
    paths = torch.tensor([[0.0, 2.0], [10.0, 12.0], [3.0, 1.0], [10.0, 16.0]]).unsqueeze(-1)
    skills = torch.tensor([0, 1, 0, 1])
    # Of one latent: {0, 2} and {1, 3}: 1; {10, 12} and {10, 16}: (0 + 4) / 2 = 2.
    # Of two: 0-1: 10, 2-1: 9, 0-3: (10 + 14) / 2 = 12, 2-3: (9 + 13) / 2 = 11. As shifts 1, 2 and 3
    # go round, each comes twice: mean 10.5.
    found = diversity(paths, skills)
    assert found["same"] == pytest.approx(1.5)
    assert found["different"] == pytest.approx(10.5)
    assert found["ratio"] == pytest.approx(7.0)


def test_diversity_of_too_few_motions_is_not_known():
    nothing = diversity(torch.zeros(0, 3, 2), torch.zeros(0, dtype=torch.long))
    assert nothing == {"different": None, "same": None, "ratio": None}
    one_each = diversity(torch.randn(2, 3, 2), torch.tensor([0, 1]))
    assert one_each["same"] is None
    assert one_each["different"] is not None


def test_retrieval_by_hand():
    latents = torch.eye(3)
    encoded = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.6, 0.0, 0.8], [0.8, 0.0, 0.6]])
    skills = torch.tensor([0, 1, 2, 2])
    found = retrieval(encoded, skills, latents, candidates=16)
    assert found["candidates"] == 3  # there are no more latents
    assert found["chance"] == pytest.approx(1 / 3)
    assert found["accuracy"] == pytest.approx(3 / 4)  # the last one speaks for latent 0
    assert found["dot_product"] == pytest.approx((1.0 + 0.8 + 0.8 + 0.6) / 4)
    assert found["shuffled_dot_product"] == pytest.approx((0.0 + 0.6 + 0.6 + 0.8) / 8)


def test_only_the_candidates_count():
    latents = torch.eye(3)
    # Latent 1 would be right but for latent 0, which is no candidate of two: 1 and 2 are.
    found = retrieval(torch.tensor([[0.8, 0.6, 0.0]]), torch.tensor([1]), latents, candidates=2)
    assert found["accuracy"] == 1.0


def test_of_nothing_there_is_no_mean():
    assert mean(torch.zeros(0)) is None
    assert mean(torch.tensor([True, False])) == 0.5
