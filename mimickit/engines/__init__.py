"""Engines: one protocol over many simulators; each vendor is imported only by its own module."""
