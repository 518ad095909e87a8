"""Inverse kinematics frame by frame, with mink: the pose whose parts are nearest to their targets.

Legend: T frames, J joints, D dofs.
"""

from __future__ import annotations

from collections.abc import Iterable

import mink
import mujoco
import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind, Kinematics
from mimickit.motions.retargeting.parts import Parts
from mimickit.motions.retargeting.poses import Pose, reachable
from mimickit.motions.retargeting.targets import Targets

ITERATIONS = 12  # at most, per frame
SETTLED = 1e-3  # [m or rad] a frame is solved when no coordinate moves farther in an iteration
SOLVER = "daqp"

# What a metre and a radian of error cost, per part. Feet first: contact is what physics notices.
COSTS = {
    "pelvis": (4.0, 2.0),
    "torso": (0.0, 1.0),
    "head": (0.0, 0.5),
    "upper_arm": (0.0, 0.5),
    "forearm": (0.0, 0.5),
    "hand": (2.0, 0.2),
    "thigh": (0.0, 0.2),
    "shin": (0.0, 0.2),
    "foot": (20.0, 0.5),
}
STANDING = (40.0, 4.0)  # what a foot on the ground costs instead
MOVE_COST = 0.01  # of a joint's motion between two frames [1/rad^2]
REST_COST = 0.05  # of a radian away from the posture asked for
DAMPING = 1e-3


def solve(targets: Targets, parts: Parts) -> Pose:
    """The poses whose parts come nearest to their targets, within joint limits.

    A robot's arm has several ways to hold its hand somewhere, and one that was good for long may
    end at a limit. So each frame is solved from the frame before, from the frame after and from
    the T-pose; of these, the course is taken that misses its targets and moves its joints least.
    """
    solver = _Solver(targets, parts)
    dofs = Kinematics(parts.character, dtype=torch.float64).rot_to_dof(parts.t_pose_rot)
    pelvis = targets.parts["pelvis"]
    rest = Pose(pelvis.pos, pelvis.rot, dofs.expand(len(pelvis.pos), len(dofs)))
    frames = range(len(pelvis.pos))
    found = [
        solver.run(frames, rest, REST_COST, chained=True),
        solver.run(frames[::-1], rest, REST_COST, chained=True),
        solver.run(frames, rest, REST_COST, chained=False),
    ]
    choice = _cheapest_course(
        np.stack([cost for _, cost in found]),
        np.stack([pose.dof_pos.numpy() for pose, _ in found]),
    )
    poses = [pose for pose, _ in found]

    def chosen(name: str) -> Tensor:
        return torch.stack([getattr(poses[c], name)[t] for t, c in enumerate(choice)])

    return Pose(chosen("root_pos"), chosen("root_rot"), chosen("dof_pos"))


def solve_near(targets: Targets, parts: Parts, start: Pose, stay_cost: float) -> Pose:
    """As `solve`, each frame by itself and close to a given pose.

    Args:
        stay_cost: of a radian away from `start`.
    """
    return _Solver(targets, parts).run(range(len(start.root_pos)), start, stay_cost, False)[0]


def _cheapest_course(costs: np.ndarray, dofs: np.ndarray) -> list[int]:
    """Which of K candidates to take in each frame, by dynamic programming.

    Args:
        costs: [K, T]. dofs: [K, T, D] rad.
    """
    total = costs[:, 0]
    came_from = []
    for frame in range(1, costs.shape[1]):
        moved = np.square(dofs[:, None, frame - 1] - dofs[None, :, frame]).sum(-1)  # [from, to]
        through = total[:, None] + MOVE_COST * moved
        came_from.append(through.argmin(0))
        total = through.min(0) + costs[:, frame]
    course = [int(total.argmin())]
    for step in reversed(came_from):
        course.append(int(step[course[-1]]))
    return course[::-1]


class _Solver:
    """Tasks and limits of one retargeting, for any order of its frames."""

    def __init__(self, targets: Targets, parts: Parts) -> None:
        self.targets = targets
        self.body = _Body(parts.character)
        self.tasks = {
            part: mink.FrameTask(
                parts.character.body_names[parts.bodies[part]],
                "body",
                *COSTS[part.replace("left_", "").replace("right_", "")],
            )
            for part in targets.parts
        }
        model = self.body.model
        self.limits = [
            mink.ConfigurationLimit(model, 1.0),
            ExpMapLimit(parts.character, model),
        ]

    def run(
        self, frames: Iterable[int], start: Pose, stay_cost: float, chained: bool
    ) -> tuple[Pose, np.ndarray]:
        """Solve frames in the given order, and say what each pose costs, [T].

        Args:
            start: poses to start from, and to stay near at `stay_cost` per radian.
            chained: start from the frame solved before instead.
        """
        body = self.body
        posture = mink.PostureTask(body.model, cost=body.per_joint_cost(stay_cost))
        configuration = mink.Configuration(body.model)
        solved = np.zeros((len(start.root_pos), body.model.nq))
        found = np.zeros(len(solved))
        for number, frame in enumerate(frames):
            for part, task in self.tasks.items():
                target = self.targets.parts[part]
                task.set_target(_se3(target.pos[frame], target.rot[frame]))
            for foot, stands in self.targets.stands.items():
                share = float(stands[frame])
                costs = np.array(COSTS["foot"]) * (1.0 - share) + np.array(STANDING) * share
                self.tasks[foot].set_position_cost(costs[0])
                self.tasks[foot].set_orientation_cost(costs[1])
            begin = body.qpos(start.root_pos[frame], start.root_rot[frame], start.dof_pos[frame])
            posture.set_target(begin)
            if number == 0 or not chained:
                configuration.update(begin)
            for _ in range(ITERATIONS):
                velocity = mink.solve_ik(
                    configuration,
                    [*self.tasks.values(), posture],
                    1.0,
                    SOLVER,
                    DAMPING,
                    limits=self.limits,
                )
                configuration.integrate_inplace(velocity, 1.0)
                if np.abs(velocity).max() < SETTLED:
                    break
            solved[frame] = configuration.q
            found[frame] = sum(
                np.square(task.cost * task.compute_error(configuration)).sum()
                for task in self.tasks.values()
            )
        return body.pose(solved), found


