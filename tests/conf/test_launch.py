"""Resolvers, the choice of an engine, user folders, and building from nodes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from mimickit import launch
from mimickit.errors import ConfigError, UnknownName
from mimickit.launch import resolvers
from mimickit.launch.checks import check_target

ROOT = Path(__file__).resolve().parents[2]


def test_train_and_launch_import_no_torch():
    code = "import sys, train; sys.exit(bool({'torch', 'mujoco', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_train_is_one_page_that_prints_its_config():
    done = subprocess.run(
        [sys.executable, "train.py", "--cfg", "job", "--resolve", "seed=5"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\nseed: 5\n" in done.stdout
    assert "${" not in done.stdout


def test_help_is_short_and_survives_a_reader_that_stops():
    done = subprocess.run(
        f"{sys.executable} train.py --help | head -n 1; exit ${{PIPESTATUS[0]}}",
        cwd=ROOT, capture_output=True, text=True, shell=True, executable="/bin/bash",
    )  # fmt: skip
    assert done.stdout.startswith("Train a simulated character")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("walk", "walk"),
        ("data/my clips/walk 2.npz", "walk_2"),
        (["walk", "run"], "walk+run"),
        (["a", "b", "c", "d", "e"], "a+b+c+and_2_more"),
        (OmegaConf.create(["walk", "run"]), "walk+run"),
        ("../..", "none"),
        ([], "none"),
        ("x" * 300, "x" * 60),
    ],
)
def test_slug_is_one_safe_word(value, name):
    assert resolvers.slug(value) == name
    assert re.fullmatch(r"[\w.+-]+", name)


@pytest.mark.parametrize(
    ("method", "task", "name"),
    [
        ("amp", "style", "amp"),
        ("amp", "location", "amp-location"),
        ("deepmimic", "imitate", "deepmimic"),
        ("add", "imitate", "add"),
        ("add", "style", "add-style"),
        ("of_the_lab", "imitate", "mine-imitate"),
        ("amp", None, "amp"),
    ],
)
def test_run_is_named_after_its_task_unless_the_method_brings_it(method, task, name):
    called = "mine" if method == "of_the_lab" else method
    assert resolvers.with_task(called, method, task) == name


def test_run_id_prefers_the_given_then_torchrun_then_the_clock(monkeypatch):
    monkeypatch.setenv("MIMICKIT_RUN_ID", "mine/7")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job-12")
    assert resolvers.run_id() == "7"
    monkeypatch.delenv("MIMICKIT_RUN_ID")
    assert resolvers.run_id() == "job-12"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{6}-\d+", resolvers.run_id())


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretend what is installed: engines in conf/, the package, CUDA devices."""
    monkeypatch.delenv("MIMICKIT_ENGINE", raising=False)

    def pretend(files, package, devices):
        (tmp_path / "engine").mkdir(exist_ok=True)
        for name in files:
            (tmp_path / "engine" / f"{name}.yaml").touch()
        monkeypatch.setattr(resolvers, "CONF", tmp_path)
        spec = object() if package else None
        monkeypatch.setattr(resolvers.importlib.util, "find_spec", lambda name: spec)
        monkeypatch.setattr(resolvers, "cuda_devices", lambda: devices)

    return pretend


@pytest.mark.parametrize(
    ("files", "package", "devices", "choice"),
    [
        (["auto", "mujoco"], True, 1, ("mujoco", "the only engine here")),
        (["mujoco", "mujoco_warp"], False, 1, ("mujoco", "mujoco_warp is not installed")),
        (["mujoco", "mujoco_warp"], True, 0, ("mujoco", "no CUDA device was found")),
        (
            ["mujoco", "mujoco_warp"],
            True,
            2,
            ("mujoco_warp", "a CUDA device and mujoco_warp were found"),
        ),
    ],
)
def test_engine_auto_needs_all_three_for_the_gpu(machine, files, package, devices, choice):
    machine(files, package, devices)
    assert resolvers.choose_engine() == choice


