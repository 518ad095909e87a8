"""Multi-layer perceptrons, with sizes in the config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from torch import nn

from mimickit.errors import ConfigError

ACTIVATIONS = {"relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU, "tanh": nn.Tanh}


def mlp(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    activation: str = "relu",
    output_scale: Optional[float] = None,
) -> nn.Sequential:
    """A perceptron with a linear last layer, PyTorch's default weights and zero biases.

    Args:
        hidden: widths of the hidden layers.
        activation: one of `ACTIVATIONS`.
        output_scale: draw the last layer's weights from U(-scale, scale); small values begin near
            zero output.

    Raises:
        ConfigError: a width is not positive or the activation does not exist.
    """
    if activation not in ACTIVATIONS:
        raise ConfigError(f"model.activation={activation}: choose one of {', '.join(ACTIVATIONS)}")
    if not all(isinstance(width, int) and width > 0 for width in hidden):
        raise ConfigError(
            f"hidden layer widths must be positive, got {list(hidden)}; model.actor_hidden and "
            "model.critic_hidden are lists of whole numbers"
        )
    layers: list[nn.Module] = []
    widths = [inputs, *hidden]
    for before, after in zip(widths[:-1], widths[1:]):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    last = nn.Linear(widths[-1], outputs)
    if output_scale is not None:
        nn.init.uniform_(last.weight, -output_scale, output_scale)
    layers.append(last)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
