"""Table 1 of the paper, to print beside our own figures.

Source: Peng 2025, "MimicKit: A Reinforcement Learning Framework for Motion Imitation and Control"
(arXiv 2510.13794), Table 1: humanoid, 4,096 episodes per model, mean and standard deviation over 5
seeds, pose termination off. The paper gives neither samples nor wall time.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

SEEDS = 5  # models per cell


class Published(NamedTuple):
    """One method on one clip: position error [m], dof velocity error [rad/s], and their spread."""

    position_error_m: float
    dof_velocity_error_rad_s: float
    position_error_m_std: float
    dof_velocity_error_rad_s_std: float


METHODS = ("amp", "deepmimic", "add")
# clip: position errors of AMP, DeepMimic and ADD, each with its standard deviation; then the same
# of velocity errors
_TABLE_1 = {
    "run": (
        ((0.163, 0.008), (0.013, 0.002), (0.165, 0.017)),
        ((2.811, 0.048), (0.584, 0.054), (0.478, 0.007)),
    ),
    "jog": (
        ((0.120, 0.007), (0.021, 0.000), (0.024, 0.004)),
        ((2.017, 0.052), (0.575, 0.007), (0.507, 0.010)),
    ),
    "sideflip": (
        ((0.387, 0.011), (0.138, 0.004), (0.145, 0.006)),
        ((2.276, 0.014), (1.118, 0.034), (1.350, 0.049)),
    ),
    "crawl": (
        ((0.050, 0.006), (0.027, 0.000), (0.028, 0.002)),
        ((0.646, 0.089), (0.430, 0.006), (0.283, 0.002)),
    ),
    "roll": (
        ((0.141, 0.031), (0.115, 0.132), (0.152, 0.005)),
        ((1.576, 0.318), (0.994, 0.051), (1.330, 0.101)),
    ),
    "getup_facedown": (
        ((0.096, 0.018), (0.023, 0.001), (0.022, 0.001)),
        ((0.838, 0.029), (0.433, 0.008), (0.325, 0.005)),
    ),
    "spinkick": (
        ((0.064, 0.010), (0.078, 0.062), (0.025, 0.000)),
        ((1.453, 0.327), (1.222, 0.233), (0.774, 0.007)),
    ),
    "cartwheel": (
        ((0.076, 0.006), (0.144, 0.153), (0.017, 0.000)),
        ((0.722, 0.020), (0.659, 0.160), (0.317, 0.002)),
    ),
    "backflip": (
        ((0.267, 0.015), (0.111, 0.054), (0.062, 0.001)),
        ((2.243, 0.113), (1.103, 0.024), (0.878, 0.013)),
    ),
    "dance_a": (
        ((0.065, 0.009), (0.065, 0.029), (0.028, 0.007)),
        ((0.895, 0.108), (0.830, 0.090), (0.428, 0.014)),
    ),
    "walk": (
        ((0.132, 0.021), (0.009, 0.001), (0.009, 0.001)),
        ((1.394, 0.123), (0.286, 0.005), (0.213, 0.003)),
    ),
}
CLIPS = tuple(_TABLE_1)  # in the paper's order


def published(method: str, character: str, clip: str) -> Optional[Published]:
    """The paper's figures for a method and clip of its humanoid, if it has any."""
    if character != "humanoid" or clip not in _TABLE_1 or method not in METHODS:
        return None
    column = METHODS.index(method)
    (position, position_std), (velocity, velocity_std) = (row[column] for row in _TABLE_1[clip])
    return Published(position, velocity, position_std, velocity_std)
