"""Perceptrons: layers, initial weights, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mimickit.errors import ConfigError
from mimickit.models.mlp import ACTIVATIONS, mlp


def test_layers_follow_the_widths_and_the_last_is_linear():
    net = mlp(3, [8, 4], 2, "elu")
    kinds = [nn.Linear, nn.ELU, nn.Linear, nn.ELU, nn.Linear]
    assert [type(layer) for layer in net] == kinds
    assert [tuple(layer.weight.shape) for layer in net[::2]] == [(8, 3), (4, 8), (2, 4)]
    # 3 * 8 + 8, 8 * 4 + 4, 4 * 2 + 2
    assert sum(p.numel() for p in net.parameters()) == 32 + 36 + 10


def test_without_hidden_layers_it_is_linear():
    net = mlp(3, [], 2)
    a, b = torch.randn(2, 5, 3)
    torch.testing.assert_close(net(a + 2.0 * b), net(a) + 2.0 * net(b))


def test_biases_start_at_zero_and_hidden_weights_as_pytorch_draws_them():
    net = mlp(100, [400], 50)
    assert all(layer.bias.abs().max() == 0 for layer in net[::2])
    # PyTorch's default for a linear layer: U(-1/sqrt(fan in), 1/sqrt(fan in)); fan in 100 and 400.
    for layer, bound in ((net[0], 0.1), (net[2], 0.05)):
        assert bound * 0.98 < layer.weight.abs().max() <= bound


def test_output_scale_bounds_the_last_weights_only():
    net = mlp(100, [400], 50, output_scale=0.01)
    assert 0.0098 < net[2].weight.abs().max() <= 0.01
    assert net[0].weight.abs().max() > 0.09


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_runs_backwards(activation):
    net = mlp(3, [4], 1, activation)
    net(torch.randn(5, 3)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


def test_what_cannot_be_built_is_refused():
    with pytest.raises(ConfigError, match=r"model\.activation=gelu: choose one of relu, elu, silu"):
        mlp(3, [4], 1, "gelu")
    with pytest.raises(ConfigError, match=r"widths must be positive, got \[4, 0\]"):
        mlp(3, [4, 0], 1)
