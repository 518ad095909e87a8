"""States and environments for tests, with the settings of conf/task/imitate.yaml."""

from __future__ import annotations

import torch

from mimickit.characters import Kinematics
from mimickit.envs.actions import AbsoluteActions
from mimickit.envs.env import Env
from mimickit.geometry.quaternion import quat_multiply, quat_normalize, quat_rotate
from mimickit.motions import resolve_motions
from mimickit.motions.library import MotionLibrary
from mimickit.state import CharacterState
from mimickit.tasks import Imitate

DT = 1.0 / 30.0
WEIGHTS = {
    "pose": 0.5, "velocity": 0.1, "root_pose": 0.15, "root_velocity": 0.1, "key_position": 0.15,
}  # fmt: skip
SCALES = {
    "pose": 0.25, "velocity": 0.01, "root_pose": 5.0, "root_velocity": 1.0, "key_position": 10.0,
}  # fmt: skip


def random_state(character, num, seed=0, height=1.0):
    """States of any heading, consistent in their bodies, with velocities and small forces."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    kinematics = Kinematics(character)
    root_pos = normal(num, 3)
    root_pos[:, 2] += height
    root_rot = quat_normalize(normal(num, 4))
    joint_rot = kinematics.dof_to_rot(0.5 * normal(num, character.num_dofs))
    body_pos, body_rot = kinematics.forward(root_pos, root_rot, joint_rot)
    return CharacterState(
        root_pos=root_pos,
        root_rot=root_rot,
        root_vel=normal(num, 3),
        root_ang_vel=normal(num, 3),
        joint_rot=joint_rot,
        dof_vel=normal(num, character.num_dofs),
        body_pos=body_pos,
        body_rot=body_rot,
        contact_force=torch.zeros(num, character.num_bodies, 3),
    )


def moved(state, turn, shift):
    """The whole state turned by [4] about the origin and shifted by [3]."""
    return CharacterState(
        root_pos=quat_rotate(turn, state.root_pos) + shift,
        root_rot=quat_multiply(turn, state.root_rot),
        root_vel=quat_rotate(turn, state.root_vel),
        root_ang_vel=quat_rotate(turn, state.root_ang_vel),
        joint_rot=state.joint_rot,
        dof_vel=state.dof_vel,
        body_pos=quat_rotate(turn, state.body_pos) + shift,
        body_rot=quat_multiply(turn, state.body_rot),
        contact_force=quat_rotate(turn, state.contact_force),
    )


def make_task(character, motion="walk", num=4, seed=0, **changes):
    library = MotionLibrary(character, resolve_motions(motion, character))
    settings = {
        "episode_length_s": 10.0,
        "random_start": True,
        "global_frame": True,
        "root_height": True,
        "target_steps": [1, 2, 3],
        "tracking_error": False,
        "phase": None,
        "reward_weights": WEIGHTS,
        "reward_scales": SCALES,
        "pose_termination": True,
        "termination_distance": 1.0,
        "contact_termination": True,
        "contact_force": 0.1,
    }
    generator = torch.Generator().manual_seed(seed)
    return Imitate(character, library, num, DT, generator, **{**settings, **changes})


def make_env(character, motion="walk", num=4, seed=0, actions=None, mode="pos", hold=1, **changes):
    from mimickit.engines.mujoco import MujocoEngine

    engine = MujocoEngine(character, num, control_mode=mode, threads=1)
    task = make_task(character, motion, num, seed, **changes)
    return Env(engine, task, actions or AbsoluteActions(character, mode), hold=hold)


def same_bits(a, b, rows=slice(None)):
    return all(torch.equal(x[rows], getattr(b, name)[rows]) for name, x in vars(a).items())
