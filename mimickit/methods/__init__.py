"""Methods: what to imitate and how, laid over an algorithm that does not know it."""

from mimickit.methods.method import Method
from mimickit.methods.part import Part

__all__ = ["Method", "Part"]
