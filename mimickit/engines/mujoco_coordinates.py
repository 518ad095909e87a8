"""MuJoCo's coordinates turned into characters' poses and velocities, in numpy.

After physics nothing of torch is left in a processor's caches, and there its operations cost twice
what numpy's do; for a few dozen envs that is what counts. Arrays have the envs last, so that
operations run along them: with thousands it takes a third of the time of rows per env.
Legend: N envs, B bodies, J joints, H hinges, L bodies of one depth in the tree.
"""

from __future__ import annotations

import numpy as np

from mimickit.characters import Character, JointKind

XYZW = [1, 2, 3, 0]  # where x, y, z, w lie in MuJoCo's (w, x, y, z)
ROOT = 7  # coordinates of the root, in front of the joints'

# The product p q of quaternions (x, y, z, w): each component is the sum of those of p times these
# components of q. Hamilton.
_FACTORS = np.array([[3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2], [0, 1, 2, 3]])
_NEXT, _LAST = np.array([1, 2, 0]), np.array([2, 0, 1])  # y, z, x and z, x, y
_SIGNS = np.array([[1, 1, -1, 1], [-1, 1, 1, 1], [1, -1, 1, 1], [-1, -1, -1, 1]], np.float32)


class Coordinates:
    """Where the joints of a character lie in qpos, and how they move its bodies.

    Attributes:
        ball_joints, hinge_joints: which joints they are. ball_qpos: [balls, 4] columns of their
            quaternions x, y, z, w. hinge_qpos: [H] columns of their angles. hinge_axes: [H, 3].
    """

    def __init__(self, character: Character) -> None:
        balls, hinges, address = [], [], ROOT
        for joint in character.movable_joints:
            if joint.kind is JointKind.BALL:
                balls.append((joint.body - 1, address))
                address += 4
            else:
                hinges.append((joint.body - 1, address))
                address += 1
        columns = np.array(balls, dtype=np.intp).reshape(-1, 2)
        self.ball_joints = columns[:, 0]
        self.ball_qpos = columns[:, 1:] + np.array(XYZW, dtype=np.intp)
        columns = np.array(hinges, dtype=np.intp).reshape(-1, 2)
        self.hinge_joints, self.hinge_qpos = columns[:, 0], columns[:, 1]
        axes = [character.joints[joint].axis for joint, _ in hinges]
        self.hinge_axes = np.array(axes, dtype=np.float32).reshape(-1, 3)

        self._num_joints = character.num_joints
        depths = [0]
        for parent in character.parents[1:]:
            depths.append(depths[parent] + 1)
        # Bodies by depth, so that those of one depth are neighbours.
        order = np.argsort(depths, kind="stable")
        self._joints = order[1:] - 1
        self._places = np.argsort(order)  # of the bodies in this order
        self._parents = self._places[np.array(character.parents)[order[1:]]]  # [J]
        edges = np.cumsum(np.bincount(depths)).tolist()
        self._levels = list(zip(edges, edges[1:]))  # from and to which body in this order
        # Of each body in its parent: [3, J, 1], and [4, J, 1] where any is turned.
        self._offsets = np.array(character.offsets, np.float32)[order[1:]].T[..., None]
        rotations = np.array(character.rotations, np.float32)[order[1:]].T[..., None]
        straight = (rotations[:3] == 0).all()
        self._rotations = None if straight else rotations

    def joint_rot(self, qpos: np.ndarray) -> np.ndarray:
        """Joint rotations [4, J, N] of coordinates [nq, N]."""
        rot = np.zeros((4, self._num_joints, qpos.shape[1]), dtype=np.float32)
        rot[3] = 1.0
        rot[:, self.ball_joints] = qpos[self.ball_qpos.T]
        if len(self.hinge_joints) > 0:
            half = 0.5 * qpos[self.hinge_qpos]
            rot[:3, self.hinge_joints] = np.sin(half) * self.hinge_axes.T[..., None]
            rot[3, self.hinge_joints] = np.cos(half)
        return rot

    def bodies(
        self, root_pos: np.ndarray, root_rot: np.ndarray, joint_rot: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Places [3, B, N] m and rotations [4, B, N] of all bodies.

        Args:
            root_pos: [3, N]. root_rot: [4, N]. joint_rot: [4, J, N].
        """
        turns = _multiplications(joint_rot[:, self._joints])
        if self._rotations is not None:
            turns = _multiplications(_times(self._rotations, turns))
        shape = (self._num_joints + 1, root_pos.shape[-1])
        pos = np.empty((3, *shape), dtype=np.float32)
        rot = np.empty((4, *shape), dtype=np.float32)
        pos[:, 0], rot[:, 0] = root_pos, root_rot
        for first, end in self._levels:
            above = rot[:, self._parents[first - 1 : end - 1]]
            rot[:, first:end] = _times(above, turns[:, :, first - 1 : end - 1])
        steps = rotate(rot[:, self._parents], self._offsets)
        for first, end in self._levels:
            above = pos[:, self._parents[first - 1 : end - 1]]
            pos[:, first:end] = above + steps[:, first - 1 : end - 1]
        return pos[:, self._places], rot[:, self._places]


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Vectors v [3, ...] turned by quaternions q [4, ...] (x, y, z, w); v may broadcast."""
    following, last = q[_NEXT], q[_LAST]  # of q x v = following * v[_LAST] - last * v[_NEXT]
    t = 2.0 * (following * v[_LAST] - last * v[_NEXT])
    return v + q[3] * t + (following * t[_LAST] - last * t[_NEXT])


def _multiplications(q: np.ndarray) -> np.ndarray:
    """Multiplication from the right by q [4, ...] as matrices [4, 4, ...], for `_times`."""
    return q[_FACTORS] * _SIGNS.reshape(4, 4, *(1,) * (q.ndim - 1))


def _times(p: np.ndarray, multiplications: np.ndarray) -> np.ndarray:
    """Products [4, ...] of p [4, ...] and of the quaternions behind `_multiplications`."""
    return (p * multiplications).sum(1)
