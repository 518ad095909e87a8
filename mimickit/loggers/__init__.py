"""Loggers: what a run leaves behind in numbers, as text, CSV and TensorBoard."""

from mimickit.loggers.logger import Logger, Loggers

__all__ = ["Logger", "Loggers"]
