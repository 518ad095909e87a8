"""docs/add-a-character.md does what it says."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.guides import blocks, run

GUIDE = "add-a-character"


@pytest.mark.engine("mujoco")
def test_the_check_prints_what_the_guide_shows(tmp_path):
    """Up to the drafted config, which loads."""
    output = run(blocks(GUIDE, "bash")[:3], tmp_path)
    assert output.startswith(blocks(GUIDE, "text")[0])
    drafted = yaml.safe_load((tmp_path / "lab/conf/character/biped.yaml").read_text())
    assert drafted["name"] == "biped"
    assert drafted["effort_limited"] is True
    assert drafted["bodies"]["feet"] == ["left_foot", "right_foot"]


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_every_command_of_the_guide_runs(tmp_path):
    pytest.importorskip("viser")  # the pages of the viewer extra
    run(blocks(GUIDE, "bash"), tmp_path)
    lab = tmp_path / "lab"
    for page in ("biped.html", "squat.html"):
        assert (lab / page).stat().st_size > 10_000
    judged = json.loads((lab / "runs" / "first" / "evaluation.json").read_text())["overall"]
    assert judged["episodes"] == 256
    assert judged["success_rate"] > 0.9  # knee bends on both feet are no feat
    assert judged["position_error_m"] < 0.1
