"""The stopwatch and the bar."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mimickit.training import progress
from mimickit.training.progress import ProgressBar, Stopwatch


def test_phases_add_up_and_start_over(monkeypatch):
    clock = iter([0.0, 1.0, 5.0, 7.0, 10.0, 10.5])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    watch = Stopwatch()
    for name in ("simulate", "learn", "simulate"):
        with watch.phase(name):
            pass
    assert watch.reset() == {"simulate": 1.0 + 0.5, "learn": 2.0}
    assert watch.reset() == {}


def test_a_phase_that_fails_is_timed_and_fails():
    watch = Stopwatch()
    with pytest.raises(ValueError, match="boom"), watch.phase("learn"):
        raise ValueError("boom")
    assert list(watch.seconds) == ["learn"]


def shown(monkeypatch, enabled, terminal):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200)
    monkeypatch.setattr(progress, "Console", lambda stderr: console)
    with ProgressBar(total=1000, start=250, enabled=enabled) as bar:
        bar.update(500, 12345.6, {"simulate": 3.0, "learn": 1.0}, "return 4.2")
    return text.getvalue()


def test_on_a_terminal_it_shows_share_speed_phases_and_results(monkeypatch):
    text = shown(monkeypatch, enabled=True, terminal=True)
    for part in ("50%", "12,346/s", "simulate 75%", "learn 25%", "return 4.2"):
        assert part in text


@pytest.mark.parametrize(("enabled", "terminal"), [(False, True), (True, False)])
def test_elsewhere_or_unwanted_it_is_silent(monkeypatch, enabled, terminal):
    assert shown(monkeypatch, enabled, terminal) == ""
