"""The doctor finds what is wrong, says what to do, and never falls ill itself."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from mimickit.errors import RunError
from mimickit.findings import NOTE, OK, PROBLEM, Finding
from mimickit.launch import doctor, machine
from mimickit.launch.cuda import CudaDevice, CudaDriver
from mimickit.launch.doctor import Plan
from mimickit.launch.machine import Processors
from mimickit.launch.packages import BASE, requirements

ROOT = Path(__file__).resolve().parents[2]
H200 = CudaDevice("NVIDIA H200", 140 * 2**30, (9, 0), True)
NO_DRIVER = CudaDriver(None, (), "no CUDA driver is installed")
CUDA13 = CudaDriver((13, 0), (H200,))
CUDA12 = CudaDriver((12, 2), (H200,))


def one(findings, level, *words):
    """The only finding, or the last of several, of a level and with these words in it."""
    found = findings if isinstance(findings, Finding) else findings[-1]
    assert found.level == level, found
    line = f"{found.subject}: {found.text} -> {found.remedy}"
    for word in words:
        assert word in line, line
    return found


# --- Python and packages ---------------------------------------------------------------------


def test_python_must_be_one_that_mujoco_has_wheels_for():
    one(machine.check_python((3, 11)), OK)
    one(machine.check_python((3, 10)), PROBLEM, "MuJoCo needs 3.11", "python3.11 -m venv")


WANTED = {
    BASE: [Requirement("torch>=2.0,<2.14"), Requirement("mujoco==4.0.0")],
    "gpu": [Requirement("warp-lang==1.19.0")],
}
GOOD = {"torch": "2.13.0+cpu", "mujoco": "4.0.0", "warp-lang": "1.19.0+cu12"}


@pytest.mark.parametrize(
    ("versions", "needed", "level", "words"),
    [
        (GOOD, {BASE}, OK, ["[gpu]", "warp-lang 1.19.0+cu12"]),
        ({**GOOD, "warp-lang": "1.12.0"}, {BASE}, NOTE, ["1.12.0 is not ==1.19.0", '".[gpu]"']),
        ({**GOOD, "warp-lang": "1.12.0"}, {BASE, "gpu"}, PROBLEM, ["1.12.0 is not ==1.19.0"]),
        ({"torch": "2.1", "mujoco": "4.0.0"}, {BASE}, NOTE, ["not installed: warp-lang", "[gpu]"]),
        ({"torch": "2.1", "mujoco": "4.0.0"}, {BASE, "gpu"}, PROBLEM, ["not installed: warp-lang"]),
    ],
)
def test_an_extra_is_compared_with_what_pyproject_asks_for(versions, needed, level, words):
    one(machine.check_packages(WANTED, versions, needed), level, *words)


@pytest.mark.parametrize(
    ("versions", "level", "words"),
    [
        (GOOD, OK, ["torch 2.13.0+cpu, mujoco 4.0.0"]),
        ({**GOOD, "mujoco": "3.5.0"}, PROBLEM, ["mujoco 3.5.0 is not ==4.0.0", "install -e ."]),
        ({**GOOD, "torch": "2.15.0"}, NOTE, ["torch 2.15.0 is not <2.14,>=2.0"]),
        ({"torch": "2.13.0"}, PROBLEM, ["not installed: mujoco", "install -e ."]),
    ],
)
def test_only_a_pin_or_an_absence_stops_a_run(versions, level, words):
    base = {BASE: WANTED[BASE]}
    one(machine.check_packages(base, versions, {BASE}), level, *words)


def test_versions_are_not_compared_where_pyproject_cannot_be_read(tmp_path):
    assert requirements(tmp_path / "pyproject.toml") == {}
    one(machine.check_packages({}, {}, {BASE}), NOTE, "not compared")


def test_every_extra_but_dev_gets_its_line():
    wanted = requirements()
    subjects = {found.subject for found in machine.check_packages(wanted, {}, set())}
    assert subjects == {"packages", *(f"[{extra}]" for extra in wanted if extra not in ("", "dev"))}


# --- torch and CUDA --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "driver", "level", "words"),
    [
        ("", NO_DRIVER, OK, ["a CPU build"]),
        (None, NO_DRIVER, OK, ["2.11.0"]),
        ("", CUDA13, NOTE, ["the NVIDIA H200 is idle", "pip install --force-reinstall"]),
        ("13.0", CUDA13, OK, ["built for CUDA 13.0"]),
        ("13.0", NO_DRIVER, NOTE, ["idle: no CUDA driver is installed"]),
        ("13.0", CUDA12, NOTE, ["supports CUDA 12.2", "update NVIDIA's driver"]),
        ("12.9", CUDA12, OK, ["built for CUDA 12.9"]),
    ],
)
def test_torch_and_driver_are_held_against_each_other(build, driver, level, words):
    one(machine.check_torch("2.11.0", build, driver), level, *words)


def test_a_missing_torch_is_left_to_the_packages():
    assert machine.check_torch(None, None, NO_DRIVER) == []


OLD = "warp-lang 1.19.0 needs a driver of CUDA 13.0, this one supports 12.2"
WITHOUT_POOLS = CudaDriver((13, 0), (CudaDevice("vGPU", 2**30, (8, 0), False),))
HIDDEN = CudaDriver((13, 0), (), "CUDA_ERROR_NO_DEVICE")


@pytest.mark.parametrize(
    ("driver", "obstacle", "environ", "level", "words"),
    [
        (NO_DRIVER, "", {}, OK, ["no CUDA driver is installed"]),
        (CUDA13, "", {}, OK, ["CUDA 13.0; NVIDIA H200, 140 GiB"]),
        (CUDA12, OLD, {}, NOTE, [OLD, "update NVIDIA's driver"]),
        (HIDDEN, "", {}, NOTE, ["CUDA_ERROR_NO_DEVICE", "nvidia-smi"]),
        (HIDDEN, "", {"CUDA_VISIBLE_DEVICES": ""}, NOTE, ["unset CUDA_VISIBLE_DEVICES"]),
        (WITHOUT_POOLS, "", {}, NOTE, ["memory pools", "nvidia-uvm"]),
    ],
)
def test_cuda_says_what_is_there_and_what_is_in_the_way(driver, obstacle, environ, level, words):
    one(machine.check_cuda(driver, obstacle, environ), level, *words)


def test_engine_auto_is_given_with_its_reason(monkeypatch):
    monkeypatch.setenv("MIMICKIT_ENGINE", "mujoco")
    one(doctor.check_engine_choice(), OK, "takes mujoco: MIMICKIT_ENGINE says so")
    monkeypatch.setenv("MIMICKIT_ENGINE", "mojuco")
    one(doctor.check_engine_choice(), NOTE, "no such engine", "unset MIMICKIT_ENGINE")


# --- the kernel cache ------------------------------------------------------------------------


def test_the_cache_is_where_warp_puts_it(tmp_path):
    home = tmp_path / "xdg"
    assert machine.warp_cache("1.19.0", {"WARP_CACHE_PATH": "/c"}) == Path("/c/1.19.0")
    assert machine.warp_cache("1.19.0", {"XDG_CACHE_HOME": str(home)}) == home / "warp" / "1.19.0"
    assert machine.warp_cache("1.19.0", {}) == Path("~/.cache/warp/1.19.0").expanduser()


@pytest.mark.engine("mujoco_warp")
def test_warp_itself_agrees_about_its_cache(tmp_path):
    environment = {**os.environ, "WARP_CACHE_PATH": str(tmp_path)}
    code = "import warp; warp.init(); print(warp.config.kernel_cache_dir, warp.config.version)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    said, version = done.stdout.split()[-2:]
    assert machine.warp_cache(version, environment) == Path(said)


@pytest.mark.parametrize(
    ("file", "driver", "level", "words"),
    [
        (None, NO_DRIVER, NOTE, ["is cold", "30 s"]),
        (None, CUDA13, NOTE, ["is cold", "70 s", "WARP_CACHE_PATH"]),
        ("wp_mujoco_warp._src.solver_ab/x.cpu12.o", NO_DRIVER, OK, ["is warm, 2 MB"]),
        ("wp_mujoco_warp._src.solver_ab/x.cpu12.o", CUDA13, NOTE, ["is cold"]),
        ("wp_mujoco_warp._src.solver_ab/x.sm90a.cubin", CUDA13, OK, ["is warm"]),
        ("wp_mujoco_warp._src.solver_ab/x.sm80.cubin", CUDA13, NOTE, ["is cold"]),  # another GPU's
        ("wp_newton_ab/x.sm90.cubin", CUDA13, NOTE, ["is cold"]),
    ],
)
def test_a_cache_is_warm_if_it_has_this_devices_kernels(tmp_path, file, driver, level, words):
    if file is not None:
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).write_bytes(bytes(2_000_000))
    one(machine.check_warp_cache("1.19.0", tmp_path, driver), level, *words)


def test_no_warp_has_no_cache(tmp_path):
    assert machine.check_warp_cache(None, tmp_path, NO_DRIVER) == []


# --- processors ------------------------------------------------------------------------------

AUTO = {"training": {"threads": 0}, "engine": {"threads": 0}}


@pytest.mark.parametrize(
    ("found", "config", "level", "words"),
    [
        # Half of 8 for each of actor and critic.
        (Processors(8, 8, None), AUTO, OK, ["8, 8 of them", "2 x 4 threads"]),
        (Processors(1, 1, None), AUTO, OK, ["2 x 1 threads"]),
        (Processors(64, 8, None), AUTO, OK, ["8 of them", "2 x 4 threads"]),
        (Processors(64, 16, 8.0), AUTO, NOTE, ["8 of them", "training.threads=4 engine.threads=8"]),
        (Processors(64, 64, 2.5), AUTO, NOTE, ["2 of them", "training.threads=1 engine.threads=2"]),
        (Processors(64, 8, None), {"training": {"threads": 4}, "engine": {}}, OK, ["2 x 4"]),
        (Processors(64, 16, 8.0), {}, NOTE, ["training.threads=4"]),
    ],
)
def test_threads_are_held_against_usable_processors(found, config, level, words):
    one(machine.check_processors(found, config, {}), level, *words)


def test_openmp_settings_are_mentioned():
    found = Processors(4, 4, None)
    one(machine.check_processors(found, AUTO, {"OMP_NUM_THREADS": "1"}), NOTE, "does not count")
    one(machine.check_processors(found, AUTO, {"OMP_PROC_BIND": "1"}), NOTE, "unset OMP_PROC_BIND")


@pytest.mark.parametrize(
    ("text", "quota"), [("250000 100000\n", 2.5), ("max 100000\n", None), (None, None)]
)
def test_quota_of_a_container_is_read(tmp_path, text, quota):
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert machine.cpu_quota(tmp_path / "cpu.max") == quota


# --- films and SLURM -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said", "level", "words"),
    [
        (0, "llvmpipe", OK, ["llvmpipe"]),
        (1, "ImportError: Cannot initialize a EGL device", NOTE, ["EGL device", "apt-get install"]),
        (1, "ModuleNotFoundError: No module named 'mujoco'", NOTE, ["not tried", "pip install"]),
        (-11, "", NOTE, ["crashed with signal 11", "apt-get install"]),
        (None, "no picture after 20 s", NOTE, ["no picture after 20 s"]),
    ],
)
def test_films_need_opengl_and_training_does_not(status, said, level, words):
    one(machine.check_drawing(status, said), level, *words)


@pytest.mark.parametrize(
    ("program", "status", "said"),
    [
        ("print('a'); print('mesa')", 0, "mesa"),
        ("import os; os.kill(os.getpid(), 11)", -11, ""),
        ("raise ImportError('no EGL')", 1, "ImportError: no EGL"),
    ],
)
def test_a_crash_while_drawing_stays_in_its_process(monkeypatch, program, status, said):
    monkeypatch.setattr(machine, "RENDER", program)
    assert machine.finish(machine.start_drawing()) == (status, said)


def test_drawing_is_given_up_after_a_while(monkeypatch):
    monkeypatch.setattr(machine, "RENDER", "import time; time.sleep(60)")
    monkeypatch.setattr(machine, "RENDERING_TIMEOUT_S", 0.2)
    assert machine.finish(machine.start_drawing()) == (None, "no picture after 0.2 s")


@pytest.mark.parametrize(
    ("environ", "sbatch", "submitit", "level", "words"),
    [
        ({}, None, None, OK, ["not seen"]),
        ({}, "/bin/sbatch", "1.5.4", OK, ["submitit 1.5.4"]),
        ({}, "/bin/sbatch", None, NOTE, ["/bin/sbatch", '".[slurm]"']),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "8"}, None, None, OK, ["SLURM_JOB_ID=7"]),
    ],
)
def test_slurm_is_seen(environ, sbatch, submitit, level, words):
    one(machine.check_slurm(environ, sbatch, submitit), level, *words)


# --- the run ---------------------------------------------------------------------------------


def plan(device="auto", engine="mujoco", folder="out"):
    """A run, on MuJoCo or on an engine with a choice of device."""
    node = {} if engine == "mujoco" else {"device": "auto"}
    return Plan({"device": device, "engine": node}, Path(folder), engine)


@pytest.mark.parametrize(
    ("run", "driver", "obstacle", "level", "words"),
    [
        (plan("cuda"), CUDA13, "", PROBLEM, ["engine=mujoco runs on the CPU only", "device=auto"]),
        (plan("cuda", "mujoco_warp"), NO_DRIVER, "", PROBLEM, ["no CUDA driver", "engine=auto"]),
        (plan("cuda", "mujoco_warp"), CUDA12, OLD, PROBLEM, ["cannot be used", OLD]),
        (plan("cuda:1", "mujoco_warp"), CUDA13, "", PROBLEM, ["there are 1 CUDA", "device=cuda:0"]),
        (plan("auto", "mujoco_warp"), NO_DRIVER, "", NOTE, ["on the CPU", "engine=mujoco"]),
    ],
)
def test_a_device_that_the_run_cannot_have_is_found(run, driver, obstacle, level, words):
    one(doctor.check_device(run, driver, obstacle), level, *words)


@pytest.mark.parametrize("run", [plan(), plan("cpu"), plan("cuda:0", "mujoco_warp")])
def test_a_device_that_is_there_needs_no_words(run):
    assert doctor.check_device(run, CUDA13, "") == []


def test_disk_is_tried_by_writing(tmp_path, monkeypatch):
    one(doctor.check_disk(tmp_path / "a" / "b", 1000), OK, f"free in {tmp_path}, ")
    one(doctor.check_disk(tmp_path, 10**18), PROBLEM, "make room")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    one(
        doctor.check_disk(tmp_path / "file" / "run", 1), PROBLEM, "Not a directory", "hydra.run.dir"
    )

    def refuse(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    one(doctor.check_disk(tmp_path, 1), PROBLEM, "Read-only file system", "hydra.run.dir")


def test_space_is_five_checkpoints_and_the_logs():
    config = {
        "model": {"actor_hidden": [10], "critic_hidden": [10]},
        "num_envs": 100,
        "training": {"keep_checkpoints": 3},
    }
    # Two networks of 1000 x 10 + 10 x 100 = 11,000 parameters of 16 bytes, 100 envs of 4 kB:
    # 752,000 bytes; the three kept, the best and an unfinished one; 50 MB of logs.
    assert doctor.space_needed(config) == 5 * 752_000 + 50_000_000


def test_a_planned_run_is_the_one_that_train_would_start(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMICKIT_ENGINE", "mujoco")
    found = doctor.plan_run(["num_envs=1e2", f"hydra.run.dir={tmp_path}/out", "motion=run"])
    assert (found.engine, found.folder) == ("mujoco", tmp_path / "out")
    assert found.config["num_envs"] == 100
    assert "hydra" not in found.config
    words = ["100 x humanoid on engine=mujoco", "10,000,000 samples of deepmimic", "motion=run"]
    one(doctor.check_run(found), OK, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_run_to_resume_is_found_in_its_folder(tmp_path):
    with pytest.raises(RunError, match="there is no such file or folder"):
        doctor.plan_run([f"resume={tmp_path}/gone"])
    from mimickit import launch

    text = launch.composing.OmegaConf.to_yaml(launch.compose(["engine=mujoco", "num_envs=7"]))
    (tmp_path / "config.yaml").write_text(text)
    found = doctor.plan_run([f"resume={tmp_path}"])
    assert (found.folder, found.engine, found.config["num_envs"]) == (tmp_path, "mujoco", 7)


@pytest.fixture
def examined(monkeypatch):
    """A function of overrides, like the doctor's own, without drawing a picture."""
    monkeypatch.setattr(doctor, "start_drawing", lambda: None)
    monkeypatch.setattr(doctor, "finish", lambda process: (0, "llvmpipe"))
    monkeypatch.delenv("MIMICKIT_ENGINE", raising=False)
    return doctor.examine


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sed=1", "no setting 'sed'. Closest: seed"),
        ("engine=mojuco", "there is no engine 'mojuco'. Closest: mujoco"),
        ("num_envs=0", "num_envs=0: must be at least 1"),
        ("engine._target_=nowhere.Engine", "there is no module 'nowhere'"),
    ],
)
def test_a_run_that_cannot_be_composed_is_a_problem_among_the_rest(examined, override, words):
    findings = examined([override])
    one(findings, PROBLEM, words)
    assert len(findings) > 8


