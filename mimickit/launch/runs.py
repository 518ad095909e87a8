"""How the runs of a sweep fare: read from their folders, and asked of SLURM where there is one."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from mimickit.errors import RunError, UnknownName, closest_beside, unknown_name_message
from mimickit.launch.composing import SAVED_CONFIG
from mimickit.launch.status import (
    CANCELLED,
    ERROR,
    FAILED,
    FINISHED,
    PREEMPTED,
    QUEUED,
    RUNNING,
    STATUS,
    Status,
    read_status,
)
from mimickit.loggers.csv import NAME as METRICS
from mimickit.loggers.csv import SAMPLES
from mimickit.training.provenance import REVISION

JOBS = "jobs.json"  # in a sweep's folder: the SLURM job of each of its jobs
LOGS = "slurm"  # in a sweep's folder: what its SLURM jobs printed
OUTPUT = "output.txt"  # in a run's folder: what its process printed, where it had no terminal
LOST = "lost"  # it does not run, and nobody said why
STATES = (RUNNING, QUEUED, PREEMPTED, FINISHED, FAILED, CANCELLED, LOST)
ACTIVE = (RUNNING, QUEUED, PREEMPTED)
PROGRESS = (SAMPLES, "time/samples_per_s")
USUAL = ("eval/return", "train/return")  # the metric shown when none is named: the first there is
TAIL = 1 << 18  # bytes at the end of metrics.csv in which the last values are looked for
TIMEOUT_S = 30.0  # for an answer of SLURM
# SLURM's own names of what becomes of a job.
PENDING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT")
ALIVE = ("RUNNING", "COMPLETING", "CONFIGURING", "STAGE_OUT", "SIGNALING", "STOPPED", "SUSPENDED")


@dataclass(frozen=True)
class Run:
    """One run, as a list of them shows it.

    Attributes:
        folder: where it lies.
        state: one of `STATES`.
        samples, max_samples: how far it is, and how far it is to go; 0 if nobody said.
        rate: samples per second of its last iteration; None before the first.
        metric, value: the metric shown, and its last value; None if it has none yet.
        reason: why it does not run.
    """

    folder: Path
    state: str
    samples: int
    max_samples: int
    rate: Optional[float]
    metric: str
    value: Optional[float]
    reason: str


def survey(folder: Path, metric: Optional[str] = None) -> list[Run]:
    """The runs in a folder, in the order of their numbers.

    Args:
        folder: a run's, a sweep's, or one that holds several of these.
        metric: a column of metrics.csv; by default the return, in evaluations if there were some.

    Raises:
        RunError: there are no runs, or SLURM does not answer.
        UnknownName: no run has logged such a metric, but others.
    """
    folders = find_runs(folder)
    statuses = [_status(path) for path in folders]
    submitted = {path: _read_jobs(path) for path in {path.parent for path in folders}}
    numbers = [
        submitted[path.parent].get(path.name, status.slurm_job)
        for path, status in zip(folders, statuses)
    ]
    answers = slurm_states({number for number in numbers if number})
    wanted = USUAL if metric is None else (metric,)
    rows = [last_values(path / METRICS, (*PROGRESS, *wanted)) for path in folders]
    if metric is not None and not any(metric in row for row in rows):
        names = {name for path in folders for name in columns_of(path / METRICS)}
        if names and metric not in names:
            raise UnknownName(unknown_name_message("no run has logged a metric", metric, names))
    runs = []
    for path, status, number, row in zip(folders, statuses, numbers, rows):
        asked = None if number is None or answers is None else answers.get(number, "")
        state, reason = judge(status, asked, in_slurm=number is not None)
        if state in (FAILED, LOST) and not (path / ERROR).is_file():
            reason += _last_words(path, number)
        shown = next((name for name in wanted if name in row), wanted[-1])
        runs.append(
            Run(
                folder=path,
                state=state,
                samples=int(row.get(PROGRESS[0], 0)),
                max_samples=status.max_samples,
                rate=row.get(PROGRESS[1]),
                metric=shown,
                value=row.get(shown),
                reason=reason,
            )
        )
    return runs


def find_runs(folder: Path) -> list[Path]:
    """The run folders in a folder, itself included, by number and name.

    Raises:
        RunError: there are none.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}.{closest_beside(folder)}")
    found = sorted(_walk(folder), key=_natural)
    if not found:
        raise RunError(f"{folder} holds no run: no folder there has a {STATUS} or a {SAVED_CONFIG}")
    return found


