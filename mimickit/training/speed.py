"""Measures what each stage of training costs, beside bare physics of the same run.

Stages build on each other: physics; engine (commands in, states out); env (reference, observations,
rewards, terminations, resets), under as much noise as an untrained policy makes; env + policy;
training (and learning). Engine and physics step the same states under the same commands.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any, Callable

import torch
from torch import Tensor

from mimickit.envs.env import Env
from mimickit.graphs import EAGER_CALLS, Graphed
from mimickit.models.policy import Policy
from mimickit.state import Done
from mimickit.training.progress import Stopwatch
from mimickit.training.trainer import Trainer

ROUNDS = 7  # repetitions; medians are given
FEW = 128  # environments up to which each takes so little that three times as many are needed
STEPS = 8  # control steps of 1,024 environments per repetition; of fewer environments, more
HORIZON = 4  # control steps of engine and physics under one command: short, so that few worlds fall
Stages = dict  # stage -> (seconds per env and control step, speed relative to physics)


@torch.inference_mode()  # as an environment's own steps
def cpu_stages(env: Env, policy: Policy, noise: torch.Generator) -> Stages:
    """CPU seconds per env and control step, on one thread; the physics is a loop of `mj_step` in C.

    Ratios are taken within a round, where the machine drifts least.

    Args:
        noise: generator of actions.
    """
    from mimickit.engines.mujoco_baseline import c_seconds_per_step

    engine: Any = env.engine
    num_envs = env.num_envs
    steps = max(2, min(64, STEPS * 1024 // num_envs))
    rows = torch.randperm(num_envs)[:256].numpy()

    def rollout(act: Callable[[dict[str, Tensor]], Tensor]) -> float:
        obs = env.observe()
        start = time.process_time()
        for _ in range(steps):
            ended = env.step(act(obs)).done != int(Done.NULL)
            if bool(ended.any()):
                env.reset(ended)
            obs = env.observe()
        return (time.process_time() - start) / (steps * env.control_steps) / num_envs

    def drawn(obs: dict[str, Tensor]) -> Tensor:
        return policy.act(obs, noise)[0]

    for _ in range(max(2, 60 // steps)):
        rollout(drawn)
    draws = itertools.cycle(policy.log_std.exp() * torch.randn(steps, num_envs, env.action_size))
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS if num_envs > FEW else 3 * ROUNDS):
        found = {"env + policy": rollout(drawn), "env": rollout(lambda _: next(draws))}
        command = env.actions.decode(next(draws), env.state, env.task.next_reference)
        engine.command(command)
        before = engine.state_dict()
        engine_seconds, repeats = 0.0, max(1, 1024 // num_envs)
        for _ in range(repeats):
            engine.load_state_dict(before)
            start = time.process_time()
            for _ in range(HORIZON):
                engine.command(command)
                engine.step()
            engine_seconds += time.process_time() - start
        found["engine"] = engine_seconds / repeats / HORIZON / num_envs
        substeps = round(engine.control_dt / engine.sim_dt)
        found["physics"] = c_seconds_per_step(
            engine.model, before["worlds"], rows, substeps, HORIZON
        )
        engine.load_state_dict(before)
        for stage, value in found.items():
            seconds.setdefault(stage, []).append(value)
    return _relative(seconds, "physics", ("physics", "engine", "env", "env + policy"))


def cuda_stages(trainer: Trainer) -> Stages:
    """Seconds on the device per env and control step; the physics is MuJoCo Warp's, in a graph.

    Every stage is replayed graphs, with no pause between them.
    """
    from mimickit.engines.mujoco_warp_baseline import warp_seconds_per_step

    env = trainer.env
    engine: Any = env.engine
    num_envs, steps = env.num_envs, trainer.rollout.steps
    control_steps = steps * env.control_steps
    noise = torch.randn(num_envs, env.action_size, device=env.device)
    actions = trainer.policy.log_std.detach().exp() * noise

    def step_env() -> None:
        ended = env.step(actions).done != int(Done.NULL)
        env.observe()  # as training does, which wants to see where the clock cut episodes
        env.reset(ended)
        env.observe()

    graphed = Graphed(step_env, env.device, [env.generator])

    def seconds_of(function: Callable[[], Any], count: int) -> float:
        torch.cuda.synchronize(env.device)
        start = time.perf_counter()
        for _ in range(count):
            function()
        torch.cuda.synchronize(env.device)
        return (time.perf_counter() - start) / count

    def step_engine() -> None:
        engine.command(command)
        engine.step()

    for _ in range(EAGER_CALLS + 1):
        trainer.iterate(Stopwatch())
        graphed()
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        found = {
            "training": seconds_of(lambda: trainer.iterate(Stopwatch()), 1) / control_steps,
            "env + policy": seconds_of(trainer.collector.collect, 1) / control_steps,
            "env": seconds_of(graphed, steps) / env.control_steps,
        }
        command = env.actions.decode(actions, engine.state, env.task.next_reference)
        engine.command(command)
        before = engine.state_dict()
        found["engine"] = seconds_of(step_engine, HORIZON)
        engine.load_state_dict(before)
        found["physics"] = warp_seconds_per_step(engine, HORIZON)
        engine.load_state_dict(before)
        for stage, value in found.items():
            seconds.setdefault(stage, []).append(value / num_envs)
    return _relative(seconds, "physics", ("physics", "engine", "env", "env + policy", "training"))


def training_shares(trainer: Trainer) -> tuple[float, dict[str, float]]:
    """Samples per second of whole iterations by the wall clock, and each phase's share of it."""
    for _ in range(EAGER_CALLS + 1):
        trainer.iterate(Stopwatch())
    watch, start = Stopwatch(), time.perf_counter()
    for _ in range(ROUNDS):
        trainer.iterate(watch)
    wall = time.perf_counter() - start
    shares = {name: seconds / wall for name, seconds in watch.seconds.items()}
    return ROUNDS * trainer.samples / wall, shares  # of all ranks


def _relative(seconds: dict[str, list[float]], base: str, order: tuple[str, ...]) -> Stages:
    """Medians over rounds, of the seconds and of the ratios within each round."""
    return {
        stage: (
            statistics.median(seconds[stage]),
            statistics.median(b / own for b, own in zip(seconds[base], seconds[stage])),
        )
        for stage in order
    }
