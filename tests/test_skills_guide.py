"""docs/skills.md does what it says: low level, high level, evaluation, film."""

from __future__ import annotations

import json

import pytest

from mimickit import launch
from mimickit.assembly import build_method
from mimickit.errors import EngineError
from tests.guides import blocks, run

GUIDE = "skills"


def test_the_guides_settings_are_those_there_are():
    cfg = launch.check_config(launch.compose(["method=ase_hlc", "skills=x", "task=location"]))
    assert (cfg.skills, cfg.method.hold) == ("x", 5)
    assert cfg.method.reward == {"task": 0.9, "style": 0.1}
    alone = launch.compose(["method=ase_hlc", "method.parts.style=null"])
    assert build_method(launch.check_config(alone)).weights == {"task": 0.9}
    for task, parts in (("location", {"style"}), ("steering", set())):
        cfg = launch.check_config(launch.compose(["method=ase_hlc", f"task={task}"]))
        assert build_method(cfg).parts.keys() == parts


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_every_command_of_the_guide_runs(tmp_path):
    video = pytest.importorskip("mimickit.viewers.video")  # the viewer extra
    try:
        video._gl_context((16, 16)).free()
    except EngineError as error:
        pytest.skip(str(error))
    output = run(blocks(GUIDE, "bash"), tmp_path)
    assert "of ase on" in output
    folder = tmp_path / "runs" / "high"
    for name, policy in (("", "trained"), ("_random_skills", "random_skills")):
        judged = json.loads((folder / f"evaluation{name}.json").read_text())
        assert judged["about"]["policy"] == policy
        assert judged["overall"]["episodes"] == 8
        assert judged["overall"]["return"] > 0.0
    assert (folder / "skills.pt").is_file()
    assert (folder / "play.mp4").stat().st_size > 1_000
