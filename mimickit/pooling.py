"""What the processes of one run learn together, as what learns in each of them sees it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Pool:
    """The ranks of a run; this one is of a run in a single process, where nothing is exchanged.

    Every rank calls the same methods in the same order, on one thread, with tensors of the same
    shapes. A call may be captured in a CUDA graph, if every rank captures it.

    Attributes:
        ranks: how many processes learn together, each from equally many samples of its own.
        kept_equal: what must hold the same bits on every rank at the end of each iteration.
    """

    ranks = 1

    def __init__(self) -> None:
        self.kept_equal: list[Tensor] = []

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, in place; the tensor itself, contiguous."""
        return tensor

    def keep_equal(self, tensors: Iterable[Tensor]) -> None:
        """Have it checked now and then that these are the same on every rank."""
        self.kept_equal.extend(tensors)


ALONE = Pool()


def pooled_std_mean(values: Tensor, pool: Pool) -> tuple[Tensor, Tensor]:
    """Standard deviation (n - 1) and mean over the elements of all ranks, scalars."""
    if pool.ranks == 1:
        std, mean = torch.std_mean(values)
        return std, mean
    var, mean = _var_mean(values, pool)
    return var.sqrt().to(values.dtype), mean.to(values.dtype)


def pooled_var(values: Tensor, pool: Pool) -> Tensor:
    """Variance (n - 1) over the elements of all ranks, a scalar."""
    return values.var() if pool.ranks == 1 else _var_mean(values, pool)[0].to(values.dtype)


def _var_mean(values: Tensor, pool: Pool) -> tuple[Tensor, Tensor]:
    """From sums in float64, where the squares of float32 lose nothing."""
    wide = values.double()
    sums = torch.stack([torch.full_like(wide.sum(), wide.numel()), wide.sum(), wide.square().sum()])
    count, total, squares = pool.sum(sums).unbind()
    mean = total / count
    return (squares - total * mean).clamp_min(0.0) / (count - 1.0), mean
