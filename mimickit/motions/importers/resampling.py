"""Brings a clip to another frame rate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import quat_slerp
from mimickit.motions.clip import Clip


def resample(clip: Clip, fps: float) -> Clip:
    """The clip at another rate: positions along straight lines, rotations along arcs (slerp).

    A looping clip keeps its last frame, which is its first again: its rate is the nearest to `fps`
    that divides it into whole frames. Another clip loses less than a frame at its end.

    Raises:
        ConfigError: the rate is not > 0, or leaves fewer than two frames.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ConfigError(f"resample must be finite and > 0 frames per second, got {fps}")
    steps = round(clip.duration * fps) if clip.loop else math.floor(clip.duration * fps + 1e-6)
    if steps < 1:
        raise ConfigError(
            f"resample={fps} leaves less than two frames of clip '{clip.name}', which lasts "
            f"{clip.duration:.3f} s"
        )
    rate = steps / clip.duration if clip.loop else fps
    places = np.arange(steps + 1) * clip.fps / rate
    left = np.minimum(places.astype(int), clip.num_frames - 2)
    share = np.minimum(places - left, 1.0)

    def turned(rotations: np.ndarray) -> np.ndarray:
        start, end = (torch.from_numpy(rotations[left + i].astype(np.float64)) for i in (0, 1))
        blend = torch.from_numpy(share).reshape(-1, *[1] * (start.dim() - 2))
        return quat_slerp(start, end, blend.expand(start.shape[:-1])).numpy()

    pos = clip.root_pos.astype(np.float64)
    told = [clip.provenance.get("notes", ""), f"resampled from {clip.fps:g} to {rate:g} Hz"]
    return replace(
        clip,
        fps=rate,
        root_pos=pos[left] + share[:, None] * (pos[left + 1] - pos[left]),
        root_rot=turned(clip.root_rot),
        joint_rot=turned(clip.joint_rot),
        provenance={**clip.provenance, "notes": "; ".join(filter(None, told))},
    )
