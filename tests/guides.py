"""Runs the commands of the guides in docs/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def blocks(guide, language):
    """The contents of a guide's fenced blocks of one language, in order."""
    text = (ROOT / "docs" / f"{guide}.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(scripts, home):
    """Run blocks as one bash script, at home in a folder; returns stdout."""
    environment = {key: value for key, value in os.environ.items() if key != "MIMICKIT_CONF"}
    environment["HOME"] = str(home)
    environment["PYTHONPATH"] = str(ROOT)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(scripts)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
