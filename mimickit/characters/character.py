"""A character, described once: tree, joints, gains, limits, and which bodies mean what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from mimickit.characters.mjcf import TreeBody, read_tree
from mimickit.errors import (
    CharacterError,
    ConfigError,
    UnknownBody,
    UnknownJoint,
    unknown_name_message,
)

BODY_GROUPS = ("feet", "hands", "head", "key_bodies", "may_touch_ground")
ASSETS = Path(__file__).resolve().parents[2] / "assets"


class JointKind(Enum):
    """How a body moves in its parent."""

    FIXED = 0
    HINGE = 1
    BALL = 3  # the values are the numbers of degrees of freedom


@dataclass(frozen=True)
class Joint:
    """The joint that attaches one body to its parent.

    Attributes:
        name: the joint's name; a fixed joint has its body's.
        body: index of the body that it moves.
        kind: fixed, hinge or ball.
        axis: unit axis in the body frame; means nothing unless a hinge.
        dofs: where its degrees of freedom lie in the character's dof vector.
        limits: (low, high) rad per degree of freedom; of a ball joint, per exp-map component.
        kp: P gain [Nm/rad]. kd: D gain [Nm s/rad].
        torque_limit: greatest torque [Nm] per degree of freedom in control mode `torque`, and in
            all others that heed it (see `Character.effort_limited`).
        armature: rotor inertia [kg m^2].
    """

    name: str
    body: int
    kind: JointKind
    axis: tuple[float, float, float]
    dofs: slice
    limits: tuple[tuple[float, float], ...]
    kp: float
    kd: float
    torque_limit: float
    armature: float


@dataclass(frozen=True)
class Character:
    """Frozen facts about one character. Legend: B bodies, J = B - 1 joints, D dofs.

    Attributes:
        name: short name; the folder of its clips under motions/.
        model: its MJCF file.
        body_names: B names, depth first; 0 is the root.
        parents: B indices; -1 for the root.
        offsets: [B, 3] m, body origin in the parent's frame.
        rotations: [B, 4] (x, y, z, w), rest rotation in the parent's frame.
        joints: J joints, that of body i at i - 1.
        default_height: root height [m] in the default pose.
        default_dofs: [D] rad, the default pose.
        feet, hands, head: bodies by what they are.
        key_bodies: bodies whose positions are observed and rewarded.
        may_touch_ground: bodies that may touch the ground; an empty tuple allows all.
        tracking_weights: [J] weight of each joint in tracking rewards, unitless.
        termination_distance: farthest any body may be from its reference [m].
        zero_center_action: centre hinge actions on 0 instead of on the middle of the range.
        exploration_std: action noise as a fraction of the action's half range.
        motion: clip to imitate when none is asked for.
        contact_height: body origin height [m] under which engines without a true contact query
            may count a force as the ground's.
        effort_limited: whether position drives keep their whole torque, damping included, within
            `torque_limit`, as motors do; only characters of hinges may.
        control_hz, sim_hz: the rates [Hz] of control and of simulation that suit its drives, which
            an engine's configuration starts from.
    """

    name: str
    model: Path
    body_names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    rotations: np.ndarray
    joints: tuple[Joint, ...]
    default_height: float
    default_dofs: np.ndarray
    feet: tuple[str, ...]
    hands: tuple[str, ...]
    head: tuple[str, ...]
    key_bodies: tuple[str, ...]
    may_touch_ground: tuple[str, ...]
    tracking_weights: np.ndarray
    termination_distance: float
    zero_center_action: bool
    exploration_std: float
    motion: Any
    contact_height: float
    effort_limited: bool
    control_hz: float
    sim_hz: float

    @property
    def num_bodies(self) -> int:
        """B."""
        return len(self.body_names)

    @property
    def num_joints(self) -> int:
        """J, fixed joints included."""
        return len(self.joints)

    @property
    def num_dofs(self) -> int:
        """D."""
        return sum(joint.kind.value for joint in self.joints)

    @property
    def movable_joints(self) -> tuple[Joint, ...]:
        """The joints that are not fixed."""
        return tuple(joint for joint in self.joints if joint.kind is not JointKind.FIXED)

    def body_ids(self, names: Sequence[str], where: str) -> list[int]:
        """Indices of bodies by name.

        Raises:
            UnknownBody: naming the closest bodies and `where`, the key that asked.
        """
        for name in names:
            if name not in self.body_names:
                raise UnknownBody(
                    unknown_name_message(
                        f"character '{self.name}' has no body", name, self.body_names, where
                    )
                )
        return [self.body_names.index(name) for name in names]

    def per_dof(self, values: Union[Sequence[float], np.ndarray]) -> np.ndarray:
        """Repeat one value per joint [J] for each of its degrees of freedom, [D]."""
        counts = [joint.kind.value for joint in self.joints]
        return np.repeat(np.asarray(values, dtype=np.float64), counts)

    @property
    def dof_limits(self) -> np.ndarray:
        """[D, 2] rad."""
        return np.array([limit for joint in self.joints for limit in joint.limits]).reshape(-1, 2)


def load_character(
    name: str,
    model: str,
    joints: Mapping[str, Mapping[str, Any]],
    default_pose: Mapping[str, Any],
    bodies: Mapping[str, Sequence[str]],
    tracking_weights: Optional[Mapping[str, float]],
    termination_distance: float,
    zero_center_action: bool,
    exploration_std: float,
    motion: Any,
    contact_height: float,
    effort_limited: bool = False,
    control_hz: float = 30.0,
    sim_hz: float = 120.0,
) -> Character:
    """Read a character's MJCF file and join it with the facts that MJCF cannot hold.

    Args:
        name: see `Character`, as for all arguments not listed.
        model: MJCF file: absolute, or relative to assets/, or pkg://package/path.
        joints: per joint name `kp`, `kd`, `torque_limit`, and `limits` (one [low, high], or three
            for a ball joint; a hinge may leave them to the MJCF). Every movable joint needs one.
        default_pose: `height` [m], and `joints`, the angle or exp map [rad] of joints not at zero.
        bodies: `feet`, `hands`, `head`, `key_bodies`, `may_touch_ground`: lists of body names.
        tracking_weights: weight per body name, of the joint that moves it; absent bodies and
            None mean 1.

    Raises:
        CharacterError: the model cannot be used. ConfigError, UnknownBody, UnknownJoint: a value
            or a name above is wrong.
    """
    path = asset_path(model)
    tree = read_tree(path)
    groups = {
        group: _names(bodies.get(group, ()), f"character.bodies.{group}") for group in BODY_GROUPS
    }
    weights = tracking_weights or {}
    body_names = tuple(body.name for body in tree)
    built = _build_joints(name, tree, joints)
    character = Character(
        name=name,
        model=path,
        body_names=body_names,
        parents=tuple(body.parent for body in tree),
        offsets=np.array([body.offset for body in tree]),
        rotations=np.array([body.rotation for body in tree]),
        joints=built,
        default_height=_number(default_pose["height"], "character.default_pose.height"),
        default_dofs=_default_dofs(name, built, default_pose.get("joints") or {}),
        feet=groups["feet"],
        hands=groups["hands"],
        head=groups["head"],
        key_bodies=groups["key_bodies"],
        may_touch_ground=groups["may_touch_ground"],
        tracking_weights=np.array(
            [
                _number(weights.get(body, 1.0), f"character.tracking_weights.{body}")
                for body in body_names[1:]
            ]
        ),
        termination_distance=float(termination_distance),
        zero_center_action=bool(zero_center_action),
        exploration_std=float(exploration_std),
        motion=motion,
        contact_height=float(contact_height),
        effort_limited=bool(effort_limited),
        control_hz=_number(control_hz, "character.control_hz"),
        sim_hz=_number(sim_hz, "character.sim_hz"),
    )
    for group, names in groups.items():
        character.body_ids(names, f"character.bodies.{group}")
    character.body_ids(tuple(weights), "character.tracking_weights")
    _check_numbers(character)
    return character


def asset_path(model: str) -> Path:
    """Where a model file lies: absolute, relative to assets/, or pkg://package/path."""
    if model.startswith("pkg://"):
        import importlib.util

        package, _, rest = model[len("pkg://") :].partition("/")
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):  # no such parent package, or no name at all
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise CharacterError(f"character.model={model}: there is no package '{package}'")
        return Path(next(iter(spec.submodule_search_locations))) / rest
    path = Path(model).expanduser()
    return path if path.is_absolute() else ASSETS / path


