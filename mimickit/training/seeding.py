"""One seed for a run, independent random streams for its parts."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
import torch

# Order matters: a part's stream depends on its place. Append, never reorder.
STREAMS = ("model", "task", "policy", "minibatches", "method")


def stream_seeds(seed: int, rank: int = 0) -> dict[str, int]:
    """A seed per part of a run, statistically independent of each other and of other runs'.

    Args:
        rank: of the run's processes, which draw everything independently but the model's weights.
    """
    first = np.random.SeedSequence(seed)
    own = first if rank == 0 else np.random.SeedSequence(seed, spawn_key=(rank,))
    states = own.generate_state(len(STREAMS), dtype=np.uint32)
    seeds = {name: int(state) for name, state in zip(STREAMS, states)}
    return {**seeds, "model": int(first.generate_state(1, dtype=np.uint32)[0])}


def part_seeds(seed: int, names: Iterable[str]) -> dict[str, int]:
    """A seed per name, which depends on the name and not on which others there are."""
    return {name: zlib.crc32(name.encode(), seed) for name in names}


def generator(seed: int, device: torch.device) -> torch.Generator:
    """A torch generator on a device."""
    return torch.Generator(device=device).manual_seed(seed)
