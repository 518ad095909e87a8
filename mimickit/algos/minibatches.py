"""Which samples of a rollout make up which minibatch."""

from __future__ import annotations

import torch
from torch import Tensor


def minibatches(samples: int, epochs: int, parts: int, generator: torch.Generator) -> list[Tensor]:
    """Rows of each minibatch: every pass sees every sample once, in a new order.

    Args:
        samples: how many rows there are.
        epochs: passes over them.
        parts: minibatches per pass, of equal size or one row apart; no more than samples.
        generator: draws the orders, on its own device.

    Returns:
        epochs * parts of [about samples / parts] int64.
    """
    orders = (
        torch.randperm(samples, generator=generator, device=generator.device) for _ in range(epochs)
    )
    return [rows for order in orders for rows in order.tensor_split(min(parts, samples))]