def test_a_torch_whose_libraries_are_missing_is_a_problem(examined, monkeypatch):
    def broken(cfg):
        raise OSError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(doctor, "check_config", broken)
    one(examined(), PROBLEM, "libcudart.so.13: cannot open")


def test_nothing_installed_but_the_launch_still_gets_every_line(examined, monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: None)
    monkeypatch.setattr(doctor, "torch_build", lambda: None)
    findings = examined()
    assert Finding(PROBLEM, "packages", findings[1].text, "pip install -e .") == findings[1]
    assert "torch" in findings[1].text


# --- the script ------------------------------------------------------------------------------


def run_script(*arguments, **variables):
    """Exit code, stdout and stderr of scripts/doctor.py."""
    environment = {k: v for k, v in os.environ.items() if k != "MIMICKIT_ENGINE"}
    done = subprocess.run(
        [sys.executable, "scripts/doctor.py", *arguments], cwd=ROOT, capture_output=True,
        text=True, env={**environment, "PYTHONPATH": str(ROOT), **variables}, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.engine("mujoco")
def test_this_machine_can_run_the_quickstart():
    code, out, err = run_script("--json", "experiment=quickstart", "engine=mujoco")
    assert (code, err) == (0, "")
    findings = json.loads(out)
    assert {tuple(found) for found in findings} == {("level", "subject", "text", "remedy")}
    assert not [found for found in findings if found["level"] == "problem"]
    assert [found["subject"] for found in findings][-2:] == ["disk", "run"]


@pytest.fixture
def script(monkeypatch):
    """scripts/doctor.py as a module, which finds what it is told to."""
    specification = importlib.util.spec_from_file_location("doctor", ROOT / "scripts/doctor.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    findings = [Finding(OK, "python", "Python 3.11"), Finding(NOTE, "torch", "old", "pip it")]
    monkeypatch.setattr(doctor, "examine", lambda overrides: findings)
    return module, findings


def test_findings_are_printed_in_columns_and_only_problems_fail(script, monkeypatch, capsys):
    module, findings = script
    monkeypatch.setattr("sys.argv", ["doctor.py", "seed=1"])
    assert module.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "ok       python  Python 3.11",
        "note     torch   old -> pip it",
    ]
    findings.append(Finding(PROBLEM, "run", "bad"))
    assert module.main() == 1


def test_a_flag_that_does_not_exist_is_refused(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["doctor.py", "--jsn"])
    assert script[0].main() == 1
    assert re.match(r"error: there is no flag --jsn; known: --json", capsys.readouterr().err)


def test_without_the_base_install_there_is_one_line(tmp_path):
    (tmp_path / "hydra").mkdir()
    (tmp_path / "hydra" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'hydra'\", name='hydra')\n"
    )
    code, out, err = run_script(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (code, err) == (1, "")
    assert out == "problem  hydra is not installed -> pip install -e .\n"
