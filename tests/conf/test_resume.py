"""Where runs go, what their folders hold, and how they go on."""

from __future__ import annotations

import json

import pytest
import yaml

from mimickit import launch
from mimickit.errors import RunError


@pytest.fixture
def finished(train):
    """The folder of a run that was made with `seed=3`."""
    code, (run,), _ = train("seed=3", "algo.clip=0.3", "max_samples=1e6")
    assert code == 0
    return run.folder


def test_run_folder_says_what_was_run(finished, tmp_path):
    inside = finished.relative_to(tmp_path / "outputs" / "deepmimic" / "humanoid" / "walk")
    assert len(inside.parts) == 1
    names = {p.name for p in finished.iterdir()} - {"git.diff"}  # there if the tree is dirty
    assert sorted(names) == [
        "checkpoints", "config.yaml", "environment.json", "overrides.yaml", "resolved.yaml",
    ]  # fmt: skip
    resolved = yaml.safe_load((finished / "resolved.yaml").read_text())
    assert (resolved["seed"], resolved["max_samples"], resolved["motion"]) == (3, 1_000_000, "walk")
    assert "mujoco" in resolved["engine"]["_target_"]
    typed = yaml.safe_load((finished / "overrides.yaml").read_text())
    assert typed[1:] == ["seed=3", "algo.clip=0.3", "max_samples=1e6"]


def test_resume_goes_on_in_the_folder_with_its_config_and_what_is_typed_now(train, finished):
    code, (run,), _ = train(f"resume={finished}", "max_samples=2e6")
    assert code == 0
    assert run.folder == finished
    settings = run.settings
    assert (settings["seed"], settings["algo"]["clip"], settings["max_samples"]) == (
        3,
        0.3,
        2_000_000,
    )
    # The next time, the folder remembers.
    assert launch.saved_config(finished).max_samples == 2_000_000
    assert "max_samples=2e6" in yaml.safe_load((finished / "overrides.yaml").read_text())
    assert len(json.loads((finished / "environment.json").read_text())["earlier"]) == 1


def test_resume_keeps_interpolations_alive(train, finished):
    _, (run,), _ = train(f"resume={finished}", "character.motion=run")
    assert run.settings["motion"] == "run"


def test_resume_takes_a_relative_path_with_odd_characters(train, finished, tmp_path):
    odd = tmp_path / "my runs (old), it's"
    finished.rename(odd)
    code, (run,), _ = train(f"resume={odd.name}")
    assert code == 0
    assert run.folder == odd


def test_resume_from_a_checkpoint_branches_off_into_a_new_folder(train, finished):
    checkpoint = finished / "checkpoints" / "0001.pt"
    code, (run,), _ = train(f"resume={checkpoint}")
    assert code == 0
    assert run.folder != finished
    assert (run.settings["resume"], run.settings["seed"]) == (str(checkpoint), 3)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("method=deepmimic", "a resumed run keeps its method: start a new run to change it"),
        ("algo.clp=1", "'algo' has no setting 'clp'. Closest: clip"),
        ("num_envs=0", "num_envs=0: must be at least 1"),
        ("hydra.run.dir=x", "goes on in that folder: leave hydra.run.dir away"),
    ],
)
def test_a_mistake_leaves_the_resumed_run_as_it_was(train, finished, typed, line):
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    code, runs, err = train(f"resume={finished}", typed)
    assert (code, runs) == (1, [])
    assert line in err
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


def test_a_failing_resumed_run_leaves_its_records_as_they_were(train, finished, monkeypatch):
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    monkeypatch.setenv("FAKE_FAILURE", "user")
    assert train(f"resume={finished}", "seed=9")[0] == 1
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("text", ["a: [1", "- 1\n", "seeed: 1"])
def test_a_damaged_config_is_named(train, finished, text):
    (finished / "config.yaml").write_text(text)
    code, runs, err = train(f"resume={finished}")
    assert (code, runs) == (1, [])
    assert "config.yaml cannot be read" in err or "no setting 'seeed'" in err
    assert (finished / "config.yaml").read_text() == text


def test_a_mistyped_run_folder_gets_close_matches(train, finished):
    err = train(f"resume={str(finished)[:-1]}")[2]
    assert f"Closest: {finished.name}" in err


def test_same_run_id_goes_on_and_resume_null_refuses(train, monkeypatch):
    monkeypatch.setenv("MIMICKIT_RUN_ID", "night-1")
    _, (first,), _ = train()
    _, (second,), _ = train()
    assert first.folder == second.folder
    assert first.folder.name == "night-1"
    code, runs, err = train("resume=null")
    assert (code, runs) == (1, [])
    assert "already holds a run: go on with resume=auto" in err


def test_a_checkpoint_never_overwrites_another_run(train, finished, monkeypatch):
    monkeypatch.setenv("MIMICKIT_RUN_ID", finished.name)
    code, runs, err = train(f"resume={finished / 'checkpoints' / '0001.pt'}")
    assert (code, runs) == (1, [])
    assert "already holds a run" in err


def test_other_ranks_write_no_records(train, monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    _, (run,), _ = train()
    assert [p.name for p in run.folder.iterdir()] == ["checkpoints"]


def test_a_folder_that_cannot_be_written_to_is_named(train, tmp_path):
    (tmp_path / "run" / "config.yaml").mkdir(parents=True)  # where a file has to go
    code, runs, err = train("hydra.run.dir=run")
    assert (code, runs) == (1, [])
    assert "cannot write to the run folder" in err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["config.yaml"]


def test_two_runs_of_one_second_have_folders_of_their_own(train):
    assert train()[1][0].folder != train()[1][0].folder


def test_sweep_has_a_folder_per_job(train, tmp_path):
    _, runs, _ = train("-m", "seed=1,2")
    assert [run.folder.name for run in runs] == [
        "0-deepmimic-humanoid-walk-seed1",
        "1-deepmimic-humanoid-walk-seed2",
    ]
    assert runs[0].folder.parent == runs[1].folder.parent
    assert runs[0].folder.parent.parent == tmp_path / "outputs" / "sweeps"


def test_saved_config_of_no_run_folder_says_so(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no config\.yaml"):
        launch.saved_config(tmp_path)
