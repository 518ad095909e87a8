"""Tasks: what is to be done. None of them knows the loop, the engine's vendor or the method."""

from mimickit.tasks.imitate import Imitate

__all__ = ["Imitate"]
