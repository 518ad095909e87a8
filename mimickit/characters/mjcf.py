"""Reads the kinematic tree of an MJCF file with the standard library alone.

Engines compile the same file for physics; this reader serves what needs no engine (clips,
kinematics, importers) and runs where MuJoCo is not installed. One free root body under
worldbody; every other body has no joint, one hinge or one ball joint, anchored at its origin.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mimickit.errors import CharacterError, closest_beside


@dataclass(frozen=True)
class TreeJoint:
    """A movable joint as the file states it; ranges in rad, None where the file has none."""

    name: str
    ball: bool
    axis: tuple[float, float, float]
    limits: Optional[tuple[float, float]]
    armature: float


@dataclass(frozen=True)
class TreeBody:
    """One body: its parent's index (-1 for the root), offset [m] and rotation in the parent."""

    name: str
    parent: int
    offset: tuple[float, float, float]
    rotation: tuple[float, float, float, float]  # (x, y, z, w)
    joint: Optional[TreeJoint]


def read_tree(path: Path) -> list[TreeBody]:
    """The bodies of an MJCF file in depth-first document order, root first.

    Raises:
        CharacterError: the file is missing, not MJCF, or uses what this package cannot simulate.
    """
    return list(_Reader(path, read_mjcf(path)).bodies())


def read_mjcf(path: Path) -> ET.Element:
    """The root element of an MJCF file, with what it includes.

    Raises:
        CharacterError: the file is missing, or not MJCF.
    """
    root = _read_xml(path)
    if root.tag != "mujoco":
        raise CharacterError(f"{path} is not MJCF: its root element is <{root.tag}>, not <mujoco>")
    _splice_includes(root, [path])
    return root


def _read_xml(path: Path) -> ET.Element:
    try:
        return ET.parse(path).getroot()
    except FileNotFoundError:
        raise CharacterError(
            f"there is no character file {path} (character.model).{closest_beside(path)}"
        ) from None
    except OSError as error:
        raise CharacterError(
            f"cannot read the character file {path} (character.model): {error.strerror}"
        ) from None
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: its encoding
        raise CharacterError(f"{path} is not readable XML: {error}") from None


def _splice_includes(element: ET.Element, files: list[Path]) -> None:
    """Put the contents of included files in place of each <include>, as MuJoCo does.

    Args:
        files: that have been read, the main one first, whose folder all names are relative to;
            MuJoCo allows each only once.
    """
    for child in list(element):
        if child.tag != "include":
            _splice_includes(child, files)
            continue
        path = files[0].parent / child.get("file", "")
        if path in files:
            raise CharacterError(f"{files[0]} includes {path} more than once")
        files.append(path)
        included = _read_xml(path)
        _splice_includes(included, files)
        at = list(element).index(child)
        element[at : at + 1] = list(included)


