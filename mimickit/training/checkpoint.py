"""Checkpoints: everything a run needs to go on bit for bit, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import time
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

import torch
from torch import Tensor

from mimickit.errors import CheckpointError

VERSION = 1
BEST = "best.pt"
TEMPORARY = "unfinished.tmp"  # one name for all, so that what a kill leaves is written over
RANKS_TIMEOUT_S = 300.0  # for the other ranks' parts of a checkpoint to be written
_NAME = re.compile(r"checkpoint_(\d{12})\.pt")
_KEYS = ("version", "samples", "config", "facts", "run", "policy")
_DEFAULTS = {"processes": 1}  # facts that older checkpoints leave out


class Checkpoints:
    """The checkpoints in one folder, named by samples; the newest few and the best are kept.

    One may be written `behind`: on a thread, from a copy in the host's memory, while the caller
    goes on. At most one is written at a time, and what went wrong is raised by the next call that
    writes or by `wait`. A program that ends waits for the thread.

    Of a run over several processes every rank writes its part to a file of its own, in a folder
    that all can see, and rank 0 its own last: where that file is, the checkpoint is complete.

    Args:
        folder: is created when first written to.
        keep: how many of the newest to keep.
        rank, ranks: of this process among how many.
    """

    def __init__(self, folder: Path, keep: int = 3, rank: int = 0, ranks: int = 1) -> None:
        if keep < 1:
            raise CheckpointError(f"training.keep_checkpoints must be at least 1, got {keep}")
        self.folder = folder
        self.keep = keep
        self.rank, self.ranks = rank, ranks
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._written: Optional[Future] = None

    def paths(self) -> list[Path]:
        """Complete checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))

    def newest(self) -> Optional[Path]:
        """The newest complete checkpoint, if any."""
        paths = self.paths()
        return paths[-1] if paths else None

    def save(self, state: dict[str, Any], behind: bool = False) -> Path:
        """Write one atomically, then drop those that are too old; where it is, or will be.

        Raises:
            CheckpointError: this one, or the last one behind, could not be written.
        """
        path = self.folder / f"checkpoint_{state['samples']:012d}.pt"
        self._write(rank_path(path, self.rank), state, behind)
        return path

    def save_best(self, state: dict[str, Any], behind: bool = False) -> None:
        """Write the best one so far atomically; see `save`."""
        self._write(self.folder / BEST, state, behind)

    def forget_incomplete(self) -> None:
        """Remove this rank's parts of checkpoints that were never completed, before any is saved.

        Else rank 0 would take one of them for a part of the checkpoint of as many samples to come.
        """
        complete = {rank_path(path, self.rank) for path in self.paths()}
        for part in self.folder.glob(f"checkpoint_*.rank{self.rank}.pt"):
            if part not in complete:
                part.unlink()

    def wait(self) -> None:
        """Until what is written behind is there.

        Raises:
            CheckpointError: it could not be written.
        """
        written, self._written = self._written, None
        if written is not None:
            written.result()

    def _write(self, path: Path, state: dict[str, Any], behind: bool) -> None:
        self.wait()
        if behind:
            # The thread must not touch the device: a graph may be captured meanwhile.
            state = map_tensors(state, partial(Tensor.to, device="cpu", copy=True))
            self._written = self._writer.submit(self._write_and_tidy, path, state)
        else:
            self._write_and_tidy(path, state)

    def _write_and_tidy(self, path: Path, state: dict[str, Any]) -> None:
        if self.rank > 0:
            write(path, state, f"{self.rank}-{TEMPORARY}")
            return
        if path.name != BEST:
            self._wait_for_parts(path)
        write(path, state)
        for old in self.paths()[: -self.keep]:
            old.unlink()
            for rank in range(1, self.ranks):
                rank_path(old, rank).unlink()

    def _wait_for_parts(self, path: Path) -> None:
        limit = time.monotonic() + RANKS_TIMEOUT_S
        missing = list(range(1, self.ranks))
        while missing and time.monotonic() < limit:
            missing = [rank for rank in missing if not rank_path(path, rank).exists()]
            time.sleep(0.01 if missing else 0.0)
        if missing:
            raise CheckpointError(
                f"checkpoint {path} is incomplete: rank {', '.join(map(str, missing))} wrote "
                f"nothing there within {RANKS_TIMEOUT_S:g} s; do all hosts see that folder?"
            )


