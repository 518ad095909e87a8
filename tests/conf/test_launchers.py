"""Sweeps as processes of their own and as SLURM jobs, up to the point where SLURM takes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from mimickit import launch
from mimickit.errors import RunError
from mimickit.launch import local, sweep
from mimickit.launch.local import LocalLauncher, Slot, slots
from mimickit.launch.slurm import SHARED
from mimickit.launch.snapshot import take_snapshot
from mimickit.launch.status import read_status

ROOT = Path(__file__).resolve().parents[2]
# A run that fails with seed 1, and says where it runs.
LAB = """
import os
from pathlib import Path

import mimickit


class Train:
    def __init__(self, folder, *, seed, **settings):
        self.folder, self.seed = Path(folder), seed

    def start(self):
        if self.seed == 1:
            raise ArithmeticError("on purpose")
        said = [mimickit.__file__, os.environ.get("CUDA_VISIBLE_DEVICES", "")]
        (self.folder / "here").write_text(" ".join(said))
        return float(self.seed)
"""
SUBMIT = """#!/bin/sh
for last; do :; done
cp "$last" "{folder}/submitted.sh"
echo "Submitted batch job 17"
"""


@pytest.fixture
def lab(train, tmp_path, monkeypatch):
    """A sweep of runs of LAB, started from whatever tree this is."""
    (tmp_path / "lab.py").write_text(LAB)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{tmp_path}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lab", raising=False)

    def call(launcher, *arguments):
        chosen = [f"hydra/launcher={launcher}", "hydra.launcher.dirty=true", "_target_=lab.Train"]
        return train("-m", *chosen, "hydra.sweep.dir=sweep", *arguments)

    return call


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Puts shell scripts on the path under the names of SLURM's commands."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")

    def put(**scripts):
        for name, text in scripts.items():
            (tmp_path / "bin" / name).write_text(text.format(folder=tmp_path))
            (tmp_path / "bin" / name).chmod(0o755)

    return put


LAUNCHERS = sorted(path.stem for path in (ROOT / "conf" / "hydra" / "launcher").glob("*.yaml"))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_has_only_settings_that_something_reads(name):
    launch.register()
    with hydra.initialize_config_dir(str(launch.CONF), version_base="1.3"):
        cfg = hydra.compose("run", [f"hydra/launcher={name}"], return_hydra_config=True)
    node = OmegaConf.to_container(cfg.hydra.launcher, resolve=False)
    if node.pop("_target_").endswith("LocalLauncher"):
        assert LocalLauncher(**node).jobs is None
        return
    submitit = pytest.importorskip("submitit")
    known = {"dirty", "engine", "wait", *SHARED, *submitit.SlurmExecutor._valid_parameters()}
    assert set(node) <= known
    assert node["additional_parameters"]["requeue"] is True


def states(folder):
    return [read_status(path.parent).state for path in sorted(folder.glob("*/status.json"))]


@pytest.mark.parametrize(
    ("jobs", "most", "gpus", "cores", "expected"),
    [
        (None, 9, ["0", "1"], range(4), [Slot("0", (0, 1)), Slot("1", (2, 3))]),
        (None, 1, ["0", "1"], range(4), [Slot("0", (0, 1, 2, 3))]),
        (3, 9, ["0", "1"], [5], [Slot("0"), Slot("1"), Slot("0")]),  # fewer cores than jobs
        (None, 9, [], range(16), [Slot(None, tuple(range(8))), Slot(None, tuple(range(8, 16)))]),
        (None, 9, [], range(2), [Slot(None, (0, 1))]),
        (2, 9, [], [], [Slot(), Slot()]),
    ],
)
def test_the_machine_is_shared_out(jobs, most, gpus, cores, expected):
    assert slots(jobs, most, gpus, list(cores)) == expected


@pytest.mark.slow
def test_each_job_is_a_process_with_a_gpu_and_a_failure_stops_no_other(
    lab, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    code, runs, err = lab("local", "seed=0,1,2", "hydra.launcher.jobs=2")
    assert (code, runs) == (1, [])
    folder = tmp_path / "sweep"
    assert states(folder) == ["finished", "failed", "finished"]
    name = "1-deepmimic-humanoid-walk-seed1"
    assert err.splitlines()[-1] == (
        f"error: 1 of 3 jobs did not finish ({name}: ArithmeticError: on purpose); "
        f"`python scripts/runs.py {folder}` lists them all"
    )
    heres = [path.read_text().split() for path in sorted(folder.glob("*/here"))]
    assert {module for module, _ in heres} == {str(folder / "code" / "mimickit" / "__init__.py")}
    assert {gpu for _, gpu in heres} <= {"4", "GPU-7"}
    assert "on purpose" in (folder / name / "output.txt").read_text()
    # Submitted again, what is finished is left alone.
    assert lab("local", "seed=0,1,2")[0] == 1
    starts = [read_status(path.parent).starts for path in sorted(folder.glob("*/status.json"))]
    assert starts == [1, 2, 1]
    assert (folder / "code-2").is_dir()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["seed=0,-1"], "error: seed=-1: must be at least 0"),
        (["seed=0,1", "resume=null"], "error: resume=null: a job that is preempted has to go on"),
        (["seed=0,1", "hydra.launcher.jobs=0"], "error: hydra.launcher.jobs=0: a whole number"),
    ],
)
def test_one_bad_value_stops_the_sweep_before_anything_is_started(lab, tmp_path, arguments, line):
    code, _, err = lab("local", *arguments)
    assert code == 1
    assert err.splitlines()[-1].startswith(line)
    assert not (tmp_path / "sweep").exists()


def test_a_dirty_tree_stops_the_sweep_before_anything_is_written(train, tmp_path, monkeypatch):
    def refuse():
        raise RunError("the git tree has changes")

    monkeypatch.setattr(sweep, "refuse_dirty", refuse)
    assert train("-m", "hydra/launcher=local", "seed=0,1") == (
        1, [], "error: the git tree has changes\n",
    )  # fmt: skip
    assert not (tmp_path / "outputs").exists()


def test_sweeps_are_processes_of_their_own_unless_another_launcher_is_chosen(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", "--cfg", "hydra"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    config = yaml.safe_load(done.stdout)["hydra"]["launcher"]
    assert config["_target_"] == "hydra_plugins.mimickit.LocalLauncher"
    assert config["dirty"] is False


def test_jobs_say_now_and_then_how_far_they_are(lab, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(local, "REPORT_S", 0.0)
    printed = []
    monkeypatch.setattr("builtins.print", lambda *words, **_: printed.append(" ".join(words)))
    lab("local", "seed=0")
    name = "0-deepmimic-humanoid-walk-seed0"
    assert f"  queued    {name}: 0 of 10,000,000 samples" in printed
    assert any(line.startswith(f"  finished  {name}") for line in printed)


def test_a_job_whose_folder_was_deleted_does_not_stop_the_lines(tmp_path):
    folder = tmp_path / "0-gone"
    assert local.progress(folder) == "gone      0-gone: its folder was deleted"
    assert local.outcome(folder).startswith("failed    0-gone: ")


def test_without_slurm_the_launcher_says_what_to_do(lab, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = lab("slurm_1gpu", "seed=0,1")
    assert code == 1
    assert "there is no sbatch here" in err
    assert "hydra/launcher=local" in err
    assert not (tmp_path / "sweep").exists()


def test_jobs_are_submitted_as_one_array_with_code_config_and_numbers(
    lab, commands, tmp_path, capsys
):
    pytest.importorskip("submitit")
    commands(sbatch=SUBMIT, srun="", squeue="#!/bin/sh\necho '17_0|PENDING'")
    code, _, err = lab("slurm_multi_gpu", "seed=0,1", "hydra.launcher.gpus_per_node=4")
    assert (code, err) == (0, "")
    folder = tmp_path / "sweep"
    script = (tmp_path / "submitted.sh").read_text()
    for line in (
        "#SBATCH --array=0-1%2", "#SBATCH --gpus-per-node=4", "#SBATCH --ntasks-per-node=4",
        "#SBATCH --requeue", "#SBATCH --signal=USR2@120", "#SBATCH --time=1440",
        f"cd {folder / 'code'}", f"export PYTHONPATH={folder / 'code'}:",
    ):  # fmt: skip
        assert line in script
    names = ["0-deepmimic-humanoid-walk-seed0", "1-deepmimic-humanoid-walk-seed1"]
    numbers = json.loads((folder / "jobs.json").read_text())
    assert numbers == dict(zip(names, ["17_0", "17_1"]))
    assert states(folder) == ["queued", "queued"]
    config = yaml.safe_load((folder / names[1] / "config.yaml").read_text())
    assert config["seed"] == 1
    # This machine has no GPU, but those that the jobs will run on do.
    assert config["engine"]["_target_"].endswith("MujocoWarpEngine")
    typed = yaml.safe_load((folder / names[1] / "overrides.yaml").read_text())
    assert "seed=1" in typed


def test_jobs_that_wait_already_are_not_submitted_twice(lab, commands, tmp_path):
    pytest.importorskip("submitit")
    commands(sbatch=SUBMIT, srun="", squeue="#!/bin/sh\necho '17|PENDING'")
    assert lab("slurm_cpu", "seed=0")[0] == 0
    (tmp_path / "submitted.sh").unlink()
    code, _, err = lab("slurm_cpu", "seed=0")
    assert code == 1
    assert "0-deepmimic-humanoid-walk-seed0 is queued already" in err
    assert not (tmp_path / "submitted.sh").exists()


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("hydra.launcher.partition=gpus", "SLURM does not take the jobs (hydra.launcher.*)"),
        ("+hydra.launcher.partitio=gpus", "partitio"),
    ],
)
def test_what_slurm_or_submitit_refuses_leaves_nothing(lab, commands, tmp_path, argument, line):
    pytest.importorskip("submitit")
    commands(sbatch="#!/bin/sh\necho invalid partition specified >&2\nexit 1\n", srun="")
    code, _, err = lab("slurm_cpu", "seed=0,1", argument)
    assert code == 1
    assert line in err.splitlines()[-1]
    assert not list((tmp_path / "sweep").glob("*/*"))


EDITOR = """
import sys
from pathlib import Path


