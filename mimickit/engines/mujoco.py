"""MuJoCo on the CPU: N worlds in C by `mujoco.batch.Batch`, the same bits on any threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, Kinematics
from mimickit.engines.engine import check_control_mode, default_state, substeps
from mimickit.engines.mujoco_coordinates import XYZW, Coordinates, rotate
from mimickit.errors import ConfigError, EngineError
from mimickit.objects import ObjectSpec, free_objects
from mimickit.state import CharacterState, Drawn, ObjectState

# The parts of a world's state that its future depends on.
_STATE_FIELDS = (
    "time", "qpos", "qvel", "qacc_warmstart", "ctrl", "qfrc_applied", "xfrc_applied",
)  # fmt: skip
# What `write` sets of a character; the rest follows from it.
_WRITTEN = ("root_pos", "root_rot", "root_vel", "root_ang_vel", "joint_rot", "dof_vel")
# What `write_objects` sets of an object.
_OBJECT_WRITTEN = ("pos", "rot", "vel", "ang_vel")
_WXYZ = [3, 0, 1, 2]  # where w, x, y, z lie in (x, y, z, w)
_INVERSE = np.array([[-1.0], [-1.0], [-1.0], [1.0]])  # times a rotation [4, N]
_ALL = slice(None)


class _Worlds(NamedTuple):
    """M characters, in MuJoCo's coordinates and as `state` will have them.

    Attributes:
        qpos: [M, nq]. qvel: [M, nv]. state: by the names of `CharacterState`, [M, ...] each.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    state: dict[str, np.ndarray]


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
        # forces are those of the last substep.
        self._no_stage = mujoco.mjtStage.mjSTAGE_NONE
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
        self._warnings = self._batch.warning[..., 1]
        self._forces = self._batch.bind("sensordata").reshape(num_envs, -1, 3)
        self._coordinates = Coordinates(character)
        self._blank = self._batch.state[0].copy()  # a world that nothing has happened to
        # What was last drawn ahead, and what was made of it.
        self._drawn: Optional[tuple[CharacterState, _Worlds]] = None
        self._bind_objects()
        # In mode none MuJoCo has no actuators and a command has nowhere to go.
        self._ctrl = None if control_mode == "none" else self._fields["ctrl"]
        everyone = torch.ones(num_envs, dtype=torch.bool)
        self.write(everyone, default_state(character, Kinematics(character), num_envs))

    def command(self, command: Tensor) -> None:
        if self._ctrl is not None:
            np.copyto(self._ctrl, command.numpy())

    def step(self) -> None:
        self._batch.step(nstep=self._substeps, stage=self._no_stage)
        # MuJoCo counts bad numbers, a command's included, and puts such worlds at rest somewhere
        # within the step; a reset clears its counters.
        self._has_diverged.fill(False)
        if np.count_nonzero(self._warnings):
            blown_up = self._warnings[:, self._bad].any(-1).nonzero()[0]
            self._batch.reset(blown_up, stage=self._no_stage)
            self._has_diverged[blown_up] = True
        for name, values in self._read(self._fields["qpos"], self._fields["qvel"]).items():
            self._arrays[name][:] = values
        bodies = self.character.num_bodies
        self._arrays["contact_force"][:] = self._forces[:, :bodies]
        if self._has_objects:
            self._read_objects(_ALL)
            touches = self._object_arrays["contact_force"]
            touches[:] = self._forces[:, bodies:].reshape(touches.shape)

    def write(self, mask: Tensor, state: CharacterState, drawn: Optional[Drawn] = None) -> None:
        rows = mask.numpy().nonzero()[0]
        if len(rows) == 0:
            return
        if drawn is None:
            worlds, picked = self._convert(state, rows), _ALL
        else:  # few envs end in any one step, and to convert few costs as much as all
            if self._drawn is None or self._drawn[0] is not drawn.states:
                self._drawn = (drawn.states, self._convert(drawn.states, _ALL))
            worlds, picked = self._drawn[1], slice(drawn.first, drawn.first + len(rows))
        self._batch.state[rows] = self._blank
        self._fields["qpos"][rows] = worlds.qpos[picked]
        self._fields["qvel"][rows] = worlds.qvel[picked]
        for name, values in worlds.state.items():
            self._arrays[name][rows] = values[picked]
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
        spin = _turned(rot * _INVERSE[:, 0], ang_vel)
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
        rot = qpos[..., 3:][..., XYZW].astype(np.float32)
        arrays["rot"][some] = rot
        arrays["vel"][some] = qvel[..., :3]
        arrays["ang_vel"][some] = _turned(rot, qvel[..., 3:].astype(np.float32))

    def _convert(self, state: CharacterState, rows: Union[slice, np.ndarray]) -> _Worlds:
        """Rows of a state as worlds."""
        root_pos, root_rot, root_vel, root_ang_vel, joint_rot, dof_vel = (
            getattr(state, name).numpy()[rows] for name in _WRITTEN
        )
        layout = self._coordinates
        pos = np.empty((len(root_pos), self.model.nq))
        pos[:, :3] = root_pos
        pos[:, 3:7] = root_rot[:, _WXYZ]
        pos[:, layout.ball_qpos] = joint_rot[:, layout.ball_joints]
        hinges = joint_rot[:, layout.hinge_joints]
        sine, cosine = (hinges[..., :3] * layout.hinge_axes).sum(-1), hinges[..., 3]
        pos[:, layout.hinge_qpos] = 2.0 * np.arctan2(
            np.where(cosine < 0, -sine, sine), np.abs(cosine)
        )
        pos[:, self._nq :] = self.model.qpos0[self._nq :]  # where the objects were declared
        vel = np.zeros((len(root_pos), self.model.nv))
        vel[:, :3] = root_vel
        vel[:, 3:6] = rotate(root_rot.T * _INVERSE, root_ang_vel.T).T
        vel[:, 6 : self._nv] = dof_vel
        return _Worlds(pos, vel, self._read(pos, vel))

    def _read(self, qpos: np.ndarray, qvel: np.ndarray) -> dict[str, np.ndarray]:
        """Poses and velocities of worlds in the conventions of `state`, by its names."""
        columns = np.ascontiguousarray(qpos.T, dtype=np.float32)
        root_pos, root_rot = columns[:3], columns[3:7][XYZW]
        joint_rot = self._coordinates.joint_rot(columns)
        body_pos, body_rot = self._coordinates.bodies(root_pos, root_rot, joint_rot)
        spin = rotate(root_rot, np.ascontiguousarray(qvel[:, 3:6].T, dtype=np.float32))
        return {
            "root_pos": root_pos.T,
            "root_rot": root_rot.T,
            "root_vel": qvel[:, :3],
            "root_ang_vel": spin.T,
            "joint_rot": joint_rot.transpose(2, 1, 0),
            "dof_vel": qvel[:, 6 : self._nv],
            "body_pos": body_pos.transpose(2, 1, 0),
            "body_rot": body_rot.transpose(2, 1, 0),
        }


def _turned(rot: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., 3] turned by rotations [..., 4]."""
    return np.moveaxis(rotate(np.moveaxis(rot, -1, 0), np.moveaxis(vectors, -1, 0)), 0, -1)
