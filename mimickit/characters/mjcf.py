"""Reads the kinematic tree of an MJCF file with the standard library alone.

Engines compile the same file for physics; this reader serves what needs no engine (clips,
kinematics, importers) and runs where MuJoCo is not installed. One free root body under
worldbody; every other body has no joint, one hinge or one ball joint, anchored at its origin.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mimickit.errors import CharacterError


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
    try:
        root = ET.parse(path).getroot()
    except FileNotFoundError:
        raise CharacterError(f"there is no character file {path} (character.model)") from None
    except ET.ParseError as error:
        raise CharacterError(f"{path} is not readable XML: {error}") from None
    if root.tag != "mujoco":
        raise CharacterError(f"{path} is not MJCF: its root element is <{root.tag}>, not <mujoco>")
    return list(_Reader(path, root).bodies())


class _Reader:
    def __init__(self, path: Path, root: ET.Element) -> None:
        self.path = path
        self.root = root
        compiler = root.find("compiler")
        angle = "degree" if compiler is None else compiler.get("angle", "degree")
        self.to_radians = math.pi / 180.0 if angle == "degree" else 1.0
        self.joint_defaults = self._collect_defaults()

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
        if any(abs(v) > 1e-9 for v in _floats(attributes.get("pos", "0 0 0"))):
            raise CharacterError(f"{self.path}: joint '{name}' is not at its body's origin")
        axis = _floats(attributes.get("axis", "0 0 1"))
        length = math.sqrt(sum(v * v for v in axis))
        limits = None
        if "range" in attributes and attributes.get("limited", "auto") != "false" and kind == "hinge":
            low, high = (v * self.to_radians for v in _floats(attributes["range"]))
            limits = (low, high)
        return TreeJoint(
            name=name,
            ball=kind == "ball",
            axis=(axis[0] / length, axis[1] / length, axis[2] / length),
            limits=limits,
            armature=float(attributes.get("armature", 0.0)),
        )

    def _collect_defaults(self) -> dict[str, dict[str, str]]:
        """Joint attributes per default class, inherited ones included; '' is the main class."""
        found: dict[str, dict[str, str]] = {}

        def visit(element: ET.Element, inherited: dict[str, str], top: bool) -> None:
            joint = element.find("joint")
            merged = {**inherited, **(joint.attrib if joint is not None else {})}
            found["" if top else element.get("class", "")] = merged
            for child in element.findall("default"):
                visit(child, merged, top=False)

        for default in self.root.findall("default"):
            visit(default, {}, top=True)
        return found

    @staticmethod
    def _child_class(element: ET.Element, inherited: str) -> str:
        return element.get("childclass", inherited)

    @staticmethod
    def _offset(element: ET.Element) -> tuple[float, float, float]:
        x, y, z = _floats(element.get("pos", "0 0 0"))
        return (x, y, z)

    def _rotation(self, element: ET.Element, body: str) -> tuple[float, float, float, float]:
        for other in ("axisangle", "euler", "xyaxes", "zaxis"):
            if element.get(other) is not None:
                raise CharacterError(
                    f"{self.path}: body '{body}' uses {other}; state its rotation as quat"
                )
        w, x, y, z = _floats(element.get("quat", "1 0 0 0"))
        return (x, y, z, w)


def _floats(text: str) -> list[float]:
    return [float(v) for v in text.split()]
