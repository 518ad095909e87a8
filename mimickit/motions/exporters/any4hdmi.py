"""Writes any4hdmi datasets; the layout is in mimickit/motions/importers/any4hdmi.py."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mimickit.characters import Character, JointKind
from mimickit.errors import MotionError
from mimickit.motions.clip import Clip
from mimickit.motions.exporters.numbers import clip_dofs, joint_rotations, write_whole
from mimickit.motions.importers.any4hdmi import MANIFEST, VERSION, qpos_names


def write_any4hdmi(folder: Path, clips: Sequence[Clip], character: Character) -> None:
    """Write a dataset of clips that share one frame rate, which its manifest states.

    Raises:
        MotionError: the clips differ in rate, two have one name, or the folder holds a dataset.
    """
    rates = {clip.name: clip.fps for clip in clips}
    if len(rates) < len(clips):
        raise MotionError(f"{folder}: two of the clips have one name")
    if max(rates.values()) - min(rates.values()) > 1e-6:
        told = ", ".join(f"{name} {fps:g} Hz" for name, fps in rates.items())
        raise MotionError(f"an any4hdmi dataset has one frame rate, got {told}; use --resample")
    if (folder / MANIFEST).exists():
        raise MotionError(f"{folder} holds a dataset already; name an empty folder")
    for clip in clips:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, qpos=_qpos(clip, character))
        write_whole(folder / "motions" / f"{clip.name}.npz", buffer.getvalue())
    manifest = {
        "format_version": VERSION,
        "dataset_name": folder.name,
        "mjcf": character.model.name,
        "motions_subdir": "motions",
        "timestep": 1.0 / clips[0].fps,
        "qpos_dim": len(qpos_names(character)),
        "qpos_names": qpos_names(character),
        "num_motions": len(clips),
        "source": {clip.name: clip.provenance for clip in clips},
    }
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=2).encode("utf-8"))


def _qpos(clip: Clip, character: Character) -> np.ndarray:
    """[T, nq] float32, quaternions as (w, x, y, z)."""
    dofs, rot = clip_dofs(clip, character), joint_rotations(clip, character)
    columns = [clip.root_pos, np.roll(clip.root_rot, 1, axis=-1)]
    for joint in character.movable_joints:
        ball = joint.kind is JointKind.BALL
        columns.append(np.roll(rot[:, joint.body - 1], 1, axis=-1) if ball else dofs[:, joint.dofs])
    return np.hstack(columns).astype(np.float32)