def test_engine_variable_decides_and_is_checked(machine, monkeypatch):
    machine(["mujoco", "mujoco_warp"], False, 0)
    monkeypatch.setenv("MIMICKIT_ENGINE", "mujoco_warp")
    assert resolvers.auto_engine() == "mujoco_warp"
    monkeypatch.setenv("MIMICKIT_ENGINE", "mojuco")
    with pytest.raises(ConfigError, match=r"no such engine\. All: mujoco, mujoco_warp"):
        resolvers.auto_engine()


def test_engine_auto_is_the_same_spelled_out(monkeypatch):
    monkeypatch.setenv("MIMICKIT_ENGINE", "mujoco")
    auto, named = launch.compose(["engine=auto"]), launch.compose(["engine=mujoco"])
    assert auto == launch.compose([]) == named
    assert auto.engine._target_ == "mimickit.engines.mujoco.MujocoEngine"


def test_the_first_line_names_the_engine_that_was_chosen(train, monkeypatch, capsys):
    lines = []
    monkeypatch.setattr("builtins.print", lambda *a, **k: lines.append(a[0]))
    train()
    assert lines[0].startswith("engine: mujoco")
    lines.clear()
    train("engine=mujoco")
    assert lines == []


def test_users_folders_extend_our_groups(tmp_path, monkeypatch):
    (tmp_path / "character").mkdir()
    (tmp_path / "character" / "bot.yaml").write_text(
        "defaults: [base, _self_]\nname: bot\nmodel: /lab/bot.xml\nmotion: hop\n"
    )
    monkeypatch.setenv("MIMICKIT_CONF", str(tmp_path))
    cfg = launch.compose(["character=bot"])
    assert (cfg.character.name, cfg.motion, cfg.character.contact_height) == ("bot", "hop", 0.3)


class Part:
    """A target with a bit of everything in its signature."""

    def __init__(self, live, size: int, rate: float = 1.0, flag: bool = False, other=None):
        self.live, self.size, self.rate, self.flag, self.other = live, size, rate, flag, other


TARGET = f"{Part.__module__}.Part"


def test_make_passes_live_objects_untouched_and_plain_containers():
    live = OmegaConf.create({"a": 1})
    node = OmegaConf.create({"_target_": TARGET, "size": 3, "other": [1, {"b": 2}]})
    part = launch.make(node, live=live, rate=2.0)
    assert part.live is live
    assert (part.size, part.rate) == (3, 2.0)
    assert type(part.other) is list
    assert type(part.other[1]) is dict


def test_check_target_turns_whole_floats_into_integers():
    assert check_target("part", {"_target_": TARGET, "size": 2e3, "rate": 1}) == {"size": 2000}


@pytest.mark.parametrize(
    ("node", "error", "message"),
    [
        ({"size": 2.5}, ConfigError, r"part.size=2.5: a whole number is needed"),
        ({"size": "3"}, ConfigError, r"part.size=3: a whole number is needed"),
        ({"size": None}, ConfigError, r"part.size=None: a whole number is needed"),
        ({"size": 1, "rate": "fast"}, ConfigError, r"part.rate=fast: a number is needed"),
        ({"size": 1, "flag": 1}, ConfigError, r"part.flag=1: true or false is needed"),
        ({"sizes": 1}, UnknownName, r"'part' \(.*Part\) has no setting 'sizes'"),
    ],
)
def test_check_target_refuses_what_the_signature_refuses(node, error, message):
    with pytest.raises(error, match=message):
        check_target("part", {"_target_": TARGET, **node})


def test_live_arguments_are_not_offered_as_settings():
    with pytest.raises(UnknownName) as caught:
        check_target("part", {"_target_": TARGET, "liv": 1, "size": 1})
    assert str(caught.value).endswith("All: flag, other, rate, size.")