class Train:
    def __init__(self, folder, *, seed, algo, **settings):
        self.folder, self.clip = Path(folder), algo["clip"]

    def start(self):
        (self.folder / "clip").write_text(str(self.clip))
        path = CHECKOUT / "conf" / "algo" / "ppo.yaml"
        path.write_text(path.read_text().replace("clip: 0.2", "clip: 0.9"))
        (CHECKOUT / "mimickit" / "run.py").write_text("raise RuntimeError('edited')")
        (CHECKOUT / "mimickit" / "launch" / "job.py").write_text("raise RuntimeError('edited')")
"""


@pytest.mark.slow
def test_what_is_edited_after_the_submission_does_not_reach_the_jobs(tmp_path):
    checkout = take_snapshot(tmp_path / "copy")
    (checkout / ".gitignore").write_text("__pycache__/\n")
    for line in ("init -q", "add -A", "-c user.name=t -c user.email=t@t commit -q -m first"):
        subprocess.run(["git", *line.split()], cwd=checkout, check=True)
    (tmp_path / "editor.py").write_text(EDITOR.replace("CHECKOUT", f"Path({str(checkout)!r})"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MIMICKIT_", "SLURM_"))}

    def train(*arguments):
        return subprocess.run(
            [sys.executable, checkout / "train.py", "-m", "hydra/launcher=local",
             "hydra.launcher.jobs=1", "_target_=editor.Train", "seed=0,1",
             "hydra.sweep.dir=sweep", *arguments],
            cwd=tmp_path, env={**kept, "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    (checkout / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\n")
    done = train()
    assert done.returncode == 1
    assert "(conf/experiment/mine.yaml): commit them, or add hydra.launcher" in done.stderr
    (checkout / "conf" / "experiment" / "mine.yaml").unlink()
    done = train()
    assert done.returncode == 0, done.stderr
    assert "clip: 0.9" in (checkout / "conf" / "algo" / "ppo.yaml").read_text()
    assert [path.read_text() for path in sorted(tmp_path.glob("sweep/*/clip"))] == ["0.2", "0.2"]
