"""How a run fares, in a file of its folder: status.json, and error.txt where it failed.

The run's own process writes both, so they are as true as the process was alive to make them. What
became of a process that wrote nothing more is for `mimickit.launch.runs` to find out.
"""

from __future__ import annotations

import json
import os
import socket
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Optional

from mimickit.errors import MimicKitError, RunError
from mimickit.launch.ranks import is_first_rank, slurm_job
from mimickit.ranks import find_ranks
from mimickit.training.provenance import write_text
from mimickit.training.signals import signal_of

STATUS = "status.json"
ERROR = "error.txt"  # of the first rank; of others error-<rank>.txt

QUEUED = "queued"
RUNNING = "running"
PREEMPTED = "preempted"  # saved, and waiting to go on
CANCELLED = "cancelled"
FINISHED = "finished"
FAILED = "failed"


@dataclass
class Status:
    """What status.json holds.

    Attributes:
        state: one of the constants above.
        overrides: what sets this job apart, as typed.
        max_samples: how many it is to collect; 0 if nobody said.
        slurm_job: its number, e.g. `12_0`; None outside SLURM.
        host, pid: of the first rank's process; before it starts, of the one that is to start it.
        submitted, started, ended: in UTC; of the last start and end.
        starts: how often it was started.
        checkpoint: the newest one when it was started last.
        fruitless: how many starts before this one ended with no newer checkpoint.
        score: what `start()` of the run returned.
        reason: why it is not running, in a line.
    """

    state: str
    overrides: list[str] = field(default_factory=list)
    max_samples: int = 0
    slurm_job: Optional[str] = None
    host: str = ""
    pid: int = 0
    submitted: Optional[str] = None
    started: Optional[str] = None
    ended: Optional[str] = None
    starts: int = 0
    checkpoint: str = ""
    fruitless: int = 0
    score: Optional[float] = None
    reason: str = ""


def read_status(folder: Path) -> Optional[Status]:
    """The status of a run folder; None if it has none.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / STATUS
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Status)}
        return Status(**{key: value for key, value in values.items() if key in known})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}); remove it to have it made anew") from None


def write_status(folder: Path, status: Status) -> None:
    """Write status.json, whole or not at all."""
    write_text(folder / STATUS, json.dumps(asdict(status), indent=2) + "\n")


def now() -> str:
    """The time, as a status keeps it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def begin(folder: Path, max_samples: Optional[int] = None) -> None:
    """Note that this process runs the run of a folder from here on.

    Args:
        max_samples: how many it is to collect; as noted before if not given.
    """
    status = read_status(folder) or Status(RUNNING)
    newest = max((p.name for p in folder.glob("checkpoints/checkpoint_*.pt")), default="")
    stuck = status.state == PREEMPTED and status.checkpoint == newest
    status.fruitless = status.fruitless + 1 if stuck else 0
    status.state, status.reason, status.ended, status.score = RUNNING, "", None, None
    status.host, status.pid, status.slurm_job = socket.gethostname(), os.getpid(), slurm_job()
    status.started, status.starts = now(), status.starts + 1
    status.checkpoint = newest
    status.max_samples = status.max_samples if max_samples is None else max_samples
    for old in folder.glob("error*.txt"):
        old.unlink()
    write_status(folder, status)


def end(folder: Path, state: str, reason: str = "", score: Optional[float] = None) -> None:
    """Note how a run that was begun has ended, unless somebody has already."""
    status = read_status(folder)
    # Another rank may have failed and said so: that is why this one had to stop.
    if is_first_rank() and status is not None and status.state == RUNNING:
        status.state, status.reason, status.score, status.ended = state, reason, score, now()
        write_status(folder, status)


def fail(folder: Path, error: Exception) -> None:
    """Keep the error that ended a run, its traceback in error.txt; nothing if none was begun."""
    status = read_status(folder)
    if status is None:
        return
    name = ERROR if is_first_rank() else f"error-{find_ranks(os.environ).rank}.txt"
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    write_text(folder / name, "".join(lines))
    if status.state != FAILED:  # the first to fail knows why
        status.state, status.reason, status.ended = FAILED, one_line(error), now()
        write_status(folder, status)


def supervise(folder: Path, function: Callable[[], Any]) -> Any:
    """Call what runs the run of a folder, and keep how it ended there; exceptions pass through.

    Nothing is written for what ends before it has called `begin`.
    """
    before = _starts(folder)
    try:
        score = function()
    except KeyboardInterrupt as stop:
        if _starts(folder) > before:
            end(folder, CANCELLED, f"stopped by {signal_of(stop)}")
        raise
    except Exception as error:
        if _starts(folder) > before or not is_first_rank():
            fail(folder, error)
        raise
    if _starts(folder) > before:
        end(folder, FINISHED, score=score if isinstance(score, (int, float)) else None)
    return score


def one_line(error: BaseException) -> str:
    """What an error says, as one line; with its type where it is none of ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, MimicKitError) else f"{type(error).__name__}: {text}"


def _starts(folder: Path) -> int:
    status = read_status(folder)
    return 0 if status is None else status.starts
