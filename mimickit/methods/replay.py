"""A ring of samples of earlier iterations, of fixed shapes, on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Replay:
    """Keeps the newest samples that were put in, up to a capacity; whatever the number of envs.

    Args:
        capacity: rows kept. width: of a row. device: where.
    """

    def __init__(self, capacity: int, width: int, device: torch.device) -> None:
        self._rows = torch.zeros(capacity, width, device=device)
        self._slots = torch.arange(capacity, device=device)
        self._total = torch.zeros((), dtype=torch.long, device=device)  # rows ever put in

    @property
    def capacity(self) -> int:
        """Rows that fit."""
        return len(self._rows)

    def push(self, rows: Tensor) -> None:
        """Put in rows [M, width], M at most the capacity, in place of the oldest."""
        slots = (self._total + self._slots[: len(rows)]) % self.capacity
        self._rows.index_copy_(0, slots, rows)
        self._total += len(rows)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Rows [count, width] drawn with replacement from those put in; zeros before the first."""
        filled = self._total.clamp_max(self.capacity)
        draws = torch.rand(count, generator=generator, device=self._rows.device)
        return self._rows.index_select(0, (draws * filled).long().clamp_max(self.capacity - 1))

    def state_dict(self) -> dict[str, Any]:
        """Everything in it."""
        return {"rows": self._rows.clone(), "total": self._total.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._rows.copy_(state["rows"])
        self._total.copy_(state["total"])
