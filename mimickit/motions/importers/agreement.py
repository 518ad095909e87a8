"""Which reading of a file is right: decided by what the character's kinematics make of it.

A file that does not state a convention (the order of quaternions, of joints) is read in every way
that it may mean. The body positions that it carries single out one way; without any, the ground
does, where it can. What stays open is asked for, never guessed. Legend: T frames, B bodies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import torch

from mimickit.characters import Character, Kinematics
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import quat_angle
from mimickit.motions.importers.poses import Pose

_FRAMES = 200  # compared at most, evenly spread over a clip
_UPRIGHT, _TILTED = 45.0, 60.0  # [deg] median tilt of the root: surely upright, surely not
_TRAVEL = 0.3  # [m] that the root must move before sliding feet mean something
_SLIDING = 2.0  # times: how much more the feet slide when read wrongly


def body_positions(character: Character, pose: Pose) -> np.ndarray:
    """World positions [T, B, 3] m of the character's bodies."""
    arrays = (pose.root_pos, pose.root_rot, pose.joint_rot)
    kinematics = Kinematics(character, dtype=torch.float64)
    return kinematics.forward(*(torch.from_numpy(np.array(a, dtype=float)) for a in arrays))[
        0
    ].numpy()


def agreeing(
    path: Path,
    character: Character,
    readings: Mapping[str, Pose],
    body_pos: np.ndarray,
    tolerance: float,
    flags: str,
    body_names: Optional[Sequence[str]] = None,
) -> tuple[str, str]:
    """The one reading whose bodies are where the file says they are.

    Args:
        path: for messages. readings: the poses of each reading, by what it assumes.
        body_pos: [T, bodies of the file, 3] m, in the frame of the readings' roots.
        tolerance: [m]. flags: the options that choose between readings, for messages.
        body_names: of the file's bodies; None compares each of ours with the nearest of theirs.

    Returns:
        Its label, and a note on how well it agrees.

    Raises:
        MotionError: none agrees, or several that differ do.
    """
    worst = {
        label: _worst_distance(character, pose, body_pos, body_names)
        for label, pose in readings.items()
    }
    fitting = [label for label, (distance, _) in worst.items() if distance <= tolerance]
    if not fitting:
        tried = "; ".join(f"{la}: {d:.3f} m at {body}" for la, (d, body) in worst.items())
        raise MotionError(
            f"{path} is not for character '{character.name}': forward kinematics miss the body "
            f"positions in the file by more than {tolerance} m however it is read ({tried}); for "
            "another make of the same robot a greater tolerance may do (--tolerance)"
        )
    first = readings[fitting[0]]
    if not all(_same(first, readings[label]) for label in fitting[1:]):
        raise MotionError(
            f"{path} can be read in several ways that differ, and its body positions do not tell "
            f"them apart: {', '.join(fitting)}; say which with {flags}"
        )
    distance, body = worst[fitting[0]]
    others = [f"{label} {worst[label][0]:.2f} m" for label in worst if label not in fitting]
    note = f"forward kinematics within {1000 * distance:.1f} mm of the file's bodies ({body})"
    if len(readings) > 1:
        note = f"{fitting[0]}, because {note}" + (f"; not {', '.join(others)}" if others else "")
    return fitting[0], note


def standing(
    path: Path, character: Character, readings: Mapping[str, Pose], flags: str
) -> tuple[str, str]:
    """The one reading in which the character stands on its feet and they do not slide.

    Args:
        path, flags: for messages, as in `agreeing`. readings: poses by what each assumes.

    Returns:
        Its label, and a note on why.

    Raises:
        MotionError: this does not single one out.
    """
    tilts = {label: _tilt(pose) for label, pose in readings.items()}
    told = ", ".join(f"{label} {tilt:.0f} deg" for label, tilt in tilts.items())
    upright = [label for label, tilt in tilts.items() if tilt < _UPRIGHT]
    if len(upright) == 1 and all(
        tilt > _TILTED for label, tilt in tilts.items() if label != upright[0]
    ):
        return upright[0], f"{upright[0]}, because it keeps the root upright (median tilt: {told})"
    slides = {label: _sliding(character, pose) for label, pose in readings.items()}
    told += "; feet slide " + ", ".join(f"{la} {100 * s:.0f} cm" for la, s in slides.items())
    best = min(slides, key=lambda label: slides[label])
    travelled = best in upright and _travel(readings[best]) > _TRAVEL
    if travelled and all(s > _SLIDING * slides[best] for la, s in slides.items() if la != best):
        return best, f"{best}, because the feet hold the ground (median tilt: {told})"
    raise MotionError(
        f"{path} can be read in several ways, and neither the root's tilt nor the feet tell which "
        f"is right (median tilt: {told}); say it with {flags}"
    )


def _worst_distance(
    character: Character,
    pose: Pose,
    body_pos: np.ndarray,
    body_names: Optional[Sequence[str]],
) -> tuple[float, str]:
    """The greatest distance [m] of one of our bodies from the file's, and the body's name.

    Fixed bodies are left out: a file's model may lack them, or have them elsewhere.
    """
    frames = np.unique(np.linspace(0, len(body_pos) - 1, _FRAMES).astype(int))
    kept = Pose(pose.root_pos[frames], pose.root_rot[frames], pose.joint_rot[frames])
    ours = body_positions(character, kept)
    theirs = body_pos[frames]
    distances: dict[str, float] = {}
    for body in [0, *(joint.body for joint in character.movable_joints)]:
        name = character.body_names[body]
        if body_names is None:
            far = np.linalg.norm(theirs - ours[:, body : body + 1], axis=-1).max(axis=0)
            distances[name] = float(far.min())
        elif name in body_names:
            far = np.linalg.norm(theirs[:, list(body_names).index(name)] - ours[:, body], axis=-1)
            distances[name] = float(far.max())
    worst = max(distances, key=lambda name: distances[name], default="")
    return (distances[worst], worst) if worst else (np.inf, "any of its bodies: no name is known")


def _same(a: Pose, b: Pose) -> bool:
    """Whether two poses are the same to 1e-4 rad."""
    return all(
        float(quat_angle(torch.from_numpy(x), torch.from_numpy(y)).max()) < 1e-4
        for x, y in ((a.root_rot, b.root_rot), (a.joint_rot, b.joint_rot))
    )


def _tilt(pose: Pose) -> float:
    """Median angle [deg] of the root's z axis from the vertical."""
    x, y = pose.root_rot[:, 0], pose.root_rot[:, 1]
    return float(np.degrees(np.median(np.arccos(np.clip(1.0 - 2.0 * (x * x + y * y), -1, 1)))))


def _sliding(character: Character, pose: Pose) -> float:
    """How far [m] the lower foot moves over the ground while it is the lower one."""
    feet = character.body_ids(character.feet, "character.bodies.feet")
    if not feet:
        return np.inf
    pos = body_positions(character, pose)[:, feet]
    lowest = pos[..., 2].argmin(axis=1)[:-1]
    steps = np.linalg.norm(np.diff(pos[..., :2], axis=0), axis=-1)
    return float(steps[np.arange(len(lowest)), lowest].sum())


def _travel(pose: Pose) -> float:
    """How far [m] the root moves over the ground, all steps added."""
    return float(np.linalg.norm(np.diff(pose.root_pos[:, :2], axis=0), axis=-1).sum())
