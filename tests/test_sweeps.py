"""docs/sweeps.md does what it says."""

from __future__ import annotations

import csv
import json

import pytest

from tests.guides import blocks, run


@pytest.mark.slow
@pytest.mark.engine("mujoco")
def test_every_command_of_the_guide_runs(tmp_path):
    pytest.importorskip("matplotlib")
    text = run(blocks("sweeps", "bash"), tmp_path)
    names = [path.name for path in sorted(tmp_path.glob("try/*-seed*"))]
    assert names == [
        f"{number}-{method}-humanoid-walk-seed{number % 2}"
        for number, method in enumerate(["deepmimic", "deepmimic", "add", "add"])
    ]
    # The table's cell is the mean of what the two runs found.
    found = [
        json.loads((tmp_path / "try" / name / "evaluation.json").read_text()) for name in names[2:]
    ]
    errors = [evaluation["overall"]["position_error_m"] for evaluation in found]
    with (tmp_path / "table.csv").open() as file:
        (cell,) = [
            line
            for line in csv.DictReader(file)
            if (line["method"], line["figure"]) == ("add", "position_error_m")
        ]
    assert float(cell["mean"]) == pytest.approx(sum(errors) / 2)
    assert (cell["n"], cell["paper_mean"]) == ("2", "0.009")
    assert "| walk | " in (tmp_path / "table.md").read_text()
    assert r"\toprule" in (tmp_path / "table.tex").read_text()
    assert text.count("### Position error [m]") == 2
    for picture in ("curves.png", "wall.png", "clips.pdf"):
        assert (tmp_path / picture).stat().st_size > 10_000
