"""The script for tables: 200 jobs in seconds, gaps named, one line for a mistake."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.evaluation.sweeps import make_sweep

ROOT = Path(__file__).resolve().parents[2]
CLIPS = (
    "walk",
    "run",
    "roll",
    "crawl",
    "spinkick",
    "cartwheel",
    "backflip",
    "dance_a",
    "jump",
    "kick",
)


def script(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """200 jobs: four methods on ten clips with five seeds; one is gone and one is not finished."""
    folder = tmp_path_factory.mktemp("sweep") / "study"
    jobs = make_sweep(folder, ["deepmimic", "amp", "add", "mine"], CLIPS, 5)
    assert len(jobs) == 200
    shutil.rmtree(jobs[7])
    (jobs[11] / "evaluation.json").unlink()
    return folder


def run(name, *arguments):
    """Output and wall seconds of a script in a process of its own, imports included."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, f"scripts/{name}.py", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, time.monotonic() - start


def test_200_jobs_are_tabulated_in_seconds(sweep, tmp_path):
    files = [tmp_path / f"table{ending}" for ending in (".md", ".csv", ".tex")]
    text, seconds = run("report", sweep, "--out", *files)
    assert seconds < 15  # 1 s on an idle core; others may use it
    assert text.startswith(files[0].read_text())
    assert len(files[1].read_text().splitlines()) == 1 + 4 * 10 * 5  # cells of five figures
    assert files[2].read_text().count(r"\begin{table}") == 5
    # Ten clips by four methods, of which three are in the paper.
    table = text.split("### Position error [m]\n\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 2 + 10
    assert {line.count("|") for line in table} == {1 + 1 + 4 + 3}
    assert re.search(r"^\| run \|.*\(4\)", table_of(text, "Success [%]"), re.MULTILINE)
    left = text.split("Not in the tables:")[1]
    assert f"- {sweep}, job 7 (method=deepmimic motion=run seed=2): left no run folder" in left
    assert re.search(r"- \S*/11-deepmimic-humanoid-roll-seed1: not finished, 60,000,000", left)


def table_of(text, title):
    return text.split(f"### {title}\n\n")[1].split("\n\n")[0]


def test_200_jobs_are_drawn_in_seconds_and_the_legend_is_whole(sweep, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    out = tmp_path / "curves.png"
    y = "eval/position_error_m"
    text, seconds = run("plot", sweep, "--split", "motion", "--y", y, "--out", out)
    assert seconds < 40  # 4 s on an idle core
    assert "199 runs drawn" in text
    assert "not drawn: job 7 (method=deepmimic motion=run seed=2) left no run folder" in text
    picture = imread(out)[..., :3]
    edge = 2  # pixels; nothing touches a border of the picture
    for border in (picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:]):
        assert (border > 0.9).all()


def test_many_curves_have_a_legend_that_fits(sweep, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    plot = script("plot")
    out = tmp_path / "all.png"
    assert plot.main([str(sweep), "--y", "train/return", "--out", str(out)]) == 0
    picture = imread(out)[..., :3]
    assert (picture[:, -2:] > 0.9).all()
    assert (picture[-2:] > 0.9).all()
    assert picture.shape[0] > picture.shape[1]  # it grew for 40 names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{sweep}/nothing"], r"no run folder .*nothing; .*study holds: 0-deepmimic-humanoid-walk"),
        (["{sweep}", "--out", "table.html"], r"--out table\.html: '\.html' is none of \.md, \.csv"),
        (
            ["{sweep}", "--out", "{tmp}/no/table.md"],
            r"cannot write --out .*table\.md: No such file",
        ),
        (["{sweep}", "--evaluation", "other.json"], "none of the 200 runs came to its end"),
    ],
)
def test_mistake_gets_one_line(sweep, tmp_path, capsys, arguments, message):
    words = [word.format(sweep=sweep, tmp=tmp_path) for word in arguments]
    assert script("report").main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == []
