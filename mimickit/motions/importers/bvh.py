"""Reads CMU's and LAFAN1's BVH clips as clips of the humanoid or of smpl.

A character takes the directions of the actor's limbs, from the T-pose of either; its root follows
the actor's hips, scaled with the legs. Sources: the cgspeed conversion of CMU's motion capture
(scale, T-pose in frame 0); ubisoft/ubisoft-laforge-animation-dataset (centimetres; bones along
x); YanjieZe/GMR, ik_configs/bvh_lafan1_to_h1_2.json, for how LAFAN1's joints are turned in a
T-pose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind
from mimickit.errors import ConfigError, MotionError, unknown_name_message
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_from_axis_angle,
    quat_from_exp_map,
    quat_multiply,
    quat_rotate,
    quat_to_exp_map,
)
from mimickit.motions.clip import Clip
from mimickit.motions.importers.bvh_file import BvhClip, parse_bvh
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.ground import on_ground
from mimickit.motions.importers.poses import (
    ImportOptions,
    Pose,
    make_clip,
    rate,
    rest_turn,
)

_SIDES = (("L", "Left", "left"), ("R", "Right", "right"))


@dataclass(frozen=True)
class Preset:
    """What the files of one source do not state.

    Attributes:
        scale: metres per unit.
        joints: the actor's joints by what they move.
        tpose_first: the first frame is a T-pose, to be left out. Otherwise all bones lie along x at
            rest, and the T-pose is that of `_bones_along_x`.
    """

    scale: float
    joints: Mapping[str, str]
    tpose_first: bool


def _limbs(toe: str) -> dict[str, str]:
    names = {
        "thigh": "UpLeg", "shin": "Leg", "foot": "Foot", "toe": toe,
        "clavicle": "Shoulder", "upper_arm": "Arm", "lower_arm": "ForeArm", "hand": "Hand",
    }  # fmt: skip
    return {f"{side}_{p}": long + name for _, long, side in _SIDES for p, name in names.items()}


PRESETS = {
    # Lengths are inches over 0.45, as the conversion's author says.
    "cmu": Preset(
        scale=0.0254 / 0.45,
        joints={
            "pelvis": "Hips", "belly": "LowerBack", "back": "Spine", "chest": "Spine1",
            "neck": "Neck1", "head": "Head", **_limbs("ToeBase"),
        },
        tpose_first=True,
    ),
    "lafan1": Preset(
        scale=0.01,
        joints={
            "pelvis": "Hips", "belly": "Spine", "back": "Spine1", "chest": "Spine2",
            "neck": "Neck", "head": "Head", **_limbs("Toe"),
        },
        tpose_first=False,
    ),
}  # fmt: skip
_SMPL_PARTS = {
    "Pelvis": "pelvis", "Torso": "belly", "Spine": "back", "Chest": "chest", "Neck": "neck",
    "Head": "head",
    **{
        f"{letter}_{body}": f"{side}_{part}"
        for letter, _, side in _SIDES
        for body, part in {
            "Hip": "thigh", "Knee": "shin", "Ankle": "foot", "Toe": "toe", "Thorax": "clavicle",
            "Shoulder": "upper_arm", "Elbow": "lower_arm", "Wrist": "hand",
        }.items()
    },
}  # fmt: skip
_HUMANOID_PARTS = {
    "pelvis": "pelvis", "torso": "chest", "head": "head",
    **{
        f"{side}_{part}": f"{side}_{part}"
        for _, _, side in _SIDES
        for part in ("thigh", "shin", "foot", "upper_arm", "lower_arm")
    },
}  # fmt: skip
_ARM = ("clavicle", "upper_arm", "lower_arm", "hand")
_STRAIGHT = ("thigh", "shin", "upper_arm", "lower_arm")  # bones whose direction is kept exactly
_LEG_LENGTH = (0.55, 1.2)  # [m] from hip to ankle: outside of this the scale must be wrong
_FADE = math.sin(
    math.radians(15.0)
)  # a limb straighter than this tells little of its hinge's plane
_FEET_PERCENTILE = 10.0


def recognise_bvh(content: Content) -> Optional[str]:
    """Why the content is a BVH clip; None if it is not."""
    return "its text starts with HIERARCHY" if content.kind == "bvh" else None


def read_bvh(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one BVH clip of a known source.

    Raises:
        MotionError: it is damaged, of another source, or for another character.
    """
    path = content.path
    parts = _parts(content, character)
    actor = parse_bvh(path, content.value)
    name, preset = _preset(content, actor, options)
    joints = {part: actor.names.index(joint) for part, joint in preset.joints.items()}
    pos, rot = _z_up(actor)
    pos *= preset.scale
    if preset.tpose_first:
        tpose = _first_frame(content, actor, joints, pos, rot)
        pos, rot = pos[1:], rot[1:]
    else:
        tpose = _bones_along_x(actor, joints)
    bones = {part: _bone(actor, joints, part, tpose) for part in joints if part.endswith(_STRAIGHT)}
    wanted = {}  # rotation of each of our bodies in the world
    for body, part in parts.items():
        turn = quat_multiply(rot[:, joints[part]], quat_conjugate(tpose[part]).expand(len(rot), 4))
        child = _only_child(character, body)
        if part in bones and child is not None:
            straighten = rest_turn(torch.from_numpy(character.offsets[child]), bones[part])
            turn = quat_multiply(turn, straighten.expand_as(turn))
        wanted[body] = turn
    legs = _leg_length(actor, joints) * preset.scale
    if not _LEG_LENGTH[0] < legs < _LEG_LENGTH[1]:
        raise MotionError(
            f"{path}: with preset {name} its legs are {legs:.2f} m long; the file's lengths are "
            "not those of that source"
        )
    scale = _character_leg(character, parts) / legs
    root_pos = (scale * pos[:, 0]).numpy()
    pose = _followed(character, wanted, root_pos)
    pose, up = on_ground(character, pose, _FEET_PERCENTILE)
    notes = [
        f"preset {name}" + (", T-pose in frame 0 left out" if preset.tpose_first else ""),
        f"root scaled by {scale:.3f} (leg lengths) and raised by {100 * up:+.1f} cm",
    ]
    fps = rate(path, "Frame Time", actor.frame_time)
    return [make_clip(content, character, options, pose, fps, notes=notes)]


