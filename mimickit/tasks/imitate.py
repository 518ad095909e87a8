"""Track reference clips frame by frame, pursue a goal, or both at once.

The tracking's observations, rewards and terminations are DeepMimic's; what a goal asks for stands
beside them, under names that begin with `goal_`.

Source of all formulas and constants: DeepMimic (Peng et al. 2018) as in MimicKit f8d0d70.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.characters import Character
from mimickit.envs import observations, rewards, terminations
from mimickit.errors import ConfigError
from mimickit.generators import restore
from mimickit.geometry.quaternion import heading_inverse
from mimickit.motions.library import MotionLibrary
from mimickit.motions.sampler import make_sampler, read_sampling
from mimickit.objects import Placement, SceneObjects
from mimickit.pooling import Pool
from mimickit.specs import GroupSpec
from mimickit.state import CharacterState, Drawn, Marker
from mimickit.tasks.checks import check_number, check_terms
from mimickit.tasks.goals.goal import Goal
from mimickit.tasks.starts import Starts

LOOKUPS = 512  # on a CPU fewer frames of the reference cost as much as so many


class Imitate:
    """See `mimickit.envs.task.Task`.

    Args:
        character, library: whose clips. num_envs: N. control_dt: seconds per step.
        generator: draws clips and start times.
        episode_length_s: time limit [s].
        random_start: begin episodes anywhere in a clip (reference state initialisation).
        global_frame: observe and reward in world axes, place and heading included.
        root_height: observe and reward the root's height.
        target_steps: which coming frames the policy sees, in control steps ahead; may be empty.
        tracking_error: also observe the reference minus the character; needs `global_frame`.
        phase: number of phase frequencies to observe; None for no phase.
        reward_weights, reward_scales: per term of `rewards.REWARD_TERMS`.
        pose_termination: end an episode when a body is `termination_distance` [m] away.
        contact_termination: end an episode when a body touches the ground that may not.
        contact_force: least force component [N] that counts as touching.
        end_with_clip: episodes end as successes where a clip that does not loop does; else the
            reference holds its last frame.
        default_pose_share: of episodes, that begin at rest in the default pose instead.
        fallen_share: of episodes, that begin where a fall has ended.
        fallen_grace_s: how long those may lie [s]: contacts end them only after that time.
        falls: where falls end, see `mimickit.tasks.starts`; needed with a `fallen_share`.
        sampling: which clips and which parts of them are drawn how often; keys of
            `mimickit.motions.sampler.Sampling`. None draws clips by weight.
        objects: what else there is in the world.
        goal: makes what is asked for besides; see `mimickit.tasks.goals.goal.Goal`. With a goal,
            tracking terms whose weights are all 0 are neither computed nor logged.

    Attributes:
        goal: what is asked for besides, if anything.
        starts: where episodes begin, if not all begin in the reference.
        provides: "reference"; "visible_reference" where the policy sees where in its clip it
            should be; "goal" where there is one.
        tracked: whether being away from the reference is an error: not where a goal leads the
            character elsewhere, unless the reference is seen or rewarded where it is in the world.
    """

    def __init__(
        self,
        character: Character,
        library: MotionLibrary,
        num_envs: int,
        control_dt: float,
        generator: torch.Generator,
        *,
        episode_length_s: float,
        random_start: bool,
        global_frame: bool,
        root_height: bool,
        target_steps: Sequence[int],
        tracking_error: bool,
        phase: Optional[int],
        reward_weights: Mapping[str, float],
        reward_scales: Mapping[str, float],
        pose_termination: bool,
        termination_distance: float,
        contact_termination: bool,
        contact_force: float,
        end_with_clip: bool = True,
        default_pose_share: float = 0.0,
        fallen_share: float = 0.0,
        fallen_grace_s: float = 0.0,
        falls: Optional[CharacterState] = None,
        sampling: Optional[Mapping[str, Any]] = None,
        goal: Optional[Callable[..., Goal]] = None,
        objects: Optional[SceneObjects] = None,
    ) -> None:
        for name, values in (("weights", reward_weights), ("scales", reward_scales)):
            check_terms(values, rewards.REWARD_TERMS, f"task.reward_{name}")
        if any(not isinstance(step, int) or step < 1 for step in target_steps):
            raise ConfigError(
                f"task.target_steps must be whole numbers of 1 or more, got {list(target_steps)}"
            )
        if phase is not None and (not isinstance(phase, int) or phase < 0):
            raise ConfigError(f"task.phase must be null or a whole number >= 0, got {phase}")
        if not termination_distance > 0:
            raise ConfigError(f"task.termination_distance must be > 0, got {termination_distance}")
        check_number(contact_force, 0.0, "task.contact_force")
        check_number(fallen_grace_s, 0.0, "task.fallen_grace_s")
        for key, share in (
            ("default_pose_share", default_pose_share),
            ("fallen_share", fallen_share),
        ):
            if share and pose_termination:
                raise ConfigError(
                    f"task.{key}={share} begins episodes away from the reference, and "
                    "task.pose_termination=true ends them there: set one of them to 0 or false"
                )
        if tracking_error and not global_frame:
            raise ConfigError("task.tracking_error=true needs task.global_frame=true")
        settings = read_sampling(sampling or {})
        if settings.mode == "adaptive" and not (pose_termination or contact_termination):
            raise ConfigError(
                "task.sampling.mode=adaptive learns from failures, and task.pose_termination and "
                "task.contact_termination are both off"
            )
        device = library.durations.device
        self.library = library
        self.sampler = make_sampler(library, generator, random_start, settings, control_dt)
        self.starts: Optional[Starts] = None
        if default_pose_share or fallen_share:
            self.starts = Starts(
                character, num_envs, device, generator, default_pose_share, fallen_share, falls
            )
        self._fallen_grace = round(fallen_grace_s / control_dt)  # steps
        self.clip_names = library.names
        self.episode_length_s = episode_length_s
        self.pose_termination = pose_termination
        self.contact_termination = contact_termination
        self.end_with_clip = end_with_clip
        self._dt = control_dt
        self._global = global_frame
        self._root_height = root_height
        # MimicKit tracks the place of the root only where the policy can see it.
        self._track_root = global_frame and (len(target_steps) > 0 or tracking_error)
        self._tracking_error = tracking_error
        self._phase = phase
        self._weights, self._scales = (
            torch.tensor([values[name] for name in rewards.REWARD_TERMS], device=device)
            for values in (reward_weights, reward_scales)
        )
        self._termination_distance = termination_distance
        relative = "world_axes" if global_frame else "root"
        self._termination_frame = "world" if self._track_root else relative
        self._contact_limits = terminations.contact_limits(library.may_touch_ground, contact_force)
        key_bodies = character.body_ids(character.key_bodies, "character.bodies.key_bodies")
        self._key_bodies = torch.tensor(key_bodies, device=device)
        self._error_weights = rewards.error_weights(
            torch.tensor(character.tracking_weights, dtype=torch.float32, device=device),
            torch.tensor(character.per_dof(character.tracking_weights), dtype=torch.float32),
            len(key_bodies),
            place=self._track_root,
            height=root_height,
        )

        self._target_steps = tuple(target_steps)
        self._span = max((1, *target_steps))  # how far ahead frames are kept
        joints, keys = character.num_joints, len(key_bodies)
        parts = observations.character_spec(joints, character.num_dofs, keys, root_height).parts
        if target_steps:
            count = len(target_steps)
            parts += observations.target_spec(count, joints, keys, root_height).parts
        if tracking_error:
            parts += observations.tracking_error_spec(joints, character.num_dofs, keys).parts
        if phase is not None:
            parts += observations.phase_spec(phase).parts
        self.goal: Optional[Goal] = None
        if goal is not None:
            self.goal = goal(
                character=character,
                num_envs=num_envs,
                control_dt=control_dt,
                generator=generator,
                device=device,
            )
            if objects is not None:
                self.goal.connect(objects)
            parts += self.goal.parts
        visible = len(target_steps) > 0 or tracking_error or phase is not None
        abilities = {"reference": True, "visible_reference": visible, "goal": goal is not None}
        self.provides = frozenset(name for name, able in abilities.items() if able)
        self._rewards_tracking = goal is None or any(reward_weights.values())
        self.tracked = goal is None or (global_frame and (visible or self._rewards_tracking))
        self.groups = {"policy": GroupSpec.of(*parts)}

        self._clips = torch.zeros(num_envs, dtype=torch.long, device=device)
        self._none = torch.zeros(num_envs, dtype=torch.bool, device=device)
        self._start = torch.zeros(num_envs, device=device)
        self._steps = torch.zeros(num_envs, dtype=torch.long, device=device)
        # Coming frames are looked up `chunk` at a time, a constant one where steps are captured.
        self._chunk = max(1, LOOKUPS // num_envs) if device.type == "cpu" else 1
        # The reference at steps next to each other [span + chunk, N, ...], that of the present
        # step at `now` < chunk: the library's rows, and behind them what the policy sees of each.
        # Buffers and views of them never change.
        self._now = 0
        self._ahead = torch.arange(self._span + self._chunk, device=device)
        self._buffer = self._look_up(self._clips, self._start, self._steps)
        width = self._buffer.shape[-1] - observations.encoding_size(joints, keys)
        rows, self._encodings = self._buffer[..., :width], self._buffer[..., width:]
        self._frames = [library.unpack(frame) for frame in rows]
        self._new_rows, self._new_frames = rows[self._span :], library.unpack(rows[self._span :])
        # Episodes to come, on a CPU: clips, start times, first rows of their buffers and states.
        self._prepared = (self._clips, self._start, self._buffer, self.reference)
        self._used = num_envs  # how many of these have begun
        self._drawn: Optional[Drawn] = None

    @property
    def reference(self) -> CharacterState:
        return self._frames[self._now]

    @property
    def next_reference(self) -> CharacterState:
        return self._frames[self._now + 1]

    @property
    def clips(self) -> Tensor:
        return self._clips

    @property
    def generator(self) -> torch.Generator:
        return self.sampler.generator

    @property
    def times(self) -> Tensor:
        """Time in the clip, [N] s."""
        return self._times(self._start, self._steps)

    @property
    def elsewhere(self) -> Optional[Tensor]:
        return None if self.starts is None else self.starts.elsewhere

    @property
    def placement(self) -> Optional[Placement]:
        return None if self.goal is None else self.goal.placement

    @property
    def drawn(self) -> Optional[Drawn]:
        return self._drawn if self.starts is None else None

    def reset(self, mask: Tensor) -> CharacterState:
        if mask.device.type == "cpu":
            self._start_prepared(mask.nonzero().squeeze(-1))
        else:  # sizes cannot depend on how many there are
            self._start_drawn(mask)
        start = self.reference if self.starts is None else self.starts.draw(mask, self.reference)
        if self.goal is not None:
            self.goal.reset(mask, start)
        return start

    def advance(self, state: CharacterState) -> None:
        if self.goal is not None:
            self.goal.advance(state)
        self._steps += 1
        self._now = (self._now + 1) % self._chunk
        if self._now > 0:
            return
        # The frames still to come move to the front, and new ones follow them.
        self._buffer[: self._span] = self._buffer[self._chunk :].clone()
        times = self._times(self._start, self._steps + self._ahead[self._span :].unsqueeze(-1))
        self._new_rows.copy_(self.library.lookup_rows(self._clips.expand_as(times), times))
        encoding = observations.encode_pose(self._new_frames, self._key_bodies)
        self._encodings[self._span :] = encoding

    def observe(self, state: CharacterState) -> dict[str, Tensor]:
        keys, world, height = self._key_bodies, self._global, self._root_height
        encoding = observations.encode_pose(state, keys) if world else None
        parts = [observations.character_obs(state, keys, world, height, encoding)]
        if self._target_steps:
            steps = [self._now + step for step in self._target_steps]
            targets = [self._frames[step] for step in steps]
            encodings = [self._encodings[step] for step in steps] if world else None
            parts.append(observations.target_obs(state, targets, keys, world, height, encodings))
        if self._tracking_error and encoding is not None:
            parts.append(
                observations.tracking_error_obs(
                    state, self.reference, encoding, self._encodings[self._now]
                )
            )
        if self._phase is not None:
            phase = self.times / self.library.durations[self._clips]
            loops = self.library.loops[self._clips]
            phase = torch.where(loops, phase.remainder(1.0), phase.clamp(0.0, 1.0))
            parts.append(observations.phase_obs(phase, self._phase))
        if self.goal is not None:
            parts.append(self.goal.observe(state))
        return {"policy": torch.cat(parts, dim=-1)}

    def rewards(self, state: CharacterState) -> dict[str, Tensor]:
        terms = self._tracking_rewards(state) if self._rewards_tracking else {}
        if self.goal is not None:
            terms.update({f"goal_{name}": r for name, r in self.goal.rewards(state).items()})
        return terms

    def figures(self, state: CharacterState) -> dict[str, Tensor]:
        if self.goal is None:
            return {}
        return {f"goal_{name}": figure for name, figure in self.goal.figures(state).items()}

    def markers(self, state: CharacterState) -> list[Marker]:
        return [] if self.goal is None else self.goal.markers(state)

    def succeeded(self, state: CharacterState) -> Tensor:
        causes = [] if self.goal is None else [self.goal.succeeded(state)]
        if self.end_with_clip and not self.library.all_loop:
            ended = self.times >= self.library.durations[self._clips]
            causes.append(ended & ~self.library.loops[self._clips])
        return self._any(causes)

    def failed(self, state: CharacterState) -> Tensor:
        causes = []
        if self.contact_termination:
            limits = self._contact_limits
            if len(self.library) > 1:
                limits = limits.index_select(0, self._clips)
            touching = terminations.forbidden_contact(state, limits)
            if self.starts is not None:
                touching &= ~(self.starts.fallen & (self._steps < self._fallen_grace))
            causes.append(touching)
        if self.pose_termination:
            distance, frame = self._termination_distance, self._termination_frame
            causes.append(terminations.far_from_reference(state, self.reference, distance, frame))
        failed = self._any(causes)
        if self.sampler.adaptive:  # what a goal counts as lost says nothing about the clip
            in_clip = failed if self.starts is None else failed & ~self.starts.elsewhere
            self.sampler.record(self._clips, self.times, in_clip)
        return failed if self.goal is None else failed | self.goal.failed(state)

    def exchange(self, pool: Pool) -> None:
        self.sampler.exchange(pool)

    def state_dict(self) -> dict[str, Any]:
        return {
            "clips": self._clips.clone(),
            "start": self._start.clone(),
            "steps": self._steps.clone(),
            "prepared": [part.clone() for part in self._prepared[:2]],
            "used": self._used,
            "starts": None if self.starts is None else self.starts.state_dict(),
            "goal": None if self.goal is None else self.goal.state_dict(),
            "generator": self.sampler.generator.get_state(),
            "sampler": self.sampler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._clips.copy_(state["clips"])
        self._start.copy_(state["start"])
        self._steps.copy_(state["steps"])
        self._buffer.copy_(self._look_up(self._clips, self._start, self._steps))
        self._now = 0
        clips, start = (part.to(self._clips.device) for part in state["prepared"])
        self._prepared, self._used = self._prepare(clips, start), state["used"]
        if self.starts is not None:
            self.starts.load_state_dict(state["starts"])
        if self.goal is not None:
            self.goal.load_state_dict(state["goal"])
        restore(self.sampler.generator, state["generator"], "the clips and start times")
        self.sampler.load_state_dict(state.get("sampler", {}))  # older checkpoints have none

    def _tracking_rewards(self, state: CharacterState) -> dict[str, Tensor]:
        reference = self.reference
        if not self._track_root:
            state, reference = (
                rewards.turned(each, heading_inverse(each.root_rot)) for each in (state, reference)
            )
        deviations = rewards.deviations(state, reference, self._key_bodies)
        errors = rewards.tracking_errors(deviations, self._error_weights)
        terms = self._weights * torch.exp(-self._scales * errors)
        return dict(zip(rewards.REWARD_TERMS, terms.unbind(-1)))

    def _any(self, causes: list[Tensor]) -> Tensor:
        """Whether any of some conditions [N] holds; never, of none."""
        if not causes:
            return self._none
        return reduce(torch.logical_or, causes)

    def _start_drawn(self, mask: Tensor) -> None:
        """Begin a new episode in the masked envs [N]."""
        clips, start = self.sampler.sample(len(mask))
        self._clips.copy_(torch.where(mask, clips, self._clips))
        self._start.copy_(torch.where(mask, start, self._start))
        self._steps.masked_fill_(mask, 0)
        found = self._look_up(self._clips, self._start, self._steps)
        self._buffer.copy_(torch.where(mask.unsqueeze(-1), found, self._buffer))

    def _start_prepared(self, envs: Tensor) -> None:
        """Begin a new episode in some envs [E].

        Few envs end in any one step, and many small operations cost as much for one as for all: so
        episodes are drawn and looked up for as many as there are envs, and used up one by one.
        """
        count = len(envs)
        if count == 0:
            return
        if self._used + count > len(self._clips):
            self._prepared, self._used = self._prepare(*self.sampler.sample(len(self._clips))), 0
        clips, start, rows, states = self._prepared
        self._drawn = Drawn(states, self._used)
        picked = slice(self._used, self._used + count)
        self._used += count
        self._clips.index_copy_(0, envs, clips[picked])
        self._start.index_copy_(0, envs, start[picked])
        self._steps.index_fill_(0, envs, 0)
        ahead = self._buffer[self._now :]
        ahead.index_copy_(1, envs, rows[: len(ahead), picked])

    def _prepare(
        self, clips: Tensor, start: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, CharacterState]:
        """Episodes with the first rows of their buffers and the states that these begin with."""
        rows = self._look_up(clips, start, torch.zeros_like(clips))
        return clips, start, rows, self.library.unpack(rows[0])

    def _look_up(self, clips: Tensor, start: Tensor, steps: Tensor) -> Tensor:
        """Rows of the buffer for E envs, from `steps` on: [span + chunk, E, ...]."""
        times = self._times(start, steps + self._ahead.unsqueeze(-1))
        return self._with_encoding(self.library.lookup_rows(clips.expand_as(times), times))

    def _with_encoding(self, rows: Tensor) -> Tensor:
        """The library's rows [..., columns], followed by what the policy sees of them."""
        encoding = observations.encode_pose(self.library.unpack(rows), self._key_bodies)
        return torch.cat([rows, encoding], dim=-1)

    def _times(self, start: Tensor, steps: Tensor) -> Tensor:
        """Times in the clip [s]: one expression for all, so that equal instants are equal bits."""
        return start + steps * self._dt
