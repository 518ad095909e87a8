"""More motion from a clip by rules that keep it a motion of its character: mirrored, retimed, bent.

Characters face +x, and their left is +y: the plane that halves them is y = 0. A mirror image turns
the sign of what points along y, of positions, and of what turns in that plane, of rotations:
(x, y, z, w) becomes (-x, y, -z, w); left and right joints change places.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mimickit.characters import Character, JointKind
from mimickit.errors import CharacterError, ConfigError
from mimickit.geometry.quaternion import (
    quat_from_exp_map,
    quat_from_heading,
    quat_multiply,
    quat_rotate,
)
from mimickit.motions.clip import Clip, content_hash
from mimickit.motions.measures import GRAVITY

TOOL_VERSION = "1"
# Slower than half or faster than double is another motion: gravity would be off by a factor of 4.
SLOWEST, FASTEST = 0.5, 2.0
STEEPEST = math.radians(35.0)  # a steeper lean than friction of 0.7 holds
PLACE_TOLERANCE = 0.03  # [m] SMPL's mean body is off by 2 cm; a sword is off by its length
TURN_TOLERANCE = 0.05  # of a quaternion's or an axis's components, unitless

# What marks a side in a name, standing alone or before an underscore: left_hip, L_Hip, FL_hip.
_SIDES = {"left": "right", "l": "r", "fl": "fr", "rl": "rr"}
_OTHER_SIDE = {**_SIDES, **{other: side for side, other in _SIDES.items()}}
_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]+(?![A-Za-z])")
_POSITION = np.array([1.0, -1.0, 1.0])
_ROTATION = np.array([-1.0, 1.0, -1.0, 1.0])


def other_side(name: str) -> str:
    """The name of a body's or joint's counterpart: left_foot's is right_foot, head's is head."""

    def swapped(match: re.Match[str]) -> str:
        word: str = match.group()
        other = _OTHER_SIDE.get(word.lower())
        if other is None:
            return word
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return _WORD.sub(swapped, name)


def check_symmetric(character: Character) -> None:
    """Refuse a character that is not its own mirror image.

    Raises:
        CharacterError: naming the body at fault: it has no counterpart, or one that sits elsewhere,
            is turned otherwise, or has another joint.
    """
    names = character.body_names
    for body, name in enumerate(names[1:], start=1):
        other = other_side(name)
        if other not in names:
            raise _asymmetric(character, f"body '{name}' has no counterpart '{other}'")
        mate = names.index(other)
        parents = (names[character.parents[body]], names[character.parents[mate]])
        if other_side(parents[0]) != parents[1]:
            raise _asymmetric(character, f"'{name}' hangs on {parents[0]}, '{other}' on another")
        place = np.abs(character.offsets[body] * _POSITION - character.offsets[mate]).max()
        if place > PLACE_TOLERANCE:
            raise _asymmetric(
                character, f"'{other}' is {place:.3f} m from where '{name}' would be mirrored"
            )
        turned = abs(float((character.rotations[body] * _ROTATION) @ character.rotations[mate]))
        if turned < 1.0 - TURN_TOLERANCE**2:
            raise _asymmetric(character, f"'{name}' and '{other}' rest in other directions")
        joint, twin = character.joints[body - 1], character.joints[mate - 1]
        if joint.kind is not twin.kind or (
            joint.name != name and other_side(joint.name) != twin.name
        ):
            raise _asymmetric(character, f"'{name}' and '{other}' have different joints")
        if joint.kind is JointKind.HINGE:
            # An axis is as good as its opposite: the angle's sign is the rotation's own.
            along = abs(float((np.asarray(joint.axis) * _POSITION) @ np.asarray(twin.axis)))
            if along < 1.0 - TURN_TOLERANCE**2:
                raise _asymmetric(character, f"the hinges of '{name}' and '{other}' differ")


def mirrored(clip: Clip, character: Character) -> Clip:
    """The clip as a mirror beside the character shows it: what was left is right.

    Mirroring twice gives the same bits again.

    Raises:
        CharacterError: see `check_symmetric`. MotionError: the clip is another character's.
    """
    clip.check_fits(character)
    check_symmetric(character)
    mates = [clip.joint_names.index(other_side(name)) for name in clip.joint_names]
    return replace(
        clip,
        root_pos=clip.root_pos * _POSITION,
        root_rot=clip.root_rot * _ROTATION,
        joint_rot=clip.joint_rot[:, mates] * _ROTATION,
        provenance=variant_provenance(clip, "mirrored left to right"),
    )


def retimed(clip: Clip, speed: float) -> Clip:
    """The clip at `speed` times its own: the same poses at a rate `speed` times as high.

    Feet that stand go on standing. What flies falls with speed^2 g, so jumps and runs bear a
    tenth more or less, and steps without a flight a quarter.

    Raises:
        ConfigError: a speed beyond `SLOWEST` and `FASTEST`.
    """
    check_speed(speed, "speed")
    provenance = variant_provenance(clip, f"plays at {speed:g} times its speed")
    return replace(clip, fps=clip.fps * speed, provenance=provenance)


def check_speed(speed: Any, where: str) -> float:
    """A speed that a clip may be played at.

    Raises:
        ConfigError: naming the key `where` it stands.
    """
    number = isinstance(speed, (int, float)) and not isinstance(speed, bool)
    if not number or not math.isfinite(speed) or not SLOWEST <= speed <= FASTEST:
        raise ConfigError(f"{where} must be a number from {SLOWEST} to {FASTEST}, got {speed}")
    return float(speed)


def bent(clip: Clip, rate: float) -> Clip:
    """The clip on a bend: its path turns by `rate` [rad/s], to the left if positive.

    The body turns with the path and, as who runs a bend must, leans into it by atan(v rate / g)
    about the ground below its root, where v is the speed from the clip's first place to its last.
    Poses are the same, so feet that stand turn with the body.

    Raises:
        ConfigError: it would lean by more than `STEEPEST`.
    """
    way = clip.root_pos[-1, :2] - clip.root_pos[0, :2]
    length = float(np.linalg.norm(way))
    lean = math.atan(length / clip.duration * rate / GRAVITY)
    if abs(lean) > STEEPEST:
        raise ConfigError(
            f"clip '{clip.name}' would lean by {math.degrees(abs(lean)):.0f} degrees into a bend "
            f"of {rate:g} rad/s, more than {math.degrees(STEEPEST):.0f}: set a smaller bend"
        )
    ahead = way / length if length > 0.0 else np.array([1.0, 0.0])
    root_pos, root_rot = (
        torch.as_tensor(array).double() for array in (clip.root_pos, clip.root_rot)
    )
    turn = rate * torch.arange(len(root_pos)).double() / clip.fps
    steps = quat_rotate(quat_from_heading(0.5 * (turn[1:] + turn[:-1])), root_pos.diff(dim=0))
    path = torch.cat([root_pos[:1], root_pos[:1] + steps.cumsum(0)])
    # To lean to the left is to turn about the way ahead by a negative angle.
    roll = quat_from_exp_map(torch.tensor([-lean * ahead[0], -lean * ahead[1], 0.0]).double())
    moved = quat_multiply(quat_from_heading(turn), roll)
    height = path * torch.tensor([0.0, 0.0, 1.0])
    return replace(
        clip,
        root_pos=(path - height + quat_rotate(moved, height)).numpy(),
        root_rot=quat_multiply(moved, root_rot).numpy(),
        provenance=variant_provenance(clip, f"on a bend of {rate:g} rad/s"),
    )


def check_bend(rate: Any, where: str) -> float:
    """A rate [rad/s] that a clip's path may turn by.

    Raises:
        ConfigError: naming the key `where` it stands.
    """
    number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
    if not number or not math.isfinite(rate):
        raise ConfigError(f"{where} must be a number of rad/s, to the left if positive, got {rate}")
    return float(rate)


def variant_provenance(clip: Clip, done: str) -> dict[str, str]:
    """What a clip made from another says of itself: the origin stays, the hash is the other's."""
    notes = [clip.provenance.get("notes", ""), done]
    return {
        **clip.provenance,
        "tool": "mimickit.motions.variants",
        "tool_version": TOOL_VERSION,
        "source_hash": content_hash(clip),
        "notes": "; ".join(note for note in notes if note),
    }


def _asymmetric(character: Character, reason: str) -> CharacterError:
    return CharacterError(
        f"character '{character.name}' is not its own mirror image, so its clips cannot be "
        f"mirrored (mirror: true): {reason}"
    )
