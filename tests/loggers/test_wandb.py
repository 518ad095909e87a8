"""W&B gets what the other loggers get, offline, with one id for all sessions of a run."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mimickit.errors import ConfigError, RunError
from mimickit.loggers.csv import CsvLogger, read_rows
from mimickit.loggers.logger import Loggers
from mimickit.loggers.tensorboard import TensorboardLogger
from mimickit.loggers.wandb import RUN_ID, WandbLogger
from tests.loggers.wandb_files import read_wandb

ROOT = Path(__file__).resolve().parents[2]
CONFIG = {"seed": 3, "method": {"name": "add", "parts": None}, "motion": ["walk", "run"]}
WALK = {"success_rate": 1.0, "position_error_m": 0.03, "episodes": 4}
RUN = {"success_rate": 0.5, "episodes": 4}
RESULTS = {"overall": {"success_rate": 0.75, "return": 250.0}, "clips": {"walk": WALK, "run": RUN}}
PROGRAM = """
    from pathlib import Path
    from mimickit.loggers.wandb import WandbLogger
    logger = WandbLogger(Path({folder!r}))
    logger.describe({{"seed": 1}})
    logger.log({{"train/return": 1.0}}, 100)
    {end}
"""


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No W&B settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="the extra wandb is not installed"
)


def rows(first, last):
    for i in range(first, last + 1):
        row = {"train/return": i / 3}
        if i % 2 == 0:
            row.update({"eval/success_rate": i / 10, "eval/samples": 100.0 * i - 50})
        yield row, 100 * i


def session(loggers, first, last, *, done):
    loggers.describe(CONFIG)
    loggers.resume(100 * (first - 1))
    for row, samples in rows(first, last):
        loggers.log(row, samples)
    if done:
        loggers.conclude(RESULTS, 100 * last)
    loggers.close()


@needs_wandb
def test_csv_tensorboard_and_wandb_hold_the_same(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [
        CsvLogger(folder),
        TensorboardLogger(folder),
        WandbLogger(folder, name="x", group="y"),
    ]
    session(Loggers(loggers), 1, 4, done=True)
    names, cells = read_rows(folder / "metrics.csv")
    logged = {
        name: [(int(row[0]), float(row[i])) for row in cells if row[i]]
        for i, name in enumerate(names)
        if i > 0
    }
    assert logged["eval/success_rate"] == [(200, 0.2), (400, 0.4)]
    kept = read_wandb(folder)
    events = EventAccumulator(str(folder))
    events.Reload()
    for name, points in logged.items():
        assert kept.points(name) == points
        shown = [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]
        assert points == shown
    final = {"final/success_rate": 0.75, "final/return": 250.0}
    for name, value in final.items():
        assert kept.points(name) == [(400, value)]
        assert [(e.step, e.value) for e in events.Scalars(name)] == [(400, value)]
    # Nothing is in one that is not in the other.
    own = {"_runtime", "_timestamp", "final/clips"}
    in_wandb = {name for _, row in kept.rows for name in row if not name.startswith("_")} - own
    assert in_wandb == {*logged, *final} == set(events.Tags()["scalars"])
    # The settings, and every clip of the evaluation.
    assert {key: kept.config[key] for key in CONFIG} == CONFIG
    (text,) = events.Tensors("config/text_summary")
    assert "method:\n  name: add" in text.tensor_proto.string_val[0].decode()
    (text,) = events.Tensors("final/clips/text_summary")
    lines = text.tensor_proto.string_val[0].decode().splitlines()
    assert lines[0] == "| clip | success_rate | position_error_m | episodes |"
    assert lines[2:] == ["| walk | 1.0 | 0.03 | 4 |", "| run | 0.5 | None | 4 |"]
    ((step, table),) = kept.points("final/clips")
    assert (step, table["nrows"], table["ncols"]) == (400, 2, 4)
    assert kept.filed == [("mimickit", "x", "y")]
    assert kept.exits == [0]


@needs_wandb
def test_hyperparameters_stand_beside_the_final_figures(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    session(TensorboardLogger(folder), 1, 2, done=True)
    events = EventAccumulator(str(folder))
    events.Reload()
    plugin = events.PluginTagToContent("hparams")
    data = plugin_data_pb2.HParamsPluginData.FromString(plugin["_hparams_/session_start_info"])
    given = {
        key: value.WhichOneof("kind") for key, value in data.session_start_info.hparams.items()
    }
    assert given["seed"] == "number_value"
    assert data.session_start_info.hparams["method.name"].string_value == "add"
    data = plugin_data_pb2.HParamsPluginData.FromString(plugin["_hparams_/experiment"])
    metrics = {info.name.tag for info in data.experiment.metric_infos}
    assert metrics == {"final/success_rate", "final/return"}


@needs_wandb
def test_run_that_goes_on_keeps_its_id_and_its_log(folder):
    session(WandbLogger(folder), 1, 3, done=False)  # its last checkpoint is of 200 samples
    time.sleep(1.1)  # W&B names a session's folder after the second in which it began
    session(WandbLogger(folder), 3, 4, done=True)
    kept = read_wandb(folder)
    assert set(kept.ids) == {(folder / RUN_ID).read_text().strip()}
    assert len(kept.filed) == 2
    assert kept.exits == [1, 0]  # the first session did not come to the end
    # What came after the checkpoint comes twice, and is the same.
    assert [step for step, row in kept.rows if "train/return" in row] == [100, 200, 300, 300, 400]
    assert len(set(kept.points("train/return"))) == 4


@needs_wandb
def test_film_in_the_folder_goes_along(folder):
    logger = WandbLogger(folder)
    (folder / "play.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(64))
    session(logger, 1, 1, done=True)
    kept = read_wandb(folder)
    ((_, video),) = kept.points("video/play")
    assert video["_type"] == "video-file"
    assert any(path.startswith("media/videos/video/play_100") for path in kept.files)


@needs_wandb
@pytest.mark.parametrize(
    ("end", "signalled"),
    [
        ("logger.close()", None),
        ("raise RuntimeError", None),
        ("import time; time.sleep(60)", signal.SIGTERM),
        ("import time; time.sleep(60)", signal.SIGKILL),
    ],
)
def test_no_process_outlives_the_run(folder, end, signalled):
    program = textwrap.dedent(PROGRAM.format(folder=str(folder), end=end))
    run = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL)
    if signalled is None:
        run.wait(60)
    else:
        wait_for(lambda: list(folder.glob("wandb/offline-run-*/run-*.wandb")), 60)
        time.sleep(0.5)
        run.send_signal(signalled)
        run.wait(60)
    wait_for(lambda: not children_of(run.pid), 30)


def children_of(pid):
    """Processes of W&B that were started for a process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile
        if b"--pid" in words and words[words.index(b"--pid") + 1] == str(pid).encode():
            found.append(path.parent.name)
    return found


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)


