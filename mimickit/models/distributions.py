"""A Gaussian with independent components: what policies sample actions from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class DiagonalGaussian:
    """Legend: N samples, A action components. mean [N, A]; log_std [A] or [N, A]."""

    mean: Tensor
    log_std: Tensor

    def sample(self, generator: Optional[torch.Generator] = None) -> Tensor:
        """One draw per row, [N, A]."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return torch.addcmul(self.mean, noise, self.log_std.exp())

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of value [N, A], [N]."""
        z = (value - self.mean) * (-self.log_std).exp()
        log_std = self.log_std.expand_as(z)
        return -(0.5 * z.square() + log_std + _LOG_SQRT_2PI).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy [N] in nats."""
        return (self.log_std.expand_as(self.mean) + 0.5 + _LOG_SQRT_2PI).sum(-1)
