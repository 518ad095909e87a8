"""What a run on this machine would use, and what is wrong: one finding per question."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from mimickit.errors import ConfigError, MimicKitError
from mimickit.findings import NOTE, OK, PROBLEM, Finding
from mimickit.launch.app import base_config
from mimickit.launch.checks import check_config
from mimickit.launch.composing import plain, register
from mimickit.launch.cuda import CudaDriver, cuda_driver, cuda_obstacle, torch_build
from mimickit.launch.machine import (
    check_cuda,
    check_drawing,
    check_packages,
    check_processors,
    check_python,
    check_slurm,
    check_torch,
    check_warp_cache,
    finish,
    processors,
    start_drawing,
    warp_cache,
)
from mimickit.launch.messages import explain
from mimickit.launch.packages import BASE, requirements
from mimickit.launch.resolvers import CONF, choose_engine, installed

# Upper bounds, for the size of a checkpoint: parameters with two moments of an optimiser, and what
# an environment needs to go on. Source: 3 float32 each, by arithmetic; 2.4 to 3.2 kB, measured.
BYTES_PER_PARAMETER, BYTES_PER_ENV, BYTES_OF_LOGS = 16, 4000, 50_000_000
WIDEST_INPUT, WIDEST_OUTPUT = 1000, 100  # of a policy


@dataclass(frozen=True)
class Plan:
    """The run that the command line describes.

    Attributes:
        config: checked and plain. folder: where it would write.
        engine: the chosen option of conf/engine; `auto` has become a name.
    """

    config: dict[str, Any]
    folder: Path
    engine: str


def examine(overrides: Sequence[str] = ()) -> list[Finding]:
    """Look at this machine and at the run that `overrides` describe; never raises for either.

    Args:
        overrides: as for train.py.
    """
    drawing = start_drawing()  # takes a second or two, beside the rest
    driver, warp = cuda_driver(), installed("warp-lang")
    obstacle = cuda_obstacle(driver, torch_build(), warp)
    wanted = requirements()
    try:
        plan, failure = plan_run(overrides), None
    except (MimicKitError, OSError) as error:  # OSError: of a torch whose libraries are missing
        plan, failure = None, error
    on_warp = plan is not None and plan.engine == "mujoco_warp"
    found = {one.name: installed(one.name) for group in wanted.values() for one in group}
    versions = {name: version for name, version in found.items() if version is not None}
    findings = [
        check_python(sys.version_info[:2]),
        *check_packages(wanted, versions, {BASE, "gpu"} if on_warp else {BASE}),
        *check_torch(installed("torch"), torch_build(), driver),
        *check_cuda(driver, obstacle, os.environ),
        check_engine_choice(),
        *check_warp_cache(warp, warp_cache(warp or "", os.environ), driver),
        *check_processors(processors(), plan.config if plan else {}, os.environ),
        check_drawing(*finish(drawing)),
        check_slurm(os.environ, shutil.which("sbatch"), installed("submitit")),
    ]
    if plan is None:
        return [*findings, Finding(PROBLEM, "run", str(failure))]
    return [
        *findings,
        *check_device(plan, driver, obstacle),
        check_disk(plan.folder, space_needed(plan.config)),
        check_run(plan),
    ]


def plan_run(overrides: Sequence[str]) -> Plan:
    """Compose and check a run as train.py would, without making its folder.

    Raises:
        MimicKitError: it could not start.
    """
    register()
    name, typed = base_config(overrides, "run")
    try:
        with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            cfg = hydra.compose(name, typed, return_hydra_config=True)
        folder = Path(str(OmegaConf.select(cfg, "hydra.run.dir")))
        choices = cfg.hydra.runtime.choices
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        raise explain(error, typed, name) from error
    with open_dict(cfg):
        del cfg["hydra"]
    config = plain(check_config(cfg))
    engine = choices.get("engine")
    if engine is None:  # a resumed run, whose config no longer says
        engine = config["engine"]["_target_"].split(".")[-2]
    return Plan(config, folder, choose_engine()[0] if engine == "auto" else engine)


def check_engine_choice() -> Finding:
    """What a run takes that names no engine, and why."""
    try:
        name, why = choose_engine()
    except ConfigError as error:
        return Finding(NOTE, "engine=auto", str(error), "unset MIMICKIT_ENGINE")
    return Finding(OK, "engine=auto", f"takes {name}: {why}")


def check_device(plan: Plan, driver: CudaDriver, obstacle: str) -> list[Finding]:
    """Whether the run's device exists and its engine can use it.

    Args:
        obstacle: see `cuda_obstacle`.
    """
    device, chooses = str(plan.config["device"]), "device" in plan.config["engine"]
    lacking = obstacle if driver.devices else driver.failure
    if device.startswith("cuda"):
        number = int(device.partition(":")[2] or 0)
        if not chooses:
            text = f"device={device}, and engine={plan.engine} runs on the CPU only"
            return [Finding(PROBLEM, "device", text, "device=auto")]
        if lacking:
            text = f"device={device} cannot be used: {lacking}"
            return [Finding(PROBLEM, "device", text, "device=auto engine=auto")]
        if number >= len(driver.devices):
            text = f"device={device}, and there are {len(driver.devices)} CUDA devices"
            return [Finding(PROBLEM, "device", text, "device=cuda:0")]
    elif device == "auto" and chooses and lacking:
        text = f"engine={plan.engine} runs on the CPU, several times slower than engine=mujoco"
        return [Finding(NOTE, "device", f"{text}: {lacking}", "engine=mujoco")]
    return []


def space_needed(config: Mapping[str, Any]) -> int:
    """Bytes that a run writes, at most: checkpoints (the kept, the best, an unfinished), logs."""
    model = config["model"]
    parameters = 0
    for hidden in (model.get("actor_hidden", ()), model.get("critic_hidden", ())):
        sizes = [WIDEST_INPUT, *hidden, WIDEST_OUTPUT]
        parameters += sum(sizes[i] * sizes[i + 1] for i in range(len(sizes) - 1))
    checkpoint = parameters * BYTES_PER_PARAMETER + config["num_envs"] * BYTES_PER_ENV
    return (config["training"]["keep_checkpoints"] + 2) * checkpoint + BYTES_OF_LOGS


def check_disk(folder: Path, needed: int) -> Finding:
    """Whether the run's folder can be made and has room for what a run writes.

    Args:
        folder: of the run; need not exist. needed: bytes.
    """
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):  # asking for rights misleads on some disks
            free = shutil.disk_usage(existing).free
    except OSError as error:
        text = f"cannot write into {existing}: {error.strerror}"
        return Finding(PROBLEM, "disk", text, "choose another with hydra.run.dir=...")
    text = f"{free / 1e9:.1f} GB free in {existing}, a run writes up to {needed / 1e9:.2f} GB"
    if free < needed:
        return Finding(PROBLEM, "disk", text, "make room, or choose another with hydra.run.dir=...")
    return Finding(OK, "disk", text)


def check_run(plan: Plan) -> Finding:
    """The run in a line."""
    config = plan.config
    text = (
        f"{config['num_envs']} x {config['character']['name']} on engine={plan.engine}, "
        f"device={config['device']}, {config['max_samples']:,} samples of "
        f"{config['method']['name']}, motion={config['motion']}; would write {plan.folder}"
    )
    return Finding(OK, "run", text)
