"""The promise of the README in the small: real physics, a real clip, and a policy that walks."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_half_of_the_quickstart_budget_makes_a_humanoid_walk(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "train.py", "experiment=quickstart", "max_samples=1e6"]
    command += ["evaluation.episodes=128", f"hydra.run.dir={folder}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=900)

    judged = json.loads((folder / "evaluation.json").read_text())["overall"]
    assert judged["episodes"] == 128
    assert judged["success_rate"] >= 0.6  # of 10 s walks from anywhere in the clip
    assert judged["position_error_m"] <= 0.09
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    first, last = (float(rows[i]["train/return"]) for i in (0, -1))
    assert last > 2.5 * first
    assert all(float(row["train/divergences"]) == 0 for row in rows)
