"""Table 1 of the paper, to print beside our own figures.

Source: Peng 2025, "MimicKit: A Reinforcement Learning Framework for Motion Imitation and Control"
(arXiv 2510.13794), Table 1: humanoid, 4,096 episodes per model, mean over 5 seeds, pose termination
off. Columns: position error [m] and dof velocity error [rad/s].
"""

from __future__ import annotations

from typing import NamedTuple, Optional


class Published(NamedTuple):
    """One cell pair of the table."""

    position_error_m: float
    dof_velocity_error_rad_s: float


_METHODS = ("amp", "deepmimic", "add")
# clip: (AMP, DeepMimic, ADD) position errors, then the same of velocity errors
_TABLE_1 = {
    "run": ((0.163, 0.013, 0.165), (2.811, 0.584, 0.478)),
    "jog": ((0.120, 0.021, 0.024), (2.017, 0.575, 0.507)),
    "sideflip": ((0.387, 0.138, 0.145), (2.276, 1.118, 1.350)),
    "crawl": ((0.050, 0.027, 0.028), (0.646, 0.430, 0.283)),
    "roll": ((0.141, 0.115, 0.152), (1.576, 0.994, 1.330)),
    "getup_facedown": ((0.096, 0.023, 0.022), (0.838, 0.433, 0.325)),
    "spinkick": ((0.064, 0.078, 0.025), (1.453, 1.222, 0.774)),
    "cartwheel": ((0.076, 0.144, 0.017), (0.722, 0.659, 0.317)),
    "backflip": ((0.267, 0.111, 0.062), (2.243, 1.103, 0.878)),
    "dance_a": ((0.065, 0.065, 0.028), (0.895, 0.830, 0.428)),
    "walk": ((0.132, 0.009, 0.009), (1.394, 0.286, 0.213)),
}


def published(method: str, character: str, clip: str) -> Optional[Published]:
    """The paper's figures for a method and clip of its humanoid, if it has any."""
    if character != "humanoid" or clip not in _TABLE_1 or method not in _METHODS:
        return None
    column = _METHODS.index(method)
    position, velocity = _TABLE_1[clip]
    return Published(position[column], velocity[column])
