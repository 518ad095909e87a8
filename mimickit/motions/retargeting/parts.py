"""Which body of a character plays which part (thigh, foot, hand, ...), as its retarget.yaml says.

Legend: J joints, D dofs, P parts.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
import yaml
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.errors import ConfigError, UnknownJoint, unknown_name_message
from mimickit.motions.clip import read_bytes

FILE = "retarget.yaml"
SIDES = ("left", "right")

# Each part with the part it hangs on, parents first; "{side}" stands for left and right.
_TREE = {
    "pelvis": None,
    "torso": "pelvis",
    "head": "torso",
    "{side}_upper_arm": "torso",
    "{side}_forearm": "{side}_upper_arm",
    "{side}_hand": "{side}_forearm",
    "{side}_thigh": "pelvis",
    "{side}_shin": "{side}_thigh",
    "{side}_foot": "{side}_shin",
}
PARENTS: dict[str, Optional[str]] = {
    part.format(side=side): parent and parent.format(side=side)
    for part, parent in _TREE.items()
    for side in (SIDES if "{side}" in part else ("",))
}
REQUIRED = ("pelvis", "left_thigh", "right_thigh", "left_foot", "right_foot")
_KEYS = ("bodies", "t_pose", "speed_limits")


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one character, and the pose in which they are compared with another's.

    Attributes:
        character: whose parts.
        bodies: body index per part; parts that the character lacks are left out.
        centres: per part, the index of the body at whose origin the part turns; mostly the part's
            own body, but a robot's thigh turns at its first hip joint.
        t_pose_rot: [J, 4] joint rotations that stretch the arms sideways.
        speed_limits: [D] rad/s, inf where none is known.
    """

    character: Character
    bodies: dict[str, int]
    centres: dict[str, int]
    t_pose_rot: Tensor
    speed_limits: np.ndarray

    @property
    def soles(self) -> list[int]:
        """The bodies of both feet: those that play them, and all that hangs on these."""
        return [
            body
            for side in SIDES
            for body in descendants(self.character, self.bodies[f"{side}_foot"])
        ]

    def parent(self, part: str) -> str:
        """The nearest part above `part` that the character has; the pelvis for the pelvis."""
        above = PARENTS[part]
        while above is not None and above not in self.bodies:
            above = PARENTS[above]
        return above or "pelvis"


def load_parts(character: Character, path: Optional[Union[str, Path]] = None) -> Parts:
    """Read a character's retarget.yaml.

    Args:
        path: None takes the file beside the character's MJCF.

    Raises:
        ConfigError, UnknownBody, UnknownJoint: there is no such file, or a part, a key or a name in
            it that cannot be.
    """
    path = character.model.parent / FILE if path is None else Path(path)
    if not path.is_file():
        raise ConfigError(
            f"'{character.name}' cannot be retargeted: there is no {path}, which says what body "
            "plays which part; docs/retargeting.md tells how to write one"
        )
    content = _read(path)
    bodies: dict[str, int] = {}
    centres: dict[str, int] = {}
    given = _mapping(content.get("bodies"), f"{path}: bodies")
    for part, value in given.items():
        where = f"{path}: bodies.{part}"
        if part not in PARENTS:
            raise ConfigError(
                unknown_name_message("there is no part", part, PARENTS, f"{path}: bodies", most=24)
            )
        names = {"body": value} if isinstance(value, str) else _mapping(value, where)
        if "body" not in names or set(names) - {"body", "centre"}:
            raise ConfigError(f"{where} wants a body, or `body` and `centre`, got {value!r}")
        bodies[part] = character.body_ids([str(names["body"])], where)[0]
        centres[part] = character.body_ids([str(names.get("centre", names["body"]))], where)[0]
    missing = [part for part in REQUIRED if part not in bodies]
    if missing:
        raise ConfigError(f"{path}: bodies lacks {', '.join(missing)}: name the bodies")
    if bodies["pelvis"] != 0:
        raise ConfigError(
            f"{path}: bodies.pelvis must be the root body '{character.body_names[0]}', got "
            f"'{character.body_names[bodies['pelvis']]}'"
        )
    return Parts(
        character=character,
        bodies={part: bodies[part] for part in PARENTS if part in bodies},
        centres=centres,
        t_pose_rot=_t_pose(character, content.get("t_pose"), path),
        speed_limits=_speed_limits(character, content.get("speed_limits"), path),
    )


def descendants(character: Character, body: int) -> list[int]:
    """A body and all that hangs on it, depth first."""
    found = [body]
    for other in range(body + 1, character.num_bodies):
        if character.parents[other] in found:
            found.append(other)
    return found


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(read_bytes(path).decode("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    content = _mapping(content, str(path))
    for key in content:
        if key not in _KEYS:
            raise ConfigError(f"{path} has an unknown key '{key}'. All: {', '.join(_KEYS)}.")
    return content


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a mapping, got {value!r}")
    return value


def _t_pose(character: Character, given: Any, path: Path) -> Tensor:
    """Joint rotations [J, 4] of the pose given as angles or exp maps per joint."""
    dofs = np.zeros(character.num_dofs)
    joints = {joint.name: joint for joint in character.movable_joints}
    for name, value in _mapping(given or {}, f"{path}: t_pose").items():
        _known_joint(character, name, f"{path}: t_pose")
        try:
            numbers = np.atleast_1d(np.array(value, dtype=np.float64))
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (joints[name].kind.value,) or not np.isfinite(numbers).all():
            raise ConfigError(
                f"{path}: t_pose.{name} wants {joints[name].kind.value} numbers [rad], got {value}"
            )
        dofs[joints[name].dofs] = numbers
    return Kinematics(character, dtype=torch.float64).dof_to_rot(torch.from_numpy(dofs))


def _known_joint(character: Character, name: str, where: str) -> None:
    names = [joint.name for joint in character.movable_joints]
    if name not in names:
        kind = f"character '{character.name}' has no joint"
        raise UnknownJoint(unknown_name_message(kind, name, names, where))


def _speed_limits(character: Character, given: Any, path: Path) -> np.ndarray:
    """Limits [D] rad/s; the first name or pattern that fits a joint counts."""
    limits = np.full(character.num_dofs, math.inf)
    names = [joint.name for joint in character.movable_joints]
    for pattern, value in reversed(list(_mapping(given or {}, f"{path}: speed_limits").items())):
        where = f"{path}: speed_limits.{pattern}"
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ConfigError(f"{where} must be a speed > 0 [rad/s], got {value!r}")
        if not fnmatch.filter(names, pattern):
            raise UnknownJoint(
                unknown_name_message(
                    f"character '{character.name}' has no joint", pattern, names, where
                )
            )
        for joint in character.movable_joints:
            if fnmatch.fnmatchcase(joint.name, pattern):
                limits[joint.dofs] = float(value)
    return limits
