"""The composition root: builds a run from its config, character first, trainer last.

Config nodes arrive as plain mappings with `_target_`; `make` turns each into an object, with the
live objects it needs beside its own settings. Nothing below this file reads a config.
"""

from __future__ import annotations

import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

import torch

from mimickit.algos.algo import Algo
from mimickit.characters import Character
from mimickit.envs.conditions import Condition
from mimickit.envs.env import Env
from mimickit.envs.held_env import AnyEnv, HeldEnv
from mimickit.envs.signals import Signal
from mimickit.envs.task import lacking
from mimickit.errors import (
    CheckpointError,
    ConfigError,
    EngineError,
    IncompatibleParts,
    RunError,
    closest_beside,
)
from mimickit.evaluation.clip_windows import SIGNALS
from mimickit.evaluation.evaluator import Evaluator
from mimickit.evaluation.report import write_report
from mimickit.graphs import can_compile
from mimickit.launch.building import make
from mimickit.launch.composing import plain
from mimickit.launch.loading import engine_is_missing, run_config
from mimickit.loggers.logger import Loggers
from mimickit.methods import Method, Sources
from mimickit.methods.method import TASK
from mimickit.models.policy import Policy
from mimickit.motions.catalog import resolve_motions
from mimickit.motions.library import MotionLibrary
from mimickit.objects import SceneObjects, read_objects
from mimickit.pooling import ALONE, Pool
from mimickit.ranks import Ranks, find_ranks
from mimickit.skills import RandomSkills, Skills, find_skills
from mimickit.state import CharacterState
from mimickit.tasks.starts import FALLS, fallen_states
from mimickit.training import checkpoint as checkpoints
from mimickit.training import distributed, seeding
from mimickit.training.checkpoint import Checkpoints
from mimickit.training.trainer import Trainer, TrainerSettings

Node = Mapping[str, Any]
EVALUATE_EVERY = 2_000  # control steps of every environment between evaluations, by default


