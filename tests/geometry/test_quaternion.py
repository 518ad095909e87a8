"""Quaternions obey the axioms of rotations, in float32 and float64, up to the edges."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mimickit.geometry.quaternion import (
    IDENTITY,
    heading,
    heading_inverse,
    quat_angle,
    quat_conjugate,
    quat_from_axis_angle,
    quat_from_exp_map,
    quat_from_heading,
    quat_multiply,
    quat_normalize,
    quat_positive,
    quat_rotate,
    quat_rotate_inverse,
    quat_slerp,
    quat_to_exp_map,
    quat_to_tan_norm,
    quat_twist_angle,
)

S = math.sqrt(0.5)
EXAMPLES = 64  # rotations per drawn seed
TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
seeds = given(seed=st.integers(0, 2**31))


def vectors(seed, dtype, count=EXAMPLES):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rotations(seed, dtype, count=EXAMPLES):
    """Uniformly distributed unit quaternions of both signs."""
    generator = torch.Generator().manual_seed(seed)
    return quat_normalize(torch.randn(count, 4, generator=generator).to(dtype))


def matrix(q):
    """Rotation matrix [..., 3, 3] from the textbook formula, independent of `quat_rotate`."""
    x, y, z, w = q.unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def close(a, b, scale=1.0):
    tolerance = TOLERANCE[a.dtype] * scale
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def same_rotation(a, b, scale=1.0):
    close(a * torch.sign((a * b).sum(-1, keepdim=True)), b, scale)


# Values worked out by hand.


def test_product_applies_the_right_factor_first():
    about_x = torch.tensor([S, 0, 0, S])  # 90 degrees
    about_z = torch.tensor([0, 0, S, S])
    # y -> z under the first, and z stays z under the second.
    y = torch.tensor([0.0, 1.0, 0.0])
    close(quat_rotate(quat_multiply(about_z, about_x), y), torch.tensor([0.0, 0.0, 1.0]))
    # k i = j, so (S + S k)(S + S i) = 1/2 + 1/2 i + 1/2 j + 1/2 k.
    close(quat_multiply(about_z, about_x), torch.tensor([0.5, 0.5, 0.5, 0.5]))


def test_quarter_turn_about_z_takes_x_to_y():
    q = quat_from_axis_angle(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(math.pi / 2))
    close(q, torch.tensor([0.0, 0.0, S, S]))
    close(quat_rotate(q, torch.tensor([1.0, 0.0, 0.0])), torch.tensor([0.0, 1.0, 0.0]))


def test_third_turn_about_the_diagonal_permutes_the_axes():
    q = torch.tensor([0.5, 0.5, 0.5, 0.5])  # 120 degrees about (1, 1, 1)
    close(quat_rotate(q, torch.tensor([1.0, 2.0, 3.0])), torch.tensor([3.0, 1.0, 2.0]))
    close(quat_to_exp_map(q), torch.full((3,), 2 * math.pi / 3 / math.sqrt(3)))


def test_tan_norm_of_a_quarter_turn_about_y():
    # x -> -z and z -> x.
    close(
        quat_to_tan_norm(torch.tensor([0.0, S, 0.0, S])),
        torch.tensor([0.0, 0.0, -1.0, 1.0, 0.0, 0.0]),
    )


def test_heading_looks_at_the_x_axis_alone():
    pitched = torch.tensor([0.0, math.sin(0.3), 0.0, math.cos(0.3)])
    turned = quat_multiply(quat_from_heading(torch.tensor(0.7)), pitched)
    close(heading(turned), torch.tensor(0.7))
    close(heading(pitched), torch.tensor(0.0))


def test_half_way_between_two_rotations_about_one_axis():
    axis = torch.tensor([0.0, 1.0, 0.0])
    a = quat_from_axis_angle(axis, torch.tensor(0.2))
    b = quat_from_axis_angle(axis, torch.tensor(1.0))
    close(quat_slerp(a, b, torch.tensor(0.25)), quat_from_axis_angle(axis, torch.tensor(0.4)))


def test_twist_about_an_axis_ignores_the_swing():
    axis = torch.tensor([0.0, 0.0, 1.0])
    twist = quat_from_axis_angle(axis, torch.tensor(-1.2))
    swing = quat_from_axis_angle(torch.tensor([1.0, 0.0, 0.0]), torch.tensor(0.5))
    close(quat_twist_angle(quat_multiply(swing, twist), axis), torch.tensor(-1.2))


# Properties.


@dtypes
@seeds
def test_multiplication_is_a_group(dtype, seed):
    a, b, c = (rotations(seed + i, dtype) for i in range(3))
    identity = torch.tensor(IDENTITY, dtype=dtype)
    close(quat_multiply(quat_multiply(a, b), c), quat_multiply(a, quat_multiply(b, c)))
    close(quat_multiply(a, quat_conjugate(a)), identity.expand_as(a))
    close(quat_multiply(a, identity), a)
    close(quat_multiply(identity, a), a)
    close(quat_multiply(a, b).norm(dim=-1), torch.ones(EXAMPLES, dtype=dtype))


@dtypes
@seeds
def test_rotation_agrees_with_its_matrix(dtype, seed):
    q, p, v = rotations(seed, dtype), rotations(seed + 1, dtype), vectors(seed, dtype)
    close(quat_rotate(q, v), (matrix(q) @ v.unsqueeze(-1)).squeeze(-1), scale=4)
    close(matrix(quat_multiply(p, q)), matrix(p) @ matrix(q))
    close(quat_rotate_inverse(q, quat_rotate(q, v)), v, scale=4)
    close(quat_rotate(-q, v), quat_rotate(q, v))


@dtypes
@seeds
def test_tan_norm_is_the_first_and_last_column_of_the_matrix(dtype, seed):
    q = rotations(seed, dtype)
    columns = matrix(q)
    close(quat_to_tan_norm(q), torch.cat([columns[..., 0], columns[..., 2]], -1))
    close(quat_to_tan_norm(-q), quat_to_tan_norm(q))


@dtypes
@seeds
def test_exp_map_comes_back_inside_the_ball_of_radius_pi(dtype, seed):
    direction = torch.nn.functional.normalize(vectors(seed, dtype), dim=-1)
    # From denormal to almost pi; beyond 1e-6 the two branches of the logarithm meet.
    lengths = torch.tensor(
        [0.0, 1e-30, 1e-12, 1e-7, 9e-7, 1.1e-6, 3e-6, 1e-3, 0.1, 1.0, 3.0, 3.14], dtype=dtype
    )
    e = direction.unsqueeze(1) * lengths.unsqueeze(-1)
    q = quat_from_exp_map(e)
    close(q.norm(dim=-1), torch.ones_like(q[..., 0]))
    # Near pi the error of q is magnified by no more than a few units.
    torch.testing.assert_close(
        quat_to_exp_map(q), e, rtol=4 * TOLERANCE[dtype], atol=4 * TOLERANCE[dtype] * 1e-6
    )


@dtypes
@seeds
def test_log_comes_back_for_every_rotation(dtype, seed):
    q = rotations(seed, dtype)
    close(quat_from_exp_map(quat_to_exp_map(q)), quat_positive(q))
    assert (quat_to_exp_map(q).norm(dim=-1) <= math.pi + 1e-5).all()


@dtypes
def test_half_turn_has_an_exp_map_of_length_pi(dtype):
    half_turns = torch.eye(3, 4, dtype=dtype)  # about x, y, z
    close(quat_to_exp_map(half_turns), math.pi * torch.eye(3, dtype=dtype))
    close(
        quat_angle(half_turns, half_turns.new_tensor(IDENTITY)), half_turns.new_full((3,), math.pi)
    )


@dtypes
@seeds
def test_angle_is_a_metric_that_turning_both_leaves_alone(dtype, seed):
    a, b, c = (rotations(seed + i, dtype) for i in range(3))
    angle = quat_angle(a, b)
    close(angle, quat_angle(b, a))
    close(angle, quat_angle(quat_multiply(c, a), quat_multiply(c, b)), scale=4)
    close(angle, quat_angle(-a, b))
    close(angle, quat_to_exp_map(quat_multiply(quat_conjugate(a), b)).norm(dim=-1), scale=4)
    assert (angle <= quat_angle(a, c) + quat_angle(c, b) + 1e-5).all()
    close(quat_angle(a, a), torch.zeros_like(angle))


@dtypes
@pytest.mark.parametrize("angle", [1e-6, 1e-4, 1e-2])
def test_small_angle_keeps_its_digits(dtype, angle):
    # The arccosine of a dot product would give 0 or 3.5e-4 here in float32.
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=dtype)
    a = torch.tensor(IDENTITY, dtype=dtype)
    b = quat_from_axis_angle(axis, torch.tensor(angle, dtype=dtype))
    torch.testing.assert_close(quat_angle(a, b), a.new_tensor(angle), rtol=1e-6, atol=0)


@dtypes
@seeds
def test_slerp_meets_its_ends_and_turns_at_constant_speed(dtype, seed):
    a, b = rotations(seed, dtype), rotations(seed + 1, dtype)
    zero, t = torch.zeros(EXAMPLES, dtype=dtype), torch.rand(EXAMPLES).to(dtype)
    close(quat_slerp(a, b, zero), a)
    same_rotation(quat_slerp(a, b, zero + 1), b)
    between = quat_slerp(a, b, t)
    close(
        quat_angle(a, between), t * quat_angle(a, b), scale=1e3 if dtype == torch.float32 else 1e4
    )
    same_rotation(quat_slerp(b, a, 1 - t), between, scale=100)
    same_rotation(quat_slerp(a, -b, t), between)


@dtypes
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1e-4, 3e-4, 1e-3, 0.02, 0.2])
def test_slerp_of_neighbours_is_exact(dtype, angle):
    axis = torch.tensor([[0.0, 0.6, 0.8]], dtype=dtype)
    a = rotations(3, dtype, count=1)
    b = quat_multiply(a, quat_from_axis_angle(axis, torch.tensor([angle], dtype=dtype)))
    between = quat_slerp(a, b, torch.tensor([0.25], dtype=dtype))
    close(between.norm(dim=-1), torch.ones(1, dtype=dtype))
    expected = quat_multiply(a, quat_from_axis_angle(axis, torch.tensor([angle / 4], dtype=dtype)))
    close(between, expected)


@dtypes
@seeds
def test_heading_inverse_turns_the_heading_to_zero(dtype, seed):
    q = rotations(seed, dtype)
    # A vertical x axis has no heading.
    q = q[quat_rotate(q, q.new_tensor([1.0, 0.0, 0.0]))[:, :2].norm(dim=-1) > 0.05]
    close(heading(quat_multiply(heading_inverse(q), q)), torch.zeros_like(q[:, 0]), scale=100)
    about_z = quat_from_heading(torch.full_like(q[:, 0], 0.4))
    turned = heading(quat_multiply(about_z, q)) - heading(q)
    close(torch.cos(turned - 0.4), torch.ones_like(turned), scale=100)


@dtypes
@seeds
def test_twist_of_a_rotation_about_the_axis_is_its_angle(dtype, seed):
    axis = torch.nn.functional.normalize(vectors(seed, dtype), dim=-1)
    angle = torch.linspace(-3.1, 3.1, EXAMPLES, dtype=dtype)
    close(quat_twist_angle(quat_from_axis_angle(axis, angle), axis), angle, scale=10)


def test_operations_broadcast_and_keep_their_arguments():
    q, v = rotations(0, torch.float32, count=6).view(2, 3, 4), vectors(0, torch.float32, count=3)
    before = q.clone(), v.clone()
    assert quat_rotate(q, v).shape == (2, 3, 3)
    assert quat_multiply(q[:, :1], q[0]).shape == (2, 3, 4)
    assert quat_slerp(q, q[0], torch.tensor(0.5)).shape == (2, 3, 4)
    quat_positive(q), quat_to_exp_map(q), quat_normalize(q), heading_inverse(q)
    assert torch.equal(q, before[0])
    assert torch.equal(v, before[1])


def test_gradient_of_exp_map_at_zero_is_finite():
    e = torch.zeros(3, requires_grad=True)
    quat_from_exp_map(e).sum().backward()
    # d q / d e at 0 is 1/2 for the vector part and 0 for w.
    close(e.grad, torch.full((3,), 0.5))


def test_positive_keeps_the_rotation():
    q = torch.tensor([[0.1, 0.2, 0.3, -0.5], [0.1, 0.2, 0.3, 0.5], [1.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.1, -0.2, -0.3, 0.5], [0.1, 0.2, 0.3, 0.5], [1.0, 0.0, 0.0, 0.0]])
    assert torch.equal(quat_positive(q), expected)
