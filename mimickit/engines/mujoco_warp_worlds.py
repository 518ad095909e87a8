"""N worlds of MuJoCo Warp and the launches that advance, check, write and read them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp
from torch import Tensor

from mimickit.characters import Character, JointKind
from mimickit.engines import mujoco_warp_kernels as kernels
from mimickit.engines.mujoco_model import FLOOR
from mimickit.objects import ObjectSpec, free_objects
from mimickit.state import CharacterState

if TYPE_CHECKING:
    from mimickit.engines.mujoco_warp_objects import WarpObjects

CONTACTS_PER_GEOM = 1.5  # see `capacities`
ROWS_PER_GEOM = 6.0
CONTACTS_PER_OBJECT = 8.0  # a box on another has eight, of four rows each
ROWS_PER_OBJECT = 32.0


class Worlds:
    """Launches are asynchronous, of fixed shapes, and go to Warp's current stream.

    Args:
        character: what the model was built from.
        model: as `build_model` compiled it.
        num_envs: N.
        device: Warp's.
        substeps: simulation steps per control step.
        drives: whether to compute the P part of position drives.
        limited: whether these keep their total torque within limits.
        nconmax, njmax: room for contacts and for constraint rows per world.
        start: one character, at rest in the default pose: where worlds that blow up are put.
        object_specs: what else there is in each world.

    Attributes:
        objects: those of them that move; None if none does.
        state: buffers of the N characters, partly views of MuJoCo's own arrays.
        command: [N, D], to be written before a step.
        mask, source: [N] bool and a state of N, to be written before a write; at first all, and
            the start.
        diverged: [N] bool, which worlds the last step found blown up.
        overflows: [2] int64, how often a world lost constraint rows, and contacts.
        saved: all that the next step depends on, by name: views.
    """

    def __init__(
        self,
        character: Character,
        model: mujoco.MjModel,
        num_envs: int,
        device: wp.Device,
        substeps: int,
        drives: bool,
        limited: bool,
        nconmax: int,
        njmax: int,
        start: CharacterState,
        object_specs: Sequence[ObjectSpec] = (),
    ) -> None:
        self._shape = (num_envs, character.num_bodies)
        self._device = device
        self._substeps = substeps
        torch_device = torch.device(wp.device_to_torch(device))
        with wp.ScopedDevice(device):
            self.model = mjw.put_model(model)
            self.model.opt.warn_overflow = 0  # `overflows` counts; printing stalls the device
            if not (model.dof_frictionloss.any() or model.tendon_frictionloss.any()):
                # Else each substep looks at every dof for dry friction that none has.
                self.model.opt.disableflags |= int(mjw.DisableBit.FRICTIONLOSS)
            self.data = mjw.make_data(model, nworld=num_envs, nconmax=nconmax, njmax=njmax)
            self._contacts = wp.array(np.arange(self.data.naconmax), dtype=int)
            self._contact_force = wp.zeros(self.data.naconmax, dtype=wp.spatial_vector)
        self._floor = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, FLOOR)
        self._make_tables(character)

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=torch_device)

        self.command = zeros(num_envs, character.num_dofs)
        self.mask = torch.ones(num_envs, dtype=torch.bool, device=torch_device)
        self.diverged = zeros(num_envs, dtype=torch.bool)
        self.overflows = zeros(2, dtype=torch.int64)
        self._command = wp.from_torch(self.command)
        self._mask = wp.from_torch(self.mask)
        self._diverged = wp.from_torch(self.diverged)
        self._overflows = wp.from_torch(self.overflows)
        self.state = self._make_state(character, torch_device)
        self._start = start.map(lambda t: t.to(torch_device))  # Warp's arrays are views of these
        self.source = self._start.map(lambda t: t.repeat(num_envs, *(1,) * (t.dim() - 1)))
        self._source_arrays = _arrays(self.source)
        self._start_arrays = _arrays(self._start)
        names = ("time", "qpos", "qvel", "qacc_warmstart")
        self.saved = {name: wp.to_torch(getattr(self.data, name)) for name in names}
        self.saved["command"] = self.command

        self.objects = self._make_objects(free_objects(object_specs))

        if (model.geom_type == mujoco.mjtGeom.mjGEOM_BOX).any():
            self.model.callback.contactfilter = self._filter
        self._targets = self._damping = None
        if limited:
            # Each world's own: a drive at its limit has none.
            self._damping = wp.zeros((num_envs, model.nv), dtype=float, device=device)
            self.model.dof_damping = self._damping
        if drives:
            self._targets = wp.zeros_like(self._command)
            self.model.callback.control = self._drive_within_limits if limited else self._drive
        elif model.nu:  # MuJoCo's actuators take the commands as they are
            self._targets = self.data.ctrl

    def step(self) -> None:
        """Launch one control step of all worlds, under `command`."""
        self.take_commands()
        self.advance()
        self._measure()
        data = self.data
        wp.launch(
            kernels.judge_worlds,
            dim=self._shape[0],
            inputs=[data.qpos, data.qvel, self._ground_force],
            outputs=[data.overflow, self._diverged, self._overflows],
            device=self._device,
        )
        self._put(self._diverged, self._start_arrays, verdict=True)
        self.read()

    def take_commands(self) -> None:
        """Launch the handing over of `command` to the drives, and begin a new verdict."""
        if self._targets is None:
            self._diverged.zero_()
            return
        wp.launch(
            kernels.take_commands,
            dim=self._shape[0],
            inputs=[self._command],
            outputs=[self._targets, self._diverged],
            device=self._device,
        )

    def advance(self) -> None:
        """Launch MuJoCo's part of a control step."""
        with wp.ScopedDevice(self._device):
            for _ in range(self._substeps):
                mjw.step(self.model, self.data)
                if self._damping is not None:
                    self._damping.zero_()  # the drives' torques have it in them; see the kernel

    def write(self) -> None:
        """Launch the write of `source` to the worlds of `mask`."""
        self._put(self._mask, self._source_arrays, verdict=False)
        self.read()

    def read(self) -> None:
        """Launch what brings `state` up to date with MuJoCo's coordinates."""
        with wp.ScopedDevice(self._device):
            mjw.kinematics(self.model, self.data)
        wp.launch(
            kernels.read_worlds,
            dim=self._shape,
            inputs=[
                self.data.qpos,
                self.data.qvel,
                self.data.xquat,
                self._joint_dofs,
                self._joint_qpos,
                self._joint_axis,
            ],
            outputs=self._converted,
            device=self._device,
        )
        if self.objects is not None:
            self.objects.read()

    def write_objects(self) -> None:
        """Launch the write of the objects' `source` to those of their `mask`."""
        assert self.objects is not None
        self.objects.write()
        self.objects.read()

    def _measure(self) -> None:
        """Launch the summing up of the last substep's ground forces.

        Sensors of MuJoCo's would give the same, but in every substep.
        """
        data = self.data
        with wp.ScopedDevice(self._device):
            mjw.contact_force(self.model, data, self._contacts, True, self._contact_force)
        self._ground_force.zero_()
        wp.launch(
            kernels.add_ground_forces,
            dim=data.naconmax,
            inputs=[
                self._floor,
                self.model.geom_bodyid,
                data.nacon,
                data.contact.worldid,
                data.contact.geom,
                data.contact.type,
                self._contact_force,
            ],
            outputs=[self._ground_force],
            device=self._device,
        )
        if self.objects is not None:
            self.objects.measure(self._contact_force)

    def _filter(self, model: mjw.Model, data: mjw.Data) -> None:
        """MuJoCo's contact filter: it has found the contacts of this substep."""
        contact = data.contact
        wp.launch(
            kernels.leave_out_upper_corners,
            dim=data.naconmax,
            inputs=[
                model.geom_type,
                data.geom_xpos,
                data.nacon,
                contact.worldid,
                contact.geom,
                contact.dist,
                contact.pos,
                contact.frame,
            ],
            outputs=[contact.type],
            device=self._device,
        )

    def _drive(self, model: mjw.Model, data: mjw.Data) -> None:
        """MuJoCo's control callback: it wants the torques of this substep."""
        wp.launch(
            kernels.drive_positions,
            dim=self._shape,
            inputs=[
                data.qpos,
                self._targets,
                self._joint_dofs,
                self._joint_qpos,
                self._joint_dof,
                self._joint_kp,
            ],
            outputs=[data.qfrc_applied],
            device=self._device,
        )

    def _drive_within_limits(self, model: mjw.Model, data: mjw.Data) -> None:
        """MuJoCo's control callback, of drives that have limits."""
        wp.launch(
            kernels.drive_hinges_within_limits,
            dim=self._shape,
            inputs=[
                data.qpos,
                data.qvel,
                self._targets,
                self._joint_dofs,
                self._joint_qpos,
                self._joint_dof,
                self._joint_kp,
                self._joint_kd,
                self._joint_limit,
            ],
            outputs=[data.qfrc_applied, self._damping],
            device=self._device,
        )

    def _put(self, mask: wp.array, state: list[wp.array], verdict: bool) -> None:
        data = self.data
        wp.launch(
            kernels.write_worlds,
            dim=self._shape,
            inputs=[
                mask,
                *state,
                self._joint_dofs,
                self._joint_qpos,
                self._joint_dof,
                self._joint_axis,
                verdict,
            ],
            outputs=[
                data.time,
                data.qpos,
                data.qvel,
                data.qacc_warmstart,
                self._ground_force,
                self._command,
                self._diverged,
            ],
            device=self._device,
        )
        if self.objects is not None:
            self.objects.restart(diverged=verdict)

    def _make_objects(self, specs: Sequence[ObjectSpec]) -> Optional[WarpObjects]:
        if not specs:
            return None
        from mimickit.engines.mujoco_warp_objects import WarpObjects  # has kernels to compile

        return WarpObjects(specs, self.model, self.data, self._shape[1], self.mask, self.diverged)

    def _make_tables(self, character: Character) -> None:
        """What moves each body, the root's entries unused; see the kernels."""
        count = character.num_bodies
        dofs, start, dof = (np.zeros(count, dtype=np.int32) for _ in range(3))
        kp, kd, limit = (np.zeros(count, dtype=np.float32) for _ in range(3))
        axis = np.zeros((count, 3), dtype=np.float32)
        address = 7
        for joint in character.joints:
            dofs[joint.body], dof[joint.body] = joint.kind.value, joint.dofs.start
            kp[joint.body], kd[joint.body] = joint.kp, joint.kd
            limit[joint.body], axis[joint.body] = joint.torque_limit, joint.axis
            start[joint.body] = address
            address += 4 if joint.kind is JointKind.BALL else joint.kind.value
        self._joint_dofs = wp.array(dofs, dtype=int, device=self._device)
        self._joint_qpos = wp.array(start, dtype=int, device=self._device)
        self._joint_dof = wp.array(dof, dtype=int, device=self._device)
        self._joint_kp = wp.array(kp, dtype=float, device=self._device)
        self._joint_kd = wp.array(kd, dtype=float, device=self._device)
        self._joint_limit = wp.array(limit, dtype=float, device=self._device)
        self._joint_axis = wp.array(axis, dtype=wp.vec3, device=self._device)

    def _make_state(self, character: Character, device: torch.device) -> CharacterState:
        """Views of MuJoCo's arrays where order and frame agree, else buffers of our own."""
        num = self._shape[0]
        own = CharacterState.zeros(num, character.num_bodies, character.num_dofs, device)
        qpos, qvel = wp.to_torch(self.data.qpos), wp.to_torch(self.data.qvel)
        self._ground_force = wp.from_torch(own.contact_force, dtype=wp.vec3)
        self._converted = [
            wp.from_torch(own.root_rot, dtype=wp.quat),
            wp.from_torch(own.root_ang_vel, dtype=wp.vec3),
            wp.from_torch(own.joint_rot, dtype=wp.quat),
            wp.from_torch(own.body_rot, dtype=wp.quat),
        ]
        return CharacterState(
            root_pos=qpos[:, :3],
            root_rot=own.root_rot,
            root_vel=qvel[:, :3],
            root_ang_vel=own.root_ang_vel,
            joint_rot=own.joint_rot,
            dof_vel=qvel[:, 6 : 6 + character.num_dofs],
            # MuJoCo's body 0 is the world
            body_pos=wp.to_torch(self.data.xpos)[:, 1 : 1 + character.num_bodies],
            body_rot=own.body_rot,
            contact_force=own.contact_force,
        )


