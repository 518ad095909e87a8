"""docs/add-a-task.md does what it says."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest
import torch

from mimickit import launch
from tests.envs.parts import random_state
from tests.guides import blocks, run
from tests.no_sync import no_sync
from tests.tasks.goals import everyone, made

GUIDE = "add-a-task"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The guide's folder up to its training, on the paths where it says that it is."""
    monkeypatch.delitem(sys.modules, "crouch", raising=False)
    run(blocks(GUIDE, "bash")[:3], tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "lab"))
    monkeypatch.setenv("MIMICKIT_CONF", str(tmp_path / "lab" / "conf"))
    return tmp_path / "lab"


def test_the_guides_goal_is_short_and_does_what_goals_promise(lab, humanoid):
    files = [lab / "crouch.py", *(lab / "conf").rglob("*.yaml")]
    assert sum(len(file.read_text().splitlines()) for file in files) < 60
    from crouch import Crouch  # pyright: ignore[reportMissingImports]

    goal = made(partial(Crouch, height=[0.5, 0.7], period_s=[2.0, 4.0], sharpness=20.0), 4)
    state = random_state(humanoid, 4)
    with no_sync():
        goal.reset(everyone(4), state)
        goal.advance(state)
        seen, rewards = goal.observe(state), goal.rewards(state)
    error = goal.buffers["target"] - state.root_pos[:, 2]
    torch.testing.assert_close(seen, error.unsqueeze(-1))
    torch.testing.assert_close(rewards["height"], torch.exp(-20.0 * error * error))
    assert (goal.buffers["target"] >= 0.5).all()
    assert (goal.buffers["target"] < 0.7).all()


def test_the_guides_settings_compose_with_every_method(lab):
    for method in ("amp", "add", "deepmimic"):
        cfg = launch.check_config(launch.compose([f"method={method}", "task=crouch"]))
        assert cfg.task.goal._target_ == "crouch.Crouch"
    assert launch.compose(["method=amp", "task=crouch"]).method.reward.task == 0.5
    launch.compose(
        ["task=crouch", "task.target_steps=[1,2,3]", "task.reward_weights.pose=0.5"]
    )  # as the guide's last example


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_every_command_of_the_guide_runs(tmp_path):
    pytest.importorskip("viser")  # the pages of the viewer extra
    output = run(blocks(GUIDE, "bash"), tmp_path)
    assert "goal height error m" in output
    folder = tmp_path / "lab" / "runs" / "first"
    judged = json.loads((folder / "evaluation.json").read_text())["overall"]
    assert 0.0 <= judged["goal_height_error_m"] < 0.9
    assert judged["return"] > 0.0
    assert (folder / "play.html").stat().st_size > 10_000
