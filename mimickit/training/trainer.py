"""The training loop: collect, learn, evaluate, log, save, until the sample budget is spent."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import torch
from torch import Tensor

from mimickit.algos.algo import Algo
from mimickit.algos.rollout import Rollout
from mimickit.envs.held_env import AnyEnv
from mimickit.errors import RunError
from mimickit.evaluation.background import BackgroundEvaluation
from mimickit.evaluation.clips import clip_metrics
from mimickit.evaluation.evaluator import Evaluator, Results
from mimickit.generators import restore
from mimickit.graphs import Graphed
from mimickit.loggers.logger import Logger
from mimickit.methods import Method
from mimickit.models.policy import Policy
from mimickit.pooling import Pool
from mimickit.training.checkpoint import Checkpoints, check_same_run, map_tensors
from mimickit.training.collector import Collector
from mimickit.training.distributed import Group
from mimickit.training.episodes import EpisodeStatistics
from mimickit.training.progress import ProgressBar, Stopwatch
from mimickit.training.signals import PREEMPTION_SIGNALS, STOP_SIGNALS

Metrics = Dict[str, Tensor]  # scalars by name
CHECK_EQUAL_EVERY = 100  # iterations between two looks at whether all ranks hold the same weights
REPEATED_S = 5.0  # within which a signal that comes again is the launcher's copy of the first


@dataclass
class Counters:
    """How far a run is; part of every checkpoint."""

    samples: int = 0
    iterations: int = 0
    wall_s: float = 0.0  # training time, interruptions left out
    best_score: float = float("-inf")


@dataclass(frozen=True)
class TrainerSettings:
    """When to do what.

    Attributes:
        max_samples: train until at least this many control steps, over all envs.
        evaluate_every: samples between evaluations.
        checkpoint_every_s: wall seconds between checkpoints.
        progress: show a progress bar on a terminal.
    """

    max_samples: int
    evaluate_every: float
    checkpoint_every_s: float
    progress: bool = True


@dataclass
class _Stop:
    """Whether somebody asked the run to end early."""

    signal: Optional[str] = None

    @property
    def preempted(self) -> bool:
        """Whether it was a scheduler that wants the machine."""
        return self.signal in [number.name for number in PREEMPTION_SIGNALS]


@dataclass
class Trainer:
    """Trains one policy; see `train`.

    On CUDA evaluations run beside the training and checkpoints are written behind it; elsewhere
    each is done when it is due, and the same run twice gives the same bits.

    Over several ranks each has envs of its own and learns what all of them see; rank 0 alone
    evaluates and logs, figures of all ranks together.

    Attributes:
        evaluator: of rank 0; None on others.
        noise: generator of the exploration noise.
        config: of the whole run, kept in every checkpoint.
        facts: sizes and names that a checkpoint must share with the run that loads it.
        group: the processes of this run.
    """

    env: AnyEnv
    policy: Policy
    algo: Algo
    method: Method
    evaluator: Optional[Evaluator]
    logger: Logger
    checkpoints: Checkpoints
    settings: TrainerSettings
    noise: torch.Generator
    config: dict[str, Any]
    facts: dict[str, Any]
    counters: Counters = field(default_factory=Counters)
    group: Group = field(default_factory=Group)

    def __post_init__(self) -> None:
        env = self.env
        self.rollout = Rollout(
            self.algo.steps, env.num_envs, env.groups, env.action_size, env.device, env.max_steps
        )
        # Control steps of an iteration, all ranks'.
        self.samples = self.rollout.samples * env.control_steps * self.group.ranks.size
        self.episodes = EpisodeStatistics(env.num_envs, env.dt, env.device, self.group.pool)
        self.collector = Collector(env, self.policy, self.rollout, self.noise)
        self._learn: Callable[[], tuple[Metrics, Metrics]] = self._learn_once
        if self.algo.capturable and self.method.capturable:
            generators = [self.algo.generator, *self.method.generators]
            self._learn = Graphed(self._learn_once, env.device, generators)
        self._on_cuda = env.device.type == "cuda"
        self._background: Optional[BackgroundEvaluation] = None
        if self._on_cuda and self.evaluator is not None:
            self._background = BackgroundEvaluation(self.evaluator, self.policy)
        self.stopped_by: Optional[str] = None  # the signal that ended `train` early
        self._candidate: dict[str, Any] = {}  # the state that the evaluation now running is of

    def train(self) -> bool:
        """Train until the budget is spent; False if a signal ended it early.

        Either way the last checkpoint holds where it stopped.

        Raises:
            RunError: numbers stopped being finite; the last good checkpoint is kept.
        """
        counters, watch = self.counters, Stopwatch()
        last_checkpoint, last_row = time.monotonic(), time.perf_counter()
        budget = self.settings.max_samples
        several = self.group.ranks.size > 1
        if several:
            self.checkpoints.forget_incomplete()
            self.group.check_equal(self._shared())
        with _ends_early(self.group) as stop, ProgressBar(
            budget, counters.samples, self.settings.progress and self.group.first
        ) as bar:
            if self._on_cuda and self.group.first:
                bar.say("compiles and captures CUDA graphs: the first iterations are slow")
            self._prepare_evaluation()
            (stopped,) = self.group.any(stop.signal is not None)
            last = counters.samples >= budget or stopped
            while not last:
                metrics = self.iterate(watch)
                if several and counters.iterations % CHECK_EQUAL_EVERY == 1:
                    self.group.check_equal(self._shared())
                due = time.monotonic() - last_checkpoint >= self.settings.checkpoint_every_s
                # One clock decides when to save, any rank's signal when to stop.
                stopped, due = self.group.any(stop.signal is not None, due and self.group.first)
                last = counters.samples >= budget or stopped
                metrics.update(self._evaluate(watch, last))
                seconds = watch.reset()
                now = time.perf_counter()  # everything since the last row, saving included
                counters.wall_s, last_row = counters.wall_s + now - last_row, now
                metrics.update({f"time/{name}_s": value for name, value in seconds.items()})
                busy = seconds["simulate"] + seconds["learn"]
                metrics["time/samples_per_s"] = self.samples / busy
                metrics["time/wall_s"] = counters.wall_s
                self.logger.log(metrics, counters.samples)
                bar.update(counters.samples, self.samples / busy, seconds, _headline(metrics))
                if "eval/samples" in metrics:
                    bar.say(f"{metrics['eval/samples']:>13,.0f} samples  {_headline(metrics)}")
                if due:
                    self.save()
                    last_checkpoint = time.monotonic()
            self.save()
            self.checkpoints.wait()
            stopped, preempted = self.group.any(stop.signal is not None, stop.preempted)
        if stopped:  # what one rank was told holds for all
            self.stopped_by = signal.SIGUSR2.name if preempted else stop.signal or "SIGTERM"
        return not stopped

    def release(self) -> None:
        """Forget the captured update: NCCL waits for every graph that holds a sum over the ranks.

        Call it before the group is closed.
        """
        if isinstance(self._learn, Graphed):
            self._learn.recapture()

    def save(self) -> Path:
        """Write a checkpoint of everything the run depends on."""
        return self.checkpoints.save(self._state(), behind=self._on_cuda)

    def load(self, state: dict[str, Any], path: Path) -> None:
        """Go on exactly where a checkpoint was written.

        Raises:
            CheckpointError: it is of a run that this one cannot continue.
        """
        check_same_run(path, state["facts"], self.facts)
        run = state["run"]
        self.policy.load_state_dict(state["policy"])
        self.algo.load_state_dict(run["algo"])
        self.method.load_state_dict(run["method"])
        self.env.load_state_dict(run["env"])
        self.episodes.load_state_dict(run["episodes"])
        restore(self.noise, run["noise"], "the exploration noise")
        self.counters = Counters(**run["counters"])
        self.logger.resume(self.counters.samples)

    def iterate(self, watch: Stopwatch) -> dict[str, float]:
        """One iteration: T steps of all envs, then one update of everything that learns."""
        counters = self.counters
        progress = min(1.0, counters.samples / self.settings.max_samples)
        self.policy.set_progress(progress)
        self.algo.set_progress(progress)
        with watch.phase("simulate"):
            self.collector.collect()
            if self._on_cuda:  # once per iteration, to know the shares; evaluation runs on
                torch.cuda.current_stream(self.env.device).synchronize()
        with watch.phase("learn"):
            learned, episodes = self._learn()
            if self.group.ranks.size > 1:
                self.env.task.exchange(self.group.pool)
            metrics = _to_floats({**learned, **episodes, **self._checks()}, self.group.pool)
            counters.samples += self.samples
            counters.iterations += 1
        self._check_finite({name: metrics[name] for name in learned}, metrics.pop("weights"))
        metrics["train/iterations"] = counters.iterations
        return metrics

    def _learn_once(self) -> tuple[Metrics, Metrics]:
        """Let everything learn from the rollout; what it logs, and the figures of its episodes."""
        rollout = self.rollout
        learned = self.method.reward(rollout)
        episodes = self.episodes.add(rollout.reward, rollout.done)
        learned.update(self.algo.update(rollout, self.method.actor_terms()))
        learned.update(self.method.update(rollout))
        self.policy.update_normalizers(
            {name: group[: rollout.steps] for name, group in rollout.obs.items()}, self.group.pool
        )
        return learned, episodes

    def _checks(self) -> Metrics:
        sums = [t.sum().double() for t in self.policy.state_dict().values()]
        divergences = self.group.pool.sum(self.env.divergences.clone())
        return {"train/divergences": divergences, "weights": torch.stack(sums).sum()}

    def _shared(self) -> list[Tensor]:
        """What is the same on every rank."""
        return [*self.policy.state_dict().values(), *self.group.pool.kept_equal]

    def _prepare_evaluation(self) -> None:
        """Do now what would hold up the first iteration that evaluates, if there is to be one."""
        settings, period = self.settings, self.settings.evaluate_every
        if self._background and settings.max_samples // period > self.counters.samples // period:
            self._background.prepare(self.policy)

    def _evaluation_is_due(self) -> bool:
        """Whether the last iteration reached or crossed a multiple of the period."""
        period, now = self.settings.evaluate_every, self.counters.samples
        return now // period > (now - self.samples) // period

    def _evaluate(self, watch: Stopwatch, last: bool) -> dict[str, float]:
        """What there is to log of evaluations after an iteration.

        Args:
            last: there will be no other iteration, so what runs is waited for.
        """
        due, background = self._evaluation_is_due(), self._background
        if self.evaluator is None or (not due and not (background and background.busy)):
            return {}
        with watch.phase("evaluate"):
            if background is None:
                return self._judge(self.evaluator.run(self.policy), self._state())
            if due and not background.busy:  # else this one is left out
                self._candidate = map_tensors(self._state(), torch.clone)
                background.begin(self.policy)
            results = background.finish() if last else background.proceed()
            return {} if results is None else self._judge(results, self._candidate)

    def _judge(self, results: Results, state: dict[str, Any]) -> dict[str, float]:
        """What to log of an evaluation; a checkpoint's state that is the best so far is kept."""
        overall = results["overall"]
        if overall["return"] > self.counters.best_score:
            self.counters.best_score = overall["return"]
            state["run"]["counters"]["best_score"] = overall["return"]
            self.checkpoints.save_best(state, behind=self._on_cuda)
        figures = {f"eval/{name}": value for name, value in overall.items() if name != "episodes"}
        return {**figures, **clip_metrics(results["clips"]), "eval/samples": state["samples"]}

    def _check_finite(self, metrics: dict[str, float], weights: float) -> None:
        """Stop before anything that is not a number reaches a checkpoint."""
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
        if bad or not math.isfinite(weights):
            self.checkpoints.wait()
            newest = self.checkpoints.newest()
            raise RunError(
                f"iteration {self.counters.iterations}: "
                f"{', '.join(bad) or 'a weight or a mean observation'} is no longer a finite "
                f"number; the last good checkpoint is {newest or 'none yet'}. Lower the learning "
                "rates (algo.actor_optimizer.lr, algo.critic_optimizer.lr), or look at the clip "
                "with scripts/view_motion.py"
            )

    def _state(self) -> dict[str, Any]:
        return {
            "samples": self.counters.samples,
            "config": self.config,
            "facts": self.facts,
            "policy": self.policy.state_dict(),
            "run": {
                "algo": self.algo.state_dict(),
                "method": self.method.state_dict(),
                "env": self.env.state_dict(),
                "episodes": self.episodes.state_dict(),
                "noise": self.noise.get_state(),
                "counters": vars(self.counters).copy(),
            },
        }