@needs_wandb
def test_nothing_is_written_before_the_first_row(folder):
    logger = WandbLogger(folder)
    logger.describe(CONFIG)
    logger.close()
    assert list(folder.iterdir()) == []


@needs_wandb
@pytest.mark.parametrize(
    ("setting", "variables", "mode"),
    [
        (None, {}, "offline"),
        (None, {"WANDB_API_KEY": "x"}, "online"),
        (None, {"WANDB_API_KEY": "x", "WANDB_MODE": "disabled"}, "disabled"),
        ("offline", {"WANDB_API_KEY": "x", "WANDB_MODE": "online"}, "offline"),
        (None, {"WANDB_BASE_URL": "https://wandb.lab.org"}, "online"),
        (None, {"WANDB_BASE_URL": "https://elsewhere.org"}, "offline"),
    ],
)
def test_mode_is_offline_unless_somebody_says_otherwise(
    folder, monkeypatch, setting, variables, mode
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    Path(os.environ["NETRC"]).write_text("machine wandb.lab.org login user password x\n")
    assert WandbLogger(folder, mode=setting).mode == mode


@needs_wandb
def test_unknown_mode_is_refused(folder, monkeypatch):
    with pytest.raises(ConfigError, match=r"logger\.wandb\.mode=onlin: there is no such mode.*off"):
        WandbLogger(folder, mode="onlin")
    monkeypatch.setenv("WANDB_MODE", "dryrnu")
    with pytest.raises(ConfigError, match="WANDB_MODE=dryrnu"):
        WandbLogger(folder)
    assert not folder.exists()


@needs_wandb
def test_online_without_a_key_says_how_to_do_without(folder):
    logger = WandbLogger(folder, mode="online")
    with pytest.raises(RunError, match=r"W&B refuses .*logger\.wandb\.mode=offline"):
        logger.log({"train/return": 1.0}, 100)


@needs_wandb
def test_server_that_does_not_answer_costs_nothing(folder, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("mimickit.loggers.wandb.PATIENCE_S", 2.0)
    with pytest.warns(UserWarning, match="W&B does not answer .*wandb sync"):
        session(WandbLogger(folder), 1, 3, done=True)
    kept = read_wandb(folder)
    assert kept.points("train/return") == [(100, 1 / 3), (200, 2 / 3), (300, 1.0)]


def test_missing_package_is_reported(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"needs the package wandb: pip install .*logger=\[text,csv"):
        WandbLogger(folder)
    assert not folder.exists()
