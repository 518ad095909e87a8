"""Objects that share the world with a character: what a config declares, checked.

They are declared up front, because simulators build their worlds once: balls, boxes to reach, and
obstacles that never move.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

from torch import Tensor

from mimickit.errors import ConfigError, UnknownName, unknown_name_message
from mimickit.state import ObjectState

# How many numbers the size of each shape has, and what they are, as in MJCF.
SHAPES = {
    "sphere": (1, "radius"),
    "capsule": (2, "radius, half the length of its cylinder"),
    "box": (3, "half of its length along x, y, z"),
}
REQUIRED = ("name", "shape", "size", "pos")
OPTIONAL = ("mass", "rot", "friction")
FRICTION = 1.0  # as the floor's
LARGEST_TILT = 1e-3  # by how much the length of a quaternion may differ from 1


@dataclass(frozen=True)
class ObjectSpec:
    """One object, the same in every world.

    Attributes:
        name: unique among objects.
        shape: one of `SHAPES`.
        size: [m], as in MJCF: a sphere's radius; a capsule's radius and half its cylinder's
            length, which lies along z; half of a box's edges.
        mass: [kg]; None for an obstacle that never moves.
        pos: [m] of the centre, in the world, at the start of an episode.
        rot: (x, y, z, w), at the start of an episode.
        friction: sliding friction in all contacts of this object.
    """

    name: str
    shape: str
    size: Tuple[float, ...]
    mass: Optional[float]
    pos: Tuple[float, float, float]
    rot: Tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    friction: float = FRICTION

    @property
    def free(self) -> bool:
        """Whether it moves."""
        return self.mass is not None


@dataclass(frozen=True)
class SceneObjects:
    """The objects of N worlds, for those who look at them.

    Attributes:
        specs: all of a world.
        state: of the free ones, in the same order; live.
    """

    specs: Tuple[ObjectSpec, ...]
    state: ObjectState

    def index(self, name: str, key: str) -> int:
        """Which of the free ones goes by a name.

        Args:
            key: of the config that asks for it.

        Raises:
            UnknownName: none of them does.
        """
        names = [one.name for one in free_objects(self.specs)]
        if name not in names:
            raise UnknownName(
                unknown_name_message("task.objects has no free object", name, names, key)
            )
        return names.index(name)


@dataclass(frozen=True)
class Placement:
    """Objects to move before the next step; see `mimickit.engines.engine.Engine.write_objects`.

    Attributes:
        mask: [N, O] bool. state: where to.
    """

    mask: Tensor
    state: ObjectState


@dataclass(frozen=True)
class Solid:
    """What viewers draw of one object.

    Attributes:
        spec: its shape. pos: [N, 3] m. rot: [N, 4]. Both are copies.
    """

    spec: ObjectSpec
    pos: Tensor
    rot: Tensor


def solids(objects: SceneObjects) -> List[Solid]:
    """All objects of N worlds where they are now."""
    state, found, free = objects.state, [], 0
    for one in objects.specs:
        if one.free:
            found.append(Solid(one, state.pos[:, free].clone(), state.rot[:, free].clone()))
            free += 1
        else:
            place = state.pos.new_tensor(one.pos).expand(len(state.pos), -1)
            turn = state.rot.new_tensor(one.rot).expand(len(state.pos), -1)
            found.append(Solid(one, place, turn))
    return found


def read_objects(nodes: Sequence[Mapping[str, Any]]) -> Tuple[ObjectSpec, ...]:
    """Objects of a config, `task.objects`.

    Raises:
        ConfigError: a value is missing or cannot work. UnknownName: a key or shape does not exist.
    """
    objects = tuple(_read(node, f"task.objects[{i}]") for i, node in enumerate(nodes))
    names = [one.name for one in objects]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"task.objects has several called {', '.join(twice)}: names are unique")
    return objects


def free_objects(objects: Sequence[ObjectSpec]) -> Tuple[ObjectSpec, ...]:
    """Those that move: the O of `ObjectState`, in its order."""
    return tuple(one for one in objects if one.free)


def _read(node: Mapping[str, Any], key: str) -> ObjectSpec:
    if not isinstance(node, Mapping):
        raise ConfigError(f"{key}={node}: a mapping with {', '.join(REQUIRED)} is needed")
    for name in node:
        if name not in (*REQUIRED, *OPTIONAL):
            raise UnknownName(
                unknown_name_message(f"{key} has no setting", name, (*REQUIRED, *OPTIONAL))
            )
    missing = [name for name in REQUIRED if node.get(name) is None]
    if missing:
        raise ConfigError(f"{key} needs {', '.join(missing)}")
    name, shape = node["name"], node["shape"]
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{key}.name={name}: text is needed")
    if shape not in SHAPES:
        raise UnknownName(
            unknown_name_message("there is no shape", str(shape), SHAPES, f"{key}.shape")
        )
    count, meaning = SHAPES[shape]
    size = _numbers(node["size"], count, f"{key}.size", meaning)
    if min(size) <= 0:
        raise ConfigError(f"{key}.size={list(size)}: every number must be > 0")
    mass, friction = node.get("mass"), node.get("friction", FRICTION)
    if mass is not None and not _positive(mass):
        raise ConfigError(f"{key}.mass={mass}: a number > 0 [kg], or null for an obstacle")
    if not _positive(friction):
        raise ConfigError(f"{key}.friction={friction}: a number > 0 is needed")
    rot = _numbers(node.get("rot", (0, 0, 0, 1)), 4, f"{key}.rot", "quaternion x, y, z, w")
    length = math.sqrt(sum(value * value for value in rot))
    if abs(length - 1.0) > LARGEST_TILT:
        raise ConfigError(f"{key}.rot={list(rot)}: a quaternion of length 1 is needed")
    return ObjectSpec(
        name=name,
        shape=shape,
        size=size,
        mass=None if mass is None else float(mass),
        pos=_numbers(node["pos"], 3, f"{key}.pos", "x, y, z"),  # type: ignore[arg-type]
        rot=tuple(value / length for value in rot),  # type: ignore[arg-type]
        friction=float(friction),
    )


def _positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(value: Any, count: int, key: str, meaning: str) -> Tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        value = [value]  # one number needs no brackets
    if len(value) != count or not all(map(_is_number, value)):
        raise ConfigError(f"{key}={list(value)}: {count} finite numbers are needed ({meaning})")
    return tuple(float(number) for number in value)
