"""Random streams: one per part, none like another."""

from __future__ import annotations

import numpy as np
import torch

from mimickit.training import seeding


def test_the_same_seed_gives_the_same_streams():
    assert seeding.stream_seeds(3) == seeding.stream_seeds(3)
    assert list(seeding.stream_seeds(3)) == list(seeding.STREAMS)


def test_no_two_streams_of_any_run_share_a_seed():
    seeds = [s for seed in range(100) for s in seeding.stream_seeds(seed).values()]
    assert len(set(seeds)) == len(seeds)


def test_neighbouring_seeds_give_unrelated_noise():
    draws = torch.stack(
        [
            torch.randn(2000, generator=seeding.generator(s, torch.device("cpu")))
            for seed in range(4)
            for s in seeding.stream_seeds(seed).values()
        ]
    )
    off_diagonal = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(off_diagonal).max() < 0.12  # 5 deviations of 1 / sqrt(2000)


def test_a_new_stream_at_the_end_leaves_the_others_as_they_were(monkeypatch):
    before = seeding.stream_seeds(0)
    monkeypatch.setattr(seeding, "STREAMS", (*seeding.STREAMS, "new"))
    after = seeding.stream_seeds(0)
    assert {name: after[name] for name in before} == before


def test_ranks_draw_apart_but_begin_with_the_same_weights():
    alone, first, second = seeding.stream_seeds(3), *(seeding.stream_seeds(3, r) for r in (0, 1))
    assert first == alone
    assert second.pop("model") == first.pop("model")
    assert not set(first.values()) & set(second.values())
