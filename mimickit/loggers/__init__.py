"""Loggers: what a run leaves behind in numbers, as text, CSV, TensorBoard and W&B."""

from mimickit.loggers.logger import Logger, Loggers

__all__ = ["Logger", "Loggers"]
