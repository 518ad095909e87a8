"""Trained policies, from their run folders, in environments of their own kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

from mimickit.assembly import build_evaluator, build_method, build_policy, method_sources
from mimickit.characters import Character
from mimickit.envs.signals import Signal
from mimickit.errors import (
    CheckpointError,
    EngineError,
    RunError,
    closest_beside,
)
from mimickit.evaluation.clip_windows import SIGNALS
from mimickit.launch.building import make
from mimickit.launch.composing import plain
from mimickit.launch.loading import engine_is_missing, run_config
from mimickit.skills import RandomSkills, find_skills
from mimickit.training import checkpoint as checkpoints
from mimickit.training.checkpoint import Checkpoints


class LoadedRun:
    """A trained policy and fresh environments of its kind, from a run folder.

    Attributes:
        folder: of the run. config: its resolved config, plain, with the engine used.
        checkpoint: which one was loaded. samples: how many it had seen.
        engine_facts: the engine used, its device, and the engine that the policy was trained on.
        policy, env: ready to step, pose termination off.
        method: as it was trained, if it was asked for; else not connected to anything.
        generator: of the env's clips and start times.

    Args:
        engine: an option of conf/engine, to run on another than the run's own; see `run_config`.
        engine_settings: overrides of the engine's settings, e.g. `["engine.threads=4"]`.
        with_method: load the method's parts as well, and observe what they look at.
        signals: what to observe besides, by name; see `build_env`.
        task_settings: override keys of the task's node.
    """

    def __init__(
        self,
        folder: Path,
        *,
        num_envs: int,
        checkpoint: Optional[Path] = None,
        motion: Any = None,
        seed: int = 0,
        random_start: bool = True,
        engine: Optional[str] = None,
        engine_settings: Sequence[str] = (),
        with_method: bool = False,
        signals: Optional[Mapping[str, Callable[..., Signal]]] = None,
        task_settings: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            hint = closest_beside(self.folder)
            raise RunError(f"there is no run folder {self.folder} (run=...).{hint}")
        self.config = plain(run_config(self.folder, engine, engine_settings))
        if motion is not None:
            self.config["motion"] = motion
        newest = checkpoint or Checkpoints(self.folder / "checkpoints").newest()
        if newest is None:
            raise RunError(f"run {self.folder} has no checkpoint yet in checkpoints/")
        self.checkpoint: Path = newest
        state = checkpoints.read(self.checkpoint)
        self.samples: int = state["samples"]
        character: Character = make(self.config["character"])
        own = {"random_start": random_start, **(task_settings or {})}
        self.config["task"] = {**self.config["task"], **own}
        self.method = build_method(self.config)
        self.skills = find_skills(self.config, [self.folder])
        try:
            self.evaluator = build_evaluator(
                self.config,
                character,
                num_envs,
                seed=seed,
                signals={**(self.method.signals if with_method else {}), **(signals or {})},
                conditions=self.method.conditions,
                skills=self.skills,
            )
        except EngineError as error:
            if engine is not None:
                raise
            target = self.config["engine"]["_target_"]
            raise engine_is_missing(self.folder, target, error) from error
        self.env = self.evaluator.env
        self.engine_facts = {
            "engine": type(self.env.engine).__name__,
            "device": str(self.env.device),
            "trained_on": state["facts"].get("engine", "unknown"),
        }
        self.generator = self.evaluator.generator
        self.policy = build_policy(self.config, self.env)
        checkpoints.check_same_run(
            self.checkpoint,
            state["facts"],
            {
                "character": character.name,
                "observation sizes": {n: s.size for n, s in self.env.groups.items()},
                "action size": self.env.action_size,
            },
        )
        try:
            self.policy.load_state_dict(state["policy"])
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(
                f"checkpoint {self.checkpoint} does not fit the networks (model) that config.yaml "
                f"of run {self.folder} describes: {reason}"
            ) from error
        if with_method:
            self.method.connect(method_sources(self.method, self.env, self.policy, seed))
            self.method.load_networks(state["run"]["method"])

    def random_skills(self) -> RandomSkills:
        """Who drives the run's skills by random latents: the floor for what chooses them.

        Raises:
            RunError: the run uses no skills.
        """
        if self.skills is None:
            raise RunError(
                f"run {self.folder} is of method '{self.config['method']['name']}', which uses no "
                "skills: policy=random_skills is for runs of method=ase_hlc"
            )
        return self.skills.random_policy(self.env)


def load_skills(folder: Path, seconds: float, **settings: Any) -> LoadedRun:
    """A trained low level, with what its skills are judged by.

    Args:
        seconds: that no episode ends before, unless by a failure [s].
        settings: see `LoadedRun`.
    """
    # No episode begins on the ground: whether a policy stays up is asked of those who stand.
    lasting = {"episode_length_s": seconds + 1.0, "fallen_share": 0.0}
    return LoadedRun(folder, with_method=True, signals=SIGNALS, task_settings=lasting, **settings)
