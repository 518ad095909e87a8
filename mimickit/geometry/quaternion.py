"""Unit quaternions in (x, y, z, w) order: the only order used above the engines' boundaries.

Legend: `...` any batch shape; broadcasting follows torch. All functions return fresh tensors and
never mutate an argument.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vector_norm

IDENTITY = (0.0, 0.0, 0.0, 1.0)

# Each component of `quat_to_tan_norm` is a constant and twice the sum of two products: 1 - 2 y y
# - 2 z z, 2 x y + 2 w z, ...
_COMPONENTS = ("yy- zz-", "xy+ wz+", "xz+ wy-", "xz+ wy+", "yz+ wx-", "xx- yy-")
_CONSTANT = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0, 1.0])
_PRODUCTS = ("xx", "yy", "zz", "xy", "xz", "yz", "wx", "wy", "wz")  # all that they are made of
_FIRST, _SECOND = torch.tensor([["xyzw".index(c) for c in p] for p in _PRODUCTS]).T.contiguous()


def _sums_of_products(dtype: torch.dtype) -> Tensor:
    """What each of `_PRODUCTS` counts in each of `_COMPONENTS`, [9, 6]."""
    sums = torch.zeros(len(_PRODUCTS), len(_COMPONENTS), dtype=dtype)
    for component, terms in enumerate(_COMPONENTS):
        for first, second, sign in terms.split():
            sums[_PRODUCTS.index(first + second), component] = float(sign + "2")
    return sums


_SUMS = {dtype: _sums_of_products(dtype) for dtype in (torch.float32, torch.float64)}


def quat_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product a b, the rotation that applies b first. Shapes [..., 4]."""
    a_v, a_w = a[..., :3], a[..., 3:]
    b_v, b_w = b[..., :3], b[..., 3:]
    a_v, b_v = torch.broadcast_tensors(a_v, b_v)
    w = a_w * b_w - (a_v * b_v).sum(-1, keepdim=True)
    v = torch.linalg.cross(a_v, b_v) + a_w * b_v + b_w * a_v
    return torch.cat([v, w], dim=-1)


def right_multiplication(q: Tensor) -> Tensor:
    """The matrices [..., 4, 4] for which `p @ matrix` is the product p q, for q [..., 4]."""
    x, y, z, w = q.unbind(-1)
    rows = [w, -z, y, -x, z, w, -x, -y, -y, x, w, -z, x, y, z, w]
    return torch.stack(rows, dim=-1).unflatten(-1, (4, 4))


def quat_conjugate(q: Tensor) -> Tensor:
    """Inverse of a unit quaternion [..., 4]."""
    return torch.cat([-q[..., :3], q[..., 3:]], dim=-1)


def quat_normalize(q: Tensor) -> Tensor:
    """Scale to unit length [..., 4]."""
    return q / q.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def quat_positive(q: Tensor) -> Tensor:
    """The one of q and -q (the same rotation) that has w >= 0, [..., 4]."""
    return torch.where(q[..., 3:] < 0, -q, q)


def quat_rotate(q: Tensor, v: Tensor) -> Tensor:
    """Rotate vectors v [..., 3] by q [..., 4]."""
    q_v, v = torch.broadcast_tensors(q[..., :3], v)
    t = 2.0 * torch.linalg.cross(q_v, v)
    return v + q[..., 3:] * t + torch.linalg.cross(q_v, t)


def quat_rotate_inverse(q: Tensor, v: Tensor) -> Tensor:
    """Rotate vectors v [..., 3] by the inverse of q [..., 4]."""
    q_v, v = torch.broadcast_tensors(q[..., :3], v)
    t = 2.0 * torch.linalg.cross(v, q_v)
    return v + q[..., 3:] * t + torch.linalg.cross(t, q_v)


