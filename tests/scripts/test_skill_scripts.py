"""The scripts that judge and show the skills of a run, on a run as small as they get."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

from mimickit.evaluation import clip_windows
from mimickit.loaded_run import load_skills
from tests.training.runs import build

ROOT = Path(__file__).resolve().parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pytest.importorskip("mujoco")
evaluate, play = script("evaluate_skills"), script("play_skills")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of two iterations on a walk and on a kick and its mirror image."""
    folder = tmp_path_factory.mktemp("skills")
    motion = "motion=[walk,{name: kick, mirror: true}]"
    build(folder, "method=ase", motion, iterations=2).start()
    return folder


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """Scales from few windows, which take most of the time otherwise."""
    monkeypatch.setattr(clip_windows, "SCALE_SAMPLES", 256)


def call(module, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["script", *arguments])
    return module.main()


@pytest.mark.slow
def test_skills_are_judged_and_written_down(run, monkeypatch, capsys):
    times = ("seconds=1.5", "switch=1.2", "episodes=6")
    call(evaluate, monkeypatch, f"run={run}", *times)
    printed = capsys.readouterr().out
    assert "ase on humanoid: 6 episodes of 3 random latents" in printed
    assert "encoder: right in" in printed
    written = json.loads((run / "skills.json").read_text())
    assert written["episodes"]["seconds"] == pytest.approx(1.5)
    assert written["about"]["samples"] == 128
    originals, clips = (written["coverage"][key]["labels"] for key in ("originals", "clips"))
    assert list(originals) == ["walk", "kick"]
    assert list(clips) == ["walk", "kick", "kick_mirrored"]
    assert clips["kick_mirrored"]["weight"] == pytest.approx(0.25)
    assert sum(row["share"] for row in originals.values()) == pytest.approx(1.0)
    assert originals["kick"]["weight"] == pytest.approx(0.5)
    assert written["data"]["distance"] > 0.0
    # The same once more, from the same seed.
    call(evaluate, monkeypatch, f"run={run}", *times, "out=again.json")
    assert json.loads((run / "again.json").read_text()) == written


@pytest.mark.slow
def test_latents_are_shown_one_after_the_other(run):
    loaded = load_skills(run, 2.0, num_envs=1, seed=3)
    strips = play.recording(loaded, count=2, steps=5, interpolate=False, seed=3)
    assert [len(strip) for strip in strips] == [5, 5]
    first, last = strips[0][0], strips[1][-1]
    assert first.text.startswith("latent 1 of 2\n0.03 s, nearest ")
    assert last.text.startswith("latent 2 of 2\n0.17 s, nearest ")
    assert not torch.equal(first.state.root_pos, last.state.root_pos)
    ways = play.recording(loaded, count=2, steps=5, interpolate=True, seed=3)
    assert not torch.equal(ways[0][-1].state.root_pos, strips[0][-1].state.root_pos)


def test_times_that_cannot_be_are_refused_before_anything_is_loaded(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        call(evaluate, monkeypatch, "run=nowhere", "seconds=0.5")
    assert "must be longer than the 1.0 s in which a skill settles" in capsys.readouterr().err