def capacities(model: mujoco.MjModel, num_objects: int = 0) -> tuple[int, int]:
    """Room for contacts and constraint rows per world that falls do not exhaust.

    Contacts are a pool that all worlds share; rows are each world's own.

    Args:
        num_objects: how many of the model's geoms are objects, obstacles included.

    Source: 150 falls each. At worst a humanoid of 18 geoms had 17 contacts and 70 rows, a Unitree
    G1 of 33 geoms 44 and 177: up to 1.4 contacts and 5.4 rows per geom. In 2,000 falls each, with
    targets thrown about at the torque limits, our G1 of 23 geoms had at most 26 and 90, Go2 of 23
    geoms 17 and 68.
    """
    geoms = np.count_nonzero(model.geom_contype | model.geom_conaffinity)
    geoms -= 1 + num_objects  # and the floor
    contacts = CONTACTS_PER_GEOM * geoms + CONTACTS_PER_OBJECT * num_objects
    rows = ROWS_PER_GEOM * geoms + ROWS_PER_OBJECT * num_objects
    return max(16, 8 * math.ceil(contacts / 8)), max(64, 16 * math.ceil(rows / 16))


def _arrays(state: CharacterState) -> list[wp.array]:
    """What a write reads of a state, as Warp arrays that share its memory."""
    return [
        wp.from_torch(state.root_pos, dtype=wp.vec3),
        wp.from_torch(state.root_rot, dtype=wp.quat),
        wp.from_torch(state.root_vel, dtype=wp.vec3),
        wp.from_torch(state.root_ang_vel, dtype=wp.vec3),
        wp.from_torch(state.joint_rot, dtype=wp.quat),
        wp.from_torch(state.dof_vel),
    ]
