"""A trained run goes over to another engine, at the rates and commands that its policy knows."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from mimickit import launch
from mimickit.errors import EngineError, UnknownName
from mimickit.launch.loading import run_config, split_engine_settings
from mimickit.loaded_run import LoadedRun
from mimickit.training import checkpoint
from tests.launch.engines import MissingEngine, OtherEngine, write_nodes
from tests.training.runs import build

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.engine("mujoco")


def script(name):
    """A script as a module."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one iteration on MuJoCo, at rates of its own."""
    folder = tmp_path_factory.mktemp("trained")
    build(folder, "engine.sim_hz=240", "engine.solver_iterations=7", iterations=1).start()
    return folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it to change at will, with the engines `other` and `missing` to choose."""
    write_nodes(tmp_path / "conf")
    monkeypatch.setenv("MIMICKIT_CONF", str(tmp_path / "conf"))
    return Path(shutil.copytree(trained, tmp_path / "run"))


def moved_to(run, name):
    """The run as if it had been trained on another engine, on a GPU."""
    config = run / "config.yaml"
    text = config.read_text()
    assert "mimickit.engines.mujoco.MujocoEngine" in text
    text = text.replace("mimickit.engines.mujoco.MujocoEngine", name)
    config.write_text(text.replace("\ndevice: auto\n", "\ndevice: cuda\n"))
    return run


def test_another_engine_keeps_the_rates_and_takes_its_own_settings_and_device(run):
    config = launch.plain(run_config(run, "other"))
    assert config["engine"] == {
        "_target_": "tests.launch.engines.OtherEngine",
        "num_envs": 4, "device": "auto",  # as its file says
        "control_hz": 30, "sim_hz": 240, "control_mode": "pos",  # as the run says
    }  # fmt: skip
    moved_to(run, "tests.launch.engines.MissingEngine")
    config = launch.plain(run_config(run, "mujoco"))
    assert (config["device"], config["engine"]["sim_hz"]) == ("auto", 240)
    assert config["engine"]["solver_iterations"] == 100


def test_the_own_engine_keeps_its_settings_named_or_not(run):
    own = run_config(run)
    assert (own.engine.sim_hz, own.engine.solver_iterations) == (240, 7)
    assert run_config(run, "mujoco") == own


@pytest.mark.parametrize("engine", [None, "mujoco", "other"])
def test_what_is_typed_for_the_engine_wins(run, engine):
    config = run_config(run, engine, ["engine.sim_hz=120"])
    assert (config.engine.sim_hz, config.engine.control_hz) == (120, 30)


def test_a_loaded_run_steps_on_the_other_engine_and_says_so(run):
    loaded = LoadedRun(run, num_envs=2, engine="other")
    assert type(loaded.env.engine) is OtherEngine
    assert loaded.env.engine.sim_dt == pytest.approx(1 / 240)
    loaded.env.step(loaded.policy.act_deterministic(loaded.env.observe()))
    assert loaded.engine_facts == {
        "engine": "OtherEngine", "device": "cpu", "trained_on": "MujocoEngine",
    }  # fmt: skip


def test_the_same_engine_gives_the_same_first_step_as_without_asking(run):
    first = [LoadedRun(run, num_envs=2, engine=name).env.observe() for name in (None, "mujoco")]
    assert all(torch.equal(first[0][group], first[1][group]) for group in first[0])


@pytest.mark.parametrize("name", ["MissingEngine", "DeletedEngine"])
def test_an_engine_that_cannot_run_here_is_one_error_that_names_the_way(run, name):
    moved_to(run, f"tests.launch.engines.{name}")
    text = run / "config.yaml"
    text.write_text(text.read_text().replace("\ndevice: cuda\n", "\ndevice: auto\n"))
    words = rf"was trained on {name}, which cannot run here: .*Name another .*engine=mujoco"
    with pytest.raises(EngineError, match=words):
        LoadedRun(run, num_envs=2)
    assert type(LoadedRun(run, num_envs=2, engine="mujoco").env.engine) is not MissingEngine


def test_an_engine_that_was_asked_for_and_cannot_run_says_only_why(run):
    with pytest.raises(EngineError, match=r"^this needs a simulator that is not installed$"):
        LoadedRun(run, num_envs=2, engine="missing")


def test_an_unknown_engine_or_setting_is_named(run):
    with pytest.raises(UnknownName, match=r"there is no engine 'mujco'\. Closest: mujoco"):
        run_config(run, "mujco")
    with pytest.raises(UnknownName, match=r"'engine' has no setting 'sim_h'\. Closest: sim_hz"):
        run_config(run, None, ["engine.sim_h=1"])


def test_engine_settings_are_told_from_a_scripts_own_arguments():
    words = ["run=x", "engine=mujoco", "engine.sim_hz=240"]
    assert split_engine_settings(words) == (["run=x", "engine=mujoco"], ["engine.sim_hz=240"])


def evaluate(monkeypatch, capsys, *arguments):
    """Lines that scripts/evaluate.py prints."""
    monkeypatch.setattr("sys.argv", ["evaluate.py", *map(str, arguments)])
    script("evaluate").main()
    return capsys.readouterr().out.splitlines()


def test_evaluate_prints_and_records_the_engine(run, monkeypatch, capsys):
    words = (f"run={run}", "episodes=2", "engine=other", "engine.sim_hz=120")
    lines = evaluate(monkeypatch, capsys, *words)
    assert lines[0] == "OtherEngine on cpu; trained on MujocoEngine"
    about = json.loads((run / "evaluation.json").read_text())["about"]
    assert (about["engine"], about["device"], about["trained_on"]) == (
        "OtherEngine", "cpu", "MujocoEngine",
    )  # fmt: skip


def test_evaluate_on_a_missing_engine_is_one_line(run, monkeypatch, capsys):
    moved_to(run, "tests.launch.engines.DeletedEngine")
    with pytest.raises(SystemExit):
        evaluate(monkeypatch, capsys, f"run={run}")
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"error: run .* was trained on DeletedEngine, .*engine=mujoco$", line)


def test_play_takes_the_engine_too(run, monkeypatch, capsys):
    play, drawn = script("play"), []
    monkeypatch.setattr(
        "mimickit.viewers.arguments.draw", lambda *given: drawn.append(given) or [Path("film.mp4")]
    )
    monkeypatch.setattr("sys.argv", ["play.py", f"run={run}", "engine=other"])
    play.main()
    assert capsys.readouterr().out.splitlines() == [
        "OtherEngine on cpu; trained on MujocoEngine", "film.mp4",
    ]  # fmt: skip
    assert drawn


@pytest.mark.gpu
def test_a_checkpoint_written_on_a_gpu_is_read_on_the_cpu(tmp_path):
    state = {"samples": 1, "config": {}, "facts": {}, "run": {}}
    state["policy"] = {"weight": torch.ones(3, device="cuda")}
    checkpoint.write(tmp_path / "x.pt", state)
    assert checkpoint.read(tmp_path / "x.pt")["policy"]["weight"].device.type == "cpu"
