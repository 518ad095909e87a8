"""Returns and advantages, pure. Legend: T steps, N envs."""

from __future__ import annotations

import torch
from torch import Tensor

from mimickit.pooling import ALONE, Pool, pooled_std_mean
from mimickit.state import Done


def td_lambda_returns(
    reward: Tensor, next_value: Tensor, done: Tensor, discount: float, trace: float
) -> Tensor:
    """TD(lambda) targets that treat each way of ending as what it is.

    While an episode goes on, the tail mixes the next value with the next target; at a time-out it
    is the value of the state reached, as if the episode had continued; at a failure or a success
    it is zero.

    Args:
        reward, next_value, done: [T, N]; next_value is V of the state reached, before any reset.
        discount: gamma, per step. trace: lambda in [0, 1]; 0 bootstraps at once.

    Returns:
        [T, N].

    Source: Sutton and Barto 2018, 12.3; per-flag tails as in MimicKit f8d0d70 (rl_util.py).
    """
    goes_on = done == int(Done.NULL)
    future = goes_on | (done == int(Done.TIME))
    bootstrap = torch.where(future, next_value, torch.zeros_like(next_value))
    mix = torch.where(goes_on, trace, 0.0)
    # R_t = r_t + gamma * ((1 - mix_t) * bootstrap_t + mix_t * R_{t+1})
    base = reward + discount * (1.0 - mix) * bootstrap
    mix = mix * discount
    returns = torch.empty_like(reward)
    tail = next_value[-1]
    for step in range(len(reward) - 1, -1, -1):
        tail = torch.addcmul(base[step], mix[step], tail, out=returns[step])
    return returns


def normalized_advantage(returns: Tensor, value: Tensor, clip: float, pool: Pool = ALONE) -> Tensor:
    """Advantages standardised over all samples and clipped to +-clip; same shape as the inputs.

    Args:
        pool: the ranks whose samples count as one.
    """
    advantage = returns - value
    std, mean = pooled_std_mean(advantage, pool)
    return ((advantage - mean) / std.clamp_min(1e-5)).clamp_(-clip, clip)