def rank_path(path: Path, rank: int) -> Path:
    """Where a rank's part of the checkpoint at `path` is."""
    return path.with_name(f"{path.stem}.rank{rank}{path.suffix}") if rank > 0 else path


def map_tensors(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """The same dicts and lists with every tensor in them replaced by `function` of it."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: map_tensors(item, function) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(item, function) for item in value)
    return value


def write(path: Path, state: dict[str, Any], temporary_name: str = TEMPORARY) -> None:
    """Write a checkpoint so that `path` is at any moment absent, the old one or the new one.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    temporary = path.parent / temporary_name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            torch.save({"version": VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # the second is torch's for a full disk
        raise CheckpointError(
            f"cannot write checkpoint {path}: {_first_line(error)}; is there space left?"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # it is gone, or its folder is no folder
            temporary.unlink()


def read(path: Path) -> dict[str, Any]:
    """Load a checkpoint; nothing in the file is executed.

    Raises:
        CheckpointError: there is none, it is damaged, or another version wrote it.
    """
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.pt")) if path.parent.is_dir() else []
        raise CheckpointError(
            f"there is no checkpoint {path} (resume or checkpoint); beside it: "
            f"{', '.join(near) or 'none'}"
        )
    try:
        _check_sums(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {_first_line(error)}") from None
    except pickle.UnpicklingError as error:
        # torch's own message advises to read the file all the same.
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it asks for {wanted.group(1)} and may be hostile" if wanted else "no plain data"
        raise CheckpointError(
            f"{path} is not a checkpoint of this package, or is damaged: {reason}"
        ) from None
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is not a checkpoint of this package, or is damaged: {_first_line(error)}"
        ) from None
    except Exception as error:  # damaged files make the unpickler stumble in many ways
        raise CheckpointError(f"checkpoint {path} is damaged: {_first_line(error)}") from error
    if not isinstance(state, dict) or any(key not in state for key in _KEYS):
        raise CheckpointError(f"{path} is not a checkpoint of this package")
    if state["version"] != VERSION:
        raise CheckpointError(
            f"checkpoint {path} has version {state['version']}, this package reads {VERSION}"
        )
    return state


def read_part(path: Path, rank: int, ranks: int) -> dict[str, Any]:
    """Load a checkpoint as a rank needs it to go on: with that rank's own part of the run.

    Raises:
        CheckpointError: see `read`; or the checkpoint is not of as many ranks.
    """
    state = read(path)
    theirs = state["facts"].get("processes", 1)
    if theirs != ranks:
        raise CheckpointError(
            f"checkpoint {path} is of a run over {theirs} processes, this is one over {ranks}: go "
            f"on with {theirs} (torchrun --nproc-per-node, srun --ntasks)"
        )
    absent = [r for r in range(1, ranks) if not rank_path(path, r).is_file()]
    if absent:
        raise CheckpointError(
            f"checkpoint {path} has no part of rank {', '.join(map(str, absent))} beside it"
            + (": go on with the newest checkpoint instead" if path.name == BEST else "")
        )
    return state if rank == 0 else {**state, "run": read(rank_path(path, rank))["run"]}


def check_same_run(path: Path, saved: dict[str, Any], present: dict[str, Any]) -> None:
    """Refuse a checkpoint whose tensors would not fit, naming what differs.

    Args:
        saved, present: facts of the checkpoint's and of this run, by name.

    Raises:
        CheckpointError: a fact differs.
    """
    for fact, value in present.items():
        theirs = saved.get(fact, _DEFAULTS.get(fact))
        if theirs != value:
            raise CheckpointError(
                f"checkpoint {path} is of another run: its {fact} is {_short(theirs)}, "
                f"here it is {_short(value)}"
            )


def _check_sums(path: Path) -> None:
    """Compare the file's checksums, which torch does not, so that no flipped bit passes."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"{broken} does not match its checksum")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}..."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