class Train:
    """A training run: conf/run.yaml, built. Constructing it writes nothing.

    Each of several processes builds its share of the environments; see docs/distributed.md.

    Args:
        folder: where everything of this run goes; of several processes, rank 0's counts.
        config: the other arguments are the keys of conf/run.yaml.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int,
        num_envs: int,
        max_samples: int,
        device: str,
        motion: Any,
        skills: Optional[str],
        resume: Optional[str],
        training: Node,
        evaluation: Node,
        engine: Node,
        character: Node,
        task: Node,
        action: Node,
        method: Node,
        algo: Node,
        model: Node,
        logger: Optional[Node],
    ) -> None:
        config = {key: value for key, value in locals().items() if key not in ("self", "folder")}
        ranks = find_ranks(os.environ)
        own_envs = _share(num_envs, ranks)
        # An engine that can use a GPU has a setting that says so.
        on_gpu = "cpu" not in (device, engine.get("device", "cpu"))
        self.group = distributed.join(ranks, on_gpu)
        self.folder = Path(self.group.agree("folder", str(folder)))
        self.resume = resume
        self.config = config
        self._logger_nodes = logger or {}  # logger=[] is null
        self.checkpoints = Checkpoints(
            self.folder / "checkpoints", training["keep_checkpoints"], ranks.rank, ranks.size
        )
        self._resume_from = self._checkpoint_to_resume()
        self._resume_state = (
            checkpoints.read_part(self._resume_from, ranks.rank, ranks.size)
            if self._resume_from
            else None
        )
        # Actor and critic learn side by side on a CPU, so each gets half of the cores; over several
        # processes they take turns.
        at_once = 2 if ranks.size == 1 else 1
        torch.set_num_threads(training["threads"] or max(1, _cores(ranks) // at_once))
        if self.group.first and engine["_target_"].startswith("mimickit.engines.mujoco_warp."):
            from mimickit.engines.mujoco_warp import compile_notice

            print(compile_notice(), flush=True)
        seeds = seeding.stream_seeds(seed, ranks.rank)
        body: Character = make(character)
        self.method = build_method(config)
        self.skills = find_skills(config, self._folders_with_skills())
        with self.group.in_turn("kernels"):  # the first one compiles them for all on its host
            env = build_env(
                config,
                body,
                own_envs,
                seeds["task"],
                signals={**self.method.signals, **(self.skills.signals if self.skills else {})},
                conditions=self.method.conditions,
                skills=self.skills,
            )
        self.env = env if self.skills is None else HeldEnv(env)
        self.device = self.env.device
        compiles = training["compile"]
        if can_compile(self.device) if compiles is None else compiles:
            self.env.compile()
        torch.manual_seed(seeds["model"])
        self._check_needs()
        self.policy = build_policy(config, self.env)
        self.method.connect(
            method_sources(self.method, self.env, self.policy, seeds["method"], self.group.pool)
        )
        self.algo: Algo = make(
            algo,
            policy=self.policy,
            generator=seeding.generator(seeds["minibatches"], self.env.device),
            pool=self.group.pool,
        )
        if self.algo.steps * num_envs * self.env.control_steps > max_samples:
            held = self.env.control_steps
            raise ConfigError(
                f"max_samples={max_samples} is less than one iteration of num_envs={num_envs} x "
                f"algo.steps={self.algo.steps}" + (f" x method.hold={held}" if held > 1 else "")
            )
        self.noise = seeding.generator(seeds["policy"], self.env.device)
        self.evaluator = self._build_evaluator(evaluation["num_envs"]) if self.group.first else None
        self.settings = TrainerSettings(
            max_samples=int(max_samples),
            evaluate_every=evaluation["every"] or EVALUATE_EVERY * num_envs,
            checkpoint_every_s=training["checkpoint_every_s"],
            progress=training["progress"],
        )
        if self._resume_state is not None and self._resume_from is not None:
            checkpoints.check_same_run(
                self._resume_from, self._resume_state["facts"], self._facts()
            )

    def start(self) -> float:
        """Train, then evaluate and write evaluation.json; the mean return of those episodes.

        Raises:
            KeyboardInterrupt: a signal ended it early; all is saved and how to go on is said.
        """
        if self.skills is not None and self.group.first:
            self.skills.save(self.folder)
        trainer = self.trainer(self.folder)
        with closing(trainer.logger):
            return self._start(trainer)

    def _start(self, trainer: Trainer) -> float:
        trainer.logger.describe(self.config)
        if self._resume_state is not None and self._resume_from is not None:
            trainer.load(self._resume_state, self._resume_from)
            self._resume_state = None
        else:
            trainer.logger.resume(0)
        if self.group.first:
            self._announce(trainer)
        finished = trainer.train()
        trainer.release()
        samples = trainer.counters.samples
        if not finished:
            if self.group.first:
                print(f"stopped after {samples:,} samples, all saved. Go on with:")
                print(f"  {self._command()} resume={shlex.quote(str(self.folder))}", flush=True)
            self.group.close()
            raise KeyboardInterrupt(trainer.stopped_by)  # so that a sweep ends as well
        score = self.group.agree("score", repr(self._report(trainer)) if self.group.first else "")
        self.group.close()
        return float(score)

    def _report(self, trainer: Trainer) -> float:
        """Evaluate and write evaluation.json; the mean return of the episodes."""
        episodes = self.config["evaluation"]["episodes"]
        results = self._build_evaluator(episodes).run(self.policy)
        facts = self._report_facts(trainer.counters.samples)
        print(write_report(self.folder, results, facts))
        trainer.logger.conclude(results, trainer.counters.samples)
        return float(results["overall"]["return"])

    def _build_evaluator(self, episodes: int) -> Evaluator:
        return build_evaluator(
            self.config,
            self.env.engine.character,
            episodes,
            library=self.env.task.library,
            conditions=self.method.conditions,
            skills=self.skills,
        )

    def trainer(self, folder: Path) -> Trainer:
        """The training loop over this run's parts, logging into a folder."""
        return Trainer(
            env=self.env,
            policy=self.policy,
            algo=self.algo,
            method=self.method,
            evaluator=self.evaluator,
            logger=Loggers(
                make(node, folder=folder)
                for node in self._logger_nodes.values()
                if self.group.first
            ),
            checkpoints=self.checkpoints,
            settings=self.settings,
            noise=self.noise,
            config=self.config,
            facts=self._facts(),
            group=self.group,
        )

    def _announce(self, trainer: Trainer) -> None:
        engine = type(self.env.engine).__name__
        library = ", ".join(self.env.task.clip_names[:5])
        more = len(self.env.task.clip_names) - 5
        size = self.group.ranks.size
        print(
            f"{engine} on {self.env.device}: "
            + (f"{size} processes, each with " if size > 1 else "")
            + f"{self.env.num_envs} x "
            f"{self.env.engine.character.name}, {self.method.name}, clips {library}"
            + (f" and {more} more" if more > 0 else "")
        )
        for name, spec in self.env.groups.items():
            parts = ", ".join(f"{label} {width}" for label, width in spec.parts)
            print(f"  observes {name} [{spec.size}]: {parts}")
        print(f"  acts [{self.env.action_size}] at {1 / self.env.dt:g} Hz; writes {self.folder}")
        if self.skills is not None:
            print(f"  skills of {self.skills.path}, {self.skills.origin}")
        if trainer.counters.samples:
            print(f"  goes on after {trainer.counters.samples:,} samples")
        elif self.resume not in (None, "auto"):
            print(f"  {self.resume} has no checkpoint yet: starts from the beginning")

    def _command(self) -> str:
        """What starts this run, as far as its config does not say."""
        size = self.group.ranks.size
        return "python train.py" if size == 1 else f"torchrun --nproc-per-node {size} train.py"

    def _checkpoint_to_resume(self) -> Optional[Path]:
        if self.resume is None:
            return None
        if self.resume == "auto" or Path(self.resume).is_dir():
            found = self.group.agree("resume", str(self.checkpoints.newest() or ""))
            return Path(found) if found else None
        return Path(self.resume)

    def _folders_with_skills(self) -> list[Path]:
        """The run that this one goes on from: a copy of its skills lies there.

        Raises:
            ConfigError: other skills are asked for.
        """
        if self._resume_from is None or self._resume_state is None:
            return []
        before, skills = self._resume_state["config"].get("skills"), self.config["skills"]
        if before != skills:
            raise ConfigError(
                f"skills={skills}: the run that {self._resume_from} is of goes on with the copy of "
                f"{before} that it has: leave skills away"
            )
        return [self.folder, self._resume_from.parent.parent]

    def _check_needs(self) -> None:
        task, method = self.env.task, self.method
        missing = lacking(method.needs, task)
        if missing:
            raise IncompatibleParts(f"method '{method.name}' needs {missing}")
        if not any(method.weights.values()):
            raise ConfigError(
                f"method '{method.name}' rewards nothing, so there is nothing to learn: its "
                f"weights are {method.weights}; set one, e.g. method.reward."
                f"{next(iter(method.parts), TASK)}=1"
            )
        if "goal" in task.provides and not method.weights.get(TASK):
            raise IncompatibleParts(
                f"method '{method.name}' gives the task's reward no weight, so nothing would lead "
                f"to the goal: set method.reward.{TASK}=0.5 (the weights are {method.weights})"
            )

    def _facts(self) -> dict[str, Any]:
        kept = self.config["algo"].get("rollouts")
        return {
            **({"method's parts": self.method.facts} if self.method.facts else {}),
            **({"number of rollouts kept": kept} if kept is not None else {}),
            **({"skills": self.skills.fingerprint} if self.skills is not None else {}),
            "processes": self.group.ranks.size,
            "character": self.env.engine.character.name,
            "method": self.method.name,
            "clips": list(self.env.task.clip_names),
            "engine": type(self.env.engine).__name__,
            "num_envs": self.env.num_envs * self.group.ranks.size,
            "steps per iteration": self.algo.steps,
            "observation sizes": {name: spec.size for name, spec in self.env.groups.items()},
            "action size": self.env.action_size,
            "network": sum(p.numel() for p in self.policy.parameters()),
            "algorithm": [
                node["_target_"]
                for node in (self.config["algo"], *self.config["algo"].values())
                if isinstance(node, Mapping)
            ],
        }

    def _report_facts(self, samples: int) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "character": self.env.engine.character.name,
            "engine": type(self.env.engine).__name__,
            "device": str(self.device),
            "seed": self.config["seed"],
            "samples": samples,
        }


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
            self.method.load_state_dict(state["run"]["method"])

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


