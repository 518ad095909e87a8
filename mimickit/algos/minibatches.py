"""Which samples of a rollout make up which minibatch."""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor


def minibatches(
    samples: int,
    epochs: int,
    parts: int,
    generator: torch.Generator,
    seen: Optional[int] = None,
) -> list[Tensor]:
    """Rows of each minibatch: every pass sees samples once each, in a new order.

    Args:
        samples: how many rows there are.
        epochs: passes over them.
        parts: minibatches per pass, of equal size or one row apart; no more than it sees samples.
        generator: draws the orders, on its own device.
        seen: how many samples a pass sees, at most all; all unless given.

    Returns:
        epochs * parts of [about seen / parts] int64.
    """
    seen = samples if seen is None else seen
    orders = (
        torch.randperm(samples, generator=generator, device=generator.device) for _ in range(epochs)
    )
    return [rows for order in orders for rows in order[:seen].tensor_split(min(parts, seen))]