def _build_joints(
    name: str, tree: Sequence[TreeBody], facts: Mapping[str, Mapping[str, Any]]
) -> tuple[Joint, ...]:
    movable = [body.joint.name for body in tree if body.joint is not None]
    for joint in facts:
        if joint not in movable:
            raise UnknownJoint(
                unknown_name_message(
                    f"character '{name}' has no joint", joint, movable, "character.joints"
                )
            )
    joints = []
    start = 0
    for index, body in enumerate(tree):
        if index == 0:
            continue
        if body.joint is None:
            kind, axis, limits = JointKind.FIXED, (0.0, 0.0, 1.0), ()
            fact: Mapping[str, Any] = {"kp": 0.0, "kd": 0.0, "torque_limit": 0.0}
            joint_name, armature = body.name, 0.0
        else:
            joint_name, armature = body.joint.name, body.joint.armature
            if joint_name not in facts:
                raise ConfigError(
                    f"character.joints has no entry for joint '{joint_name}' of '{name}'; it needs "
                    "kp, kd, torque_limit and limits"
                )
            kind = JointKind.BALL if body.joint.ball else JointKind.HINGE
            axis, fact = body.joint.axis, facts[joint_name]
            _check_fact(joint_name, fact)
            limits = _limits(joint_name, kind, fact.get("limits"), body.joint.limits)
        joints.append(
            Joint(
                name=joint_name,
                body=index,
                kind=kind,
                axis=axis,
                dofs=slice(start, start + kind.value),
                limits=limits,
                kp=_number(fact["kp"], f"character.joints.{joint_name}.kp"),
                kd=_number(fact["kd"], f"character.joints.{joint_name}.kd"),
                torque_limit=_number(
                    fact["torque_limit"], f"character.joints.{joint_name}.torque_limit"
                ),
                armature=armature,
            )
        )
        start += kind.value
    return tuple(joints)


