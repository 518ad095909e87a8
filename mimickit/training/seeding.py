"""One seed for a run, independent random streams for its parts."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np
import torch

# Order matters: a part's stream depends on its place. Append, never reorder.
STREAMS = ("model", "task", "policy", "minibatches", "method")


def stream_seeds(seed: int) -> dict[str, int]:
    """A seed per part of a run, statistically independent of each other and of other runs'."""
    states = np.random.SeedSequence(seed).generate_state(len(STREAMS), dtype=np.uint32)
    return {name: int(state) for name, state in zip(STREAMS, states)}


def part_seeds(seed: int, names: Iterable[str]) -> dict[str, int]:
    """A seed per name, which depends on the name and not on which others there are."""
    return {name: zlib.crc32(name.encode(), seed) for name in names}


def generator(seed: int, device: torch.device) -> torch.Generator:
    """A torch generator on a device."""
    return torch.Generator(device=device).manual_seed(seed)
