"""What a character's bodies are made of, read from its MJCF file: collision shapes and masses.

Sphere, capsule, box, cylinder and ellipsoid are each the Minkowski sum of a box and an ellipsoid
(of which either may be flat), and a sum reaches as far in a direction as its parts together. So
one formula gives the lowest point of any of them, exactly. Legend: G shapes, B bodies.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mimickit.characters.character import Character
from mimickit.characters.mjcf import default_attributes, read_mjcf, read_numbers, read_rotation
from mimickit.errors import CharacterError
from mimickit.geometry.quaternion import quat_multiply, quat_rotate, quat_rotate_inverse

DENSITY = 1000.0  # [kg/m^3] of a geom that states neither density nor mass, as in MuJoCo
KINDS = {"sphere": 1, "capsule": 2, "cylinder": 2, "box": 3, "ellipsoid": 3}  # numbers in `size`


@dataclass(frozen=True)
class Shapes:
    """The shapes of a character that collide, in the frames of their bodies; all float64.

    Attributes:
        names: G names; of the body where a geom has none.
        num_bodies: B.
        bodies: [G] int64.
        centers: [G, 3] m. rotations: [G, 4].
        boxes: [G, 3] m, half extents of each shape's box.
        rounds: [G, 3] m, semi-axes of each shape's ellipsoid.
    """

    names: tuple[str, ...]
    num_bodies: int
    bodies: Tensor
    centers: Tensor
    rotations: Tensor
    boxes: Tensor
    rounds: Tensor

    def lowest_points(self, body_pos: Tensor, body_rot: Tensor) -> Tensor:
        """The lowest point of each shape [..., G, 3] m.

        Args:
            body_pos: [..., B, 3] m. body_rot: [..., B, 4].

        Source: the support function of a Minkowski sum is the sum of its parts'; Ericson 2005,
        "Real-Time Collision Detection", 9.5.
        """
        pos, rot = body_pos.double()[..., self.bodies, :], body_rot.double()[..., self.bodies, :]
        turned = quat_multiply(rot, self.rotations)
        down = quat_rotate_inverse(turned, torch.tensor([0.0, 0.0, -1.0]).to(turned))
        reach = (self.rounds * down).norm(dim=-1, keepdim=True).clamp_min(1e-12)
        corner = self.boxes * down.sign() + self.rounds.square() * down / reach
        return pos + quat_rotate(rot, self.centers) + quat_rotate(turned, corner)

    def body_heights(self, body_pos: Tensor, body_rot: Tensor) -> Tensor:
        """Height of the lowest point of each body, [..., B] m; infinite for one without shapes."""
        heights = self.lowest_points(body_pos, body_rot)[..., 2]
        lowest = heights.new_full((*heights.shape[:-1], self.num_bodies), math.inf)
        return lowest.scatter_reduce(-1, self.bodies.expand_as(heights), heights, "amin")


@dataclass(frozen=True)
class _Geom:
    name: str
    kind: str
    attributes: Mapping[str, str]


def read_shapes(character: Character) -> Shapes:
    """The shapes that collide; geoms with `contype` and `conaffinity` 0 are left out.

    Raises:
        CharacterError: a geom that collides is a mesh or another form that cannot be measured.
    """
    names, bodies, places, boxes, rounds = [], [], [], [], []
    for body, _, geoms in _bodies(character):
        for geom in geoms:
            if geom.attributes.get("contype") == geom.attributes.get("conaffinity") == "0":
                continue
            half, size = _place(character.model, geom)
            box, curve = {
                "sphere": ((0.0, 0.0, 0.0), (size[0],) * 3),
                "capsule": ((0.0, 0.0, half), (size[0],) * 3),
                "cylinder": ((0.0, 0.0, half), (size[0], size[0], 0.0)),
                "box": (tuple(size), (0.0, 0.0, 0.0)),
                "ellipsoid": ((0.0, 0.0, 0.0), tuple(size)),
            }[geom.kind]
            names.append(geom.name)
            bodies.append(body)
            places.append(_pose(character.model, geom))
            boxes.append(box)
            rounds.append(curve)

    def table(rows: list, width: int) -> Tensor:
        return torch.tensor(rows, dtype=torch.float64).reshape(len(bodies), width)

    return Shapes(
        names=tuple(names),
        num_bodies=character.num_bodies,
        bodies=torch.tensor(bodies, dtype=torch.long),
        centers=table([place[:3] for place in places], 3),
        rotations=table([place[3:] for place in places], 4),
        boxes=table(boxes, 3),
        rounds=table(rounds, 3),
    )


def read_masses(character: Character) -> tuple[np.ndarray, np.ndarray]:
    """Mass [B] kg of each body, and its centre of mass [B, 3] m in the body's frame.

    As MuJoCo does: a body's <inertial> if it has one, else its geoms by mass, or by density and
    volume.

    Raises:
        CharacterError: a body has no <inertial>, and a geom whose volume is not known.
    """
    masses = np.zeros(character.num_bodies)
    centers = np.zeros((character.num_bodies, 3))
    for body, inertial, geoms in _bodies(character):
        owner = f"the inertial of body '{character.body_names[body]}'"
        if inertial is not None:
            masses[body] = read_numbers(character.model, inertial, "mass", "0", owner)[0]
            centers[body] = read_numbers(character.model, inertial, "pos", "0 0 0", owner)
            continue
        weights = [_mass(character.model, geom) for geom in geoms]
        masses[body] = sum(weights)
        for weight, geom in zip(weights, geoms):
            if weight > 0:
                pose = _pose(character.model, geom)
                centers[body] += weight / masses[body] * np.array(pose[:3])
    return masses, centers


def _bodies(
    character: Character,
) -> Iterator[tuple[int, Mapping[str, str] | None, list[_Geom]]]:
    """Index, attributes of <inertial> (None without one) and geoms of each body, root first."""
    root = read_mjcf(character.model)
    defaults = default_attributes(root, "geom")

    def visit(
        element: ET.Element, child_class: str
    ) -> Iterator[tuple[int, Mapping[str, str] | None, list[_Geom]]]:
        child_class = element.get("childclass", child_class)
        name = str(element.get("name"))
        geoms = []
        for geom in element.findall("geom"):
            given = geom.get("class", child_class)
            attributes = {**defaults.get("" if given == "main" else given, {}), **geom.attrib}
            kind = "mesh" if "mesh" in attributes else attributes.get("type", "sphere")
            geoms.append(_Geom(attributes.get("name", name), kind, attributes))
        inertial = element.find("inertial")
        yield character.body_names.index(name), None if inertial is None else inertial.attrib, geoms
        for child in element.findall("body"):
            yield from visit(child, child_class)

    top = root.find("worldbody/body")
    assert top is not None, "load_character has read this file before"
    yield from visit(top, "")


def _mass(path: Path, geom: _Geom) -> float:
    owner = f"geom '{geom.name}'"
    if "mass" in geom.attributes:
        return read_numbers(path, geom.attributes, "mass", "0", owner)[0]
    density = read_numbers(path, geom.attributes, "density", str(DENSITY), owner)[0]
    if density == 0.0:
        return 0.0
    half, size = _place(path, geom)
    ball = 4.0 / 3.0 * math.pi
    volume = {
        "sphere": lambda: ball * size[0] ** 3,
        "capsule": lambda: ball * size[0] ** 3 + 2.0 * math.pi * half * size[0] ** 2,
        "cylinder": lambda: 2.0 * math.pi * half * size[0] ** 2,
        "box": lambda: 8.0 * size[0] * size[1] * size[2],
        "ellipsoid": lambda: ball * size[0] * size[1] * size[2],
    }[geom.kind]()
    return density * volume


def _place(path: Path, geom: _Geom) -> tuple[float, list[float]]:
    """Half length [m] along z, and `size` [m], of a geom of a known kind."""
    if geom.kind not in KINDS:
        raise CharacterError(
            f"{path}: geom '{geom.name}' is a {geom.kind}, which cannot be measured; give the body "
            f"shapes that collide ({', '.join(KINDS)}), an <inertial>, and this geom contype=0 "
            "conaffinity=0"
        )
    ends = _ends(path, geom)
    count = 1 if ends is not None else KINDS[geom.kind]
    text = " ".join(geom.attributes.get("size", "").split()[:count])
    owner = f"geom '{geom.name}'"
    size = read_numbers(path, {"size": text}, "size", " ".join(["0"] * count), owner)
    if ends is not None:
        return 0.5 * float(np.linalg.norm(ends[1] - ends[0])), size
    return (size[1] if KINDS[geom.kind] == 2 else 0.0), size


def _pose(path: Path, geom: _Geom) -> tuple[float, ...]:
    """Centre [m] and rotation (x, y, z, w) of a geom in its body's frame, seven numbers."""
    ends = _ends(path, geom)
    if ends is not None:
        return (*(0.5 * (ends[0] + ends[1])).tolist(), *_from_z(ends[1] - ends[0]))
    owner = f"geom '{geom.name}'"
    pos = read_numbers(path, geom.attributes, "pos", "0 0 0", owner)
    return (*pos, *read_rotation(path, geom.attributes, owner))


def _ends(path: Path, geom: _Geom) -> tuple[np.ndarray, np.ndarray] | None:
    if "fromto" not in geom.attributes:
        return None
    if KINDS.get(geom.kind) != 2:
        raise CharacterError(
            f"{path}: geom '{geom.name}' is a {geom.kind} with fromto; state its pos, quat and size"
        )
    ends = read_numbers(path, geom.attributes, "fromto", "0 0 0 0 0 0", f"geom '{geom.name}'")
    return np.array(ends[:3]), np.array(ends[3:])


def _from_z(direction: np.ndarray) -> tuple[float, float, float, float]:
    """The shortest rotation (x, y, z, w) of the z axis to a direction."""
    x, y, z = direction / np.linalg.norm(direction)
    if z < -1.0 + 1e-12:
        return (1.0, 0.0, 0.0, 0.0)
    half = np.array([-y, x, 0.0, 1.0 + z])
    a, b, c, d = half / np.linalg.norm(half)
    return (float(a), float(b), float(c), float(d))