def _parts(content: Content, character: Character) -> dict[str, str]:
    """The part of the actor that moves each of the character's bodies."""
    for parts in (_SMPL_PARTS, _HUMANOID_PARTS):
        if set(parts) <= set(character.body_names):
            return parts
    raise MotionError(
        f"{content.path}: BVH is read for the characters humanoid and smpl, not for "
        f"'{character.name}'; import it for one of these, and retarget that clip"
    )


def _preset(content: Content, actor: BvhClip, options: ImportOptions) -> tuple[str, Preset]:
    """The source that was told, or the only one whose joints the file has."""
    if options.preset and options.preset not in PRESETS:
        raise ConfigError(
            unknown_name_message("there is no preset", options.preset, PRESETS, "preset")
        )
    missing = {
        name: sorted(set(preset.joints.values()) - set(actor.names))
        for name, preset in PRESETS.items()
        if options.preset in ("", name)
    }
    fitting = [name for name, names in missing.items() if not names]
    if len(fitting) != 1:
        told = "; ".join(f"{name} lacks {', '.join(names)}" for name, names in missing.items())
        raise MotionError(
            f"{content.path} is of no known source: {told}. Its joints: {', '.join(actor.names)}"
        )
    return fitting[0], PRESETS[fitting[0]]


def _z_up(actor: BvhClip) -> tuple[Tensor, Tensor]:
    """World positions [T, K, 3] and rotations [T, K, 4] with z up, in the file's unit."""
    pos, rot = actor.world()
    turn = torch.tensor([0.5**0.5, 0.0, 0.0, 0.5**0.5], dtype=rot.dtype)  # y to z
    x, y, z = pos.unbind(-1)
    return torch.stack([x, -z, y], dim=-1), quat_multiply(turn.expand_as(rot), rot)