def build_method(config: Node) -> Method:
    """The method of a config with its parts, not yet connected to anything."""
    parts = {name: make(node) for name, node in config["method"]["parts"].items()}
    return make(config["method"], parts=parts)


def method_sources(
    method: Method, env: AnyEnv, policy: Policy, seed: int, pool: Pool = ALONE
) -> dict[str, Sources]:
    """What each part of a method draws on, with randomness of its own."""
    return {
        name: Sources(
            signals=env.signals,
            conditions=env.conditions,
            policy=policy,
            library=env.task.library,
            device=env.device,
            generator=seeding.generator(part_seed, env.device),
            pool=pool,
        )
        for name, part_seed in seeding.part_seeds(seed, method.parts).items()
    }


def load_skills(folder: Path, seconds: float, **settings: Any) -> LoadedRun:
    """A trained low level, with what its skills are judged by.

    Args:
        seconds: that no episode ends before, unless by a failure [s].
        settings: see `LoadedRun`.
    """
    # No episode begins on the ground: whether a policy stays up is asked of those who stand.
    lasting = {"episode_length_s": seconds + 1.0, "fallen_share": 0.0}
    return LoadedRun(folder, with_method=True, signals=SIGNALS, task_settings=lasting, **settings)


def build_env(
    config: Node,
    character: Character,
    num_envs: int,
    seed: int,
    library: Optional[MotionLibrary] = None,
    signals: Optional[Mapping[str, Callable[..., Signal]]] = None,
    conditions: Optional[Mapping[str, Callable[..., Condition]]] = None,
    skills: Optional[Skills] = None,
    **task_settings: Any,
) -> Env:
    """Engine, clips, task and actions of a config.

    Args:
        seed: of the task's random stream.
        library: the clips, where another environment of this config has them on its device.
        signals: what a method wants observed; see `Method.signals`.
        conditions: what it adds to what is acted on; see `Method.conditions`.
        skills: what actions choose among, each for `method.hold` control steps.
        task_settings: override keys of the task's node.
    """
    entries = [] if library is not None else resolve_motions(config["motion"], character)
    engine_node, device = dict(config["engine"]), config["device"]
    _fit_beside_others(engine_node, device)
    if device != "auto" and "device" in engine_node:  # an engine with a choice declares it
        engine_node["device"] = device
    task_node = {**config["task"], **task_settings}
    live: dict[str, Any] = {}
    if task_node.get("fallen_share"):
        live["falls"] = _falls(engine_node, character, seed)
    objects = read_objects(task_node.get("objects") or ())
    engine = make(engine_node, character=character, num_envs=num_envs, objects=objects)
    if device != "auto" and torch.device(device).type != engine.device.type:
        raise ConfigError(
            f"device={device}: {type(engine).__name__} runs on the {engine.device.type} only; use "
            "device=auto or another engine"
        )
    if library is None:
        library = MotionLibrary(character, entries, engine.device)
    task = make(
        task_node,
        character=character,
        library=library,
        num_envs=num_envs,
        objects=SceneObjects(objects, engine.objects),
        control_dt=engine.control_dt,
        generator=seeding.generator(seed, engine.device),
        **live,
    )
    actions = make(
        config["action"],
        character=character,
        control_mode=engine.control_mode,
        device=engine.device,
    )
    if skills is not None:
        actions = skills.actions(character, actions, engine.device)
    made = {
        name: factory(character=character, task=task, control_dt=engine.control_dt)
        for name, factory in (signals or {}).items()
    }
    added = {
        name: factory(
            num_envs=num_envs,
            device=engine.device,
            control_dt=engine.control_dt,
            generator=task.generator,
        )
        for name, factory in (conditions or {}).items()
    }
    hold = 1 if skills is None else config["method"]["hold"]
    return Env(engine, task, actions, made, added, hold)


