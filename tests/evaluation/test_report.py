"""evaluation.json and the table beside the paper's."""

from __future__ import annotations

import json

import pytest

from mimickit.errors import RunError
from mimickit.evaluation.published import published
from mimickit.evaluation.report import table, write_report

ROW = {
    "position_error_m": 0.0314,
    "dof_velocity_error_rad_s": 0.777,
    "dof_velocity_error_per_dof_rad_s": 0.555,
    "return": 250.0,
    "episode_length_s": 9.87,
    "success_rate": 0.985,
    "episodes": 256,
}
ONE = {"overall": ROW, "clips": {"spinkick": ROW}}
TWO = {"overall": {**ROW, "episodes": 512}, "clips": {"spinkick": ROW, "my_clip": ROW}}
FACTS = {"method": "deepmimic", "character": "humanoid", "seed": 3}


def cells(text, first):
    """The cells of the table's row that begins with a word."""
    (line,) = [line for line in text.splitlines() if first in line.split()]
    return [cell.strip() for cell in line.strip("│ ").split("│")]


def test_the_papers_numbers_stand_beside_ours():
    # Table 1, spinkick, DeepMimic: .078 m and 1.222 rad/s.
    row = cells(table(ONE, "deepmimic", "humanoid"), "spinkick")
    assert row == ["spinkick", "256", "98.5%", "0.031", "0.078", "0.777", "1.222", "0.555", "9.87"]


def test_clips_the_paper_has_not_and_the_mean_over_clips_have_none():
    text = table(TWO, "deepmimic", "humanoid")
    for name in ("my_clip", "overall"):
        row = cells(text, name)
        assert (row[4], row[6]) == ("-", "-")
    assert cells(text, "overall")[1] == "512"


def test_one_clip_needs_no_overall_row():
    assert "overall" not in table(ONE, "deepmimic", "humanoid")


@pytest.mark.parametrize(
    ("method", "character", "clip", "numbers"),
    [
        ("deepmimic", "humanoid", "walk", (0.009, 0.286)),
        ("amp", "humanoid", "run", (0.163, 2.811)),
        ("add", "humanoid", "backflip", (0.062, 0.878)),
        ("add", "humanoid", "run", (0.165, 0.478)),
        ("deepmimic", "g1", "walk", None),
        ("ase", "humanoid", "walk", None),
        ("deepmimic", "humanoid", "walk_forward", None),
    ],
)
def test_published_numbers_are_those_of_the_paper(method, character, clip, numbers):
    found = published(method, character, clip)
    assert (found and found[:2]) == numbers


def test_columns_that_do_not_apply_are_left_out():
    bare = {k: v for k, v in ROW.items() if "error" not in k}
    text = table({"overall": bare, "clips": {"walk": bare}}, "amp", "humanoid")
    assert cells(text, "walk") == ["walk", "256", "98.5%", "9.87"]
    assert "paper" not in text


def test_figures_of_a_goal_stand_beside_the_return():
    bare = {k: v for k, v in ROW.items() if "error" not in k}
    row = {**bare, "goal_distance_m": 1.5, "goal_reached_share": 0.25}
    text = table({"overall": row, "clips": {"walk": row}}, "amp", "humanoid")
    assert cells(text, "walk") == ["walk", "256", "98.5%", "1.500", "0.250", "250.0", "9.87"]
    assert "goal distance m" in text


def test_the_file_holds_overall_clips_and_what_it_is_about(tmp_path):
    text = write_report(tmp_path, TWO, FACTS)
    saved = json.loads((tmp_path / "evaluation.json").read_text())
    assert saved == {**TWO, "about": FACTS}
    for row in (saved["overall"], saved["clips"]["spinkick"]):
        assert {
            "position_error_m",
            "dof_velocity_error_rad_s",
            "success_rate",
            "episodes",
        } <= set(row)
    assert text == table(TWO, "deepmimic", "humanoid")
    assert [p.name for p in tmp_path.iterdir()] == ["evaluation.json"]


def test_a_failure_while_writing_leaves_the_old_file(tmp_path):
    write_report(tmp_path, ONE, FACTS)
    before = (tmp_path / "evaluation.json").read_bytes()
    with pytest.raises(TypeError):
        write_report(tmp_path, TWO, {**FACTS, "bad": object()})
    assert (tmp_path / "evaluation.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["evaluation.json"]


def test_an_unwritable_place_is_named(tmp_path):
    with pytest.raises(RunError, match=r"cannot write .*nowhere/evaluation\.json"):
        write_report(tmp_path / "nowhere", ONE, FACTS)
