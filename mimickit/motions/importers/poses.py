"""From the numbers of a foreign file to a clip of one character: what all importers share.

Legend: T frames, B bodies, J joints, D dofs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.errors import ConfigError, MotionError, UnknownJoint, unknown_name_message
from mimickit.geometry.quaternion import quat_normalize
from mimickit.motions.clip import Clip, source_hash
from mimickit.motions.importers.content import Content

TOOL = "mimickit.motions.importers"
TOOL_VERSION = "2"
QUAT_TOLERANCE = 0.1  # of the length: files resampled component by component are off by so much
QUAT_ORDERS = ("xyzw", "wxyz")

_LEGS = tuple(
    f"{side}_{joint}_joint"
    for side in ("left", "right")
    for joint in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
)
_WAIST = ("waist_yaw_joint", "waist_roll_joint", "waist_pitch_joint")


def _arms(*joints: str) -> tuple[str, ...]:
    return tuple(f"{side}_{joint}_joint" for side in ("left", "right") for joint in joints)


def _quadruped(*legs: str) -> tuple[str, ...]:
    return tuple(f"{leg}_{part}_joint" for leg in legs for part in ("hip", "thigh", "calf"))


# Orders of joint columns besides the character's own, by character; joints left out are at zero.
# g1: LeCAR-Lab/ASAP and GMT lock the six wrist joints; Unitree's 23-dof G1 has one waist joint and
# one per wrist (unitree_rl_lab, g1_23dof). go2: Unitree's SDK counts its legs from the right.
JOINT_ORDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "g1": {
        "no_wrists": (
            *_LEGS, *_WAIST, *_arms("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")
        ),
        "one_waist": (
            *_LEGS, _WAIST[0],
            *_arms("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll"),
        ),
    },
    "go2": {"sdk": _quadruped("FR", "FL", "RR", "RL")},
}  # fmt: skip


@dataclass(frozen=True)
class ImportOptions:
    """What a file does not state, or states wrongly; None leaves it to the file.

    Attributes:
        fps: frames per second of the file.
        loop: whether the motion wraps around.
        quat_order: of the root's rotations: `xyzw` or `wxyz`.
        joints: the file's joint columns: one of `JOINT_ORDERS`, `depth_first` (the character's
            own), `breadth_first`, or names with commas between them.
        up_axis: of the file's world: `z` or `y`.
        preset: where a BVH file is from: `cmu` or `lafan1`.
        tolerance: how far [m] forward kinematics may be from body positions in the file.
        name: of the clip; empty takes it from the file.
        source, licence: for the clip's provenance; empty takes the file's name, `unknown`.
    """

    fps: Optional[float] = None
    loop: Optional[bool] = None
    quat_order: Optional[str] = None
    joints: str = ""
    up_axis: str = ""
    preset: str = ""
    tolerance: float = 0.01
    name: str = ""
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if self.quat_order not in (None, *QUAT_ORDERS):
            raise ConfigError(f"quat_order must be xyzw or wxyz, got {self.quat_order!r}")
        if self.up_axis not in ("", "z", "y"):
            raise ConfigError(f"up_axis must be z or y, got {self.up_axis!r}")
        for key in ("fps", "tolerance"):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{key} must be finite and > 0, got {value}")


@dataclass(frozen=True)
class Pose:
    """A character through a clip.

    Attributes:
        root_pos: [T, 3] m. root_rot: [T, 4]. joint_rot: [T, J, 4].
        left_out: joints that the file does not have; they are at zero.
    """

    root_pos: np.ndarray
    root_rot: np.ndarray
    joint_rot: np.ndarray
    left_out: tuple[str, ...] = ()


def pose_from_dofs(
    character: Character,
    root_pos: np.ndarray,
    root_rot: np.ndarray,
    dofs: np.ndarray,
    joints: Sequence[str],
) -> Pose:
    """The pose whose named joints have the dofs [T, columns] rad; others are at zero."""
    own = {joint.name: joint.dofs for joint in character.movable_joints}
    all_dofs = np.zeros((len(dofs), character.num_dofs))
    column = 0
    for name in joints:
        width = own[name].stop - own[name].start
        all_dofs[:, own[name]] = dofs[:, column : column + width]
        column += width
    kinematics = Kinematics(character, dtype=torch.float64)
    joint_rot = kinematics.dof_to_rot(torch.from_numpy(all_dofs)).numpy()
    return Pose(root_pos, root_rot, joint_rot, tuple(name for name in own if name not in joints))


def joint_orders(
    path: Path, character: Character, count: int, options: ImportOptions
) -> dict[str, tuple[str, ...]]:
    """Every order that `count` joint columns of a file may have, by the name `joints` takes.

    Raises:
        MotionError: there is none. UnknownJoint: `options.joints` names a joint not there.
    """
    kinds = {joint.name: joint.kind.value for joint in character.movable_joints}
    known = {"depth_first": tuple(kinds), **JOINT_ORDERS.get(character.name, {})}
    if options.joints:
        if options.joints == "breadth_first":
            names = breadth_first(character)
        else:
            names = known.get(options.joints) or tuple(
                name.strip() for name in options.joints.split(",")
            )
        for name in names:
            if name not in kinds:
                kind = f"character '{character.name}' has no joint (or order of joints)"
                raise UnknownJoint(
                    unknown_name_message(kind, name, [*kinds, *known], "joints", most=40)
                )
        known = {options.joints: names}
    fitting = {
        label: names for label, names in known.items() if sum(kinds[n] for n in names) == count
    }
    if not fitting:
        widths = ", ".join(
            f"{label} ({sum(kinds[n] for n in names)})" for label, names in known.items()
        )
        raise MotionError(
            f"{path} has {count} numbers for the joints in each frame, and character "
            f"'{character.name}' knows these orders: {widths}; list the file's joints in their "
            "order with joints (--joints a,b,c)"
        )
    return fitting


def breadth_first(character: Character) -> tuple[str, ...]:
    """The movable joints level by level from the root, as Isaac Lab orders them."""
    depth = [0]
    for parent in character.parents[1:]:
        depth.append(depth[parent] + 1)
    return tuple(j.name for j in sorted(character.movable_joints, key=lambda j: depth[j.body]))


def make_clip(
    content: Content,
    character: Character,
    options: ImportOptions,
    pose: Pose,
    fps: Any,
    loop: bool = False,
    notes: Sequence[str] = (),
    name: str = "",
) -> Clip:
    """The finished clip, with its provenance; what `options` states wins over the file.

    Args:
        content, character, options, pose: what was read, for whom, how, and what it says.
        fps: of the file; None where the file has none.
        loop: of the file. name: for a file of several clips. notes: what was decided, and why.

    Raises:
        MotionError: no rate is known, or the numbers make no clip.
    """
    fps = options.fps if options.fps is not None else fps
    if fps is None:
        raise MotionError(
            f"{content.path} does not state its frame rate; say it with fps (--fps 30)"
        )
    movable = character.movable_joints
    if pose.left_out:
        notes = [*notes, f"not in the file and at zero: {', '.join(pose.left_out)}"]
    try:
        return Clip(
            name=options.name or name or content.path.stem,
            fps=_number(fps),
            loop=loop if options.loop is None else options.loop,
            joint_names=tuple(joint.name for joint in movable),
            root_pos=pose.root_pos,
            root_rot=pose.root_rot,
            joint_rot=pose.joint_rot[:, [joint.body - 1 for joint in movable]],
            provenance={
                "source": options.source or content.path.name,
                "licence": options.licence or "unknown",
                "tool": TOOL,
                "tool_version": TOOL_VERSION,
                "source_hash": source_hash(content.data),
                "notes": "; ".join(notes),
            },
        )
    except MotionError as error:
        raise MotionError(f"{content.path}: {error}") from None


def numbers(path: Path, key: str, value: Any, shape: Sequence[Optional[int]]) -> np.ndarray:
    """`value` as float64 of the shape; None stands for any size.

    Raises:
        MotionError: it is no such array, or holds NaN or infinity.
    """
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    fits = array.ndim == len(shape) and all(
        want in (None, size) for size, want in zip(array.shape, shape)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        got = tuple(np.shape(value)) if isinstance(value, np.ndarray) else type(value).__name__
        raise MotionError(f"{path}: '{key}' must be numbers of shape ({wanted}), got {got}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise MotionError(f"{path}: '{key}' holds NaN or infinity in frame {bad[0][0]}")
    return array


def xyzw(path: Path, key: str, quaternions: np.ndarray, order: str) -> np.ndarray:
    """Unit quaternions (x, y, z, w) of ones in the given order, shape [..., 4].

    Raises:
        MotionError: one is far from unit length.
    """
    if order == "wxyz":
        quaternions = np.roll(quaternions, -1, axis=-1)
    off = np.abs(np.linalg.norm(quaternions, axis=-1) - 1.0)
    if off.size and off.max() > QUAT_TOLERANCE:
        frame = int(np.unravel_index(off.argmax(), off.shape)[0])
        raise MotionError(
            f"{path}: '{key}' holds no rotation in frame {frame}: a quaternion whose length is off "
            f"by {off.max():.3f}"
        )
    return quat_normalize(torch.from_numpy(quaternions)).numpy()


def rest_turn(ours: Tensor, theirs: Tensor) -> Tensor:
    """The shortest rotation [4] that brings our bone's direction [3] onto theirs, lengths apart."""
    a, b = ours / ours.norm(), theirs / theirs.norm()
    return quat_normalize(torch.cat([torch.linalg.cross(a, b), (1.0 + a @ b).reshape(1)]))


def rate(path: Path, key: str, duration: Any) -> float:
    """Frames per second of frames that last `duration` s; whole if it is so to 0.1 %.

    Raises:
        MotionError: the duration is no number > 0.
    """
    number = isinstance(duration, (int, float)) and not isinstance(duration, bool)
    if not number or not 0 < duration < math.inf:
        raise MotionError(f"{path}: {key} must be > 0 s, got {duration!r}")
    fps = 1.0 / duration
    return float(round(fps)) if abs(fps - round(fps)) < 1e-3 * fps else fps


def _number(fps: Any) -> Any:
    """A rate out of whatever wraps it: arrays of one number, of any shape."""
    return fps.reshape(-1)[0].item() if isinstance(fps, np.ndarray) and fps.size == 1 else fps
