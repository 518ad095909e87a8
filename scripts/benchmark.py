"""How fast this machine simulates and trains, each stage beside the bare C loop of the same run.

One thread and CPU seconds, so that the figures are per core; the last lines are wall-clock training
on all cores. Engine and C loop step the same states under the same commands; the environment adds
reference, observations, rewards, terminations and resets, under random actions.
Usage: python scripts/benchmark.py [engine=mujoco] [num_envs=64,256,1024,4096] [OVERRIDES OF A RUN]
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from mimickit import launch

ROUNDS = 7  # repetitions; medians are printed
STEPS = 8  # control steps of 1,024 environments per repetition; of fewer environments, more
HORIZON = 4  # control steps of engine and C loop under one command: short, so that few worlds fall


@launch.friendly_errors()
def main() -> None:
    """Measure each number of envs, then training."""
    words = [word for word in sys.argv[1:] if not word.startswith("num_envs=")]
    typed = [word for word in sys.argv[1:] if word.startswith("num_envs=")]
    if any(word in ("-h", "--help") for word in words):
        print(__doc__)
        return
    sizes = [int(n) for n in (typed[-1].split("=")[1] if typed else "64,256,1024,4096").split(",")]
    print_machine()
    print(f"{'envs':>6} {'stage':<22} {'us/step':>8} {'steps/s':>9} {'of C':>6}")
    for num_envs in sizes:
        for stage, (seconds, ratio) in measure(num_envs, words).items():
            print(
                f"{num_envs:>6} {stage:<22} {1e6 * seconds:>8.1f} {1 / seconds:>9,.0f} "
                f"{ratio:>6.2f}",
                flush=True,
            )
    print(f"\n{'envs':>6} training, all cores, wall clock")
    for num_envs in [n for n in sizes if n <= 1024]:
        print(f"{num_envs:>6} {training(num_envs, words)}", flush=True)


def print_machine() -> None:
    """Hardware and versions."""
    import mujoco
    import torch

    from mimickit.training.provenance import cpu_name

    print(
        f"{cpu_name()}, {torch.get_num_threads()} cores; Python {platform.python_version()}, "
        f"MuJoCo {mujoco.__version__}, torch {torch.__version__}\n"
    )


def measure(num_envs: int, overrides: list[str]) -> dict[str, tuple[float, float]]:
    """Per stage, on one thread: CPU seconds per env and control step, speed relative to C.

    Both are medians over rounds; a ratio is taken within a round, where the machine drifts least.
    """
    import torch

    from mimickit.engines.mujoco_baseline import c_seconds_per_step

    torch.set_num_threads(1)
    run = build(num_envs, ["engine.threads=1", "training.threads=1", *overrides])
    env, policy, noise = run.env, run.policy, run.noise
    steps = max(2, min(64, STEPS * 1024 // num_envs))
    rows = torch.randperm(num_envs)[:256].numpy()

    def rollout(act: Callable[[dict[str, Any]], Any]) -> float:
        obs = env.obs
        start = time.process_time()
        for _ in range(steps):
            step = env.step(act(obs))
            ended = step.done != 0
            obs = env.reset(ended) if bool(ended.any()) else step.obs
        return (time.process_time() - start) / steps / num_envs

    def drawn(obs: dict[str, Any]) -> Any:
        return policy.act(obs, noise)[0]

    for _ in range(max(2, 60 // steps)):
        rollout(drawn)
    actions = torch.zeros(num_envs, env.action_size).normal_(generator=noise) * 0.1
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        found = {
            "env + policy": rollout(drawn),
            "env": rollout(lambda _: actions),
        }
        command = env.actions.decode(actions, env.task.next_reference)
        env.engine.command(command)
        before = env.engine.state_dict()
        engine_seconds, repeats = 0.0, max(1, 1024 // num_envs)
        for _ in range(repeats):
            env.engine.load_state_dict(before)
            start = time.process_time()
            for _ in range(HORIZON):
                env.engine.command(command)
                env.engine.step()
            engine_seconds += time.process_time() - start
        found["engine"] = engine_seconds / repeats / HORIZON / num_envs
        substeps = round(env.engine.control_dt / env.engine.sim_dt)
        found["C mj_step loop"] = c_seconds_per_step(
            env.engine.model, before["worlds"], rows, substeps, HORIZON
        )
        env.engine.load_state_dict(before)
        for stage, value in found.items():
            seconds.setdefault(stage, []).append(value)
    base = seconds["C mj_step loop"]
    return {
        stage: (
            statistics.median(seconds[stage]),
            statistics.median(c / own for c, own in zip(base, seconds[stage])),
        )
        for stage in ("C mj_step loop", "engine", "env", "env + policy")
    }


def training(num_envs: int, overrides: list[str]) -> str:
    """Samples per second of whole iterations, and where the time goes."""
    import os

    import torch

    from mimickit.training.progress import Stopwatch
    from mimickit.training.trainer import Trainer

    torch.set_num_threads(os.cpu_count() or 1)
    run = build(num_envs, overrides)
    with tempfile.TemporaryDirectory() as folder:
        trainer: Trainer = run.trainer(Path(folder))
        trainer.iterate(Stopwatch())
        watch, start = Stopwatch(), time.perf_counter()
        for _ in range(ROUNDS):
            trainer.iterate(watch)
        wall = time.perf_counter() - start
    shares = ", ".join(f"{name} {100 * s / wall:.0f}%" for name, s in watch.seconds.items())
    return f"{ROUNDS * trainer.rollout.samples / wall:,.0f} samples/s ({shares})"


def build(num_envs: int, overrides: list[str]) -> Any:
    """A run that writes nothing."""
    config = launch.compose(["logger=[]", "max_samples=1e12", f"num_envs={num_envs}", *overrides])
    return launch.make(launch.check_config(config), folder=Path("unused"))


if __name__ == "__main__":
    main()