def judge(status: Status, slurm: Optional[str], in_slurm: bool = False) -> tuple[str, str]:
    """What became of a run, and why it does not run.

    Args:
        status: as the run wrote it last.
        slurm: the state of its job in SLURM's words, '' if SLURM knows no such job; None if there
            is nobody to ask.
        in_slurm: whether it is a SLURM job at all.
    """
    state, reason = status.state, status.reason
    if state in (FINISHED, FAILED):
        return state, reason
    if slurm is None:
        if state in (RUNNING, QUEUED) and not in_slurm and not process_lives(status):
            return LOST, f"its process {status.pid} on {status.host} is gone"
        return state, reason
    word = slurm.partition(" ")[0].rstrip("+")  # sacct: 'CANCELLED by 1000'
    if word in PENDING:
        return (PREEMPTED, reason) if status.starts else (QUEUED, "")
    if word in ALIVE:
        return RUNNING, ""
    if CANCELLED in (state, word.lower()):
        return CANCELLED, reason or "cancelled in SLURM"
    if word in ("", "COMPLETED"):
        said = "SLURM knows no such job" if not word else "its SLURM job ended without a word"
        return LOST, said
    return FAILED, f"SLURM says {word}"


def process_lives(status: Status) -> bool:
    """Whether the process of a run is there; taken for granted on other machines."""
    if status.host != socket.gethostname():
        return True
    try:
        os.kill(status.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, but there
        return True
    return True


def slurm_states(numbers: Iterable[str]) -> Optional[dict[str, str]]:
    """What SLURM says of jobs by number, those it has forgotten left out; None without SLURM.

    squeue knows the jobs of the last minutes, sacct older ones where the cluster keeps accounts.

    Raises:
        RunError: it does not answer.
    """
    numbers = set(numbers)
    if not numbers or shutil.which("squeue") is None:
        return None
    arrays = ",".join(sorted({number.partition("_")[0] for number in numbers}))
    states = _ask("squeue", "-h", "-a", "-r", "-t", "all", "-j", arrays, "-o", "%i|%T")
    if numbers - set(states) and shutil.which("sacct") is not None:
        older = _ask("sacct", "-n", "-X", "-P", "-j", arrays, "-o", "JobID,State")
        states = {**older, **states}
    return {number: state for number, state in states.items() if number in numbers}


def last_values(path: Path, names: Iterable[str]) -> dict[str, float]:
    """The last finite values of some columns of a metrics.csv, those without one left out.

    Only the end of the file is read, and from there backwards.
    """
    try:
        with path.open("rb") as file:
            columns = next(csv.reader([file.readline().decode()]), [])
            start = file.tell()
            file.seek(max(start, file.seek(0, os.SEEK_END) - TAIL))
            cut = file.tell() > start  # the first line may be part of one
            lines = file.read().decode().split("\n")[int(cut) : -1]  # a kill leaves half a last one
    except FileNotFoundError:
        return {}
    places = {name: columns.index(name) for name in names if name in columns}
    values: dict[str, float] = {}
    for row in csv.reader(reversed(lines)):
        if len(values) == len(places):
            break
        for name, place in places.items():
            cell = row[place] if len(row) == len(columns) else ""
            if name not in values and cell and math.isfinite(float(cell)):
                values[name] = float(cell)
    return values


def columns_of(path: Path) -> list[str]:
    """The columns of a metrics.csv; none if there is no such file."""
    try:
        with path.open(encoding="utf-8") as file:
            return next(csv.reader(file), [])
    except FileNotFoundError:
        return []


def counts(runs: Iterable[Run]) -> dict[str, int]:
    """How many runs are in each state, those that none is in left out."""
    states = [run.state for run in runs]
    return {state: states.count(state) for state in STATES if state in states}


def _walk(folder: Path) -> Iterator[Path]:
    if (folder / STATUS).is_file() or (folder / SAVED_CONFIG).is_file():
        yield folder
    elif not (folder / REVISION).is_file():  # that is a copy of the code
        for entry in os.scandir(folder):
            if entry.is_dir() and entry.name != LOGS and not entry.name.startswith("."):
                yield from _walk(Path(entry.path))


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def _status(folder: Path) -> Status:
    try:
        status = read_status(folder)
    except RunError as error:
        return Status(LOST, reason=str(error))
    return status or Status(LOST, reason=f"it has no {STATUS}")


def _read_jobs(sweep: Path) -> Mapping[str, str]:
    """The SLURM jobs of a sweep's jobs by name, if it was submitted to SLURM."""
    path = sweep / JOBS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _ask(*command: str) -> dict[str, str]:
    """What a command of SLURM prints as `number|state` lines."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError(f"{command[0]} did not answer within {TIMEOUT_S:g} s") from None
    # It has forgotten the job; or the cluster keeps no accounts. Nothing to know either way.
    silent = ("Invalid job id", "accounting storage is disabled")
    if done.returncode != 0 and not any(words in done.stderr for words in silent):
        raise RunError(f"{command[0]}: {' '.join(done.stderr.split())}")
    pairs = (line.split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return dict(pair for pair in pairs)


def _last_words(folder: Path, number: Optional[str]) -> str:
    """The last line that a job printed, and where all of it is."""
    logs = [folder / OUTPUT]
    if number is not None:
        logs = sorted((folder.parent / LOGS / number).glob(f"{number}_*_log.*"))
    for path in reversed(logs):
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
            words = next((line.strip() for line in reversed(lines) if line.strip()), "")
            return f": {words} ({path})" if words else ""
    return ""
