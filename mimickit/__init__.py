"""MimicKit: trains physically simulated characters to imitate motion clips."""

__version__ = "0.1.0"
