"""What methods ask an environment to observe for them, of the state that each step reached.

Unlike an observation group a signal is not acted on: it is taken before any reset, so it sees how
episodes end, and a reset may give it a past.
Legend: N envs, K frames of a window, J joints, D dofs, B bodies, P key bodies.
"""

from __future__ import annotations

from typing import Any, Protocol, Union

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs.task import Task
from mimickit.errors import ConfigError
from mimickit.geometry.quaternion import (
    heading_inverse,
    quat_multiply,
    quat_rotate,
    quat_to_tan_norm,
)
from mimickit.state import CharacterState


class Signal(Protocol):
    """Observes N envs side by side; shapes are fixed and nothing waits for the device.

    Attributes:
        size: width of what `observe` returns.
    """

    size: int

    def observe(self, state: CharacterState) -> Tensor:
        """What is seen of the states that a step reached [N, size]; once per step."""
        ...

    def reset(self, mask: Tensor, state: CharacterState) -> None:
        """Give the masked envs [N] the past of the state of N envs that they now begin in.

        Where they begin in the task's reference, it is the reference's; see `Task.elsewhere`.
        """
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Window:
    """The last K poses and velocities, oldest first, relative to where the newest root stands.

    Per frame: root place (z above the ground), axes of the root's rotation, key bodies relative to
    the root, root velocities; joint rotations; dof velocities.

    Args:
        character: whose. task: provides the reference, also of the past. control_dt: [s].
        frames: K, one control step apart.
        global_frame: keep world axes, so that the heading is seen; else all is turned by the newest
            frame's inverse heading.

    Attributes:
        span: from the oldest frame to the newest [s].

    Source: AMP (Peng et al. 2021), as in MimicKit f8d0d70 (mimickit/envs/amp_env.py).
    """

    def __init__(
        self,
        character: Character,
        task: Task,
        control_dt: float,
        *,
        frames: int,
        global_frame: bool,
    ) -> None:
        if frames < 2:
            raise ConfigError(f"a window needs at least 2 frames, got frames={frames}")
        self._task = task
        self._global = global_frame
        device = task.clips.device
        keys = character.body_ids(character.key_bodies, "character.bodies.key_bodies")
        self._keys = torch.tensor(keys, device=device)
        self._vectors = 5 + len(keys)  # of each frame, at its front: what a heading turns
        width = 3 * self._vectors + 6 * character.num_joints + character.num_dofs
        self.size = frames * width
        self.span = control_dt * (frames - 1)
        self._ages = control_dt * torch.arange(frames - 1, -1, -1, device=device)  # [K] s
        self._frames = torch.zeros(len(task.clips), frames, width, device=device)

    def observe(self, state: CharacterState) -> Tensor:
        self._frames[:, :-1] = self._frames[:, 1:].clone()
        self._frames[:, -1] = self._encode(state)
        return self.window(self._frames)

    def reset(self, mask: Tensor, state: CharacterState) -> None:
        if mask.device.type == "cpu":  # few, so only these are looked up
            envs = mask.nonzero().squeeze(-1)
            self._frames[envs] = self._past(envs, state)
        else:
            frames = self._past(slice(None), state)
            self._frames.copy_(torch.where(mask.view(-1, 1, 1), frames, self._frames))

    def demonstrations(self, clips: Tensor, times: Tensor) -> Tensor:
        """Windows [M, size] of clips [M] that end at times [M] s, as `observe` would see them."""
        return self.window(self.frames_at(clips, times))

    def frames_at(self, clips: Tensor, times: Tensor) -> Tensor:
        """The reference's last K frames, encoded in world axes: [M, K, width]."""
        times = times.unsqueeze(-1) - self._ages
        states = self._task.library.lookup(clips.unsqueeze(-1).expand_as(times), times)
        flat = states.map(lambda tensor: tensor.flatten(0, 1))
        return self._encode(flat).unflatten(0, times.shape)

    def window(self, frames: Tensor) -> Tensor:
        """Frames [M, K, width] in world axes, seen from the newest: [M, size]."""
        vectors = frames[..., : 3 * self._vectors].unflatten(-1, (self._vectors, 3))
        rest = frames[..., 3 * self._vectors :]
        origin = torch.zeros_like(vectors[:, :1, :1])
        origin[..., :2] = vectors[:, -1:, :1, :2]  # the newest root's place on the ground
        placed = torch.cat([vectors[:, :, :1] - origin, vectors[:, :, 1:]], dim=2)
        if not self._global:
            forward = vectors[:, -1:, 1:2]  # the newest root's x axis
            length = forward[..., :2].norm(dim=-1).clamp_min(1e-6)
            cosine, sine = forward[..., 0] / length, forward[..., 1] / length
            x, y, z = placed.unbind(-1)
            placed = torch.stack([cosine * x + sine * y, cosine * y - sine * x, z], dim=-1)
        return torch.cat([placed.flatten(2), rest], dim=-1).flatten(1)

    def state_dict(self) -> dict[str, Any]:
        return {"frames": self._frames.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._frames.copy_(state["frames"])

    def _past(self, envs: Union[Tensor, slice], state: CharacterState) -> Tensor:
        """The last K frames of M of the N envs, which begin in their states: [M, K, width]."""
        frames = self.frames_at(self._task.clips[envs], self._task.times[envs])
        if self._task.elsewhere is None:
            return frames
        # No clip leads to where these are: they have been there, as they are, all the time.
        stood = self._encode(state[envs]).unsqueeze(1).expand_as(frames)
        return torch.where(self._task.elsewhere[envs].view(-1, 1, 1), stood, frames)

    def _encode(self, state: CharacterState) -> Tensor:
        """Poses and velocities in world axes, vectors first: [M, width]."""
        offsets = state.body_pos.index_select(1, self._keys) - state.root_pos.unsqueeze(1)
        return torch.cat(
            [
                state.root_pos,
                quat_to_tan_norm(state.root_rot),
                offsets.flatten(1),
                state.root_vel,
                state.root_ang_vel,
                quat_to_tan_norm(state.joint_rot).flatten(1),
                state.dof_vel,
            ],
            dim=-1,
        )


class Difference:
    """The reference minus the character at the same instant, feature by feature.

    Root place, axes of the root's rotation, of joint rotations, all bodies relative to the root,
    root velocities, dof velocities.

    Args:
        character: whose. task: provides the reference.
        global_frame: compare in world axes, place and heading included; else each in its own
            heading, and of the root's place only the height.

    Source: ADD (Zhang et al. 2025), as in MimicKit f8d0d70 (mimickit/envs/add_env.py).
    """

    def __init__(
        self, character: Character, task: Task, control_dt: float, *, global_frame: bool
    ) -> None:
        self._task = task
        self._global = global_frame
        bodies = character.num_bodies - 1  # the root is no way from itself
        self.size = 15 + 6 * character.num_joints + 3 * bodies + character.num_dofs

    def observe(self, state: CharacterState) -> Tensor:
        assert self._task.reference is not None, "the run checks `needs`"
        return self._features(self._task.reference) - self._features(state)

    def reset(self, mask: Tensor, state: CharacterState) -> None:
        """Nothing: there is no past."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""

    def _features(self, state: CharacterState) -> Tensor:
        place, rotation = state.root_pos, state.root_rot
        linear, angular = state.root_vel, state.root_ang_vel
        offsets = state.body_pos[:, 1:] - place.unsqueeze(1)
        if not self._global:
            turn = heading_inverse(rotation)
            place = torch.cat([torch.zeros_like(place[:, :2]), place[:, 2:]], dim=-1)
            rotation = quat_multiply(turn, rotation)
            linear, angular = quat_rotate(turn, linear), quat_rotate(turn, angular)
            offsets = quat_rotate(turn.unsqueeze(1), offsets)
        return torch.cat(
            [
                place,
                quat_to_tan_norm(rotation),
                linear,
                angular,
                quat_to_tan_norm(state.joint_rot).flatten(1),
                offsets.flatten(1),
                state.dof_vel,
            ],
            dim=-1,
        )