def quat_from_axis_angle(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotation by angle [...] rad about the unit axis [..., 3]."""
    half = 0.5 * angle.unsqueeze(-1)
    vector = axis * half.sin()
    return torch.cat([vector, half.cos().expand(*vector.shape[:-1], 1)], dim=-1)


def quat_from_exp_map(e: Tensor) -> Tensor:
    """Rotation by |e| rad about e / |e|, for an exponential map e [..., 3]; exact near zero.

    Source: Grassia 1998, "Practical Parameterization of Rotations Using the Exponential Map".
    """
    angle = e.norm(dim=-1, keepdim=True)
    # torch.sinc(x) is sin(pi x) / (pi x) and is exact at zero: sin(a / 2) / a.
    scale = 0.5 * torch.sinc(angle / (2.0 * torch.pi))
    return torch.cat([e * scale, (0.5 * angle).cos()], dim=-1)


def quat_to_exp_map(q: Tensor) -> Tensor:
    """Exponential map [..., 3] of q [..., 4], of length at most pi (the w >= 0 branch)."""
    q = quat_positive(q)
    sine = q[..., :3].norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sine, q[..., 3:])
    scale = torch.where(sine > 1e-6, angle / sine.clamp_min(1e-12), torch.full_like(sine, 2.0))
    return q[..., :3] * scale


def quat_angle(a: Tensor, b: Tensor) -> Tensor:
    """Geodesic angle [...] in [0, pi] rad between two rotations [..., 4]."""
    # The chord |a - b| is 2 sin(angle / 4): exact near zero, where acos of the dot product loses
    # half of the digits. The shorter of the chords to b and -b is the rotation's.
    chord = torch.minimum(vector_norm(a - b, dim=-1), vector_norm(a + b, dim=-1))
    return 4.0 * torch.asin((0.5 * chord).clamp_max(1.0))


def quat_twist_angle(q: Tensor, axis: Tensor) -> Tensor:
    """Signed angle [...] in (-pi, pi] of the part of q [..., 4] that turns about axis [..., 3]."""
    q = quat_positive(q)
    return 2.0 * torch.atan2((q[..., :3] * axis).sum(-1), q[..., 3])


def quat_slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Constant-speed interpolation from a (t = 0) to b (t = 1) along the shorter arc.

    Args:
        a, b: [..., 4].
        t: [...], unitless.
    """
    t = t.unsqueeze(-1)
    cosine = (a * b).sum(-1, keepdim=True)
    b = torch.where(cosine < 0, -b, b)
    cosine = cosine.abs().clamp_max(1.0)
    angle = torch.acos(cosine)
    sine = angle.sin()
    near = sine < 1e-4  # the arc is straight to float precision: blend linearly
    safe = torch.where(near, torch.ones_like(sine), sine)
    weight_a = torch.where(near, 1.0 - t, ((1.0 - t) * angle).sin() / safe)
    weight_b = torch.where(near, t.expand_as(sine), (t * angle).sin() / safe)
    return quat_normalize(weight_a * a + weight_b * b)


def quat_to_tan_norm(q: Tensor) -> Tensor:
    """The rotated x axis followed by the rotated z axis, [..., 6]: a continuous encoding.

    Source: MimicKit f8d0d70, observation layout; Zhou et al. 2019 for why it is continuous.
    """
    if q.device.type == "cpu":  # where the number of operations counts; a GPU's are fused
        products = q.index_select(-1, _FIRST) * q.index_select(-1, _SECOND)
        return products @ _SUMS[q.dtype] + _CONSTANT
    x, y, z, w = q.unbind(-1)
    x2, y2, z2 = x + x, y + y, z + z
    xx, yy, zz = x * x2, y * y2, z * z2
    xy, xz, yz = x * y2, x * z2, y * z2
    wx, wy, wz = w * x2, w * y2, w * z2
    parts = [1.0 - yy - zz, xy + wz, xz - wy, xz + wy, yz - wx, 1.0 - xx - yy]
    return torch.stack(parts, dim=-1)


def heading(q: Tensor) -> Tensor:
    """Angle [...] rad about z of the ground projection of the rotated x axis."""
    x, y, z, w = q.unbind(-1)
    return torch.atan2(2.0 * (x * y + z * w), 1.0 - 2.0 * (y * y + z * z))


def quat_from_heading(angle: Tensor) -> Tensor:
    """Rotation [..., 4] about z by angle [...] rad."""
    half = 0.5 * angle
    zero = torch.zeros_like(half)
    return torch.stack([zero, zero, half.sin(), half.cos()], dim=-1)


def heading_inverse(q: Tensor) -> Tensor:
    """The rotation about z that turns the heading of q [..., 4] to the x axis, [..., 4]."""
    return quat_from_heading(-heading(q))
