"""From command line to running object: compose the config, check it, build what it names.

Importing this package imports no torch, because an engine may need to be imported before it.
"""

from mimickit.launch.app import friendly_errors, main
from mimickit.launch.building import build, make, make_character
from mimickit.launch.checks import check_config
from mimickit.launch.composing import CONF, compose, plain, register, saved_config

__all__ = [
    "CONF",
    "build",
    "check_config",
    "compose",
    "friendly_errors",
    "main",
    "make",
    "make_character",
    "plain",
    "register",
    "saved_config",
]
