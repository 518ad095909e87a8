"""How fast this machine simulates and trains, each stage beside bare physics of the same run.

engine=mujoco: one thread and CPU seconds, so that the figures are per core; the last lines are
wall-clock training on all cores. engine=mujoco_warp: seconds on the GPU, and its memory by part.
See mimickit/training/speed.py for what the stages are.
Usage: python scripts/benchmark.py engine=NAME [num_envs=64,256,1024,4096] [OVERRIDES OF A RUN]
           [experiment=mimickit_deepmimic for the published networks, epochs and observations]
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mimickit import launch

SIZES = {"cpu": "64,256,1024,4096", "cuda": "4096,16384"}  # environments, where none are typed


@launch.friendly_errors()
def main() -> None:
    """Measure each number of envs, then training."""
    start = time.perf_counter()
    words = [word for word in sys.argv[1:] if not word.startswith("num_envs=")]
    typed = [word for word in sys.argv[1:] if word.startswith("num_envs=")]
    if any(word in ("-h", "--help") for word in words):
        print(__doc__)
        return
    run = build(1, words)
    on_gpu = run.device.type == "cuda"
    sizes = typed[-1].split("=")[1] if typed else SIZES[run.device.type]
    print_machine(run)
    print(f"{'envs':>6} {'stage':<16} {'us/step':>8} {'steps/s':>11} {'of physics':>10}")
    for num_envs in map(int, sizes.split(",")):
        (measure_gpu if on_gpu else measure_cpu)(num_envs, words, start)


def print_machine(run: Any) -> None:
    """Hardware and versions."""
    import mujoco
    import torch

    from mimickit.training.provenance import cpu_name

    cuda = run.device.type == "cuda"
    device = torch.cuda.get_device_name(run.device) if cuda else "no GPU used"
    versions = [f"Python {platform.python_version()}", f"MuJoCo {mujoco.__version__}"]
    if cuda:
        from importlib.metadata import version

        versions += [f"MuJoCo Warp {version('mujoco-warp')}", f"Warp {version('warp-lang')}"]
    print(f"{cpu_name()}, {torch.get_num_threads()} threads; {device}")
    print(", ".join([*versions, f"torch {torch.__version__}"]))
    substeps = round(run.env.engine.control_dt / run.env.engine.sim_dt)
    print(f"{1 / run.env.dt:g} Hz control, {substeps} substeps; {run.config['engine']}\n")


def measure_cpu(num_envs: int, words: list[str], start: float) -> None:
    """Stages on one thread, then training on all."""
    import torch

    from mimickit.training.speed import cpu_stages, training_shares

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    run = build(num_envs, ["engine.threads=1", "training.threads=1", *words])
    print_stages(num_envs, cpu_stages(run.env, run.policy, run.noise))
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        rate, shares = training_shares(build(num_envs, words).trainer(Path(folder)))
    print_training(num_envs, rate, shares)


def measure_gpu(num_envs: int, words: list[str], start: float) -> None:
    """Stages and memory on the device, and how long it took until it was at full speed."""
    import torch

    from mimickit.training.progress import Stopwatch
    from mimickit.training.speed import cuda_stages, training_shares

    before = free_memory()
    began = time.perf_counter()
    run = build(num_envs, words)
    built, parts = time.perf_counter() - began, {"physics, clips, networks": free_memory()}
    with tempfile.TemporaryDirectory() as folder:
        trainer = run.trainer(Path(folder))
        torch.cuda.synchronize()
        parts["rollout"] = free_memory()
        seconds = []
        for _ in range(3):
            mark = time.perf_counter()
            trainer.iterate(Stopwatch())
            seconds.append(time.perf_counter() - mark)
        torch.cuda.synchronize()
        parts["graphs and learning"] = free_memory()
        print_stages(num_envs, cuda_stages(trainer))
        rate, shares = training_shares(trainer)
    print_training(num_envs, rate, shares)
    used = []
    for name, free in parts.items():
        used.append(f"{name} {(before - free) / 2**20:,.0f} MiB")
        before = free
    print(f"{num_envs:>6} device memory: {', '.join(used)}")
    firsts = ", ".join(f"{second:.1f}" for second in seconds)
    print(f"{num_envs:>6} start: built in {built:.1f} s; first iterations {firsts} s")
    print(
        f"{num_envs:>6} since the command began: {time.perf_counter() - start:.0f} s\n", flush=True
    )


def print_stages(num_envs: int, stages: dict[str, tuple[float, float]]) -> None:
    """A row for each stage."""
    for stage, (seconds, ratio) in stages.items():
        print(
            f"{num_envs:>6} {stage:<16} {1e6 * seconds:>8.2f} {1 / seconds:>11,.0f} {ratio:>10.2f}",
            flush=True,
        )


def print_training(num_envs: int, rate: float, shares: dict[str, float]) -> None:
    """Training by the wall clock, with the shares of its phases."""
    text = ", ".join(f"{name} {100 * share:.0f}%" for name, share in shares.items())
    print(f"{num_envs:>6} training by the wall clock: {rate:,.0f} samples/s ({text})", flush=True)


def free_memory() -> int:
    """Bytes of device memory that nobody holds."""
    import torch

    return torch.cuda.mem_get_info()[0]


def build(num_envs: int, overrides: list[str]) -> Any:
    """A run that writes nothing."""
    config = launch.compose(["logger=[]", "max_samples=1e12", f"num_envs={num_envs}", *overrides])
    return launch.make(launch.check_config(config), folder=Path("unused"))


if __name__ == "__main__":
    main()
