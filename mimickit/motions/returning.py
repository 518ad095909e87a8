"""A clip that ends elsewhere made to loop: a way back from its last pose to its first.

Legend: F frames of the way back, M rotations side by side.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import (
    heading,
    heading_inverse,
    quat_conjugate,
    quat_from_exp_map,
    quat_from_heading,
    quat_multiply,
    quat_rotate,
    quat_slerp,
    quat_to_exp_map,
)
from mimickit.motions.clip import Clip
from mimickit.motions.variants import variant_provenance

LONGEST = 2.0  # [s] a longer way back is more invented than recorded


def returning(clip: Clip, seconds: float) -> Clip:
    """The clip, then a way back to its first pose, then the clip again, wherever that leads.

    The motion that ends dies away while the one that begins sets in: each is carried on past its
    end, at a speed that falls smoothly to zero, and the way back goes from the one to the other by
    a smooth step. So poses and velocities are continuous, over the ground as well.

    Args:
        seconds: that the way back takes [s].

    Raises:
        ConfigError: no such time, or the clip loops as it is.
    """
    check_return(seconds, "return_s")
    if clip.loop:
        raise ConfigError(f"clip '{clip.name}' loops as it is: it needs no return_s")
    count = max(2, round(seconds * clip.fps))
    time = torch.arange(1, count + 1, dtype=torch.float64) / clip.fps  # [F] s
    total = count / clip.fps
    gone, left = _coasted(time, total), _coasted(total - time, total)  # [F]
    way = _Way(clip.fps, gone, left, (time / total).square() * (3.0 - 2.0 * time / total))

    pos, root, joints = (
        torch.as_tensor(array, dtype=torch.float64)
        for array in (clip.root_pos, clip.root_rot, clip.joint_rot)
    )
    tilt = way.rotations(quat_multiply(heading_inverse(root), root).unsqueeze(1)).squeeze(1)
    yaw = way.onwards(torch.as_tensor(np.unwrap(heading(root).numpy())), _coasted(total, total))
    turned = quat_from_heading(yaw[-1] - heading(root[0]))
    flat = torch.cat([pos[:, :2], torch.zeros_like(pos[:, :1])], dim=-1)
    place = way.onwards(flat, _coasted(total, total), turned)
    height = way.between(pos[:, 2:])
    back = {
        "root_pos": torch.cat([place[:, :2], height], dim=-1),
        "root_rot": quat_multiply(quat_from_heading(yaw), tilt),
        "joint_rot": way.rotations(joints),
    }
    return replace(
        clip,
        loop=True,
        provenance=variant_provenance(clip, f"goes back to its first pose in {seconds:g} s"),
        **{name: np.concatenate([getattr(clip, name), new.numpy()]) for name, new in back.items()},
    )


def check_return(seconds: Any, where: str) -> float:
    """A time that a way back may take.

    Raises:
        ConfigError: naming the key `where` it stands.
    """
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds) or not 0.0 < seconds <= LONGEST:
        raise ConfigError(f"{where} must be above 0 and at most {LONGEST} s, got {seconds}")
    return float(seconds)


class _Way:
    """F frames from the last frame of some quantity to its first.

    Args:
        fps: frames per second. gone, left: [F] s, what unit speed at either end adds up to, behind
            the end and before the new beginning. blend: [F] from 0 to 1.
    """

    def __init__(self, fps: float, gone: Tensor, left: Tensor, blend: Tensor) -> None:
        self._fps, self._gone, self._left, self._blend = fps, gone, left, blend

    def rotations(self, values: Tensor) -> Tensor:
        """Of rotations [T, M, 4]: [F, M, 4]."""
        leave, arrive = (
            quat_to_exp_map(quat_multiply(quat_conjugate(values[a]), values[b])) * self._fps
            for a, b in ((-2, -1), (0, 1))
        )
        gone, left = self._gone.view(-1, 1, 1), self._left.view(-1, 1, 1)
        ended = quat_multiply(values[-1], quat_from_exp_map(leave * gone))
        begins = quat_multiply(values[0], quat_from_exp_map(-arrive * left))
        return quat_slerp(ended, begins, self._blend.unsqueeze(-1))

    def between(self, values: Tensor) -> Tensor:
        """Of numbers [T, M] that come back to where they began: [F, M]."""
        leave, arrive = values[-1] - values[-2], values[1] - values[0]
        ended = values[-1] + leave * self._fps * self._gone.unsqueeze(-1)
        begins = values[0] - arrive * self._fps * self._left.unsqueeze(-1)
        return torch.lerp(ended, begins, self._blend.unsqueeze(-1))

    def onwards(self, values: Tensor, whole: float, turned: Optional[Tensor] = None) -> Tensor:
        """Of numbers [T] or vectors [T, 3] that go on from where they are: [F] or [F, 3].

        Args:
            whole: what unit speed adds up to over the whole way. turned: by which vectors are
                turned when the clip begins again, [4].
        """
        leave, arrive = values[-1] - values[-2], values[1] - values[0]
        gone, come = self._gone, whole - self._left
        if turned is not None:
            arrive = quat_rotate(turned, arrive)
            gone, come = gone.unsqueeze(-1), come.unsqueeze(-1)
        return values[-1] + (leave * gone + arrive * come) * self._fps


def _coasted(time: Any, total: float) -> Any:
    """How far unit speed leads in `time` s, if it dies away over `total` s."""
    return total / 3.0 * (1.0 - (1.0 - time / total) ** 3)
