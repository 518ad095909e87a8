"""Makes tiny motion files of foreign layouts, and says where a clip puts the bodies."""

from __future__ import annotations

import pickle

import numpy as np
import torch

from mimickit.characters import Kinematics
from mimickit.geometry.quaternion import quat_from_exp_map
from mimickit.motions.importers.agreement import body_positions
from mimickit.motions.importers.poses import Pose, pose_from_dofs

FRAMES = 12


def positions(clip, character) -> np.ndarray:
    """[T, B, 3] m."""
    return body_positions(
        character, Pose(clip.root_pos, clip.root_rot, clip.joint_rot_for(character))
    )


def dofs_of(clip, character) -> np.ndarray:
    """[T, D] rad."""
    rot = torch.from_numpy(clip.joint_rot_for(character)).double()
    return Kinematics(character, dtype=torch.float64).rot_to_dof(rot).numpy()


def walk(character, seed=0, joints=None):
    """A made-up walk: root_pos [T, 3], root_rot [T, 4] upright, dofs [T, D] of the named joints."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0.0, 1.0, FRAMES)[:, None]
    joints = joints or [joint.name for joint in character.movable_joints]
    kinds = {joint.name: joint.kind.value for joint in character.movable_joints}
    count = sum(kinds[name] for name in joints)
    dofs = rng.uniform(-0.5, 0.5, count) + 0.2 * np.sin(6.0 * time + rng.uniform(0, 6, count))
    root_pos = np.hstack([time, 0.1 * time, 0.75 + 0.02 * time])
    turns = np.hstack(
        [0.05 * time, 0.1 - 0.1 * time, 1.4 + 0.3 * time]
    )  # left of x: see `standing`
    root_rot = quat_from_exp_map(torch.from_numpy(turns)).numpy()
    return root_pos, root_rot, dofs


def walk_pose(character, joints=None, **more):
    """The same as a `Pose`."""
    joints = joints or [joint.name for joint in character.movable_joints]
    root_pos, root_rot, dofs = walk(character, joints=joints, **more)
    return pose_from_dofs(character, root_pos, root_rot, dofs, joints)


def wxyz(quaternions):
    return np.roll(quaternions, 1, axis=-1)


# How Python pickles an enum's member: its class called with its value, or, from 3.11.0 to 3.11.3,
# an attribute of its class.
ENUM_PICKLES = {
    "called": lambda member, protocol: (type(member), (member.value,)),
    "looked up": lambda member, protocol: (getattr, (type(member), member.name)),
}


def write_pickle(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def write_csv(path, root_pos, root_rot, dofs, header=""):
    np.savetxt(
        path, np.hstack([root_pos, root_rot, dofs]), delimiter=",", header=header, comments=""
    )
    return path


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments
