"""Checks of the machine and of what is installed.

They are functions of facts, so that each can be tried as if on machines that are not at hand.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from packaging.requirements import Requirement

from mimickit.findings import NOTE, OK, PROBLEM, Finding
from mimickit.launch.cuda import CudaDriver, shown
from mimickit.launch.packages import BASE, is_pinned

OLDEST_PYTHON = (3, 11)  # of MuJoCo 4.0's wheels
UPDATE_DRIVER = "update NVIDIA's driver to R580 or newer (CUDA 13)"
CUDA_BUILD = 'pip install --force-reinstall -e ".[gpu]", from an index with CUDA builds of torch'
OPENGL = "apt-get install libegl1 libgl1-mesa-dri libopengl0"
RENDERING_TIMEOUT_S = 20.0
# Draws one small picture and says with what.
RENDER = """
import mujoco
from OpenGL import GL
model = mujoco.MjModel.from_xml_string("<mujoco/>")
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
    print(GL.glGetString(GL.GL_RENDERER).decode())
"""
# First use of MuJoCo Warp, humanoid. Source: measured on an H200 and on one CPU core.
COMPILING = {"cubin": "about 70 s", "o": "about 30 s"}


@dataclass(frozen=True)
class Processors:
    """How many there are: in the machine, for this process, by the container's quota (or None)."""

    machine: int
    allowed: int
    quota: Optional[float]


def check_python(version: tuple[int, int]) -> Finding:
    """Whether MuJoCo can be installed for this Python."""
    text = f"Python {shown(version)}"
    if version >= OLDEST_PYTHON:
        return Finding(OK, "python", text)
    oldest = shown(OLDEST_PYTHON)
    remedy = f'python{oldest} -m venv .venv && . .venv/bin/activate && pip install -e "."'
    return Finding(PROBLEM, "python", f"{text}, and MuJoCo needs {oldest}", remedy)


def check_packages(
    wanted: Mapping[str, Sequence[Requirement]],
    versions: Mapping[str, str],
    needed: Collection[str],
) -> list[Finding]:
    """Compare what is installed with what pyproject.toml asks for; a line per extra.

    Args:
        wanted: by extra. versions: of what is installed, by package.
        needed: the extras without which the run cannot start.
    """
    if not wanted:
        text = "not compared: that needs pyproject.toml and Python 3.11"
        return [Finding(NOTE, "packages", text)]
    findings = []
    for extra, group in wanted.items():
        if extra == "dev":
            continue
        subject = f"[{extra}]" if extra != BASE else "packages"
        command = f'pip install -e ".[{extra}]"' if extra != BASE else "pip install -e ."
        absent = [one.name for one in group if one.name not in versions]
        present = [(one, versions[one.name]) for one in group if one.name in versions]
        wrong = [(one, has) for one, has in present if not one.specifier.contains(has, True)]
        worst = PROBLEM if extra in needed else NOTE
        if absent:
            text = f"not installed: {', '.join(absent)}"
            findings.append(Finding(worst, subject, text, command))
        for one, has in wrong:
            text = f"{one.name} {has} is not {one.specifier}"
            findings.append(Finding(worst if is_pinned(one) else NOTE, subject, text, command))
        if not absent and not wrong:
            text = ", ".join(f"{one.name} {has}" for one, has in present)
            findings.append(Finding(OK, subject, text))
    return findings


def check_torch(version: Optional[str], build: Optional[str], driver: CudaDriver) -> list[Finding]:
    """Whether torch's build and the machine's GPU fit.

    Args:
        version: installed; None if it is not, which `check_packages` reports.
        build: see `torch_build`.
    """
    if version is None:
        return []
    if not build:
        if build == "" and driver.devices:
            text = f"{version} is a CPU build, so the {driver.devices[0].name} is idle"
            return [Finding(NOTE, "torch", text, CUDA_BUILD)]
        return [Finding(OK, "torch", f"{version}, a CPU build" if build == "" else version)]
    text = f"{version}, built for CUDA {build}"
    if driver.version is not None and driver.version[0] < int(build.split(".")[0]):
        text += f"; it cannot use the driver, which supports CUDA {shown(driver.version)}"
        remedy = f"{UPDATE_DRIVER}, or take another build: https://pytorch.org/get-started/locally"
        return [Finding(NOTE, "torch", text, remedy)]
    if not driver.devices:
        return [Finding(NOTE, "torch", f"{text}, which is idle: {driver.failure}")]
    return [Finding(OK, "torch", text)]


def check_cuda(driver: CudaDriver, obstacle: str, environ: Mapping[str, str]) -> list[Finding]:
    """The driver and its devices.

    Args:
        obstacle: see `cuda_obstacle`.
    """
    if driver.version is None:
        return [Finding(OK, "cuda", f"{driver.failure}: runs are on the CPU")]
    text = f"driver for CUDA {shown(driver.version)}"
    if not driver.devices:
        visible = environ.get("CUDA_VISIBLE_DEVICES")
        text += f", but {driver.failure}"
        if visible is not None:
            return [
                Finding(NOTE, "cuda", f"{text} (CUDA_VISIBLE_DEVICES='{visible}')",
                        "unset CUDA_VISIBLE_DEVICES")
            ]  # fmt: skip
        return [Finding(NOTE, "cuda", text, "see what nvidia-smi says")]
    devices = "; ".join(f"{one.name}, {one.memory / 2**30:.0f} GiB" for one in driver.devices)
    findings = [Finding(OK, "cuda", f"{text}; {devices}")]
    if "driver" in obstacle:
        findings.append(Finding(NOTE, "cuda", obstacle, UPDATE_DRIVER))
    elif obstacle:
        findings.append(Finding(NOTE, "cuda", obstacle))
    if not all(one.memory_pools for one in driver.devices):
        text = "a device without memory pools: CUDA graphs cannot allocate memory there"
        findings.append(Finding(NOTE, "cuda", text, "load the kernel module nvidia-uvm"))
    return findings


def warp_cache(version: str, environ: Mapping[str, str]) -> Path:
    """Where warp keeps its compiled kernels on Linux. Source: warp 1.19.0, build.py."""
    if environ.get("WARP_CACHE_PATH"):
        return Path(environ["WARP_CACHE_PATH"], version)
    home = environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home, "warp", version)


def check_warp_cache(version: Optional[str], cache: Path, driver: CudaDriver) -> list[Finding]:
    """Whether MuJoCo Warp's kernels are compiled for this machine and this version of warp."""
    if version is None or platform.system() != "Linux":
        return []
    kind, pattern = "o", "*.o"
    if driver.devices:
        major, minor = driver.devices[0].capability
        kind, pattern = "cubin", f"*.sm{major}{minor}*.cubin"
    folders = list(cache.glob("wp_mujoco_warp*"))
    if not any(any(folder.glob(pattern)) for folder in folders):
        text = f"{cache} is cold: the first run with mujoco_warp compiles for {COMPILING[kind]}"
        remedy = "keep that folder between jobs; WARP_CACHE_PATH=... names another"
        return [Finding(NOTE, "warp cache", text, remedy)]
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return [Finding(OK, "warp cache", f"{cache} is warm, {size / 1e6:.0f} MB")]


def processors() -> Processors:
    """Those of this machine."""
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return Processors(total, allowed, cpu_quota(Path("/sys/fs/cgroup/cpu.max")))


def cpu_quota(path: Path) -> Optional[float]:
    """Processors' worth of time that a container may use; None if as much as there is.

    Source: Linux, cgroup v2, cpu.max: "quota period" or "max period".
    """
    try:
        quota, period = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError):  # no such control group
        return None
    return None if quota == "max" else int(quota) / int(period)


def check_processors(
    found: Processors, config: Mapping[str, Any], environ: Mapping[str, str]
) -> list[Finding]:
    """Whether the run starts as many threads as it may use processors.

    Args:
        config: of the run; empty if it could not be composed.
    """
    usable = max(1, int(min(found.allowed, found.quota or found.allowed)))
    # As mimickit.run sets it: actor and critic learn side by side, half of the processors each.
    threads = config.get("training", {}).get("threads") or max(1, found.allowed // 2)
    text = f"{found.machine}, {usable} of them for this process; torch takes 2 x {threads} threads"
    findings = [Finding(OK, "processors", text)]
    if 2 * threads > max(2, usable):
        remedy = f"training.threads={max(1, usable // 2)}"
        if "threads" in config.get("engine", {}):
            remedy += f" engine.threads={usable}"
        findings = [Finding(NOTE, "processors", f"{text}, more than it may use", remedy)]
    bound = [name for name in ("OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
             if name in environ]  # fmt: skip
    if bound:
        text = f"{', '.join(bound)} pins threads to processors: several runs here share the same"
        findings.append(Finding(NOTE, "threads", text, f"unset {' '.join(bound)}"))
    if "OMP_NUM_THREADS" in environ:
        value = environ["OMP_NUM_THREADS"]
        text = f"OMP_NUM_THREADS={value} does not count: a run sets training.threads"
        findings.append(Finding(NOTE, "threads", text, "set training.threads=... instead"))
    return findings


def start_drawing() -> subprocess.Popen[str]:
    """Draw a small picture in a process of its own, which may crash."""
    environment = dict(os.environ)
    if platform.system() == "Linux" and not environment.get("MUJOCO_GL"):
        environment["MUJOCO_GL"] = "egl"  # as the viewers do
    command = [sys.executable, "-c", RENDER]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def finish(drawing: subprocess.Popen[str]) -> tuple[Optional[int], str]:
    """Exit status (None if it took too long) and what it said last."""
    try:
        out, err = drawing.communicate(timeout=RENDERING_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        drawing.kill()
        drawing.communicate()
        return None, f"no picture after {RENDERING_TIMEOUT_S:g} s"
    lines = (out if drawing.returncode == 0 else err).strip().splitlines()
    return drawing.returncode, lines[-1] if lines else ""


def check_drawing(status: Optional[int], said: str) -> Finding:
    """Whether films can be drawn here; training needs none.

    Args:
        status, said: see `finish`.
    """
    if status == 0:
        return Finding(OK, "films", f"OpenGL draws without a display: {said}")
    if "No module named" in said:
        return Finding(NOTE, "films", f"OpenGL was not tried: {said}", "pip install -e .")
    reason = f"crashed with signal {-status}" if status is not None and status < 0 else said
    return Finding(NOTE, "films", f"OpenGL does not start ({reason}): no films", OPENGL)


def check_slurm(
    environ: Mapping[str, str], sbatch: Optional[str], submitit: Optional[str]
) -> Finding:
    """Whether this is a cluster.

    Args:
        sbatch: SLURM's program, if there is one. submitit: its installed version.
    """
    if "SLURM_JOB_ID" in environ:
        wanted = ("SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "SLURM_GPUS_ON_NODE")
        job = ", ".join(f"{name}={environ[name]}" for name in wanted if name in environ)
        return Finding(OK, "slurm", f"inside a job: {job}")
    if sbatch is None:
        return Finding(OK, "slurm", "not seen")
    if submitit is None:
        text = f"{sbatch} is there, but nothing to submit runs with"
        return Finding(NOTE, "slurm", text, 'pip install -e ".[slurm]"')
    return Finding(OK, "slurm", f"{sbatch}, submitit {submitit}")