def _check_fact(joint: str, fact: Any) -> None:
    """Refuse what does not state a joint's gains."""
    given = set(fact) if isinstance(fact, Mapping) else set()
    unknown = given - {"kp", "kd", "torque_limit", "limits"}
    missing = {"kp", "kd", "torque_limit"} - given
    if unknown or missing:
        raise ConfigError(
            f"character.joints.{joint} wants kp, kd, torque_limit and limits; "
            f"unknown: {sorted(unknown) or 'none'}, missing: {sorted(missing) or 'none'}"
        )


def _limits(
    joint: str, kind: JointKind, given: Any, in_file: Optional[tuple[float, float]]
) -> tuple[tuple[float, float], ...]:
    key = f"character.joints.{joint}.limits"
    if given is None:
        if in_file is None:
            raise ConfigError(f"{key} is missing, and the MJCF file states no range either")
        given = [in_file]
    try:
        rows = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):  # words, or rows of different lengths
        rows = np.empty(0)
    rows = rows[None] if kind is JointKind.HINGE and rows.ndim == 1 else rows
    if rows.shape != (kind.value, 2):
        raise ConfigError(f"{key} wants {kind.value} pairs [low, high] in rad, got {given}")
    limits = tuple((float(rows[i, 0]), float(rows[i, 1])) for i in range(len(rows)))
    if not all(math.isfinite(low) and math.isfinite(high) and low < high for low, high in limits):
        raise ConfigError(f"{key} wants finite pairs with low < high, got {given}")
    return limits


def _default_dofs(
    name: str, joints: Sequence[Joint], pose: Mapping[str, Union[float, Sequence[float]]]
) -> np.ndarray:
    by_name = {joint.name: joint for joint in joints if joint.kind is not JointKind.FIXED}
    dofs = np.zeros(sum(joint.kind.value for joint in joints))
    for joint, value in pose.items():
        if joint not in by_name:
            raise UnknownJoint(
                unknown_name_message(
                    f"character '{name}' has no joint",
                    joint,
                    by_name,
                    "character.default_pose.joints",
                )
            )
        try:
            numbers = np.atleast_1d(np.array(value, dtype=np.float64))
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (by_name[joint].kind.value,):
            raise ConfigError(
                f"character.default_pose.joints.{joint} wants {by_name[joint].kind.value} numbers "
                f"[rad], got {value}"
            )
        dofs[by_name[joint].dofs] = numbers
    return dofs


def _number(value: Any, key: str) -> float:
    """`value`, which must be a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"{key}={value}: a number is needed")
    return float(value)


def _names(value: Any, key: str) -> tuple[str, ...]:
    """`value`, which must be a list of names."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Sequence):
        raise ConfigError(f"{key}={value}: a list of bodies is needed")
    return tuple(str(name) for name in value)


def _check_numbers(character: Character) -> None:
    for joint in character.movable_joints:
        for fact in ("kp", "kd", "torque_limit"):
            value = getattr(joint, fact)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"character.joints.{joint.name}.{fact} must be >= 0, got {value}")
    balls = [joint.name for joint in character.joints if joint.kind is JointKind.BALL]
    if character.effort_limited and balls:
        raise ConfigError(
            f"character.effort_limited needs hinges only, and character '{character.name}' has "
            f"ball joints ({', '.join(balls)})"
        )
    for key in (
        "default_height", "termination_distance", "exploration_std", "contact_height",
        "control_hz", "sim_hz",
    ):  # fmt: skip
        value = getattr(character, key)
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"character '{character.name}': {key} must be > 0, got {value}")
    for body, weight in zip(character.body_names[1:], character.tracking_weights):
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(
                f"character.tracking_weights must be >= 0, got {weight} for body '{body}'"
            )
