"""Tables of a study: means and spreads by hand, the paper beside them, nothing dropped."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from mimickit.errors import RunError
from mimickit.evaluation.published import CLIPS, METHODS, published
from mimickit.evaluation.records import read_run
from mimickit.evaluation.tables import csv_text, latex, make_study, markdown
from tests.evaluation.sweeps import make_job


def job(folder, method, clip, seed, position=None, **more):
    """A finished run whose position error is given."""
    make_job(folder, method, clip, seed, **more)
    path = folder / "evaluation.json"
    if position is not None:
        found = json.loads(path.read_text())
        found["clips"][clip]["position_error_m"] = position
        path.write_text(json.dumps(found))
    return read_run(folder)


def cells(text, title, first):
    """The cells of a row of the Markdown table with a title."""
    table = text.split(f"### {title}\n")[1].split("###")[0]
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def study(tmp_path):
    runs = [
        job(tmp_path / "0", "deepmimic", "walk", 0, 0.010),
        job(tmp_path / "1", "deepmimic", "walk", 1, 0.014),
        job(tmp_path / "2", "amp", "walk", 0, 0.150),
        job(tmp_path / "3", "deepmimic", "my_clip_2", 0, 0.020),
    ]
    return make_study(runs)


def test_cell_has_mean_spread_and_count_beside_the_papers(study):
    text = markdown(study)
    # Columns in the paper's order. 0.010 and 0.014: mean 0.012, deviation 0.004 / sqrt(2).
    assert cells(text, "Position error [m]", "clip") == [
        "clip",
        "amp",
        "paper",
        "deepmimic",
        "paper",
    ]
    assert cells(text, "Position error [m]", "walk") == [
        "walk", "0.150 (1)", "0.132 ± 0.021", "**0.012** ± 0.003 (2)", "0.009 ± 0.001",
    ]  # fmt: skip
    assert cells(text, "Position error [m]", "my_clip_2") == [
        "my_clip_2", "-", "-", "0.020 (1)", "-",
    ]  # fmt: skip
    # 50 rows of 1.2 M samples, 3 s each.
    assert cells(text, "Samples [M]", "walk") == ["walk", "60.0 (1)", "60.0 ± 0.0 (2)"]
    assert cells(text, "Wall time [min]", "walk") == ["walk", "2.5 (1)", "2.5 ± 0.0 (2)"]


def test_success_is_best_where_it_is_greatest(tmp_path):
    runs = [job(tmp_path / method, method, "walk", 0) for method in ("amp", "deepmimic")]
    rates = [run.evaluation["clips"]["walk"]["success_rate"] for run in runs]
    row = cells(markdown(make_study(runs)), "Success [%]", "walk")
    bold = [f"**{100 * rate:.1f}** (1)" for rate in rates]
    plain = [f"{100 * rate:.1f} (1)" for rate in rates]
    best = rates.index(max(rates))
    assert row[1 + best] == bold[best]
    assert row[2 - best] == plain[1 - best]


def test_nothing_is_bold_where_all_are_alike(tmp_path):
    runs = [job(tmp_path / method, method, "walk", 0, 0.02) for method in ("amp", "add")]
    assert "**" not in "".join(cells(markdown(make_study(runs)), "Position error [m]", "walk"))


def test_csv_has_a_line_per_cell_with_all_digits(study):
    lines = list(csv.DictReader(io.StringIO(csv_text(study))))
    (line,) = [
        x
        for x in lines
        if (x["clip"], x["method"], x["figure"]) == ("walk", "deepmimic", "position_error_m")
    ]
    assert (line["character"], line["column"], line["n"]) == ("humanoid", "deepmimic", "2")
    assert float(line["mean"]) == pytest.approx(0.012)
    assert float(line["std"]) == pytest.approx(0.002 * 2**0.5)
    assert (line["paper_mean"], line["paper_std"]) == ("0.009", "0.001")
    assert {x["std"] for x in lines if x["n"] == "1"} == {""}
    assert len(lines) == 3 * 5  # three cells have runs, five figures


def test_latex_is_balanced_and_escaped(study):
    text = latex(study)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 5
    assert text.count("{") == text.count("}")
    assert r"my\_clip\_2 & - & - & 0.020 (1) & - \\" in text
    assert r"\textbf{0.012} $\pm$ 0.003 (2)" in text
    assert r"\caption{Success [\%]:" in text
    assert not re.search(r"(?<!\\)[_%#]", text)
    for tabular in re.findall(r"begin\{tabular\}\{(\w+)\}(.*?)\\end", text, re.DOTALL):
        widths = {line.count("&") + 1 for line in tabular[1].splitlines() if "&" in line}
        assert widths == {len(tabular[0])}


def test_what_differs_within_a_row_makes_a_column(tmp_path):
    runs = [
        job(tmp_path / f"{lr}", "add", "walk", 0, lr=lr, max_samples=60_000_000)
        for lr in (0.1, 0.2)
    ]
    study = make_study(runs)
    assert [column.label for column in study.columns] == ["add, lr=0.1", "add, lr=0.2"]
    # The paper's figures are the method's, whatever the column.
    assert cells(markdown(study), "Position error [m]", "walk")[2] == "0.009 ± 0.001"


def test_what_differs_between_rows_only_makes_no_column(tmp_path):
    runs = [
        job(tmp_path / clip, "add", clip, 0, budget=budget)
        for clip, budget in (("walk", 1e6), ("backflip", 2e6))
    ]
    study = make_study(runs)
    assert [column.label for column in study.columns] == ["add"]
    assert [row.clip for row in study.rows] == ["backflip", "walk"]  # as in the paper


def test_characters_have_rows_of_their_own_and_no_paper(tmp_path):
    runs = [
        job(tmp_path / name, "add", "walk", 0, 0.01, character=name) for name in ("humanoid", "g1")
    ]
    text = markdown(make_study(runs))
    assert cells(text, "Position error [m]", "g1 walk") == ["g1 walk", "0.010 (1)", "-"]
    assert cells(text, "Position error [m]", "humanoid walk")[2] == "0.009 ± 0.001"


def test_policy_of_several_clips_fills_a_row_of_each(tmp_path):
    run = job(tmp_path / "a", "add", "walk", 0, 0.01)
    figures = run.evaluation["clips"]["walk"]
    run.evaluation["clips"]["run"] = {**figures, "position_error_m": 0.03}
    text = markdown(make_study([run]))
    assert cells(text, "Position error [m]", "run")[1] == "0.030 (1)"
    assert cells(text, "Position error [m]", "walk")[1] == "0.010 (1)"


def test_goals_have_their_figures_and_a_return(tmp_path):
    run = job(tmp_path / "a", "amp", "walk", 0)
    row = run.evaluation["clips"]["walk"]
    for name in ("position_error_m", "dof_velocity_error_rad_s"):
        del row[name]
    row["goal_distance_m"] = 1.25
    text = markdown(make_study([run]))
    assert cells(text, "Goal distance m", "walk") == ["walk", "1.250 (1)"]
    assert cells(text, "Return", "walk") == ["walk", "280.0 (1)"]
    assert "paper" not in text.replace("Paper", "").split("###", 1)[1]


def test_runs_that_are_not_done_are_named(tmp_path):
    done = job(tmp_path / "a", "add", "walk", 0)
    part = read_run(make_job(tmp_path / "b", "add", "walk", 1, rows=5, finished=False))
    study = make_study([done, part], {"job 7 (seed=7)": "left no run folder"})
    text = markdown(study)
    assert cells(text, "Success [%]", "walk")[1].endswith("(1)")
    assert f"- {tmp_path / 'b'}: not finished, 6,000,000 of 60,000,000 samples" in text
    assert "- job 7 (seed=7): left no run folder" in text
    assert "% not in the tables: job 7" in latex(study)
    with pytest.raises(RunError, match=r"none of the 1 runs came to its end.*not finished"):
        make_study([part])


def test_paper_has_every_method_for_every_clip():
    assert len(CLIPS) == 11
    for clip in CLIPS:
        for method in METHODS:
            position, velocity, *spreads = published(method, "humanoid", clip)
            assert 0 < position < 0.4 < velocity + 0.2
            assert all(0 <= spread < position + velocity for spread in spreads)
    assert published("add", "humanoid", "backflip") == (0.062, 0.878, 0.001, 0.013)
    assert published("amp", "humanoid", "roll") == (0.141, 1.576, 0.031, 0.318)
    assert published("deepmimic", "humanoid", "spinkick") == (0.078, 1.222, 0.062, 0.233)