class _Reader:
    def __init__(self, path: Path, root: ET.Element) -> None:
        self.path = path
        self.root = root
        angles = [element.get("angle") for element in root.findall("compiler")]
        stated = [angle for angle in angles if angle is not None]  # the last one holds
        self.to_radians = 1.0 if stated and stated[-1] == "radian" else math.pi / 180.0
        self.joint_defaults = default_attributes(root, "joint")

    def bodies(self) -> Iterator[TreeBody]:
        top = self.root.findall("worldbody/body")
        if len(top) != 1:
            names = ", ".join(str(b.get("name")) for b in top) or "none"
            raise CharacterError(f"{self.path}: one root body is needed, found: {names}")
        root = top[0]
        free = root.find("freejoint") is not None or any(
            j.get("type") == "free" for j in root.findall("joint")
        )
        if not free:
            raise CharacterError(f"{self.path}: root body '{root.get('name')}' has no free joint")
        self._index = 0
        yield from self._walk(root, -1, self._child_class(root, ""))

    def _walk(self, element: ET.Element, parent: int, child_class: str) -> Iterator[TreeBody]:
        name = element.get("name")
        if not name:
            raise CharacterError(f"{self.path}: a body under body #{parent} has no name")
        index, self._index = self._index, self._index + 1
        joint = None if parent < 0 else self._joint(element, name, child_class)
        yield TreeBody(name, parent, self._offset(element), self._rotation(element, name), joint)
        for child in element.findall("body"):
            yield from self._walk(child, index, self._child_class(child, child_class))

    def _joint(self, element: ET.Element, body: str, child_class: str) -> Optional[TreeJoint]:
        joints = element.findall("joint")
        if not joints:
            return None
        if len(joints) > 1:
            names = ", ".join(str(j.get("name")) for j in joints)
            raise CharacterError(
                f"{self.path}: body '{body}' has {len(joints)} joints ({names}); give it one hinge "
                "or one ball joint, or split it into a chain of bodies"
            )
        given_class = joints[0].get("class", child_class)
        attributes = dict(self.joint_defaults.get("" if given_class == "main" else given_class, {}))
        attributes.update(joints[0].attrib)
        name = attributes.get("name", body)
        kind = attributes.get("type", "hinge")
        if kind not in ("hinge", "ball"):
            raise CharacterError(f"{self.path}: joint '{name}' is a {kind}; use hinge or ball")
        owner = f"joint '{name}'"
        if any(abs(v) > 1e-9 for v in self._floats(attributes, "pos", "0 0 0", owner)):
            raise CharacterError(f"{self.path}: {owner} is not at its body's origin")
        axis = self._floats(attributes, "axis", "0 0 1", owner)
        length = math.sqrt(sum(v * v for v in axis))
        if length == 0.0:
            raise CharacterError(f"{self.path}: the axis of {owner} has no direction")
        limits = None
        limited = "range" in attributes and attributes.get("limited", "auto") != "false"
        if limited and kind == "hinge":
            low, high = self._floats(attributes, "range", "0 0", owner)
            limits = (low * self.to_radians, high * self.to_radians)
        return TreeJoint(
            name=name,
            ball=kind == "ball",
            axis=(axis[0] / length, axis[1] / length, axis[2] / length),
            limits=limits,
            armature=self._floats(attributes, "armature", "0", owner)[0],
        )

    @staticmethod
    def _child_class(element: ET.Element, inherited: str) -> str:
        return element.get("childclass", inherited)

    def _offset(self, element: ET.Element) -> tuple[float, float, float]:
        owner = f"body '{element.get('name')}'"
        x, y, z = self._floats(element.attrib, "pos", "0 0 0", owner)
        return (x, y, z)

    def _rotation(self, element: ET.Element, body: str) -> tuple[float, float, float, float]:
        return read_rotation(self.path, element.attrib, f"body '{body}'")

    def _floats(
        self, attributes: Mapping[str, str], key: str, default: str, owner: str
    ) -> list[float]:
        return read_numbers(self.path, attributes, key, default, owner)


def default_attributes(root: ET.Element, tag: str) -> dict[str, dict[str, str]]:
    """Attributes of <tag> per default class, inherited ones included; '' is the main class."""
    found: dict[str, dict[str, str]] = {}

    def visit(element: ET.Element, inherited: dict[str, str], top: bool) -> None:
        own = element.find(tag)
        merged = {**inherited, **(own.attrib if own is not None else {})}
        found["" if top else element.get("class", "")] = merged
        for child in element.findall("default"):
            visit(child, merged, top=False)

    for default in root.findall("default"):
        visit(default, found.get("", {}), top=True)
    return found


def read_rotation(
    path: Path, attributes: Mapping[str, str], owner: str
) -> tuple[float, float, float, float]:
    """The rotation (x, y, z, w) that `quat` states, to unit length as MuJoCo brings it.

    Raises:
        CharacterError: it has no direction, or the rotation is stated in another way.
    """
    for other in ("axisangle", "euler", "xyaxes", "zaxis"):
        if attributes.get(other) is not None:
            raise CharacterError(f"{path}: {owner} uses {other}; state its rotation as quat")
    w, x, y, z = read_numbers(path, attributes, "quat", "1 0 0 0", owner)
    length = math.sqrt(w * w + x * x + y * y + z * z)
    if length == 0.0:
        raise CharacterError(f"{path}: the quat of {owner} has no direction")
    return (x / length, y / length, z / length, w / length)


def read_numbers(
    path: Path, attributes: Mapping[str, str], key: str, default: str, owner: str
) -> list[float]:
    """The finite numbers of an attribute, as many as its default has.

    Raises:
        CharacterError: naming the file and the `owner` of the attribute.
    """
    text, count = attributes.get(key, default), len(default.split())
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise CharacterError(f'{path}: {owner} has {key}="{text}", which must be {count} numbers')
    return numbers
