"""Every logger keeps one unbroken record, whatever happens to the process."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mimickit.errors import RunError
from mimickit.loggers import Loggers
from mimickit.loggers.csv import CsvLogger, read_rows
from mimickit.loggers.text import TextLogger

ROOT = Path(__file__).resolve().parents[2]
FILES = {CsvLogger: "metrics.csv", TextLogger: "log.txt"}
both = pytest.mark.parametrize("logger_class", [CsvLogger, TextLogger])


def rows(count):
    """A run of `count` iterations of 100 samples; an evaluation joins every third of them."""
    for i in range(1, count + 1):
        metrics = {"train/return": i / 3, "train/loss": -1.0 / i}
        if i % 3 == 0:
            metrics["eval/success_rate"] = i / 10
        yield metrics, 100 * i


def record(logger_class, folder, count):
    logger = logger_class(folder)
    for metrics, samples in rows(count):
        logger.log(metrics, samples)
    logger.close()
    return (folder / FILES[logger_class]).read_bytes()


def test_csv_has_one_exact_row_per_log(tmp_path):
    logger = CsvLogger(tmp_path)
    logger.log({"train/return": 0.1 + 0.2, "time/wall_s": 2}, samples=64)
    logger.log({"train/return": math.nan}, samples=128)
    text = (tmp_path / "metrics.csv").read_text()
    # 0.1 + 0.2 is 0.30000000000000004 in binary floating point: all digits are there.
    assert text == "samples,train/return,time/wall_s\n64,0.30000000000000004,2.0\n128,nan,\n"
    logger.close()


def test_csv_widens_when_a_metric_appears_late(tmp_path):
    logger = CsvLogger(tmp_path)
    logger.log({"train/return": 1.0}, samples=1)
    logger.log({"eval/success_rate": 0.5, "train/return": 2.0}, samples=2)
    logger.log({"train/return": 3.0}, samples=3)
    logger.close()
    text = (tmp_path / "metrics.csv").read_text()
    assert text == "samples,train/return,eval/success_rate\n1,1.0,\n2,2.0,0.5\n3,3.0,\n"
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_text_is_a_table_of_fixed_width(tmp_path):
    logger = TextLogger(tmp_path)
    logger.log({"train/a": 0.5}, samples=64)
    logger.log({"train/a": 123456789.0}, samples=128)
    logger.log({"train/b": -2.0}, samples=192)
    logger.close()
    assert (tmp_path / "log.txt").read_text() == (
        "     samples       train/a\n"
        "          64           0.5\n"
        "         128   1.23457e+08\n"
        "     samples       train/a       train/b\n"
        "         192             -            -2\n"
    )


@both
@example(reached=9, kept=9, torn=9)  # '1' of '1000': half a number is a number as well
@given(reached=st.integers(1, 9), kept=st.integers(0, 9), torn=st.integers(0, 30))
def test_resumed_record_equals_an_undisturbed_one(logger_class, reached, kept, torn):
    kept = min(kept, reached)
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        undisturbed = record(logger_class, Path(a), 10)
        record(logger_class, Path(b), reached)
        path = Path(b) / FILES[logger_class]
        # The checkpoint is older than the last row, and the kill tore the last line.
        end = undisturbed[len(path.read_bytes()) :].split(b"\n")[0]
        with path.open("ab") as file:
            file.write(end[: min(torn, max(len(end) - 1, 0))])
        logger = logger_class(Path(b))
        logger.resume(100 * kept)
        for metrics, samples in list(rows(10))[kept:]:
            logger.log(metrics, samples)
        logger.close()
        assert path.read_bytes() == undisturbed


@both
def test_record_survives_sigkill(logger_class, tmp_path):
    program = f"""
        import os, signal
        from pathlib import Path
        from {logger_class.__module__} import {logger_class.__name__} as Logger
        logger = Logger(Path({str(tmp_path)!r}))
        for i in range(1, 6):
            logger.log({{"train/return": i / 3, "train/loss": -1.0 / i}}, 100 * i)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, check=False)
    assert result.returncode == -signal.SIGKILL
    lines = (tmp_path / FILES[logger_class]).read_text().splitlines()
    assert [line.replace(",", " ").split()[0] for line in lines] == [
        "samples", "100", "200", "300", "400", "500",
    ]  # fmt: skip


@both
def test_resuming_without_a_record_starts_one(logger_class, tmp_path):
    logger = logger_class(tmp_path / "new")
    logger.resume(500)
    for metrics, samples in rows(4):
        logger.log(metrics, samples)
    logger.close()
    expected = record(logger_class, tmp_path / "other", 4)
    assert (tmp_path / "new" / FILES[logger_class]).read_bytes() == expected


@both
def test_resuming_at_zero_starts_over(logger_class, tmp_path):
    expected = record(logger_class, tmp_path, 4)
    logger = logger_class(tmp_path)
    logger.resume(0)
    for metrics, samples in rows(4):
        logger.log(metrics, samples)
    logger.close()
    assert (tmp_path / FILES[logger_class]).read_bytes() == expected


def test_column_of_cut_rows_goes_with_them(tmp_path):
    record(CsvLogger, tmp_path, 4)  # eval/success_rate comes with row 3
    CsvLogger(tmp_path).resume(200)
    assert read_rows(tmp_path / "metrics.csv")[0] == ["samples", "train/return", "train/loss"]


@both
def test_new_run_does_not_overwrite_an_old_record(logger_class, tmp_path):
    before = record(logger_class, tmp_path, 2)
    with pytest.raises(RunError, match=r"earlier run and will not be overwritten.*resume=auto"):
        logger_class(tmp_path).log({"train/return": 1.0}, samples=1)
    assert (tmp_path / FILES[logger_class]).read_bytes() == before


@both
@pytest.mark.parametrize("name", ["return", "train/mean return"])
def test_metric_outside_a_section_is_refused(logger_class, tmp_path, name):
    with pytest.raises(ValueError, match="is not named section/metric"):
        logger_class(tmp_path).log({name: 1.0}, samples=1)
    assert list(tmp_path.iterdir()) == []


@both
def test_folder_that_cannot_be_made_is_reported(logger_class, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot create the run folder .*file/run: Not a directory"):
        logger_class(tmp_path / "file" / "run")


@both
def test_folder_that_cannot_be_written_is_reported(logger_class, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(RunError, match="permission denied"):
        logger_class(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"step,loss\n1,2\n", "does not begin with a 'samples' column"),
        (b"", "does not begin with a 'samples' column"),
        (b"samples,train/a\n1,2.0,3.0\n", r"line 2: 3 cells under 2 columns"),
        (b"samples,train/a\nx,2.0\n", r"line 2: .*the first of which is 'x'"),
        (b"\xff\xfe\x00\n", "is not a text file"),
    ],
)
def test_damaged_csv_is_reported_and_left_alone(tmp_path, content, message):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(RunError, match=message):
        CsvLogger(tmp_path).resume(100)
    assert (tmp_path / "metrics.csv").read_bytes() == content


def test_missing_csv_is_reported(tmp_path):
    with pytest.raises(RunError, match=r"there is no metrics\.csv in"):
        read_rows(tmp_path / "metrics.csv")


def test_loggers_pass_everything_on(tmp_path):
    loggers = Loggers([CsvLogger(tmp_path), TextLogger(tmp_path)])
    loggers.resume(0)
    for metrics, samples in rows(4):
        loggers.log(metrics, samples)
    loggers.close()
    for logger_class, file in FILES.items():
        expected = record(logger_class, tmp_path / logger_class.__name__, 4)
        assert (tmp_path / file).read_bytes() == expected
