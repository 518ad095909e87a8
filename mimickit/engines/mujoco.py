"""MuJoCo on the CPU: N worlds in C by `mujoco.batch.Batch`, the same bits on any threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind, Kinematics
from mimickit.engines.engine import check_control_mode, default_state, substeps
from mimickit.errors import ConfigError, EngineError
from mimickit.geometry.quaternion import quat_rotate, quat_rotate_inverse
from mimickit.objects import ObjectSpec, free_objects
from mimickit.state import CharacterState, ObjectState

# The parts of a world's state that its future depends on.
_STATE_FIELDS = (
    "time", "qpos", "qvel", "qacc_warmstart", "ctrl", "qfrc_applied", "xfrc_applied",
)  # fmt: skip
# What `write` sets of a character; the rest follows from it.
_WRITTEN = ("root_pos", "root_rot", "root_vel", "root_ang_vel", "joint_rot", "dof_vel")
# What `write_objects` sets of an object.
_OBJECT_WRITTEN = ("pos", "rot", "vel", "ang_vel")
_XYZW = [1, 2, 3, 0]  # where x, y, z, w lie in MuJoCo's (w, x, y, z)
_WXYZ = [3, 0, 1, 2]
_ALL = slice(None)


class MujocoEngine:
    """See `mimickit.engines.engine.Engine`.

    Args:
        character: what to simulate.
        num_envs: N.
        control_hz, sim_hz: control and simulation rates [Hz]; the second a multiple of the first.
        control_mode: what a command means.
        threads: worker threads; 0 takes all processors. Results do not depend on it.
        solver_iterations: most contact solver iterations per substep.
        objects: what else there is in each world.

    Raises:
        ConfigError, IncompatibleParts: a rate or mode cannot work. EngineError: MuJoCo is missing
            or too old.
    """

    provides = frozenset({"contact_force", "objects"})

    def __init__(
        self,
        character: Character,
        num_envs: int,
        control_hz: float = 30.0,
        sim_hz: float = 120.0,
        control_mode: str = "pos",
        threads: int = 0,
        solver_iterations: int = 100,
        objects: Sequence[ObjectSpec] = (),
    ) -> None:
        if num_envs < 1:
            raise ConfigError(f"num_envs must be at least 1, got {num_envs}")
        if threads < 0:
            raise ConfigError(f"engine.threads must be >= 0 (0 = all processors), got {threads}")
        if solver_iterations < 1:
            raise ConfigError(
                f"engine.solver_iterations must be at least 1, got {solver_iterations}"
            )
        self._substeps = substeps(control_hz, sim_hz)
        check_control_mode(control_mode, character)
        try:
            import mujoco
            from mujoco.batch import Batch

            from mimickit.engines.mujoco_model import build_model
        except ImportError as error:
            raise EngineError(
                f"engine=mujoco needs MuJoCo 4.0 on Python 3.11 or later ({error}): "
                "pip install mujoco==4.0.0"
            ) from None
        self.character = character
        self.num_envs = num_envs
        self.control_mode = control_mode
        self.control_dt = 1.0 / control_hz
        self.sim_dt = 1.0 / sim_hz
        self.device = torch.device("cpu")
        self.object_specs = tuple(objects)
        self.model = build_model(
            character, self.sim_dt, control_mode, solver_iterations, objects=self.object_specs
        )
        self._batch = Batch(self.model, num_envs, nthread=threads)
        # After a step nothing that MuJoCo derives from the new state is needed: our own kinematics
        # give the body poses of all worlds for less than its position stage costs, and ground
        # forces are those of the last substep. Of the few worlds of a write it costs less.
        self._no_stage = mujoco.mjtStage.mjSTAGE_NONE
        self._position_stage = mujoco.mjtStage.mjSTAGE_POS
        self._bad = [
            int(getattr(mujoco.mjtWarning, f"mjWARN_BAD{what}"))
            for what in ("QPOS", "QVEL", "QACC", "CTRL")
        ]

        self.state = CharacterState.zeros(num_envs, character.num_bodies, character.num_dofs)
        self.diverged = torch.zeros(num_envs, dtype=torch.bool)
        # The same memory for numpy: a tensor's `numpy()` costs more than most uses of it.
        self._arrays = {name: tensor.numpy() for name, tensor in vars(self.state).items()}
        self._has_diverged = self.diverged.numpy()
        self._fields = {name: self._batch.bind(name) for name in _STATE_FIELDS}
        self._sensors = self._batch.bind("sensordata")
        self._body_pos, self._body_rot = self._batch.bind("xpos"), self._batch.bind("xquat")
        self._index_joints()
        self._bind_objects()
        # In mode none MuJoCo has no actuators and a command has nowhere to go.
        self._ctrl = None if control_mode == "none" else self._fields["ctrl"]
        self._kinematics = Kinematics(character)
        everyone = torch.ones(num_envs, dtype=torch.bool)
        self.write(everyone, default_state(character, self._kinematics, num_envs))

    def command(self, command: Tensor) -> None:
        if self._ctrl is not None:
            np.copyto(self._ctrl, command.numpy())

    def step(self) -> None:
        self._batch.step(nstep=self._substeps, stage=self._no_stage)
        # MuJoCo counts bad numbers, a command's included, and puts such worlds at rest somewhere
        # within the step; a reset clears its counters.
        warnings = self._batch.warning[..., 1]
        self._has_diverged[:] = False
        if warnings.any():
            blown_up = warnings[:, self._bad].any(-1).nonzero()[0]
            self._batch.reset(blown_up, stage=self._no_stage)
            self._has_diverged[blown_up] = True
        self._refresh()
        forces = self._sensors.reshape(self.num_envs, -1, 3)
        bodies = self.character.num_bodies
        self._arrays["contact_force"][:] = forces[:, :bodies]
        if self._has_objects:
            self._read_objects(_ALL)
            touches = self._object_arrays["contact_force"]
            touches[:] = forces[:, bodies:].reshape(touches.shape)

    def write(self, mask: Tensor, state: CharacterState) -> None:
        rows = mask.numpy().nonzero()[0]
        if len(rows) == 0:
            return
        root_pos, root_rot, root_vel, root_ang_vel, joint_rot, dof_vel = (
            getattr(state, name).numpy()[rows] for name in _WRITTEN
        )
        turn, spin = torch.from_numpy(root_rot), torch.from_numpy(root_ang_vel)
        pos = np.empty((len(rows), self.model.nq))
        pos[:, :3] = root_pos
        pos[:, 3:7] = root_rot[:, _WXYZ]
        pos[:, self._ball_qpos] = joint_rot[:, self._ball_joint]
        hinges = joint_rot[:, self._hinge_joint]
        sine, cosine = (hinges[..., :3] * self._hinge_axis).sum(-1), hinges[..., 3]
        angles = 2.0 * np.arctan2(np.where(cosine < 0, -sine, sine), np.abs(cosine))
        pos[:, self._hinge_qpos] = angles
        pos[:, self._nq :] = self.model.qpos0[self._nq :]  # where the objects were declared
        vel = np.zeros((len(rows), self.model.nv))
        vel[:, :3] = root_vel
        vel[:, 3:6] = quat_rotate_inverse(turn, spin).numpy()
        vel[:, 6 : self._nv] = dof_vel
        for name, field in self._fields.items():
            field[rows] = {"qpos": pos, "qvel": vel}.get(name, 0.0)

        self._set_hinges(joint_rot, angles)
        for name, values in zip(
            _WRITTEN, (root_pos, root_rot, root_vel, root_ang_vel, joint_rot, dof_vel)
        ):
            self._arrays[name][rows] = values
        self._batch.forward(rows, stage=self._position_stage)
        own = slice(1, 1 + self.character.num_bodies)  # the first is the world's
        self._arrays["body_pos"][rows] = self._body_pos[rows, own]
        self._arrays["body_rot"][rows] = self._body_rot[rows, own][..., _XYZW]
        self._arrays["contact_force"][rows] = 0.0
        self._has_diverged[rows] = False
        if self._has_objects:
            self._read_objects(rows)
            self._object_arrays["contact_force"][rows] = 0.0

    def write_objects(self, mask: Tensor, state: ObjectState) -> None:
        some = mask.numpy().nonzero()  # worlds, and which of their objects
        if len(some[0]) == 0:
            return
        pos, rot, vel, ang_vel = (getattr(state, name).numpy()[some] for name in _OBJECT_WRITTEN)
        spin = quat_rotate_inverse(torch.from_numpy(rot), torch.from_numpy(ang_vel)).numpy()
        self._object_qpos[some] = np.concatenate([pos, rot[:, _WXYZ]], axis=-1)
        self._object_qvel[some] = np.concatenate([vel, spin], axis=-1)
        self._object_warmstart[some] = 0.0
        self._read_objects(some)
        self._object_arrays["contact_force"][some] = 0.0

    def state_dict(self) -> dict[str, Any]:
        worlds = {name: torch.from_numpy(field.copy()) for name, field in self._fields.items()}
        state = {"worlds": worlds, "state": vars(self.state.clone())}
        if self._has_objects:
            state["objects"] = vars(self.objects.clone())
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, field in self._fields.items():
            field[...] = state["worlds"][name].numpy()
        for name, value in state["state"].items():
            getattr(self.state, name).copy_(value)
        for name, value in state.get("objects", {}).items():
            getattr(self.objects, name).copy_(value)
        self.diverged.zero_()

    def _index_joints(self) -> None:
        """Where ball quaternions and hinge angles lie in qpos, and in the character's order."""
        address = 7
        balls, hinges = [], []
        for joint in self.character.movable_joints:
            if joint.kind is JointKind.BALL:
                balls.append((joint.body - 1, address))
                address += 4
            else:
                hinges.append((joint.body - 1, address))
                address += 1
        self._ball_joint = np.array([b[0] for b in balls], dtype=np.intp)
        self._ball_qpos = np.array(
            [[b[1] + i for i in _XYZW] for b in balls], dtype=np.intp
        ).reshape(-1, 4)
        self._hinge_joint = np.array([h[0] for h in hinges], dtype=np.intp)
        self._hinge_qpos = np.array([h[1] for h in hinges], dtype=np.intp)
        axes = [j.axis for j in self.character.movable_joints if j.kind is JointKind.HINGE]
        self._hinge_axis = np.array(axes, dtype=np.float32).reshape(-1, 3)

    def _bind_objects(self) -> None:
        """Where the objects' coordinates lie: behind the character's `_nq` and `_nv`."""
        count = len(free_objects(self.object_specs))
        self._has_objects = count > 0
        self._nq, self._nv = self.model.nq - 7 * count, self.model.nv - 6 * count
        self.objects = ObjectState.zeros(self.num_envs, count, self.character.num_bodies)
        self._object_arrays = {name: tensor.numpy() for name, tensor in vars(self.objects).items()}
        places = (("qpos", self._nq, 7), ("qvel", self._nv, 6), ("qacc_warmstart", self._nv, 6))
        self._object_qpos, self._object_qvel, self._object_warmstart = (
            self._fields[name][:, start:].reshape(self.num_envs, count, width)
            for name, start, width in places
        )

    def _read_objects(self, some: Union[slice, np.ndarray, tuple[np.ndarray, ...]]) -> None:
        """Copy poses and velocities of some worlds' objects into `objects`."""
        qpos, qvel, arrays = self._object_qpos[some], self._object_qvel[some], self._object_arrays
        arrays["pos"][some] = qpos[..., :3]
        rot = qpos[..., 3:][..., _XYZW].astype(np.float32)
        arrays["rot"][some] = rot
        arrays["vel"][some] = qvel[..., :3]
        spin = torch.from_numpy(qvel[..., 3:].astype(np.float32))
        arrays["ang_vel"][some] = quat_rotate(torch.from_numpy(rot), spin).numpy()

    def _refresh(self) -> None:
        """Copy poses and velocities of all worlds into `state`, in its conventions."""
        state, arrays = self.state, self._arrays
        qpos, qvel = self._fields["qpos"], self._fields["qvel"]
        arrays["root_pos"][:] = qpos[:, :3]
        arrays["root_rot"][:] = qpos[:, 3:7][:, _XYZW]
        arrays["root_vel"][:] = qvel[:, :3]
        spin = torch.from_numpy(qvel[:, 3:6].astype(np.float32))
        state.root_ang_vel.copy_(quat_rotate(state.root_rot, spin))
        arrays["dof_vel"][:] = qvel[:, 6 : self._nv]
        arrays["joint_rot"][:, self._ball_joint] = qpos[:, self._ball_qpos]
        self._set_hinges(arrays["joint_rot"], qpos[:, self._hinge_qpos])
        body_pos, body_rot = self._kinematics.forward(
            state.root_pos, state.root_rot, state.joint_rot
        )
        state.body_pos.copy_(body_pos)
        state.body_rot.copy_(body_rot)

    def _set_hinges(self, joint_rot: np.ndarray, angles: np.ndarray) -> None:
        """Set the hinges' rotations within joint_rot [E, J, 4] from their angles [E, H] rad."""
        half = 0.5 * angles[..., None]
        joint_rot[:, self._hinge_joint, :3] = np.sin(half) * self._hinge_axis
        joint_rot[:, self._hinge_joint, 3] = np.cos(half[..., 0])
