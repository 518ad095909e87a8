"""TensorBoard shows one curve per metric, also after a resume."""

from __future__ import annotations

import importlib.util

import pytest

from mimickit.errors import RunError
from mimickit.loggers.tensorboard import TensorboardLogger

pytest.importorskip("tensorboard")


def scalars(folder, name):
    """The (step, value) pairs that TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_curve_holds_what_was_logged(tmp_path):
    logger = TensorboardLogger(tmp_path)
    logger.log({"train/return": 0.5, "train/loss": 2.0}, samples=64)
    logger.log({"train/return": 0.75}, samples=128)
    logger.close()
    assert scalars(tmp_path, "train/return") == [(64, 0.5), (128, 0.75)]
    assert scalars(tmp_path, "train/loss") == [(64, 2.0)]


def test_resume_hides_what_came_after_the_checkpoint(tmp_path):
    logger = TensorboardLogger(tmp_path)
    for samples in (64, 128, 192):
        logger.log({"train/return": 1.0}, samples=samples)
    logger.close()
    logger = TensorboardLogger(tmp_path)
    logger.resume(128)
    logger.log({"train/return": 2.0}, samples=192)
    logger.close()
    assert scalars(tmp_path, "train/return") == [(64, 1.0), (128, 1.0), (192, 2.0)]


def test_nothing_is_written_before_the_first_row(tmp_path):
    TensorboardLogger(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_missing_package_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"needs the package tensorboard.*logger=\[text,csv\]"):
        TensorboardLogger(tmp_path)
