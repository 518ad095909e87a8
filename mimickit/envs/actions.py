"""Action spaces: how a policy's numbers become an engine's command.

A policy acts in units of each dof's half range, so that its noise and its bounds mean the same on
every character. Legend: N envs, D dofs.
"""

from __future__ import annotations

import math
from typing import Optional, Protocol

import numpy as np
import torch
from torch import Tensor

from mimickit.characters import Character, JointKind, Kinematics
from mimickit.engines.engine import limits_effort
from mimickit.errors import ConfigError, IncompatibleParts
from mimickit.geometry.quaternion import quat_twist_angle
from mimickit.state import CharacterState

MAX_CORRECTION = 3.0  # [rad] of a ball joint's target from its reference


class Actions(Protocol):
    """Decodes actions.

    Attributes:
        size: width of an action.
        needs: what the task must provide, e.g. "reference".
    """

    size: int
    needs: frozenset[str]

    def decode(
        self, action: Tensor, state: CharacterState, next_reference: Optional[CharacterState]
    ) -> Tensor:
        """The engine's command [N, D] for actions [N, size] of unit half range.

        Args:
            state: the characters now.
            next_reference: the reference one control step ahead, for tasks that have one.
        """
        ...


class AbsoluteActions:
    """Commands anywhere within the joints' range: the published action space.

    Source: MimicKit f8d0d70 (mimickit/envs/char_env.py).
    """

    needs: frozenset[str] = frozenset()

    def __init__(
        self, character: Character, control_mode: str, device: Optional[torch.device] = None
    ) -> None:
        low, high = action_bounds(character, control_mode)
        self.size = len(low)
        self.low = torch.tensor(low, dtype=torch.float32, device=device)
        self.high = torch.tensor(high, dtype=torch.float32, device=device)

    def decode(
        self, action: Tensor, state: CharacterState, next_reference: Optional[CharacterState]
    ) -> Tensor:
        middle, half = 0.5 * (self.high + self.low), 0.5 * (self.high - self.low)
        command = torch.addcmul(middle, half, action)
        return torch.minimum(torch.maximum(command, self.low), self.high)


class ReferenceActions:
    """Targets relative to the reference pose one control step ahead.

    An action of zero asks for the reference itself; of one, for a rotation `scale` half ranges
    away from it. A ball joint's correction is a rotation in the reference's child frame, so it
    means the same wherever the reference is. Tracks about twice as closely as absolute targets
    after equally many samples, and needs the reference when the policy runs,
    which has to see where in its clip it is.

    Drives with torque limits are soft, so that what an angle is worth in torque differs tenfold
    between their joints. There an action of one asks for `effort_scale` times the limit, at an
    angle of effort_scale * torque_limit / kp from the reference.

    A drive's damping brakes the reference's own motion as well, so a joint trails its target by
    kd / kp seconds (0.1 s on the humanoid). `damping_compensation` moves the target ahead by that
    share of what the damping costs at the reference's velocity; 1 cancels it.

    Args:
        scale: half ranges per unit of action; of joints whose drives have no torque limits.
        effort_scale: torque limits per unit of action; of joints whose drives have them.
        damping_compensation: share of the drive's lag to make up for, in [0, 1].
    """

    needs = frozenset({"reference", "visible_reference"})

    def __init__(
        self,
        character: Character,
        control_mode: str,
        device: Optional[torch.device] = None,
        scale: float = 0.3,
        effort_scale: float = 1.0,
        damping_compensation: float = 1.0,
    ) -> None:
        if control_mode not in ("pos", "pd_1d"):
            raise IncompatibleParts(
                f"action=reference asks for poses, and engine.control_mode={control_mode} takes "
                "none; use control_mode=pos or action=absolute"
            )
        for key, value in (("scale", scale), ("effort_scale", effort_scale)):
            if not value > 0:
                raise ConfigError(f"action.{key} must be > 0, got {value}")
        if not 0 <= damping_compensation <= 1:
            raise ConfigError(
                f"action.damping_compensation must be in [0, 1], got {damping_compensation}"
            )
        if limits_effort(character, control_mode):
            reach = effort_scale * character.per_dof(effort_angles(character))
        else:
            low, high = action_bounds(character, control_mode)
            reach = scale * 0.5 * (high - low)
        lag = [j.kd / j.kp if j.kp > 0 else 0.0 for j in character.joints]  # [s] per joint
        self.size = len(reach)
        self._reach = torch.tensor(reach, dtype=torch.float32, device=device)
        self._lag = torch.tensor(
            damping_compensation * character.per_dof(lag), dtype=torch.float32, device=device
        )
        self._kinematics = Kinematics(character, device)
        hinges = [j for j in character.movable_joints if j.kind is JointKind.HINGE]
        self._hinge_joint = torch.tensor([j.body - 1 for j in hinges], dtype=torch.long).to(device)
        self._hinge_dof = torch.tensor([j.dofs.start for j in hinges], dtype=torch.long).to(device)
        self._hinge_axis = torch.tensor([j.axis for j in hinges]).reshape(-1, 3).to(device)

    def decode(
        self, action: Tensor, state: CharacterState, next_reference: Optional[CharacterState]
    ) -> Tensor:
        assert next_reference is not None, "the environment checks `needs`"
        correction = action.clamp(-1.0, 1.0) * self._reach
        correction = torch.addcmul(correction, self._lag, next_reference.dof_vel)
        reference = next_reference.joint_rot
        # A ball drive takes the shorter way round, so no correction may reach half a turn.
        command = self._kinematics.turned_dof(reference, correction, MAX_CORRECTION)
        if len(self._hinge_dof) > 0:
            # A hinge's angles add up, past pi as well, where its rotation would wrap around.
            angle = quat_twist_angle(reference.index_select(1, self._hinge_joint), self._hinge_axis)
            angle += correction.index_select(1, self._hinge_dof)
            command.index_copy_(1, self._hinge_dof, angle)
        return command


def action_bounds(character: Character, control_mode: str) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest command per dof, [D] each, in the control mode's unit.

    Positions reach past the joint limits so that a drive can push against them: a ball joint's
    three components to 1.2 of its largest limit either way, a hinge to 1.4 of its half range
    about its middle (about 0 with `zero_center_action`), or, where drives have torque limits, to
    its limits and as far again as asks for all of its torque.

    Source: MimicKit f8d0d70 (mimickit/envs/char_env.py), but for drives with torque limits;
    velocities +-2 pi rad/s, torques the joint's limit, mode none +-1.
    """
    low, high = np.zeros(character.num_dofs), np.zeros(character.num_dofs)
    limited, effort = limits_effort(character, control_mode), effort_angles(character)
    for joint in character.movable_joints:
        limits = np.asarray(joint.limits)
        if control_mode in ("pos", "pd_1d"):
            if joint.kind is JointKind.BALL:
                center, half = 0.0, 1.2 * np.abs(limits).max()
            else:
                center = 0.0 if character.zero_center_action else limits.mean()
                half = np.abs(limits - center).max()
                half = half + effort[joint.body - 1] if limited else 1.4 * half
        else:
            bound = {"vel": 2.0 * math.pi, "torque": joint.torque_limit, "none": 1.0}
            center, half = 0.0, bound[control_mode]
        low[joint.dofs], high[joint.dofs] = center - half, center + half
    return low, high


def effort_angles(character: Character) -> np.ndarray:
    """How far from its target a joint's drive asks for all of its torque, [J] rad."""
    return np.array([j.torque_limit / j.kp if j.kp > 0 else 0.0 for j in character.joints])