def _falls(engine_node: Node, character: Character, seed: int) -> CharacterState:
    """Where falls end, found out on an engine of their own."""
    engine = make(engine_node, character=character, num_envs=2 * FALLS, objects=())
    return fallen_states(engine, seeding.generator(seed, engine.device))


def build_policy(config: Node, env: AnyEnv) -> Policy:
    """The networks of a config, untrained, on the environment's device."""
    policy: Policy = make(config["model"], groups=env.groups, action_size=env.action_size)
    return policy.to(env.device)


def build_evaluator(
    config: Node,
    character: Character,
    episodes: int,
    *,
    num_envs: Optional[int] = None,
    seed: Optional[int] = None,
    library: Optional[MotionLibrary] = None,
    signals: Optional[Mapping[str, Callable[..., Signal]]] = None,
    conditions: Optional[Mapping[str, Callable[..., Condition]]] = None,
    skills: Optional[Skills] = None,
) -> Evaluator:
    """Judges policies on its own environments, with pose termination off.

    Args:
        episodes: how many per evaluation.
        num_envs: side by side; as many as episodes unless given.
        seed: of start times; the config's unless given.
        library, signals, conditions, skills: see `build_env`.
    """
    start: int = config["evaluation"]["seed"] if seed is None else seed
    judged: dict[str, Any] = {key: False for key in ("pose_termination",) if key in config["task"]}
    sampling = config["task"].get("sampling") or {}
    if sampling.get("mode") == "adaptive":  # what is judged must not depend on what was learned
        judged["sampling"] = {**sampling, "mode": "length"}
    env = build_env(
        config,
        character,
        num_envs or episodes,
        start,
        library,
        signals=signals,
        conditions=conditions,
        skills=skills,
        **judged,
    )
    return Evaluator(env, env.task.generator, start, episodes)


