"""Runs the jobs of a sweep on this machine, each a process of its own, on a GPU of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Optional

from mimickit.errors import ConfigError
from mimickit.launch.resolvers import cuda_devices
from mimickit.launch.runs import OUTPUT, survey
from mimickit.launch.status import CANCELLED, QUEUED, read_status, write_status
from mimickit.launch.sweep import Job, SweepLauncher, count_of

CORES_PER_JOB = 8  # where there is no GPU and nobody said how many jobs to run at once
POLL_S = 0.2
REPORT_S = 30.0  # between two lines about the jobs that run


@dataclass(frozen=True)
class Slot:
    """A share of the machine, for one job at a time.

    Attributes:
        gpu: as CUDA_VISIBLE_DEVICES names it; None where there is none.
        cores: the processors of the share; empty for all.
    """

    gpu: Optional[str] = None
    cores: tuple[int, ...] = ()


class LocalLauncher(SweepLauncher):
    """Runs the jobs here, as many at once as there are GPUs, and waits for them.

    A job that fails does not stop the others. What they print goes to their folders; how far they
    are is said now and then. Ctrl-C lets those that run save, and starts no more.

    Args:
        jobs: how many run at once; None: one on each GPU, or without GPUs one for every 8 cores.
        settings: see `SweepLauncher`.
    """

    def __init__(self, *, jobs: Optional[int] = None, **settings: Any) -> None:
        super().__init__(**settings)
        if jobs is not None and (not isinstance(jobs, int) or jobs < 1):
            raise ConfigError(f"hydra.launcher.jobs={jobs}: a whole number of at least 1 is needed")
        self.jobs = jobs

    def begin(self, jobs: Sequence[Job], code: Path) -> None:
        """Share the machine out among them; see `SweepLauncher.begin`."""
        self.waiting, self.code = list(jobs), code
        self.slots = slots(self.jobs, len(jobs), visible_gpus(), usable_cores())
        at_once = f"{len(self.slots)} at once" if len(self.slots) > 1 else "one after the other"
        print(f"{count_of(jobs)} in {self.folder}, {at_once}", flush=True)

    def wait(self) -> bool:
        """Run them all; see `SweepLauncher.wait`."""
        waiting, free, running = self.waiting, self.slots, []
        report = time.monotonic() + REPORT_S
        try:
            while waiting or running:
                while waiting and free:
                    job, slot = waiting.pop(0), free.pop(0)
                    process = begin_process(job, self.code, self.working_folder, slot)
                    running.append((process, job, slot))
                for entry in [entry for entry in running if entry[0].poll() is not None]:
                    running.remove(entry)
                    free.append(entry[2])
                    print(f"  {outcome(entry[1].folder)}", flush=True)
                if time.monotonic() > report:
                    report = time.monotonic() + REPORT_S
                    for _, job, _ in running:
                        print(f"  {progress(job.folder)}", flush=True)
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            for job in waiting:
                cancel(job)
            stop([process for process, _, _ in running])
            print(f"stopped; the same command with hydra.sweep.dir={self.folder} goes on")
            raise
        return True


def slots(jobs: Optional[int], most: int, gpus: Sequence[str], cores: Sequence[int]) -> list[Slot]:
    """Shares of a machine: a GPU each where there are some, and the cores dealt out.

    Args:
        jobs: how many shares; None: one for each GPU, or without GPUs one for every 8 cores.
        most: there is no use for more.
        gpus: what there is. cores: likewise.
    """
    count = min(most, jobs or len(gpus) or max(1, len(cores) // CORES_PER_JOB))
    share = len(cores) // count
    return [
        Slot(
            gpu=gpus[i % len(gpus)] if gpus else None,
            cores=tuple(cores[i * share : (i + 1) * share]),
        )
        for i in range(count)
    ]


def visible_gpus() -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(i) for i in range(cuda_devices())]


def usable_cores() -> list[int]:
    """The processors that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def begin_process(job: Job, code: Path, working_folder: Path, slot: Slot) -> subprocess.Popen:
    """Start a job's process, out of reach of Ctrl-C; what it prints goes to its folder."""
    command = [sys.executable, "-m", "mimickit.launch.job", str(job.folder), str(working_folder)]
    path = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    if slot.gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
    with (job.folder / OUTPUT).open("a", encoding="utf-8") as output:
        return subprocess.Popen(
            command,
            cwd=code,  # python -m looks there first
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(os.sched_setaffinity, 0, slot.cores) if slot.cores else None,
        )


def progress(folder: Path) -> str:
    """How far a job is, in a line."""
    if not folder.is_dir():
        return f"{'gone':<9} {folder.name}: its folder was deleted"
    (run,) = survey(folder)
    done = f"{run.samples:,} of {run.max_samples:,} samples"
    value = "" if run.value is None else f", {run.metric} {run.value:.4g}"
    return f"{run.state:<9} {folder.name}: {done}{value}"


def outcome(folder: Path) -> str:
    """How a job whose process is over ended, in a line."""
    status = read_status(folder)
    if status is None or status.state == QUEUED:
        return f"failed    {folder.name}: it did not start; see {folder / OUTPUT}"
    said = f" score {status.score:.4g}" if status.score is not None else ""
    said += f": {status.reason}" if status.reason else ""
    return f"{status.state:<9} {folder.name}{said}"


def cancel(job: Job) -> None:
    """Note that a job that waited will not be started."""
    status = read_status(job.folder)
    if status is not None:
        status.state, status.reason = CANCELLED, "never started"
        write_status(job.folder, status)


def stop(processes: Sequence[subprocess.Popen]) -> None:
    """Let processes save and end; a second Ctrl-C kills them."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    try:
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
            process.wait()
