"""Of few clips everything is logged, of many how they do and which are worst."""

from __future__ import annotations

from mimickit.evaluation.clips import LOGGED, clip_metrics, worst_clips
from mimickit.evaluation.report import SHOWN, table


def row(success, error):
    return {
        "episodes": 4,
        "success_rate": success,
        "position_error_m": error,
        "dof_velocity_error_rad_s": 1.0,
        "dof_velocity_error_per_dof_rad_s": 1.0,
        "episode_length_s": 2.0,
    }


ROWS = {"walk": row(1.0, 0.02), "kick": row(0.0, 0.3), "spin": row(0.0, 0.4), "run": row(0.5, 0.1)}


def test_few_clips_are_logged_one_by_one():
    metrics = clip_metrics(ROWS)
    assert metrics["eval/clips"] == 4.0
    assert metrics["eval/clips_failed"] == 0.5
    assert metrics["clip/success_rate/run"] == 0.5
    assert metrics["clip/position_error_m/spin"] == 0.4
    assert len(metrics) == 2 + 2 * 4


def test_one_clip_is_what_the_other_metrics_are_of():
    assert clip_metrics({"walk": ROWS["walk"]}) == {}


def test_of_many_clips_only_how_many_fail_is_logged():
    rows = {f"c{number}": row(number % 2, 0.1) for number in range(LOGGED + 2)}
    assert clip_metrics(rows) == {"eval/clips": LOGGED + 2.0, "eval/clips_failed": 0.5}


def test_worst_is_least_success_then_greatest_error():
    assert worst_clips(ROWS, 3) == ["spin", "kick", "run"]
    task_without_reference = {"a": {"success_rate": 1.0}, "b": {"success_rate": 0.0}}
    assert worst_clips(task_without_reference, 5) == ["b", "a"]


def test_the_table_of_many_clips_shows_the_worst_and_says_so():
    rows = {f"clip{number:03d}": row(number / 100, 0.1) for number in range(100)}
    text = table({"clips": rows, "overall": row(0.5, 0.1)}, "deepmimic", "humanoid")
    assert text.count("clip0") == SHOWN
    assert "clip019" in text
    assert "clip020" not in text
    assert "overall" in text
    assert text.endswith(f"the {SHOWN} worst of 100 clips; evaluation.json has all\n")
    assert "worst" not in table({"clips": ROWS, "overall": row(0.5, 0.1)}, "deepmimic", "humanoid")