def _share(num_envs: int, ranks: Ranks) -> int:
    """A rank's part of a run's environments.

    Raises:
        ConfigError: they cannot be divided evenly, as means over the ranks ask for.
    """
    if num_envs % ranks.size:
        nearest = max(1, round(num_envs / ranks.size)) * ranks.size
        raise ConfigError(
            f"num_envs={num_envs} cannot be divided evenly over {ranks.size} processes: it counts "
            f"those of all of them; num_envs={nearest} can"
        )
    return num_envs // ranks.size


def _fit_beside_others(engine_node: dict[str, Any], device: str) -> None:
    """Leave an engine the cores and the GPU that are this process's, of several on a host.

    Raises:
        ConfigError: the config names one GPU for all.
    """
    ranks = find_ranks(os.environ)
    if ranks.size == 1:
        return
    for key, value in (("device", device), ("engine.device", engine_node.get("device"))):
        if str(value).startswith("cuda:"):
            raise ConfigError(
                f"{key}={value} would put {ranks.size} processes on one GPU: each takes one of its "
                f"own with {key}=auto or {key}=cuda"
            )
    if engine_node.get("threads") == 0:
        engine_node["threads"] = _cores(ranks)


def _cores(ranks: Ranks) -> int:
    """Processors for this process: those it is held to, or its share of the machine's."""
    count = os.cpu_count() or 1
    held_to = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    return max(1, min(held_to, count // ranks.local_size))
