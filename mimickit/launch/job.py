"""One job of a sweep, as the process that runs it: `python -m mimickit.launch.job FOLDER CWD`.

Everything was decided when the job was submitted: its config lies in its folder, and this code is
the copy that was kept then. Started again, it goes on from the newest checkpoint.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from mimickit.errors import MimicKitError, RunError
from mimickit.launch.building import build
from mimickit.launch.composing import saved_config
from mimickit.launch.ranks import is_first_rank, quiet_torch, slurm_job
from mimickit.launch.status import PREEMPTED, begin, end, read_status, supervise
from mimickit.training.signals import PREEMPTION_SIGNALS, STOP_SIGNALS, signal_of

MOST_FRUITLESS = 5  # starts in a row that were preempted before one iteration was done


def run_job(folder: str, working_folder: str, requeue: bool = False) -> None:
    """Run a job to its end, or until it is stopped; its folder says what became of it.

    Args:
        folder: of the job, with its config.
        working_folder: where relative paths in the config begin.
        requeue: ask SLURM to run it again when it is preempted or its time is up.

    Raises:
        SystemExit: with 1 if it failed, with 130 if it was cancelled, with 0 if it was preempted
            and SLURM was asked to run it again.
    """
    path = Path(folder)
    quiet_torch()
    for number in STOP_SIGNALS:  # until the training loop takes over, there is nothing to save
        signal.signal(number, _interrupt)
    try:
        os.chdir(working_folder)
        supervise(path, lambda: _run(path, requeue))
    except KeyboardInterrupt as stop:
        print(f"stopped by {signal_of(stop)}", flush=True)
        raise SystemExit(130) from None
    except MimicKitError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def _run(folder: Path, requeue: bool) -> Any:
    if is_first_rank():
        begin(folder)
    try:
        return build(saved_config(folder), folder).start()
    except KeyboardInterrupt as stop:
        if requeue and signal_of(stop) in [number.name for number in PREEMPTION_SIGNALS]:
            _requeue(folder, signal_of(stop))
        raise


def _requeue(folder: Path, name: str) -> None:
    """Ask SLURM to run this job again, and leave.

    Raises:
        RunError: SLURM refuses, or the job never gets anywhere.
    """
    for number in STOP_SIGNALS:  # SLURM is about to send more of them
        signal.signal(number, signal.SIG_IGN)
    if not is_first_rank():
        raise SystemExit(0)
    status = read_status(folder)
    if status is not None and status.fruitless >= MOST_FRUITLESS:
        raise RunError(
            f"preempted {status.fruitless + 1} times in a row before a single iteration was done: "
            "give it more time (hydra.launcher.timeout_min) or less to do in one (num_envs)"
        )
    end(folder, PREEMPTED, f"stopped by {name}, all saved")
    command = ["scontrol", "requeue", str(slurm_job())]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        said = " ".join(done.stdout.decode(errors="replace").split())
        raise RunError(
            f"preempted by {name} and saved, but SLURM would not take it back ({said}); go on with "
            f"python train.py resume={folder}"
        )
    raise SystemExit(0)


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    run_job(folder=sys.argv[1], working_folder=sys.argv[2])
