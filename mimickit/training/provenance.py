"""Write down where a run's numbers came from: settings, versions, machine, code."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Optional, Union

import yaml

from mimickit import __version__

PACKAGES = (
    "torch",
    "numpy",
    "mujoco",
    "mujoco-warp",
    "warp-lang",
    "newton",
    "hydra-core",
    "omegaconf",
    "tensorboard",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
REVISION = "revision.json"  # beside a copy of the code: what `record_git` said of the original
LARGEST_DIFF = 2_000_000  # bytes; a longer one is cut, and the record says so


def record_environment(folder: Path, seed: int, device: str) -> dict[str, Any]:
    """Write environment.json, and git.diff if the code differs from its revision.

    When a run is resumed, the earlier records are kept in the new one under "earlier", and each
    diff keeps a file of its own.

    Returns:
        What was written.
    """
    path = folder / "environment.json"
    earlier = read_earlier(path)
    session = len(earlier) + 1
    diff_name = "git.diff" if session == 1 else f"git-{session}.diff"
    record = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(getattr(sys, "orig_argv", [sys.executable, *sys.argv])),
        "folder": str(folder),
        "working_folder": os.getcwd(),
        "seed": seed,
        "device": device,
        "git": record_git(folder / diff_name),
        "versions": versions(),
        "machine": machine(),
        "variables": {k: os.environ[k] for k in THREAD_VARIABLES if k in os.environ},
        "earlier": earlier,
    }
    write_text(path, json.dumps(record, indent=2) + "\n")
    return record


def read_earlier(path: Path) -> list[dict[str, Any]]:
    """The records of the sessions before this one, oldest first; none if there is no file."""
    if not path.exists():
        return []
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
        return [*last.pop("earlier", []), last]
    except (ValueError, AttributeError):
        return [{"unreadable": path.read_text(encoding="utf-8", errors="replace")[:10_000]}]


def record_git(diff_path: Path, code: Optional[Path] = None) -> dict[str, Any]:
    """Revision and state of the code, its uncommitted changes in `diff_path`.

    Args:
        diff_path: written only if there are changes to tracked files.
        code: a folder in the repository; this package's by default.

    Returns:
        `revision` (None outside git or before the first commit), `dirty`, `untracked` and `diff`.
    """
    code = code or Path(__file__).resolve().parent
    original = next((p / REVISION for p in code.parents if (p / REVISION).is_file()), None)
    if original is not None:  # this is a copy, for the jobs of a sweep
        record = json.loads(original.read_text(encoding="utf-8"))
        if "diff" in record:
            diff_path.write_bytes((original.parent / record["diff"]).read_bytes())
            record["diff"] = diff_path.name
        return record
    top = git(code, "rev-parse", "--show-toplevel")
    # Only what holds this very code counts, not e.g. a repository around an installed package.
    if top is None or git(code, "ls-files", "--error-unmatch", ".") in (None, b""):
        return {"revision": None}
    root = Path(top.decode().strip())
    revision = git(root, "rev-parse", "HEAD")
    diff = git(root, "diff", "HEAD", "--no-ext-diff", "--no-color") or b""
    untracked = (
        (git(root, "ls-files", "--others", "--exclude-standard") or b"").decode().split("\n")
    )
    record: dict[str, Any] = {
        "revision": revision.decode().strip() if revision else None,
        "dirty": bool(diff),
        "untracked": [name for name in untracked if name][:100],
    }
    if diff:
        cut = len(diff) > LARGEST_DIFF
        diff_path.parent.mkdir(parents=True, exist_ok=True)
        diff_path.write_bytes(diff[:LARGEST_DIFF])
        record.update(diff=diff_path.name, diff_is_cut=cut)
    return record


def git(folder: Path, *arguments: str) -> Optional[bytes]:
    """What a git command prints, or None where there is no git, no repository or no such thing."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def versions() -> dict[str, Optional[str]]:
    """Versions of Python and of the packages that results depend on; None if not installed."""
    found: dict[str, Optional[str]] = {"python": platform.python_version()}
    found["mimickit"] = __version__
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """System, processor, GPUs and thread counts of this machine."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cpu_count": os.cpu_count(),
        "cpus_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "torch_threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        if cuda
        else [],
        "cuda": torch.version.cuda if cuda else None,
    }


def cpu_name() -> str:
    """The processor's model, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux: what platform knows is all there is
    return platform.processor() or platform.machine()


def write_resolved(folder: Path, config: Mapping[str, Any]) -> None:
    """Write resolved.yaml: every setting of the run with its value, interpolations followed."""
    write_text(folder / "resolved.yaml", yaml.safe_dump(dict(config), sort_keys=False))


def write_overrides(folder: Path, overrides: Sequence[str]) -> None:
    """Write overrides.yaml: what was typed, of a resumed run in the order of its sessions."""
    path = folder / "overrides.yaml"
    before: list[str] = []
    if path.exists():
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
        before = [str(item) for item in read] if isinstance(read, list) else []
    write_text(path, yaml.safe_dump([*before, *overrides], sort_keys=False))


def write_text(path: Union[str, Path], text: str) -> None:
    """Write a file such that it is there completely or as it was, whatever happens meanwhile."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