@contextmanager
def _ends_early(group: Group) -> Iterator[_Stop]:
    """Let the first Ctrl-C, SIGTERM or SIGUSR end the run after its iteration; a second at once.

    The launcher of several processes may pass on what the terminal has sent them already.
    """
    stop, first = _Stop(), -math.inf
    several = group.ranks.size > 1

    def handler(number: int, _: object) -> None:
        nonlocal first
        now = time.monotonic()
        if stop.signal is not None and not (several and now - first < REPEATED_S):
            raise KeyboardInterrupt(stop.signal)
        if stop.signal is None and group.first:
            # Not by print: the signal may have come within one.
            name = signal.Signals(number).name
            os.write(2, f"{name}: saves after this iteration, then ends\n".encode())
        stop.signal, first = signal.Signals(number).name, now

    try:
        previous = {s: signal.signal(s, handler) for s in STOP_SIGNALS}
    except ValueError:  # not the main thread: whoever runs us there stops us by other means
        yield stop
        return
    try:
        yield stop
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _to_floats(tensors: dict[str, Tensor], pool: Pool) -> dict[str, float]:
    """Means over the ranks, by one exchange and one transfer from the device for all metrics."""
    values = torch.stack([value.detach().double().reshape(()) for value in tensors.values()])
    return dict(zip(tensors, (pool.sum(values) / pool.ranks).tolist()))


def _headline(metrics: dict[str, float]) -> str:
    ended = math.isfinite(metrics["train/return"])  # it is NaN if no episode has
    text = f"return {metrics['train/return']:.3g}" if ended else "no episode ended"
    if "eval/success_rate" in metrics:
        text += f"  succeeds {100 * metrics['eval/success_rate']:.0f}%"
    if "eval/position_error_m" in metrics:
        text += f"  position error {metrics['eval/position_error_m']:.3f} m"
    return text
