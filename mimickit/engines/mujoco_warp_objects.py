"""The free objects of N worlds of MuJoCo Warp: the launches that place, read and measure them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco_warp as mjw
import torch
import warp as wp
from torch import Tensor

from mimickit.engines import mujoco_warp_object_kernels as kernels
from mimickit.objects import ObjectSpec
from mimickit.state import ObjectState


class WarpObjects:
    """Launches are as those of `Worlds`.

    Args:
        specs: of the free ones. model, data: MuJoCo Warp's. num_bodies: B, the character's.
        restarted: [N] bool, worlds whose objects a restart puts where they were declared.
        diverged: [N] bool, the same for those that blew up.

    Attributes:
        state: buffers of all objects, partly views of MuJoCo's own arrays.
        mask, source: [N, O] bool and a state, to be written before a write.
    """

    def __init__(
        self,
        specs: Sequence[ObjectSpec],
        model: mjw.Model,
        data: mjw.Data,
        num_bodies: int,
        restarted: Tensor,
        diverged: Tensor,
    ) -> None:
        self._model, self._data = model, data
        self._device = data.qpos.device
        device, num, count = restarted.device, len(restarted), len(specs)
        self._shape = (num, count)
        self._first_qpos, self._first_dof = model.nq - 7 * count, model.nv - 6 * count
        own = ObjectState.zeros(num, count, num_bodies, device)
        qpos = wp.to_torch(data.qpos)[:, self._first_qpos :].unflatten(-1, (count, 7))
        qvel = wp.to_torch(data.qvel)[:, self._first_dof :].unflatten(-1, (count, 6))
        self.state = ObjectState(
            pos=qpos[..., :3],
            rot=own.rot,
            vel=qvel[..., :3],
            ang_vel=own.ang_vel,
            contact_force=own.contact_force,
        )
        self.mask = torch.zeros(num, count, dtype=torch.bool, device=device)
        self.source = own.clone()
        start = ObjectState.zeros(1, count, num_bodies, device)
        start.pos.copy_(torch.tensor([[one.pos for one in specs]]))
        start.rot.copy_(torch.tensor([[one.rot for one in specs]]))
        self._kept = [start, own]  # Warp's arrays are views of these
        self._converted = [
            wp.from_torch(own.rot, dtype=wp.quat),
            wp.from_torch(own.ang_vel, dtype=wp.vec3),
        ]
        self._touch_force = wp.from_torch(own.contact_force, dtype=wp.vec3)
        self._source_arrays, self._start_arrays = _arrays(self.source), _arrays(start)
        self._mask, self._restarted, self._diverged = (
            wp.from_torch(mask)
            for mask in (
                self.mask,
                restarted.unsqueeze(-1).expand(num, count),
                diverged.unsqueeze(-1).expand(num, count),
            )
        )

    def write(self) -> None:
        """Launch the write of `source` to the objects of `mask`."""
        self._put(self._mask, self._source_arrays)

    def restart(self, diverged: bool) -> None:
        """Launch the write of where they were declared, to worlds that diverged or restarted."""
        self._put(self._diverged if diverged else self._restarted, self._start_arrays)

    def read(self) -> None:
        """Launch what brings `state` up to date with MuJoCo's coordinates."""
        wp.launch(
            kernels.read_objects,
            dim=self._shape,
            inputs=[self._data.qpos, self._data.qvel, self._first_qpos, self._first_dof],
            outputs=self._converted,
            device=self._device,
        )

    def measure(self, contact_force: Any) -> None:
        """Launch the summing up of the forces of the character's bodies on them.

        Args:
            contact_force: Warp's array of those of all contacts, in the world frame.
        """
        self._touch_force.zero_()
        contact = self._data.contact
        wp.launch(
            kernels.add_touch_forces,
            dim=self._data.naconmax,
            inputs=[
                self._model.geom_bodyid,
                self._data.nacon,
                contact.worldid,
                contact.geom,
                contact.type,
                contact_force,
            ],
            outputs=[self._touch_force],
            device=self._device,
        )

    def _put(self, mask: wp.array, state: list[wp.array]) -> None:
        data = self._data
        wp.launch(
            kernels.write_objects,
            dim=self._shape,
            inputs=[mask, *state, self._first_qpos, self._first_dof],
            outputs=[data.qpos, data.qvel, data.qacc_warmstart, self._touch_force],
            device=self._device,
        )


def _arrays(state: ObjectState) -> list[wp.array]:
    """What a write reads of a state, as Warp arrays that share its memory."""
    return [
        wp.from_torch(state.pos, dtype=wp.vec3),
        wp.from_torch(state.rot, dtype=wp.quat),
        wp.from_torch(state.vel, dtype=wp.vec3),
        wp.from_torch(state.ang_vel, dtype=wp.vec3),
    ]
