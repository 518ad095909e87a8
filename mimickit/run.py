"""The composition root: builds a run from its config, character first, trainer last.

Config nodes arrive as plain mappings with `_target_`; `make` turns each into an object, with the
live objects it needs beside its own settings. Nothing below this floor reads a config.
"""

from __future__ import annotations

import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Mapping, Optional

import torch

from mimickit.algos.algo import Algo
from mimickit.assembly import (
    Node,
    build_env,
    build_evaluator,
    build_method,
    build_policy,
    cores,
    method_sources,
)
from mimickit.characters import Character
from mimickit.envs.held_env import HeldEnv
from mimickit.envs.signals import Signal
from mimickit.envs.task import lacking
from mimickit.errors import (
    ConfigError,
    IncompatibleParts,
)
from mimickit.evaluation.evaluator import Evaluator
from mimickit.evaluation.report import write_report
from mimickit.graphs import can_compile
from mimickit.launch.building import make
from mimickit.loggers.logger import Loggers
from mimickit.methods.method import TASK
from mimickit.ranks import Ranks, find_ranks
from mimickit.skills import find_skills
from mimickit.training import checkpoint as checkpoints
from mimickit.training import distributed, seeding
from mimickit.training.checkpoint import Checkpoints
from mimickit.training.trainer import Trainer, TrainerSettings

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
        torch.set_num_threads(training["threads"] or max(1, cores(ranks) // at_once))
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
                signals={**self.method.signals, **self._skill_signals()},
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
            if self.config["training"]["spread_episodes"]:
                ranks, num_envs = self.group.ranks, self.env.num_envs
                self.env.spread_episodes(ranks.rank * num_envs, ranks.size * num_envs)
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

    def _skill_signals(self) -> dict[str, Callable[..., Signal]]:
        """What skills bring along and a part of the method judges by."""
        brought = self.skills.signals if self.skills else {}
        wanted = self.method.skill_signals
        return {name: signal for name, signal in brought.items() if name in wanted}

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
