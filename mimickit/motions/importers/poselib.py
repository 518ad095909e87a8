"""Reads poselib's SkeletonMotion .npy clips (AMP, ASE) as clips of the humanoids.

Layout: a pickled dict of `rotation` (T, nodes, 4) as (x, y, z, w), each in its parent,
`root_translation` (T, 3) m, `skeleton_tree` (`node_names`, `parent_indices`, `local_translation`
m), `fps`, `is_local`; arrays are {`arr`, `context`}. The skeletons have our bodies' names, with
15 nodes or, with sword and shield, 17; but their arms hang at rest. Sources:
isaac-sim/IsaacGymEnvs assets/amp; nv-tlabs/ASE.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind
from mimickit.errors import MotionError
from mimickit.geometry.quaternion import (
    quat_conjugate,
    quat_from_axis_angle,
    quat_multiply,
    quat_rotate,
    quat_twist_angle,
)
from mimickit.motions.clip import Clip
from mimickit.motions.importers.agreement import agreeing
from mimickit.motions.importers.content import Content
from mimickit.motions.importers.poses import (
    ImportOptions,
    Pose,
    make_clip,
    numbers,
    rest_turn,
    xyzw,
)

KEYS = ("rotation", "root_translation", "skeleton_tree", "fps")


def recognise_poselib(content: Content) -> Optional[str]:
    """Why the content is a SkeletonMotion; None if it is not."""
    return f"an object array with {', '.join(KEYS)}" if content.has(*KEYS) else None


def read_poselib(content: Content, character: Character, options: ImportOptions) -> list[Clip]:
    """Read one SkeletonMotion; hinges keep the part of a rotation that is about their axis.

    Raises:
        MotionError: it is damaged, or its skeleton is not the character's.
    """
    path, value = content.path, content.value
    tree = value["skeleton_tree"]
    nodes = tree.get("node_names") if isinstance(tree, dict) else None
    if not isinstance(nodes, list) or set(nodes) != set(character.body_names):
        raise MotionError(
            f"{path} is not for character '{character.name}': its nodes are "
            f"{', '.join(map(str, nodes or [])) or 'not named'}; the character's bodies are "
            f"{', '.join(character.body_names)}"
        )
    if not value.get("is_local", True):
        raise MotionError(f"{path} holds rotations in the world; local ones are needed")
    count = len(nodes)
    rotation = numbers(path, "rotation", _array(value["rotation"]), (None, count, 4))
    frames = len(rotation)
    root_pos = numbers(path, "root_translation", _array(value["root_translation"]), (frames, 3))
    parents = numbers(path, "parent_indices", _array(tree.get("parent_indices")), (count,))
    offsets = numbers(path, "local_translation", _array(tree.get("local_translation")), (count, 3))
    # From here on in the character's order of bodies.
    order = [nodes.index(name) for name in character.body_names]
    own = [character.body_names[p] if p >= 0 else "" for p in character.parents]
    if own != [nodes[int(parents[i])] if parents[i] >= 0 else "" for i in order]:
        raise MotionError(f"{path} is not for character '{character.name}': nodes hang otherwise")
    rot = torch.from_numpy(xyzw(path, "rotation", rotation, "xyzw")[:, order])
    their_offsets = torch.from_numpy(offsets[order])
    body_pos = _positions(character, torch.from_numpy(root_pos), rot, their_offsets)
    rest = _rest_turns(character, their_offsets)
    parent_rest = torch.stack([rest[max(p, 0)] for p in character.parents])
    parent_rest[0] = torch.tensor([0.0, 0.0, 0.0, 1.0])
    ours = quat_multiply(quat_multiply(quat_conjugate(parent_rest), rot), rest)
    turned = _on_hinges(character, ours[:, 1:])
    pose = Pose(root_pos, ours[:, 0].numpy(), turned.numpy())
    _, note = agreeing(
        path, character, {"as read": pose}, body_pos, options.tolerance, "", character.body_names
    )
    return [make_clip(content, character, options, pose, value["fps"], notes=[note])]


def _array(value: Any) -> Any:
    """The array of poselib's {`arr`, `context`}."""
    return value.get("arr") if isinstance(value, dict) else value


def _positions(character: Character, root_pos: Tensor, rot: Tensor, offsets: Tensor) -> np.ndarray:
    """Where the file's own skeleton puts the bodies, [T, B, 3] m."""
    pos, world = [root_pos], [rot[:, 0]]
    for body in range(1, character.num_bodies):
        parent = character.parents[body]
        pos.append(pos[parent] + quat_rotate(world[parent], offsets[body].expand_as(root_pos)))
        world.append(quat_multiply(world[parent], rot[:, body]))
    return torch.stack(pos, dim=1).numpy()


def _rest_turns(character: Character, offsets: Tensor) -> Tensor:
    """Turns [B, 4] from our body frames at rest to theirs.

    The shortest that bring our bone to an only child onto theirs; bodies with several children must
    lie as ours do, and those without turn with their parents.
    """
    turns = torch.zeros(character.num_bodies, 4, dtype=torch.float64)
    turns[:, 3] = 1.0
    for body in range(1, character.num_bodies):
        children = [child for child, p in enumerate(character.parents) if p == body]
        if not children:
            turns[body] = turns[character.parents[body]]
        elif len(children) == 1:
            ours = torch.from_numpy(character.offsets[children[0]])
            turns[body] = rest_turn(ours, offsets[children[0]])
    return turns


def _on_hinges(character: Character, rot: Tensor) -> Tensor:
    """Joint rotations [T, J, 4] without what the joints cannot do."""
    rot = rot.clone()
    for joint in character.joints:
        column = joint.body - 1
        if joint.kind is JointKind.FIXED:
            rot[:, column] = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=rot.dtype)
        elif joint.kind is JointKind.HINGE:
            axis = torch.tensor(joint.axis, dtype=rot.dtype).expand(len(rot), 3)
            rot[:, column] = quat_from_axis_angle(axis, quat_twist_angle(rot[:, column], axis))
    return rot
