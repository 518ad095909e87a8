"""Submits the jobs of a sweep to SLURM, one element of a job array each, through submitit."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from mimickit.errors import ConfigError, RunError
from mimickit.launch.runs import ACTIVE, JOBS, LOGS, survey
from mimickit.launch.sweep import Job, SweepLauncher, count_of
from mimickit.training.provenance import write_text

POLL_S = 10.0
# What submitit calls alike on every kind of cluster; all else is SLURM's alone.
SHARED = (
    "name",
    "timeout_min",
    "nodes",
    "tasks_per_node",
    "cpus_per_task",
    "gpus_per_node",
    "mem_gb",
    "stderr_to_stdout",
)


class SlurmLauncher(SweepLauncher):
    """Submits the jobs as one array, and leaves: they need this process no more.

    A job that is preempted, or whose time is up, saves and is queued again by itself; it goes on in
    its own folder. With a sweeper that needs scores the launcher waits.

    Args:
        dirty, engine: see `SweepLauncher`.
        wait: for the jobs to end; None: where the sweeper needs their scores.
        settings: of sbatch, by submitit's names; None leaves one to the cluster.
    """

    def __init__(
        self,
        *,
        dirty: bool = False,
        engine: Optional[str] = None,
        wait: Optional[bool] = None,
        **settings: Any,
    ) -> None:
        super().__init__(dirty=dirty, engine=engine)
        self.waits = wait
        self.settings = {key: value for key, value in settings.items() if value is not None}

    def launch(self, job_overrides: Any, initial_job_idx: int) -> Any:
        """Submit a batch of jobs; see `SweepLauncher.launch`.

        Raises:
            RunError: this is no machine from which jobs can be submitted.
        """
        if importlib.util.find_spec("submitit") is None:
            raise RunError('hydra/launcher=slurm_...: needs submitit: pip install -e ".[slurm]"')
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise RunError(
                "hydra/launcher=slurm_...: there is no sbatch here: submit from a login node of "
                "the cluster, or use hydra/launcher=local"
            )
        return super().launch(job_overrides, initial_job_idx)

    def begin(self, jobs: Sequence[Job], code: Path) -> None:
        """Submit them; see `SweepLauncher.begin`.

        Raises:
            RunError: SLURM does not take them.
        """
        numbers = self.submit(jobs, code)
        self.remember({job.folder.name: number for job, number in zip(jobs, numbers)})
        first = numbers[0].partition("_")[0]
        print(f"{count_of(jobs)} in {self.folder}, submitted to SLURM as {first}:")
        for job, number in zip(jobs, numbers):
            print(f"  {number:<12} {job.folder.name}")
        print(
            f"python scripts/runs.py {self.folder}   says how they fare; scancel {first} ends them"
        )

    def wait(self) -> bool:
        """Until they have ended, where that is wished; see `SweepLauncher.wait`."""
        waits = self.needs_scores if self.waits is None else self.waits
        while waits and any(run.state in ACTIVE for run in survey(self.folder)):
            time.sleep(POLL_S)
        return waits

    def submit(self, jobs: Sequence[Job], code: Path) -> list[str]:
        """Submit them as one array; their numbers.

        Raises:
            RunError: SLURM does not take them.
            ConfigError: submitit knows no such setting.
        """
        import submitit
        from submitit.core.utils import FailedJobError

        from mimickit.launch.job import run_job  # a program of its own, as `python -m` has it

        path = os.pathsep.join(filter(None, (str(code), os.environ.get("PYTHONPATH"))))
        settings = dict(self.settings)
        own_setup = list(settings.pop("setup", ()))
        parameters = {
            key if key in SHARED else f"slurm_{key}": value for key, value in settings.items()
        }
        # `python -m`, which submitit uses, looks into the working folder before PYTHONPATH.
        setup = [f"export PYTHONPATH={shlex.quote(path)}", f"cd {shlex.quote(str(code))}"]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of no use: what they say stands in the config
                executor = submitit.AutoExecutor(
                    self.folder / LOGS / "%j", cluster="slurm", slurm_python=python_command()
                )
                executor.update_parameters(
                    **parameters,
                    slurm_setup=[*own_setup, *setup],
                    slurm_srun_args=["--kill-on-bad-exit=1"],
                )
                submitted = executor.map_array(
                    run_job,
                    [str(job.folder) for job in jobs],
                    [str(self.working_folder)] * len(jobs),
                    [True] * len(jobs),
                )
        except FailedJobError as error:
            said = " ".join(str(error).split())
            raise RunError(f"SLURM does not take the jobs (hydra.launcher.*): {said}") from error
        except (NameError, TypeError) as error:  # what submitit raises for a setting it has not
            raise ConfigError(f"hydra.launcher: {str(error).splitlines()[0]}") from error
        return [str(job.job_id) for job in submitted]

    def remember(self, numbers: dict[str, str]) -> None:
        """Write down which SLURM job each job of the sweep is."""
        path = self.folder / JOBS
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        write_text(path, json.dumps({**known, **numbers}, indent=2) + "\n")


def python_command() -> str:
    """This interpreter, for a shell to start so that no preemption signal kills it early.

    Until the job is ready for the signal, its default would end the process: SLURM would call that
    a failure, and not queue it again.
    """
    ignoring = 'trap "" USR1 USR2; exec "$@"'
    return f"bash -c {shlex.quote(ignoring)} bash {shlex.quote(sys.executable)}"
