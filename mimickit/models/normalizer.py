"""Running mean and variance of what a network sees, merged exactly and frozen after a budget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mimickit.pooling import ALONE, Pool

CHUNK = 65_536  # rows of which a float64 copy is made at a time, which bounds its memory


class Normalizer(nn.Module):
    """Standardises a stream of vectors with its running statistics.

    Batches are merged in float64 by Chan's formula, so features with a large mean lose nothing. All
    shapes are fixed and nothing waits for the device, so an update may be captured; for that, a
    frozen normaliser still looks at every batch.

    Args:
        size: width of the vectors.
        max_samples: stop counting once this many have been seen: later policies see a fixed scale.
        clip: bound of the normalised values, either way.
        min_std: floor of the standard deviation, for constant features.

    Source: Chan, Golub and LeVeque 1983; budget, clip and floor as in MimicKit f8d0d70.
    """

    count: Tensor
    mean: Tensor
    square_sum: Tensor
    _shift: Tensor
    _scale: Tensor

    def __init__(
        self, size: int, max_samples: float = 1e8, clip: float = 10.0, min_std: float = 1e-4
    ) -> None:
        super().__init__()
        self.max_samples = max_samples
        self.clip = clip
        self.min_std = min_std
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("square_sum", torch.zeros(size, dtype=torch.float64))
        # What `forward` uses; refreshed by `update`.
        self.register_buffer("_shift", torch.zeros(size))
        self.register_buffer("_scale", torch.ones(size))

    @property
    def std(self) -> Tensor:
        """Standard deviation [size], at least `min_std`; ones before the first update."""
        return 1.0 / self._scale

    def forward(self, values: Tensor) -> Tensor:
        """Standardised and clipped values [..., size]; the identity before the first update."""
        return (values - self._shift).mul_(self._scale).clamp_(-self.clip, self.clip)

    @torch.no_grad()
    def update(self, values: Tensor, pool: Pool = ALONE) -> None:
        """Fold in a batch [..., size], and those of the other ranks, unless the budget is spent."""
        frozen = self.count >= self.max_samples
        chunks = values.reshape(-1, values.shape[-1]).split(CHUNK)
        merge = self._merge if pool.ranks == 1 else partial(self._merge_pooled, pool=pool)
        count, mean, square_sum = merge(chunks)
        std = (square_sum / count).sqrt().clamp_min(self.min_std)
        for buffer, new in (
            (self.count, count),
            (self.mean, mean),
            (self.square_sum, square_sum),
            (self._shift, mean.float()),
            (self._scale, (1.0 / std).float()),
        ):
            buffer.copy_(torch.where(frozen, buffer, new))

    def _merge(self, chunks: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Count, mean and square sum with chunks [rows, size] folded in."""
        count, mean, square_sum = self.count, self.mean, self.square_sum
        for chunk in chunks:
            rows = len(chunk)
            chunk_var, chunk_mean = torch.var_mean(chunk.double(), dim=0, unbiased=False)
            total = count + rows
            delta = chunk_mean - mean
            mean = mean + delta * (rows / total)
            square_sum = square_sum + (chunk_var * rows + delta.square() * (count * rows / total))
            count = total
        return count, mean, square_sum

    def _merge_pooled(self, chunks: Sequence[Tensor], pool: Pool) -> tuple[Tensor, Tensor, Tensor]:
        """As `_merge`, of the chunks of all ranks, by one sum over these.

        What is summed is measured from the present mean, which all ranks share, so that here too
        features with a large mean lose nothing.
        """
        sums = torch.zeros(2, len(self.mean), dtype=torch.float64, device=self.mean.device)
        for chunk in chunks:
            apart = chunk.double() - self.mean
            sums += torch.stack([apart.sum(0), apart.square().sum(0)])
        first, second = pool.sum(sums)
        rows = sum(len(chunk) for chunk in chunks) * pool.ranks
        total = self.count + rows
        delta = first / rows
        within = (second - first * delta).clamp_min(0.0)
        square_sum = self.square_sum + within + delta.square() * (self.count * rows / total)
        return total, self.mean + delta * (rows / total), square_sum


class ScaleNormalizer(nn.Module):
    """Divides a stream of vectors by the running mean of their absolute values; zero stays zero.

    Args:
        size: width of the vectors.
        max_samples: stop counting once this many have been seen.
        min_scale: floor of the divisors, for features that never differ.

    Source: the difference normaliser of ADD (Zhang et al. 2025), as in MimicKit f8d0d70.
    """

    count: Tensor
    mean: Tensor

    def __init__(self, size: int, max_samples: float = 1e8, min_scale: float = 1e-4) -> None:
        super().__init__()
        self.max_samples = max_samples
        self.min_scale = min_scale
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.ones(size, dtype=torch.float64))

    def forward(self, values: Tensor) -> Tensor:
        """Scaled values [..., size]; the identity before the first update."""
        return values / self.mean.clamp_min(self.min_scale).float()

    @torch.no_grad()
    def update(self, values: Tensor, pool: Pool = ALONE) -> None:
        """Fold in a batch [..., size], and those of the other ranks, unless the budget is spent."""
        rows = values.reshape(-1, values.shape[-1]).abs()
        count = len(rows) * pool.ranks
        total = self.count + count
        batch_mean = pool.sum(rows.mean(0, dtype=torch.float64)) / pool.ranks
        mean = self.mean + (batch_mean - self.mean) * (count / total)
        frozen = self.count >= self.max_samples
        self.mean.copy_(torch.where(frozen, self.mean, mean))
        self.count.copy_(torch.where(frozen, self.count, total))
