"""Fixtures that tests of every floor share."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import hypothesis
import pytest
import torch
import yaml

from mimickit.characters import Character, load_character

ROOT = Path(__file__).resolve().parents[1]
CHARACTERS = sorted(
    p.stem for p in (ROOT / "conf" / "character").glob("*.yaml") if p.stem != "base"
)
ENGINES = {"mujoco": "mujoco", "mujoco_warp": "mujoco_warp", "newton": "newton"}
SLURM = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")

# Examples are the same in every run: a test that fails today fails tomorrow as well.
hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("default")

torch.set_num_threads(1)  # threads that wait for each other cost tiny networks most of their time


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, and say why."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if item.get_closest_marker("slurm"):
        missing = [name for name in SLURM if shutil.which(name) is None]
        if missing or importlib.util.find_spec("submitit") is None:
            pytest.skip(f"SLURM is not installed: {', '.join(missing) or 'submitit'}")
    if item.get_closest_marker("multi_gpu") and torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    for mark in item.iter_markers("engine"):
        (name,) = mark.args
        if importlib.util.find_spec(ENGINES[name]) is None:
            pytest.skip(f"engine {name} is not installed")


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Every test starts from the same random state."""
    torch.manual_seed(0)


def character_facts(name: str) -> dict:
    """The arguments of `load_character` as conf/character states them, without Hydra."""
    own = yaml.safe_load((ROOT / "conf" / "character" / f"{name}.yaml").read_text())
    facts: dict = {}
    for parent in own.pop("defaults", ["_self_"]):
        facts = merged(facts, own if parent == "_self_" else character_facts(parent))
    facts.pop("_target_", None)
    return facts


def merged(base: dict, over: dict) -> dict:
    """The mapping `over` laid on `base`, mappings within them likewise, as Hydra does it."""
    result = {**base, **over}
    for key, value in base.items():
        if isinstance(value, dict) and isinstance(over.get(key), dict):
            result[key] = merged(value, over[key])
    return result


@pytest.fixture
def humanoid_facts() -> dict:
    """Fresh arguments for `load_character`, to be damaged at will."""
    return character_facts("humanoid")


@pytest.fixture(scope="session")
def humanoid() -> Character:
    """The humanoid of conf/character/humanoid.yaml."""
    return load_character(**character_facts("humanoid"))


@pytest.fixture(scope="session")
def g1() -> Character:
    """The Unitree G1 of conf/character/g1.yaml."""
    return load_character(**character_facts("g1"))


@pytest.fixture(scope="session")
def go2() -> Character:
    """The Unitree Go2 of conf/character/go2.yaml."""
    return load_character(**character_facts("go2"))
