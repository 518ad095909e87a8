"""docs/add-a-part.md does what it says."""

from __future__ import annotations

import csv
import sys

import pytest
import torch

from mimickit.algos.rollout import Rollout
from mimickit.state import Done
from tests.guides import blocks, run
from tests.no_sync import no_sync

GUIDE = "add-a-part"


def test_the_guides_part_is_short_and_rewards_as_it_says(tmp_path, monkeypatch):
    run(blocks(GUIDE, "bash")[:2], tmp_path)
    files = [tmp_path / "lab" / "steady.py", *(tmp_path / "lab" / "conf").rglob("*.yaml")]
    assert sum(len(file.read_text().splitlines()) for file in files) < 60
    monkeypatch.delitem(sys.modules, "steady", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "lab"))
    from steady import Steady  # pyright: ignore[reportMissingImports]

    rollout = Rollout(3, 1, {}, 2, torch.device("cpu"))
    rollout.action.copy_(torch.tensor([[[0.0, 0.0]], [[0.2, 0.0]], [[9.0, 9.0]]]))
    rollout.done[1] = int(Done.FAIL)  # the third action is another episode's first
    with no_sync():
        reward = Steady(5.0).reward(rollout)
    # exp(-5 * 0.2^2 / 2) = 0.9048
    torch.testing.assert_close(reward, torch.tensor([[1.0], [0.904837], [1.0]]))


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_every_command_of_the_guide_runs(tmp_path):
    run(blocks(GUIDE, "bash"), tmp_path)
    with (tmp_path / "lab" / "runs" / "first" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(0.0 < float(row["reward/steady"]) <= 1.0 for row in rows)
