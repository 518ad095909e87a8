"""Run folders are found, read and told apart; what is missing or broken is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from mimickit.errors import RunError
from mimickit.evaluation.records import (
    find_runs,
    group_runs,
    label_runs,
    missing_jobs,
    read_run,
    read_runs,
    shortfall,
)
from tests.evaluation.sweeps import make_job, make_sweep

ROWS = "samples,train/return,time/wall_s,eval/return,eval/samples\n"


def write(folder, rows=ROWS + "100,1.0,2.0,,\n", **files):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.csv").write_text(rows)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder


def test_evaluation_stands_where_the_policy_it_judged_stood(tmp_path):
    # The evaluation of the policy at 150 samples came with the row of 300.
    run = read_run(write(tmp_path, ROWS + "100,1,2,,\n200,2,4,,\n300,3,8,7.5,150\n"))
    assert [list(axis) for axis in run.curve("samples", "eval/return")] == [[150], [7.5]]
    # Halfway from 100 to 200 samples, so halfway from 2 to 4 seconds.
    assert [list(axis) for axis in run.curve("time/wall_s", "eval/return")] == [[3.0], [7.5]]
    assert [list(axis) for axis in run.curve("samples", "train/return")] == [
        [100, 200, 300],
        [1, 2, 3],
    ]


def test_older_runs_have_their_evaluations_where_the_row_is(tmp_path):
    run = read_run(write(tmp_path, "samples,eval/return\n100,\n200,5\n"))
    assert [list(axis) for axis in run.curve("samples", "eval/return")] == [[200], [5]]


def test_columns_are_those_of_the_file_and_half_a_last_line_is_dropped(tmp_path):
    run = read_run(write(tmp_path, "samples,a/b,c/d\n1,,nan\n2,0.30000000000000004,-1e-3\n3,0."))
    assert list(run.columns) == ["samples", "a/b", "c/d"]
    np.testing.assert_array_equal(run.columns["a/b"], [np.nan, 0.1 + 0.2])
    np.testing.assert_array_equal(run.columns["c/d"], [np.nan, -0.001])
    assert run.samples == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"rows": ROWS + "100,high,1,,\n"}, r"metrics\.csv is damaged: could not convert"),
        ({"rows": ROWS + "100,1\n"}, r"metrics\.csv, line 2: 2 cells under 5 columns"),
        ({"rows": ROWS}, r"metrics\.csv has no rows yet"),
        ({"evaluation_json": "{"}, r"evaluation\.json is damaged"),
        ({"evaluation_json": "[]"}, r"evaluation\.json is damaged: it holds no mapping"),
        ({"evaluation_json": "{}"}, r"evaluation\.json is no evaluation: it lacks 'overall'"),
        ({"status_json": "x"}, r"status\.json is damaged"),
        ({"overrides_yaml": {"a": 1}}, r"overrides\.yaml holds no list"),
        ({"resolved_yaml": "a: ["}, r"resolved\.yaml is not readable YAML"),
    ],
)
def test_damaged_file_is_named(tmp_path, files, message):
    write(tmp_path / "run", **files)
    with pytest.raises(RunError, match=message):
        read_run(tmp_path / "run")


def test_one_damaged_run_does_not_hide_the_others(tmp_path):
    good = make_job(tmp_path / "0-add", "add", "walk", 0)
    bad = write(tmp_path / "1-add", ROWS + "100,high,1,,\n")
    runs, problems = read_runs([good, bad])
    assert [run.folder for run in runs] == [good]
    assert list(problems) == [bad]
    assert "is damaged" in problems[bad]
    with pytest.raises(RunError, match="is damaged"):
        read_runs([bad])


def test_jobs_come_in_their_order_and_what_lies_in_a_run_is_the_runs(tmp_path):
    for number in (10, 9, 1):
        make_job(tmp_path / f"{number}-add", "add", "walk", number)
    write(tmp_path / "1-add" / "wandb" / "files")
    (tmp_path / "source" / "docs").mkdir(parents=True)
    assert [path.name for path in find_runs([str(tmp_path)])] == ["1-add", "9-add", "10-add"]


def test_run_that_is_not_done_says_how_far_it_is(tmp_path):
    assert shortfall(read_run(make_job(tmp_path / "a", "add", "walk", 0))) is None
    part = make_job(tmp_path / "b", "add", "walk", 0, rows=5, finished=False)
    assert shortfall(read_run(part)) == "not finished, 6,000,000 of 60,000,000 samples"
    status = {"state": "failed", "reason": "RunError: the disk is full"}
    (part / "status.json").write_text(json.dumps(status))
    assert shortfall(read_run(part)) == (
        "failed, 6,000,000 of 60,000,000 samples: RunError: the disk is full"
    )


def test_job_with_a_status_needs_no_rows(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"state": "queued"}))
    run = read_run(tmp_path)
    assert shortfall(run) == "queued, 0 samples"
    assert np.isnan(run.wall_s)
    assert len(run.curve("samples", "train/return")[0]) == 0


def test_jobs_without_a_folder_are_told(tmp_path):
    folders = make_sweep(tmp_path, ["add"], ["walk"], 3)
    planned = {number: ["method=add", f"seed={number}"] for number in range(12)}
    assert missing_jobs(planned, folders)[:2] == [
        "job 3 (method=add seed=3)",
        "job 4 (method=add seed=4)",
    ]
    assert len(missing_jobs(planned, folders)) == 9


def run_of(folder, typed, **settings):
    """A run by what was typed and what came of it."""
    return read_run(write(folder, overrides_yaml=typed, resolved_yaml=settings))


def test_what_was_typed_labels_better_than_what_it_did(tmp_path):
    a = run_of(tmp_path / "a", ["algo=ppo", "seed=0"], seed=0, algo={"lr": 1, "clip": 2, "x": 3})
    b = run_of(tmp_path / "b", ["algo=ppo_mimickit", "seed=0"], seed=0, algo={"lr": 2, "clip": 3})
    c = run_of(tmp_path / "c", ["seed=0"], seed=0, algo={"lr": 3, "clip": 3})
    assert label_runs([a, b, c]) == ["algo=ppo", "algo=ppo_mimickit", "algo=default"]


def test_settings_label_where_nothing_was_typed_and_not_all_of_them(tmp_path):
    more = {f"k{i}": 1 for i in range(5)}
    a = run_of(tmp_path / "a", ["seed=0"], seed=0, lr=0.00064664227, **more)
    b = run_of(tmp_path / "b", ["seed=0"], seed=0, lr=0.0012, **{k: 2 for k in more})
    assert label_runs([a, b]) == ["k0=1, k1=1, 4 more", "k0=2, k1=2, 4 more"]
    few = run_of(tmp_path / "c", [], seed=0, lr=0.0012)
    many = run_of(tmp_path / "d", [], seed=0, lr=0.00064664227)
    assert label_runs([few, many]) == ["lr=0.0012", "lr=0.000647"]


def test_labels_are_short_and_distinct(tmp_path):
    runs = [
        run_of(tmp_path / name, [f"note={'y' * 80}{name}"], seed=0, motion=f"{'x' * 80}{name}")
        for name in "ab"
    ]
    labels = label_runs(runs)
    assert len(set(labels)) == 2
    assert all(len(label) <= 64 for label in labels)


def test_what_changes_no_result_parts_no_group(tmp_path):
    runs = [
        run_of(
            tmp_path / str(seed),
            [f"seed={seed}", f"device=cuda:{seed}", "hydra/launcher=local"],
            seed=seed,
            device=f"cuda:{seed}",
            logger={"wandb": {"name": f"x-seed{seed}"}},
            training={"progress": bool(seed)},
        )
        for seed in (0, 1)
    ]
    (members,) = group_runs(runs).values()
    assert members == runs
