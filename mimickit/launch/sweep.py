"""What every launcher of a sweep does: settle all jobs' configs and the code, then start them."""

from __future__ import annotations

import contextlib
import copy
import os
import shutil
import socket
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override

from mimickit.errors import ConfigError, MimicKitError, RunError
from mimickit.launch.checks import check_choices
from mimickit.launch.composing import SAVED_CONFIG
from mimickit.launch.resolvers import ENGINE_VARIABLE
from mimickit.launch.runs import ACTIVE, LOGS, survey
from mimickit.launch.snapshot import refuse_dirty, take_snapshot
from mimickit.launch.status import FINISHED, QUEUED, Status, now, read_status, write_status
from mimickit.training import provenance

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@dataclass(frozen=True)
class Job:
    """One job of a sweep, settled.

    Attributes:
        number: its place in the sweep.
        overrides: what was typed for it.
        cfg: its config without Hydra's own part, checked. hydra_cfg: that part.
        folder: of its run, absolute.
    """

    number: int
    overrides: tuple[str, ...]
    cfg: DictConfig
    hydra_cfg: DictConfig
    folder: Path

    @property
    def config_text(self) -> str:
        """Its config as the folder of the run keeps it."""
        return OmegaConf.to_yaml(self.cfg)


class SweepLauncher(Launcher):
    """Starts each job of a sweep as a process of its own, with the config and the code of now.

    All configs are composed and checked before anything is started, so that one bad value stops
    the sweep at once. Each is written into its job's folder, and the code is copied beside them;
    the jobs read nothing else of the checkout. A sweep that is submitted again into its own folder
    (hydra.sweep.dir=...) leaves finished jobs alone and goes on with the others.

    Args:
        dirty: allow a git tree with changes that are not committed.
        engine: what engine=auto means for the jobs, whatever this machine has; None: what it has.
    """

    def __init__(self, *, dirty: bool = False, engine: Optional[str] = None) -> None:
        self.dirty = dirty
        self.engine = engine
        self.working_folder = Path.cwd()
        self._code: Optional[Path] = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra hands to a launcher."""
        self.hydra_context = hydra_context
        self.config = config
        self.folder = Path(str(config.hydra.sweep.dir)).absolute()
        # Others choose jobs by the scores of those before.
        self.needs_scores = str(config.hydra.sweeper._target_) != BASIC_SWEEPER

    @abstractmethod
    def begin(self, jobs: Sequence[Job], code: Path) -> None:
        """Start the jobs, or get ready to.

        Args:
            jobs: those that are to run; their folders are ready.
            code: the copy of the code to run.

        Raises:
            MimicKitError: none of them can be started.
        """

    @abstractmethod
    def wait(self) -> bool:
        """See the jobs through, as far as this process has to; whether all have come to an end."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Start a batch of jobs; see `Launcher.launch`.

        Raises:
            MimicKitError: one of them cannot be started. None has been then.
        """
        if not self.dirty:
            refuse_dirty()
        jobs = [self.settle(initial_job_idx + i, list(o)) for i, o in enumerate(job_overrides)]
        due = [job for job in jobs if not self.is_finished(job)]
        made = (*(job.folder for job in due), self.folder / LOGS)
        new = [folder for folder in made if not folder.exists()]
        if not due:
            print(f"{count_of(jobs)} in {self.folder}: finished before", flush=True)
            return self.returns(jobs, ended=True)
        try:
            for job in due:
                self.write(job)
            if self._code is None:
                self._code = take_snapshot(self.folder)
                new.append(self._code)
            self.begin(due, self._code)
        except MimicKitError:
            for folder in new:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return self.returns(jobs, ended=self.wait())

    def settle(self, number: int, overrides: Sequence[str]) -> Job:
        """Compose and check one job's config.

        Raises:
            MimicKitError: a setting is wrong.
        """
        with _environment(ENGINE_VARIABLE, self.engine):
            loader = self.hydra_context.config_loader
            cfg = copy.deepcopy(loader.load_sweep_config(self.config, list(overrides)))
        with flag_override(cfg, ["struct", "readonly"], [False, False]):
            cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
            folder = self.folder / str(cfg.hydra.sweep.subdir)
            hydra_cfg = cfg.pop("hydra")
        checked = check_choices(cfg, hydra_cfg.runtime.choices)
        if checked.resume is None:
            raise ConfigError(
                "resume=null: a job that is preempted has to go on in its folder; leave it "
                "away, or sweep in this process with hydra/launcher=basic"
            )
        return Job(number, tuple(overrides), checked, hydra_cfg, folder)

    def is_finished(self, job: Job) -> bool:
        """Whether the sweep was submitted before and this job is done.

        Raises:
            RunError: it runs at this moment, or waits to.
        """
        status = read_status(job.folder)
        if status is None:
            return False
        (found,) = survey(job.folder)
        if found.state in ACTIVE:
            raise RunError(
                f"{job.folder} is {found.state} already; `python scripts/runs.py {self.folder}` "
                "lists what there is"
            )
        same = (job.folder / SAVED_CONFIG).read_text(encoding="utf-8") == job.config_text
        return status.state == FINISHED and same

    def write(self, job: Job) -> None:
        """Put into a job's folder what its process starts from.

        Raises:
            RunError: the folder cannot be written.
        """
        status = read_status(job.folder) or Status(QUEUED)
        status.state, status.reason, status.submitted = QUEUED, "", now()
        status.host, status.pid = socket.gethostname(), os.getpid()  # who is to start it
        status.overrides = list(filter_overrides(list(job.overrides)))
        status.max_samples = int(job.cfg.max_samples)
        try:
            provenance.write_text(job.folder / SAVED_CONFIG, job.config_text)
            provenance.write_overrides(job.folder, job.overrides)
            write_status(job.folder, status)
        except OSError as error:
            raise RunError(
                f"cannot write to the run folder '{job.folder}': {error.strerror}; choose another "
                "place for the sweep with hydra.sweep.dir=..."
            ) from error

    def returns(self, jobs: Sequence[Job], ended: bool) -> list[JobReturn]:
        """What Hydra is to know of the jobs: scores, and for those that failed one error for all.

        Args:
            ended: whether they have come to an end; otherwise they have no scores yet.
        """
        statuses = [read_status(job.folder) or Status(QUEUED) for job in jobs]
        bad = [
            f"{job.folder.name}: {status.reason or status.state}"
            for job, status in zip(jobs, statuses)
            if ended and status.state != FINISHED
        ]
        error = RunError(
            f"{len(bad)} of {count_of(jobs)} did not finish ({'; '.join(bad[:3])}"
            f"{'; ...' if bad[3:] else ''}); `python scripts/runs.py {self.folder}` lists them all"
        )
        return [
            JobReturn(
                overrides=job.overrides,
                cfg=job.cfg,
                hydra_cfg=job.hydra_cfg,
                working_dir=str(job.folder),
                task_name=str(job.hydra_cfg.job.name),
                status=JobStatus.FAILED
                if ended and status.state != FINISHED
                else JobStatus.COMPLETED,
                _return_value=error if ended and status.state != FINISHED else status.score,
            )
            for job, status in zip(jobs, statuses)
        ]


def count_of(jobs: Sequence[Job]) -> str:
    """How many jobs, in words."""
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}"


@contextlib.contextmanager
def _environment(name: str, value: Optional[str]) -> Iterator[None]:
    """Have a variable of the environment set, unless it is already or there is no value."""
    if value is None or name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
