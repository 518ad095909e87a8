"""How tests compare what engines made of equal commands."""

from __future__ import annotations

import torch

from mimickit.state import CharacterState

EVERYONE = slice(None)


def same_bits(a: CharacterState, b: CharacterState, rows: torch.Tensor | slice = EVERYONE) -> bool:
    """Whether two states, or those of some worlds, are equal to the last bit."""
    return all(torch.equal(x[rows], getattr(b, name)[rows]) for name, x in vars(a).items())


def agree(a: CharacterState, b: CharacterState, rows: torch.Tensor | slice = EVERYONE) -> bool:
    """Whether in half of the worlds at least every body is within 1 cm of where it is in the other.

    For engines that agree to rounding only: worlds that began 1e-7 m apart are still within 1e-5 m
    after a second of falls, but for those that part ways over a contact; thrown about by random
    commands on an H200, coordinates were 0.2 to 5 mm apart after 40 control steps.
    """
    apart = (a.body_pos - b.body_pos)[rows].norm(dim=-1).amax(-1)
    return bool(apart.median() < 1e-2)
