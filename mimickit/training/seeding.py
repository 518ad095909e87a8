"""One seed for a run, independent random streams for its parts."""

from __future__ import annotations

import numpy as np
import torch

# Order matters: a part's stream depends on its place. Append, never reorder.
STREAMS = ("model", "task", "policy", "minibatches")


def stream_seeds(seed: int) -> dict[str, int]:
    """A seed per part of a run, statistically independent of each other and of other runs'."""
    states = np.random.SeedSequence(seed).generate_state(len(STREAMS), dtype=np.uint32)
    return {name: int(state) for name, state in zip(STREAMS, states)}


def generator(seed: int, device: torch.device) -> torch.Generator:
    """A torch generator on a device."""
    return torch.Generator(device=device).manual_seed(seed)