def _first_frame(
    content: Content, actor: BvhClip, joints: Mapping[str, int], pos: Tensor, rot: Tensor
) -> dict[str, Tensor]:
    """Rotations [4] of the parts in the first frame's T-pose, the actor facing +x."""
    left = pos[0, joints["left_thigh"]] - pos[0, joints["right_thigh"]]
    yaw = torch.atan2(-left[0], left[1])  # of a left that should point along y
    z = torch.tensor([0.0, 0.0, 1.0], dtype=rot.dtype)
    back = quat_from_axis_angle(z, -yaw)
    tpose = {part: quat_multiply(back, rot[0, joint]) for part, joint in joints.items()}
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for part, along in (("upper_arm", (0.0, sign, 0.0)), ("thigh", (0.0, 0.0, -1.0))):
            bone = _bone(actor, joints, f"{side}_{part}", tpose)
            if bone @ torch.tensor(along, dtype=bone.dtype) < math.cos(math.radians(25.0)):
                raise MotionError(
                    f"{content.path}: its first frame is no T-pose, which preset cmu needs: the "
                    f"{side} {part.replace('_', ' ')} points along {bone.numpy().round(2)}"
                )
    return tpose


def _bones_along_x(actor: BvhClip, joints: Mapping[str, int]) -> dict[str, Tensor]:
    """Rotations [4] of LAFAN1's parts in a T-pose that faces +x.

    The columns of each matrix are the joint's axes. Feet have no such matrix: they are flat where
    the toes, which stand along the ground, have their median angle.
    """
    up = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]  # x up, y forward, z left
    leg = [[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]]  # x down, y forward, z right
    toe = [[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]  # x forward, y up, z right
    left_arm = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]  # x left, y back, z up
    right_arm = [[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]  # x right, y back, z down
    axes = {part: up for part in joints}
    for side, arm in (("left", left_arm), ("right", right_arm)):
        axes.update({f"{side}_{part}": leg for part in ("thigh", "shin")})
        axes.update({f"{side}_{part}": toe for part in ("foot", "toe")})
        axes.update({f"{side}_{part}": arm for part in _ARM})
    tpose = {part: _from_matrix(torch.tensor(m, dtype=torch.float64)) for part, m in axes.items()}
    for side in ("left", "right"):
        turns = quat_to_exp_map(actor.rotations[:, joints[f"{side}_toe"]])
        flat = quat_from_exp_map(turns.median(dim=0).values)
        tpose[f"{side}_foot"] = quat_multiply(tpose[f"{side}_toe"], quat_conjugate(flat))
    return tpose


def _from_matrix(matrix: Tensor) -> Tensor:
    """The quaternion [4] of a rotation matrix [3, 3]."""
    xx, yy, zz = matrix.diagonal().unbind()
    squares = torch.stack([1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz])
    largest = int(squares.argmax())
    sums, differences = matrix + matrix.T, matrix - matrix.T
    x, y, z = -differences[1, 2], differences[0, 2], -differences[0, 1]
    rows = torch.stack(
        [
            torch.stack([squares[0], sums[0, 1], sums[0, 2], x]),
            torch.stack([sums[0, 1], squares[1], sums[1, 2], y]),
            torch.stack([sums[0, 2], sums[1, 2], squares[2], z]),
            torch.stack([x, y, z, squares[3]]),
        ]
    )
    return rows[largest] / rows[largest].norm()


_NEXT = {"thigh": "shin", "shin": "foot", "upper_arm": "lower_arm", "lower_arm": "hand"}


def _bone(
    actor: BvhClip, joints: Mapping[str, int], part: str, tpose: Mapping[str, Tensor]
) -> Tensor:
    """Direction [3] of a limb's bone in the T-pose."""
    side, _, limb = part.partition("_")
    offset = torch.from_numpy(actor.offsets[joints[f"{side}_{_NEXT[limb]}"]])
    return quat_rotate(tpose[part], offset / offset.norm())


def _leg_length(actor: BvhClip, joints: Mapping[str, int]) -> float:
    """From hip to ankle along the left leg, in the file's units."""
    return sum(
        float(np.linalg.norm(actor.offsets[joints[part]])) for part in ("left_shin", "left_foot")
    )


def _character_leg(character: Character, parts: Mapping[str, str]) -> float:
    """From hip to ankle along the character's left leg [m]."""
    bodies = {part: character.body_names.index(body) for body, part in parts.items()}
    return sum(
        float(np.linalg.norm(character.offsets[bodies[part]]))
        for part in ("left_shin", "left_foot")
    )


def _only_child(character: Character, body: str) -> Optional[int]:
    index = character.body_names.index(body)
    children = [child for child, parent in enumerate(character.parents) if parent == index]
    return children[0] if len(children) == 1 else None


def _followed(character: Character, wanted: Mapping[str, Tensor], root_pos: np.ndarray) -> Pose:
    """The pose in which bodies have their wanted rotations in the world, as far as joints allow.

    A body before a hinge twists about its bone until the hinge can bend the way it should; bodies
    that nobody moves follow their parents.
    """
    hinges = {
        character.parents[joint.body]: joint
        for joint in character.movable_joints
        if joint.kind is JointKind.HINGE
    }
    world: list[Tensor] = []
    joint_rot = np.zeros((len(root_pos), character.num_joints, 4))
    for body, name in enumerate(character.body_names):
        parent = character.parents[body]
        joint = character.joints[body - 1] if body else None
        if name not in wanted or (joint is not None and joint.kind is JointKind.FIXED):
            world.append(world[parent])
        elif joint is not None and joint.kind is JointKind.HINGE:
            _, angle = _bend(character, body, world[parent], wanted[name])
            axis = torch.tensor(joint.axis, dtype=angle.dtype).expand(len(angle), 3)
            world.append(quat_multiply(world[parent], quat_from_axis_angle(axis, angle)))
        else:
            own = wanted[name]
            if body in hinges:
                hinge = hinges[body].body
                twist, _ = _bend(character, hinge, own, wanted[character.body_names[hinge]])
                own = quat_multiply(own, twist)
            world.append(own)
        if body:
            local = quat_multiply(quat_conjugate(world[parent]), world[body])
            joint_rot[:, body - 1] = local.numpy()
    return Pose(root_pos, world[0].numpy(), joint_rot)


def _bend(character: Character, body: int, above: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """How a hinge brings its body's bone to where it should point.

    Args:
        body: the hinge's. above, wanted: [T, 4] in the world: rotations of the parent and the body.

    Returns:
        The twist [T, 4] of the parent about its own bone that puts the bone into the hinge's plane,
        fading out for a straight limb, and the hinge's angle [T] rad without such a twist.
    """
    child = _only_child(character, character.body_names[body])
    assert child is not None  # of an elbow, a hand; of a knee, a foot
    bone = torch.from_numpy(character.offsets[child] / np.linalg.norm(character.offsets[child]))
    along = torch.from_numpy(character.offsets[body] / np.linalg.norm(character.offsets[body]))
    axis = torch.tensor(character.joints[body - 1].axis, dtype=bone.dtype)
    side = torch.linalg.cross(axis, bone)  # where a small positive angle takes the bone
    aim = quat_rotate(
        quat_conjugate(above), quat_rotate(wanted, bone.expand(len(wanted), 3))
    )  # [T, 3] in the parent
    angle = torch.atan2(aim @ side, aim @ bone)
    off = torch.atan2(aim @ torch.linalg.cross(along, side), aim @ side)
    off = torch.where(off.abs() > math.pi / 2, off - math.pi * off.sign(), off)  # bends either way
    bent = (aim - (aim @ along)[:, None] * along).norm(dim=-1)
    fade = (bent / _FADE).clamp_max(1.0)
    fade = fade * fade * (3.0 - 2.0 * fade)
    return quat_from_axis_angle(along.expand(len(aim), 3), fade * off), angle