class ExpMapLimit(mink.Limit):
    """Keeps each component of the exp maps of ball joints within the character's limits.

    The exp map e of a rotation that turns further by w in the child frame changes by J(e)^-1 w, J
    the right Jacobian of SO(3). Source: Sola et al. 2018, "A micro Lie theory", eq. 144.
    """

    def __init__(self, character: Character, model: mujoco.MjModel) -> None:
        self.balls = []
        for joint in character.movable_joints:
            if joint.kind is JointKind.BALL:
                number = model.joint(joint.name).id
                low, high = reachable(joint).T
                self.balls.append(
                    (
                        int(model.jnt_qposadr[number]),
                        int(model.jnt_dofadr[number]),
                        low,
                        high,
                    )
                )

    def compute_qp_inequalities(
        self, configuration: mink.Configuration, dt: float
    ) -> mink.Constraint:
        """Rows G dq <= h; dt is not used."""
        del dt
        if not self.balls:
            return mink.Constraint()
        nv = configuration.model.nv
        matrix = np.zeros((6 * len(self.balls), nv))
        bound = np.zeros(6 * len(self.balls))
        for row, (q, v, low, high) in enumerate(self.balls):
            exp_map = np.empty(3)
            mujoco.mju_quat2Vel(exp_map, configuration.q[q : q + 4], 1.0)
            jacobian = _inverse_right_jacobian(exp_map)
            matrix[6 * row : 6 * row + 3, v : v + 3] = jacobian
            matrix[6 * row + 3 : 6 * row + 6, v : v + 3] = -jacobian
            bound[6 * row : 6 * row + 3] = high - exp_map
            bound[6 * row + 3 : 6 * row + 6] = exp_map - low
        return mink.Constraint(G=matrix, h=bound)


def _inverse_right_jacobian(exp_map: np.ndarray) -> np.ndarray:
    angle = float(np.linalg.norm(exp_map))
    x, y, z = exp_map
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    if angle < 1e-4:
        return np.eye(3) + 0.5 * cross
    factor = 1.0 / angle**2 - (1.0 + np.cos(angle)) / (2.0 * angle * np.sin(angle))
    return np.eye(3) + 0.5 * cross + factor * cross @ cross


class _Body:
    """A character compiled by MuJoCo, and the way between its coordinates and ours."""

    def __init__(self, character: Character) -> None:
        self.character = character
        self.kinematics = Kinematics(character, dtype=torch.float64)
        self.model = mujoco.MjModel.from_xml_path(str(character.model))
        root = self.model.body(character.body_names[0]).jntadr[0]
        self.root = int(self.model.jnt_qposadr[root])
        self.root_dof = int(self.model.jnt_dofadr[root])
        for joint in character.movable_joints:
            number = self.model.joint(joint.name).id
            hinge = joint.kind is JointKind.HINGE
            self.model.jnt_limited[number] = hinge  # of balls, see `ExpMapLimit`
            if hinge:
                self.model.jnt_range[number] = reachable(joint)[0]

    def per_joint_cost(self, cost: float) -> np.ndarray:
        """The cost [nv] for all coordinates but the root's."""
        costs = np.full(self.model.nv, cost)
        costs[self.root_dof : self.root_dof + 6] = 0.0
        return costs

    def qpos(self, root_pos: Tensor, root_rot: Tensor, dof_pos: Tensor) -> np.ndarray:
        """MuJoCo's coordinates [nq] of one pose."""
        qpos = self.model.qpos0.copy()
        qpos[self.root : self.root + 3] = root_pos.numpy()
        qpos[self.root + 3 : self.root + 7] = root_rot.numpy()[[3, 0, 1, 2]]
        rot = self.kinematics.dof_to_rot(dof_pos)
        for joint in self.character.movable_joints:
            address = self.model.joint(joint.name).qposadr[0]
            if joint.kind is JointKind.HINGE:
                qpos[address] = float(dof_pos[joint.dofs.start])
            else:
                qpos[address : address + 4] = rot[joint.body - 1].numpy()[[3, 0, 1, 2]]
        return qpos

    def pose(self, qpos: np.ndarray) -> Pose:
        """Our coordinates of poses [T, nq]."""
        rows = torch.from_numpy(qpos)
        joint_rot = torch.zeros(len(rows), self.character.num_joints, 4, dtype=torch.float64)
        joint_rot[..., 3] = 1.0
        hinges = {}
        for joint in self.character.movable_joints:
            address = int(self.model.joint(joint.name).qposadr[0])
            if joint.kind is JointKind.HINGE:
                hinges[joint.dofs.start] = rows[:, address]
            else:
                joint_rot[:, joint.body - 1] = rows[:, [address + i for i in (1, 2, 3, 0)]]
        dof_pos = self.kinematics.rot_to_dof(joint_rot)
        for dof, angles in hinges.items():
            dof_pos[:, dof] = angles
        place = self.root
        return Pose(
            rows[:, place : place + 3], rows[:, [place + 3 + i for i in (1, 2, 3, 0)]], dof_pos
        )


def _se3(pos: Tensor, rot: Tensor) -> mink.SE3:
    return mink.SE3.from_rotation_and_translation(mink.SO3(rot.numpy()[[3, 0, 1, 2]]), pos.numpy())
