"""A copy of the code as it is when a sweep is submitted, for its jobs whenever they start."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Optional

from mimickit.errors import RunError
from mimickit.launch.resolvers import CONF
from mimickit.training import provenance

ROOT = CONF.parent
# What a run needs of the checkout; everything else there stays behind.
KEPT = ("mimickit", "conf", "assets", "motions", "scripts", "train.py", "pyproject.toml")


def refuse_dirty(root: Path = ROOT) -> None:
    """Stop where the code is not what its revision says.

    Raises:
        RunError: tracked files of the git tree differ from HEAD, or there are new ones among those
            that a run reads.
    """
    changed = changed_files(root)
    if changed:
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if changed[5:] else "")
        raise RunError(
            f"the git tree {root} has changes that are not committed ({names}): commit them, or "
            "add hydra.launcher.dirty=true, which keeps the difference beside the code of the sweep"
        )


def changed_files(root: Path) -> list[str]:
    """What differs from HEAD or is new there; nothing outside git."""
    lines = provenance.git(root, "status", "--porcelain", "-z", "--no-renames", "--", *KEPT) or b""
    return sorted(line[3:] for line in lines.decode().split("\0") if line)


def take_snapshot(folder: Path, root: Path = ROOT) -> Path:
    """Copy the code into a new folder beside the jobs of a sweep.

    Git says which files belong to it: those it tracks, as they lie there, and new ones that are not
    ignored. Without git all files of the folders that a run needs are taken.

    Args:
        folder: of the sweep.
        root: of the code.

    Returns:
        Where the copy is: `code`, or where a sweep is submitted again, `code-2` and so on. Its
        revision and its difference from that are recorded there for `provenance.record_git`.

    Raises:
        RunError: it cannot be written.
    """
    number = 1 + sum(1 for old in folder.glob("code*") if old.is_dir())
    target = folder / ("code" if number == 1 else f"code-{number}")
    try:
        for name in files_of(root):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
        record = provenance.record_git(target / "git.diff", root / "mimickit")
        provenance.write_text(target / provenance.REVISION, json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise RunError(
            f"cannot keep a copy of the code in {target}: {error.strerror}; choose another folder "
            "for the sweep with hydra.sweep.dir=..."
        ) from error
    return target


def files_of(root: Path) -> Iterable[Path]:
    """The files of the code, relative to its root."""
    listed: Optional[bytes] = provenance.git(
        root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *KEPT
    )
    if listed:
        names = (Path(name) for name in sorted(set(listed.decode().split("\0"))) if name)
        return [name for name in names if (root / name).is_file()]  # not those just deleted
    found = (path for name in KEPT for path in ((root / name), *(root / name).rglob("*")))
    return [
        path.relative_to(root)
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    ]
