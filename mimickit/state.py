"""The structs everyone exchanges: states of characters and objects, a step of the environment.

Legend: N envs or samples (any leading shape), B bodies, J joints = B - 1 (one per body but the
root, fixed ones included), D degrees of freedom, O free objects. World frame, z up, metres,
radians, newtons; quaternions (x, y, z, w); bodies, joints and dofs in the character's depth-first
order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Callable, Optional, TypeVar

import torch
from torch import Tensor

Batch = TypeVar("Batch", bound="TensorBatch")


class Done(IntEnum):
    """How an episode stands. Source: MimicKit (Peng 2025), section 3.3."""

    NULL = 0  # goes on
    FAIL = 1  # ended by failure, e.g. a fall: no future
    SUCC = 2  # ended by reaching its goal, e.g. the end of a clip: no future
    TIME = 3  # cut by the clock: would go on, so learners bootstrap from the last state


class TensorBatch:
    """What frozen dataclasses of tensors with equal leading axes can do."""

    def map(self: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch whose every tensor is `function` of this one's."""
        return type(self)(**{name: function(tensor) for name, tensor in vars(self).items()})

    def __getitem__(self: Batch, index: Any) -> Batch:
        """Index the leading axes of every tensor alike."""
        return self.map(lambda t: t[index])

    def clone(self: Batch) -> Batch:
        """A copy that shares no memory."""
        return self.map(torch.clone)

    def where(self: Batch, mask: Tensor, other: Batch) -> Batch:
        """This batch where mask, of the leading axes, is true, `other` elsewhere."""

        def pick(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(mask.view(*mask.shape, *(1,) * (a.dim() - mask.dim())), a, b)

        return type(self)(
            **{name: pick(tensor, getattr(other, name)) for name, tensor in vars(self).items()}
        )


@dataclass(frozen=True)
class CharacterState(TensorBatch):
    """Pose, velocity and ground contact of N characters: simulated, reference or recorded.

    Attributes:
        root_pos: [N, 3] m.
        root_rot: [N, 4].
        root_vel: [N, 3] m/s, of the root body's origin.
        root_ang_vel: [N, 3] rad/s.
        joint_rot: [N, J, 4] child in parent; identity for fixed joints.
        dof_vel: [N, D] rad/s; a ball joint's three are its angular velocity in the child frame.
        body_pos: [N, B, 3] m, of body origins.
        body_rot: [N, B, 4].
        contact_force: [N, B, 3] N, of the ground on each body; zero where unknown.
    """

    root_pos: Tensor
    root_rot: Tensor
    root_vel: Tensor
    root_ang_vel: Tensor
    joint_rot: Tensor
    dof_vel: Tensor
    body_pos: Tensor
    body_rot: Tensor
    contact_force: Tensor

    @staticmethod
    def zeros(
        num: int, num_bodies: int, num_dofs: int, device: Optional[torch.device] = None
    ) -> CharacterState:
        """Buffers for `num` characters at the origin, with identity rotations."""

        def rotations(*shape: int) -> Tensor:
            q = torch.zeros(*shape, 4, device=device)
            q[..., 3] = 1.0
            return q

        def vectors(*shape: int) -> Tensor:
            return torch.zeros(*shape, device=device)

        return CharacterState(
            root_pos=vectors(num, 3),
            root_rot=rotations(num),
            root_vel=vectors(num, 3),
            root_ang_vel=vectors(num, 3),
            joint_rot=rotations(num, num_bodies - 1),
            dof_vel=vectors(num, num_dofs),
            body_pos=vectors(num, num_bodies, 3),
            body_rot=rotations(num, num_bodies),
            contact_force=vectors(num, num_bodies, 3),
        )


@dataclass(frozen=True)
class Drawn:
    """Where new episodes' states are found among states that were drawn ahead.

    Attributes:
        states: M states, used up one after the other; the same object as long as they last.
        first: the first that the new episodes have; the others follow it, in the order of envs.
    """

    states: CharacterState
    first: int


@dataclass(frozen=True)
class ObjectState(TensorBatch):
    """Where the free objects of N worlds are and what touches them.

    Attributes:
        pos: [N, O, 3] m, of their centres.
        rot: [N, O, 4].
        vel: [N, O, 3] m/s.
        ang_vel: [N, O, 3] rad/s.
        contact_force: [N, O, B, 3] N, of each of the character's bodies on each object.
    """

    pos: Tensor
    rot: Tensor
    vel: Tensor
    ang_vel: Tensor
    contact_force: Tensor

    @staticmethod
    def zeros(
        num: int, num_objects: int, num_bodies: int, device: Optional[torch.device] = None
    ) -> ObjectState:
        """Buffers for the objects of `num` worlds, all at the origin, with identity rotations."""

        def vectors(*shape: int) -> Tensor:
            return torch.zeros(num, num_objects, *shape, 3, device=device)

        rot = torch.zeros(num, num_objects, 4, device=device)
        rot[..., 3] = 1.0
        return ObjectState(vectors(), rot, vectors(), vectors(), vectors(num_bodies))


@dataclass(frozen=True)
class Step:
    """What the environment returns for one control step; nothing has been reset yet.

    Attributes:
        reward: reward terms by name, each [N]; a method weighs them.
        done: [N] int64 of `Done`.
        info: further per-env tensors by name, e.g. `episode_length` [N] in steps.
        signals: what methods asked for, by name, each [N, size], of the state reached.
    """

    reward: dict[str, Tensor]
    done: Tensor
    info: dict[str, Tensor]
    signals: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Marker:
    """Something to draw that is not there: where to go, which way to look.

    Attributes:
        pos: [N, 3] m: the middle of a flat disc, or the tail of an arrow.
        arrow: [N, 3] m from an arrow's tail to its head; None for a disc.
        radius: of the disc or of the arrow's shaft [m].
        color: red, green, blue, opacity, each in [0, 1].
    """

    pos: Tensor
    arrow: Optional[Tensor] = None
    radius: float = 0.25
    color: tuple[float, float, float, float] = (0.85, 0.15, 0.1, 0.8)
