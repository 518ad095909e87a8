"""Random generators that go on from a checkpoint, also on another kind of device."""

from __future__ import annotations

import logging
import zlib

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


def restore(generator: torch.Generator, state: Tensor, what: str) -> None:
    """Go on from a saved state; if another kind of device wrote it, from a new seed, and say so.

    A CPU and a CUDA device draw by different algorithms, whose states have different sizes. The new
    seed follows from the saved state, so that going on from one checkpoint twice is the same twice,
    and does not repeat the run's beginning.

    Args:
        state: as `torch.Generator.get_state` gave it.
        what: is drawn from it, for the warning.
    """
    if state.numel() == generator.get_state().numel():
        generator.set_state(state)
        return
    generator.manual_seed(zlib.crc32(bytes(state.tolist())))
    _log.warning(
        "the random state of %s is of another kind of device than %s: it starts from a new seed, "
        "so the run will not repeat what it would have been there",
        what,
        generator.device.type,
    )
