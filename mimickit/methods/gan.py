"""Adversarial imitation's losses and reward, as pure functions of logits.

Legend: M samples, D features. A discriminator's logit is high for what looks like a demonstration.
Source: AMP (Peng et al. 2021), ADD (Zhang et al. 2025), constants as in MimicKit f8d0d70
(mimickit/learning/amp_agent.py, add_agent.py).
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor
from torch.nn.functional import softplus

LEAST_DOUBT = 1e-4  # the reward sees no probability of being fooled above 1 minus this


def classification_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Binary cross entropy of logits that should be low [M] and high [M'], each class one half."""
    return 0.5 * (softplus(fake).mean() + softplus(-real).mean())


def gradient_penalty(logit: Tensor, inputs: Tensor, columns: Optional[int] = None) -> Tensor:
    """Mean over samples of the squared gradient of logit [M] by its inputs [M, D], a scalar.

    Args:
        inputs: what the logit was computed from, with `requires_grad`.
        columns: only the gradient by so many of the first counts; None for all.
    """
    (gradient,) = torch.autograd.grad(logit.sum(), inputs, create_graph=True)
    return gradient[:, :columns].square().sum(-1).mean()


def style_reward(logit: Tensor) -> Tensor:
    """-log(1 - p) for the probability p [...] that a sample is real: 0 to 9.2, more is better."""
    # 1 - sigmoid(x) is sigmoid(-x).
    return -torch.sigmoid(-logit).clamp_min(LEAST_DOUBT).log()
