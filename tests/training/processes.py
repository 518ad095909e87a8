"""Runs over several processes, started as torchrun would start them, but without torchrun."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PATH = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def environment(rank, size, port):
    """The variables of one rank on this host."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MIMICKIT_", "HYDRA_"))}
    return {
        **clean,
        "OMP_NUM_THREADS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def start(size, *command):
    """A Python command as each rank of a run; the processes in order of rank."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env={**environment(rank, size, port), "PYTHONPATH": PYTHON_PATH},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def start_training(size, folder, *overrides):
    """train.py on every rank."""
    return start(size, "train.py", *overrides, f"hydra.run.dir={folder}")


def finish(processes, code=0, timeout=100):
    """What each said, [(stdout, stderr)]; all must end with `code`."""
    said = []
    try:
        for process in processes:
            said.append(process.communicate(timeout=timeout))
    finally:
        for process in processes:
            process.kill()
    codes = [process.returncode for process in processes]
    assert codes == [code] * len(processes), said
    return said
