"""Learning curves are grouped by everything but the seed, averaged where all runs have values."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mimickit.evaluation.curves import learning_curves
from mimickit.evaluation.records import find_runs, group_runs, read_run
from mimickit.loggers.csv import CsvLogger

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("matplotlib")

specification = importlib.util.spec_from_file_location("plot", ROOT / "scripts" / "plot.py")
plot = importlib.util.module_from_spec(specification)
specification.loader.exec_module(plot)


def make_run(folder, returns, step=100, **settings):
    """A run whose row i has the return returns[i] after (i + 1) * step samples."""
    logger = CsvLogger(folder)
    for i, value in enumerate(returns, start=1):
        metrics = {"train/iterations": i, "train/return": value, "time/wall_s": 2.0 * i}
        if i % 2 == 0:
            metrics["eval/success_rate"] = value / 10
        logger.log(metrics, step * i)
    logger.close()
    if settings:
        (folder / "resolved.yaml").write_text(yaml.safe_dump(settings))
    return folder


def settings(seed, lr=0.1, method="deepmimic"):
    return {
        "seed": seed,
        "motion": "walk",
        "method": {"name": method},
        "character": {"name": "humanoid"},
        "algo": {"name": "ppo", "lr": lr},
    }


def curves(folder, axis="samples", metrics=None):
    return learning_curves([read_run(run) for run in find_runs([str(folder)])], axis, metrics)


def test_mean_and_spread_over_two_seeds(tmp_path):
    make_run(tmp_path / "a", [0.0, 2.0, 4.0], **settings(seed=0))
    make_run(tmp_path / "b", [2.0, 4.0, 8.0], **settings(seed=1))
    (curve,) = curves(tmp_path, metrics=["train/return"])["train/return"]
    assert curve.label == "deepmimic humanoid walk"
    # At 100, 200, 300 samples: means 1, 3, 6; deviations |a - b| / sqrt(2).
    np.testing.assert_allclose(
        np.interp([100, 200, 300], curve.x, curve.mean), [1, 3, 6], atol=0.02
    )
    np.testing.assert_allclose(curve.std[[0, -1]], [np.sqrt(2), 4 / np.sqrt(2)])
    np.testing.assert_allclose(curve.final, [4.0, 8.0])


def test_mean_ends_where_the_first_run_ends(tmp_path):
    make_run(tmp_path / "a", [1.0, 1.0], **settings(seed=0))
    make_run(tmp_path / "b", [3.0, 3.0, 3.0, 3.0], **settings(seed=1))
    (curve,) = curves(tmp_path, metrics=["train/return"])["train/return"]
    assert (curve.x[-1], curve.shortest, curve.longest) == (200, 200, 400)
    np.testing.assert_allclose(curve.mean, 2.0)


def test_runs_logged_at_different_moments_meet_on_one_grid(tmp_path):
    # Both lie on the line y = x / 100, sampled differently.
    make_run(tmp_path / "a", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], step=100, **settings(seed=0))
    make_run(tmp_path / "b", [1.5, 3.0, 4.5, 6.0], step=150, **settings(seed=1))
    (curve,) = curves(tmp_path, metrics=["train/return"])["train/return"]
    np.testing.assert_allclose(curve.mean, curve.x / 100)
    np.testing.assert_allclose(curve.std, 0, atol=1e-12)


def test_metric_that_is_logged_rarely_is_joined_over_its_gaps(tmp_path):
    make_run(tmp_path / "a", [1.0, 2.0, 3.0, 4.0], **settings(seed=0))
    (curve,) = curves(tmp_path, metrics=["eval/success_rate"])["eval/success_rate"]
    assert list(curve.x) == [200, 400]
    assert list(curve.mean) == [0.2, 0.4]


@pytest.mark.parametrize(("axis", "ends"), [("wall", 6.0), ("iterations", 3), ("samples", 300)])
def test_horizontal_axis_is_chosen(tmp_path, axis, ends):
    make_run(tmp_path / "a", [1.0, 2.0, 3.0], **settings(seed=0))
    (curve,) = curves(tmp_path, axis, ["train/return"])["train/return"]
    assert curve.x[-1] == ends


def test_groups_differ_in_anything_but_the_seed(tmp_path):
    for seed in (0, 1):
        for lr in (0.1, 0.2):
            make_run(tmp_path / f"{lr}_{seed}", [1.0], **settings(seed, lr))
    groups = group_runs([read_run(run) for run in find_runs([str(tmp_path)])])
    assert {label: len(runs) for label, runs in groups.items()} == {
        "algo.lr=0.1": 2,
        "algo.lr=0.2": 2,
    }


def test_names_come_first_in_a_label(tmp_path):
    make_run(tmp_path / "a", [1.0], **settings(0, lr=0.1, method="amp"))
    make_run(tmp_path / "b", [1.0], **settings(0, lr=0.2, method="deepmimic"))
    make_run(tmp_path / "c", [1.0], **settings(0, lr=0.3, method="deepmimic"))
    groups = group_runs([read_run(run) for run in find_runs([str(tmp_path)])])
    assert list(groups) == [
        "amp",
        "deepmimic, algo.lr=0.2",
        "deepmimic, algo.lr=0.3",
    ]


def test_panels_of_a_split_share_their_labels(tmp_path):
    for motion in ("walk", "run"):
        for method in ("amp", "add")[: 1 if motion == "run" else 2]:
            run = make_run(tmp_path / f"{motion}_{method}", [1.0], **settings(0, method=method))
            config = {**settings(0, method=method), "motion": motion}
            (run / "resolved.yaml").write_text(yaml.safe_dump(config))
    runs = [read_run(run) for run in find_runs([str(tmp_path)])]
    split = learning_curves(runs, metrics=["train/return"], split="motion")
    assert {title: [curve.label for curve in group] for title, group in split.items()} == {
        "run: train/return": ["amp"],
        "walk: train/return": ["add", "amp"],
    }
    one_method = [run for run in runs if run.settings["method.name"] == "amp"]
    split = learning_curves(one_method, metrics=["train/return"], split="motion")
    assert {curve.label for group in split.values() for curve in group} == {"amp"}


def test_runs_without_settings_stand_alone(tmp_path):
    make_run(tmp_path / "a", [1.0])
    make_run(tmp_path / "b", [1.0])
    groups = group_runs([read_run(run) for run in find_runs([str(tmp_path)])])
    assert list(groups) == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_runs_are_found_by_folder_pattern_and_file(tmp_path):
    a, b = make_run(tmp_path / "x" / "a", [1.0]), make_run(tmp_path / "x" / "b", [1.0])
    assert find_runs([str(tmp_path)]) == [a, b]
    assert find_runs([str(tmp_path / "*" / "b")]) == [b]
    assert find_runs([str(b / "metrics.csv"), str(tmp_path / "x")]) == [b, a]


def test_script_draws_a_picture_and_prints_final_values(tmp_path):
    for seed in range(3):
        make_run(tmp_path / f"{seed}", [1.0, 2.0, 6.0 + seed], **settings(seed))
    out = tmp_path / "curves.png"
    result = subprocess.run(
        [sys.executable, "scripts/plot.py", str(tmp_path), "--out", str(out)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (row,) = [line for line in result.stdout.splitlines() if "train/return" in line]
    # 6, 7, 8: mean 7, standard deviation 1.
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "train/return", "deepmimic humanoid walk", "3", "300", "7", "1",
    ]  # fmt: skip
    from matplotlib.image import imread

    picture = imread(out)
    assert picture.shape[0] > 400
    blue = (picture[..., 2] - picture[..., 0]) > 0.4  # the first colour, and nothing else is blue
    assert blue.sum() > 1000


def test_odd_number_of_panels_leaves_the_last_place_blank(tmp_path):
    make_run(tmp_path / "a", [1.0, 2.0], **settings(0))
    out = tmp_path / "curves.png"
    three = ["train/return", "eval/success_rate", "train/loss"]
    (tmp_path / "a" / "metrics.csv").write_text(
        f"samples,{','.join(three)}\n100,1.0,0.5,2.0\n200,2.0,0.7,1.0\n"
    )
    assert plot.main([str(tmp_path), "--out", str(out), "--y", *three]) == 0
    from matplotlib.image import imread

    picture = imread(out)[..., :3]
    height, width = picture.shape[:2]
    assert (picture[int(0.6 * height) :, int(0.6 * width) :] > 0.99).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/rums"], r"there is no run folder .*/rums; .* holds: runs"),
        (["{folder}/rums/*"], r"there is no run folder .*/rums/\*"),
        (["{folder}"], None),
        (["{folder}/runs/empty"], r"there is no metrics\.csv in .*empty, nor in any folder below"),
        (["{folder}/runs/a", "--y", "train/retrun"], "no run has a metric .*Closest: train/return"),
        (["{folder}/runs/a", "--split", "moton"], "no run has a setting .*Closest: motion"),
        (["{folder}/runs/a", "--x", "wal"], r"no axis 'wal' .*Closest: wall"),
        (["{folder}/runs/a", "--out", "{folder}/a.pgn"], r"'\.pgn' is no picture format.*png"),
        (["{folder}/runs/a", "--out", "{folder}/no/a.png"], r"cannot write --out .*: No such file"),
    ],
)  # fmt: skip
def test_mistake_gets_one_line(tmp_path, capsys, arguments, message):
    make_run(tmp_path / "runs" / "a", [1.0, 2.0], **settings(0))
    (tmp_path / "runs" / "empty").mkdir()
    given = [argument.format(folder=tmp_path) for argument in arguments]
    if message is None:  # the same without the mistake
        assert plot.main([*given, "--out", str(tmp_path / "a.png")]) == 0
        return
    assert plot.main(given) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert list(tmp_path.rglob("a.p*")) == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.csv", "samples,train/return\n", "has no rows yet"),
        ("metrics.csv", "samples,train/return\n100,abc\n", "is damaged: could not convert string"),
        ("resolved.yaml", "a: [", "is not readable YAML"),
        ("resolved.yaml", "!!python/object/apply:os.system [true]", "is not readable YAML"),
        ("resolved.yaml", "just text", "holds no settings"),
    ],
)
def test_damaged_run_is_named(tmp_path, capsys, file, content, message):
    run = make_run(tmp_path / "a", [1.0], **settings(0))
    (run / file).write_text(content)
    assert plot.main([str(run), "--out", str(tmp_path / "a.png")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {run / file}")
    assert message in line
    assert not (tmp_path / "a.png").exists()
