"""How far apart two clouds of samples are, told from their shadows along random directions."""

from __future__ import annotations

from typing import Optional, Union

import torch
from torch import Tensor

PROJECTIONS = 64  # directions


def random_directions(
    width: int, device: Optional[Union[str, torch.device]] = None, count: int = PROJECTIONS
) -> Tensor:
    """The same directions for the same width, [width, count].

    Independent features of standard deviation 1 have shadows of standard deviation 1.
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn(width, count, generator=generator).to(device) / width**0.5


def sliced_distance(first: Tensor, second: Tensor) -> Tensor:
    """The sliced Wasserstein distance of two clouds of as many samples, [...].

    Args:
        first, second: shadows [..., M, P] of M samples along P directions.

    Source: Rabin et al. 2011; along one direction the best transport keeps the order.
    """
    return (first.sort(-2)[0] - second.sort(-2)[0]).abs().mean((-2, -1))
