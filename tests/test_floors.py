"""An import may only point downwards: the floors of the package, and who may import what."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = {
    "state": 0, "specs": 0, "objects": 0, "errors": 0, "findings": 0, "geometry": 0, "graphs": 0,
    "generators": 0, "pooling": 0, "ranks": 0,
    "characters": 1,
    "engines": 2, "motions": 2, "models": 2,
    "envs": 3, "algos": 3,
    "methods": 4, "tasks": 4,
    "training": 5, "evaluation": 5, "loggers": 5, "viewers": 5,
    "run": 6, "assembly": 6, "loaded_run": 6, "skills": 6, "launch": 6,
}  # fmt: skip
VENDORS = {"mujoco", "mujoco_warp", "warp", "newton", "isaacgym"}
# Retargeting is an offline tool and an extra; its solver thinks in MuJoCo models.
VENDOR_USERS = ("engines/", "viewers/", "motions/retargeting/")
LEAVES = {"loggers", "viewers"}  # plugged into floor 5: others there may know them, not they others


def floor_name(floor):
    return f"floor {floor}" if floor >= 0 else "the package itself"


def modules_imported(source, package):
    """Dotted names of all modules that a source file imports, relative ones resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from mimickit import run` imports a module; `from mimickit.run import Train` a name.
            names = (f"{module}.{alias.name}" for alias in node.names)
            yield from names if module in ("mimickit", "torch") else (module,)


def violations(root):
    """One line for each import that points upwards, sideways or out of bounds."""
    found = []
    for path in sorted((root / "mimickit").rglob("*.py")):
        relative = path.relative_to(root)
        package = relative.parts[:-1]
        own = relative.with_suffix("").parts[1]
        if own == "__init__":
            own = ""
        elif own not in FLOORS:
            found.append(f"{relative} lies on no floor: add '{own}' to FLOORS")
            continue
        floor = FLOORS.get(own, -1)
        for name in modules_imported(path.read_text(encoding="utf-8"), package):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if top == "mimickit" and other in FLOORS and other != own:
                above = FLOORS[other] > floor
                beside = FLOORS[other] == floor and (
                    2 <= floor <= 4 or (floor == 5 and own in LEAVES)
                )
                if above or beside:
                    found.append(
                        f"{relative} ({floor_name(floor)}) imports mimickit.{other} "
                        f"(floor {FLOORS[other]})"
                    )
            elif top in ("hydra", "omegaconf") and own not in ("run", "launch"):
                found.append(f"{relative} imports {top}: only run.py and launch/ may")
            elif name.startswith("torch.distributed") and floor < 5:
                found.append(f"{relative} (floor {floor}) imports torch.distributed")
            elif top in VENDORS and not relative.as_posix().startswith(
                tuple(f"mimickit/{user}" for user in VENDOR_USERS)
            ):
                found.append(f"{relative} imports {top}: only engines/ and viewers/ may")
    return found


def test_imports_point_downwards():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source", "line"),
    [
        (
            "algos/ppo.py",
            "from mimickit.methods import amp",
            "mimickit/algos/ppo.py (floor 3) imports mimickit.methods (floor 4)",
        ),
        (
            "envs/env.py",
            "def f():\n    from ..algos.ppo import Ppo",
            "mimickit/envs/env.py (floor 3) imports mimickit.algos (floor 3)",
        ),
        (
            "motions/clip.py",
            "from mimickit import engines",
            "mimickit/motions/clip.py (floor 2) imports mimickit.engines (floor 2)",
        ),
        (
            "viewers/web.py",
            "import mimickit.training.trainer",
            "mimickit/viewers/web.py (floor 5) imports mimickit.training (floor 5)",
        ),
        (
            "__init__.py",
            "from mimickit.state import Done",
            "mimickit/__init__.py (the package itself) imports mimickit.state (floor 0)",
        ),
        (
            "training/trainer.py",
            "import omegaconf",
            "mimickit/training/trainer.py imports omegaconf: only run.py and launch/ may",
        ),
        (
            "models/mlp.py",
            "from torch import distributed",
            "mimickit/models/mlp.py (floor 2) imports torch.distributed",
        ),
        (
            "tasks/imitate.py",
            "import mujoco.batch",
            "mimickit/tasks/imitate.py imports mujoco: only engines/ and viewers/ may",
        ),
        ("util.py", "", "mimickit/util.py lies on no floor: add 'util' to FLOORS"),
    ],
)
def test_planted_violation_is_found(tmp_path, path, source, line):
    file = tmp_path / "mimickit" / path
    file.parent.mkdir(parents=True)
    file.write_text(source)
    assert violations(tmp_path) == [line]


def test_downward_imports_are_allowed(tmp_path):
    for path, source in {
        "run.py": "import hydra\nfrom mimickit import launch\nimport mimickit.training",
        "training/trainer.py": "import torch.distributed\nfrom mimickit.loggers import Logger",
        "engines/mujoco.py": "import mujoco\nfrom mimickit.engines.engine import Engine",
        "geometry/frames.py": "from mimickit.geometry.quaternion import heading",
    }.items():
        file = tmp_path / "mimickit" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    assert violations(tmp_path) == []
