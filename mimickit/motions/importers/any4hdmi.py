"""Reads any4hdmi datasets, version 2: a folder of qpos with a manifest that names its columns.

Layout: `manifest.json` (`format_version`, `motions_subdir`, `timestep` [s], `qpos_dim`,
`qpos_names`, ...) and `motions/**/*.npz`, each with `qpos` (T, nq) as MuJoCo has it: root
position, root rotation (w, x, y, z), then the joints: a hinge's name for its angle [rad],
`<name>_qw` ... `<name>_qz` for a ball. Source: EGalahad/any4hdmi, docs/dataset_format.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch

from mimickit.characters import Character, JointKind
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_from_axis_angle
from mimickit.motions.clip import Clip, read_bytes
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import ImportOptions, Pose, make_clip, numbers, rate, xyzw

MANIFEST = "manifest.json"
VERSION = 2
ROOT_NAMES = ("root_tx", "root_ty", "root_tz", "root_qw", "root_qx", "root_qy", "root_qz")
_KEYS = ("format_version", "timestep", "qpos_names")


def recognise_any4hdmi(content: Content) -> Optional[str]:
    """Why the content is one of a dataset's clips; None if it is not."""
    if content.kind != "npz" or not content.has("qpos"):
        return None
    manifest = _find_manifest(content.path)
    return f"an .npz with qpos, under {manifest}" if manifest else None


def dataset_files(folder: Path) -> list[Path]:
    """The clips of a dataset's folder, sorted.

    Raises:
        MotionError: the folder has no manifest, or no clip.
    """
    if not (folder / MANIFEST).is_file():
        raise MotionError(f"{folder} is a folder without {MANIFEST}; name the motion files in it")
    files = sorted((folder / str(_manifest(folder / MANIFEST)["motions_subdir"])).rglob("*.npz"))
    if not files:
        raise MotionError(f"{folder} has a manifest, but no motions/**/*.npz")
    return files


def qpos_names(character: Character) -> tuple[str, ...]:
    """What the columns of a character's qpos are called."""
    names = list(ROOT_NAMES)
    for joint in character.movable_joints:
        ball = joint.kind is JointKind.BALL
        names += [f"{joint.name}_q{axis}" for axis in "wxyz"] if ball else [joint.name]
    return tuple(names)


def read_any4hdmi(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one clip of a dataset.

    Raises:
        MotionError: it is damaged, its manifest is missing, or it is for another character.
    """
    path = content.path
    found = _find_manifest(path)
    if found is None:
        raise MotionError(
            f"{path} has no {MANIFEST} in any folder above it, which names its columns"
        )
    manifest = _manifest(found)
    names, wanted = manifest["qpos_names"], qpos_names(character)
    if sorted(names) != sorted(wanted):
        only = sorted(set(map(str, names)) ^ set(wanted))
        raise MotionError(
            f"{path} is not for character '{character.name}': columns that only one of them has: "
            f"{', '.join(only)} ({found})"
        )
    qpos = numbers(path, "qpos", content.value.get("qpos"), (None, len(names)))
    joint_rot = np.zeros((len(qpos), character.num_joints, 4))
    joint_rot[..., 3] = 1.0
    for joint in character.movable_joints:
        if joint.kind is JointKind.BALL:
            own = xyzw(path, joint.name, _columns(qpos, names, joint.name, "wxyz"), "wxyz")
        else:
            angle = torch.from_numpy(qpos[:, names.index(joint.name)])
            axis = torch.tensor(joint.axis, dtype=torch.float64).expand(len(qpos), 3)
            own = quat_from_axis_angle(axis, angle).numpy()
        joint_rot[:, joint.body - 1] = own
    root_rot = xyzw(path, "root rotation", _columns(qpos, names, "root", "wxyz"), "wxyz")
    pose = Pose(qpos[:, [names.index(name) for name in ROOT_NAMES[:3]]], root_rot, joint_rot)
    fps = rate(found, "timestep", manifest["timestep"])
    notes = [f"columns named by {found.name}"]
    return [make_clip(content, character, options, pose, fps, notes=notes)]


def _columns(qpos: np.ndarray, names: Sequence[str], name: str, axes: str) -> np.ndarray:
    return qpos[:, [names.index(f"{name}_q{axis}") for axis in axes]]


def _find_manifest(path: Path) -> Optional[Path]:
    """The manifest of the dataset that a clip belongs to."""
    folders = path.resolve().parents
    return next((f / MANIFEST for f in folders if (f / MANIFEST).is_file()), None)


def _manifest(path: Path) -> Mapping[str, Any]:
    """A manifest that can be used."""
    try:
        manifest = json.loads(read_bytes(path).decode("utf-8"))
    except ValueError as error:
        raise MotionError(f"{path} is not readable JSON: {error}") from None
    missing = [key for key in _KEYS if not isinstance(manifest, dict) or key not in manifest]
    if missing:
        raise MotionError(f"{path} is no any4hdmi manifest: it lacks {', '.join(missing)}")
    if manifest["format_version"] != VERSION:
        raise MotionError(
            f"{path}: any4hdmi format version {VERSION} is read, got {manifest['format_version']}"
        )
    names = manifest["qpos_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise MotionError(f"{path}: qpos_names must be a list of names")
    return {"motions_subdir": "motions", **manifest}
