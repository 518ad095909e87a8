"""docs/add-a-character.md does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "add-a-character.md").read_text(encoding="utf-8")


def blocks(language):
    """The contents of the guide's fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def run_blocks(tmp_path):
    """Runs blocks as one bash script, at home in a folder of its own; returns that and stdout."""

    def run(scripts):
        environment = {key: value for key, value in os.environ.items() if key != "MIMICKIT_CONF"}
        environment["HOME"] = str(tmp_path)
        environment["PYTHONPATH"] = str(ROOT)
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join(scripts)],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path / "lab", done.stdout

    return run


@pytest.mark.engine("mujoco")
def test_the_check_prints_what_the_guide_shows(run_blocks):
    """Up to the drafted config, which loads."""
    lab, output = run_blocks(blocks("bash")[:3])
    assert output.startswith(blocks("text")[0])
    drafted = yaml.safe_load((lab / "conf" / "character" / "biped.yaml").read_text())
    assert drafted["name"] == "biped"
    assert drafted["effort_limited"] is True
    assert drafted["bodies"]["feet"] == ["left_foot", "right_foot"]


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_every_command_of_the_guide_runs(run_blocks):
    pytest.importorskip("viser")  # the pages of the viewer extra
    lab, _ = run_blocks(blocks("bash"))
    for page in ("biped.html", "squat.html"):
        assert (lab / page).stat().st_size > 10_000
    judged = json.loads((lab / "runs" / "first" / "evaluation.json").read_text())["overall"]
    assert judged["episodes"] == 256
    assert judged["success_rate"] > 0.9  # knee bends on both feet are no feat
    assert judged["position_error_m"] < 0.1
