"""What a person sees while a run trains: a bar with speed, time left and where the time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Stopwatch:
    """Wall seconds per phase, since `reset`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a block under a name."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def reset(self) -> dict[str, float]:
        """The seconds so far; starts over."""
        seconds, self.seconds = self.seconds, {}
        return seconds


class ProgressBar:
    """A line that updates in place on a terminal, and is silent elsewhere or when not wanted."""

    def __init__(self, total: int, start: int, enabled: bool) -> None:
        self.console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[text]}"),
            console=self.console,
            disable=not enabled or not self.console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=total, completed=start, text="")

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bar.stop()

    def update(self, samples: int, rate: float, seconds: Mapping[str, float], text: str) -> None:
        """Show how far the run is.

        Args:
            rate: samples per second. seconds: per phase. text: latest results.
        """
        total = sum(seconds.values()) or 1.0
        shares = " ".join(f"{name} {100 * value / total:.0f}%" for name, value in seconds.items())
        self._bar.update(self._task, completed=samples, text=f"{rate:,.0f}/s  {shares}  {text}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, highlight=False, soft_wrap=True)
