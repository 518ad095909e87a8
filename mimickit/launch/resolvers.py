"""The few functions that a config file may call: `${slug:...}`, `${run_id:}` and their like."""

from __future__ import annotations

import importlib.util
import os
import re
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Optional

from omegaconf import ListConfig, OmegaConf

from mimickit.errors import ConfigError
from mimickit.launch.cuda import cuda_driver, cuda_obstacle, torch_build

CONF = Path(__file__).resolve().parents[2] / "conf"
ENGINE_VARIABLE = "MIMICKIT_ENGINE"
RUN_ID_VARIABLE = "MIMICKIT_RUN_ID"


def register_resolvers() -> None:
    """Make the resolvers known to OmegaConf; calling it again changes nothing."""
    OmegaConf.register_new_resolver("slug", slug, replace=True)
    OmegaConf.register_new_resolver("run_id", run_id, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("auto_engine", auto_engine, replace=True)
    OmegaConf.register_new_resolver("with_task", with_task, replace=True)


def slug(value: Any) -> str:
    """A name for a folder: one short word of letters, digits, `_`, `.` and `-`.

    Lists are joined with `+`; of a path only the last part without its ending remains.
    """
    if isinstance(value, (list, tuple, ListConfig)):
        words = [slug(item) for item in value]
        shown = words[:3] + ([f"and_{len(words) - 3}_more"] if len(words) > 3 else [])
        return "+".join(shown) or "none"
    text = str(value)
    if "/" in text:
        text = Path(text).stem
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("._")[:60] or "none"


def with_task(name: str, method: Optional[str], task: Optional[str]) -> str:
    """A method's name, and behind it the task, unless it is the one that the method brings itself.

    Args:
        name: of the method. method, task: the options chosen in conf/; None where they are not
            known, as in a run that was saved.
    """
    own = re.compile(rf"^\s*- /task@\S+: {task}\b", re.MULTILINE)
    file = CONF / "method" / f"{method}.yaml"
    if task is None or (file.is_file() and own.search(file.read_text(encoding="utf-8"))):
        return name
    return f"{name}-{task}"


def run_id() -> str:
    """What tells this run from all others, the same on every rank of one run.

    `MIMICKIT_RUN_ID` if set, else torchrun's id, else the time to the microsecond and the pid.
    """
    given = os.environ.get(RUN_ID_VARIABLE)
    if given:
        return slug(given)
    elastic = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    if elastic != "none":  # "none" is what torchrun sets when it was given no id
        return slug(elastic)
    return f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}-{os.getpid()}"


def auto_engine() -> str:
    """The engine of a run that names none; see `choose_engine`."""
    return choose_engine()[0]


def choose_engine() -> tuple[str, str]:
    """The engine to take when none is named, and why.

    MuJoCo Warp where it is installed beside a CUDA device that it and torch can use, else MuJoCo on
    the CPU; the variable MIMICKIT_ENGINE decides otherwise.

    Raises:
        ConfigError: MIMICKIT_ENGINE names no engine.
    """
    known = sorted(path.stem for path in (CONF / "engine").glob("*.yaml") if path.stem != "auto")
    wanted = os.environ.get(ENGINE_VARIABLE)
    if wanted:
        if wanted not in known:
            raise ConfigError(
                f"{ENGINE_VARIABLE}={wanted}: no such engine. All: {', '.join(known)}."
            )
        return wanted, f"{ENGINE_VARIABLE} says so"
    if "mujoco_warp" not in known:
        return "mujoco", "the only engine here"
    if importlib.util.find_spec("mujoco_warp") is None:
        return "mujoco", "mujoco_warp is not installed"
    if not cuda_devices():
        return "mujoco", "no CUDA device was found"
    obstacle = cuda_obstacle(cuda_driver(), torch_build(), installed("warp-lang"))
    if obstacle:
        return "mujoco", obstacle
    return "mujoco_warp", "a CUDA device and mujoco_warp were found"


def cuda_devices() -> int:
    """How many CUDA devices this process may use, asked of the driver itself (imports no torch)."""
    return len(cuda_driver().devices)


def installed(package: str) -> Optional[str]:
    """The version of an installed package; None if there is none of that name."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
