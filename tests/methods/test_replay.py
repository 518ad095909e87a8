"""What is kept of earlier iterations."""

from __future__ import annotations

import pytest
import torch

from mimickit.methods.replay import Replay
from tests.no_sync import no_sync


def rows(*values):
    return torch.tensor([[float(value)] for value in values])


def drawn(replay, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sorted(set(replay.sample(200, generator).flatten().tolist()))


def test_the_oldest_make_place():
    replay = Replay(3, 1, torch.device("cpu"))
    assert drawn(replay) == [0.0]
    replay.push(rows(1, 2))
    assert drawn(replay) == [1.0, 2.0]
    replay.push(rows(3, 4))
    assert drawn(replay) == [2.0, 3.0, 4.0]
    replay.push(rows(5, 6, 7))
    assert drawn(replay) == [5.0, 6.0, 7.0]


@pytest.mark.parametrize("count", [1, 4096, 16_384])
def test_it_takes_any_number_of_envs_and_never_waits(count):
    replay, generator = Replay(count, 2, torch.device("cpu")), torch.Generator()
    with no_sync():
        replay.push(torch.ones(count, 2))
        replay.sample(count, generator)


def test_it_goes_on_from_its_state():
    first, second = (Replay(4, 1, torch.device("cpu")) for _ in range(2))
    first.push(rows(1, 2, 3))
    second.load_state_dict(first.state_dict())
    for replay in (first, second):
        replay.push(rows(4, 5))
    assert drawn(first) == drawn(second) == [2.0, 3.0, 4.0, 5.0]
