"""How fast one run trains over several processes of this machine, and how well it scales.

Each pair of numbers is a run of its own under torchrun: a process per GPU, or several on the CPU.
Writes JSON: samples per second, shares of the phases, and the efficiency, which is the rate over
that of one process times their number. Envs are counted per process.
Usage: python scripts/benchmark_distributed.py [processes=1,2,4] [num_envs=4096,16384]
           [out=benchmark_distributed.json] [OVERRIDES OF A RUN]
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mimickit import launch
from mimickit.errors import RunError

DEFAULTS = {"processes": "1,2,4", "num_envs": "4096,16384", "out": "benchmark_distributed.json"}
MEASURE = "--measure"  # begins what torchrun starts on every rank


@launch.friendly_errors()
def main() -> None:
    """Measure, or start those who do."""
    words = sys.argv[1:]
    if words[:1] == [MEASURE]:
        measure(Path(words[1]), words[2:])
        return
    if any(word in ("-h", "--help") for word in words):
        print(__doc__)
        return
    settings = {
        **DEFAULTS,
        **{k: v for k, _, v in (w.partition("=") for w in words) if k in DEFAULTS},
    }
    overrides = [word for word in words if word.partition("=")[0] not in DEFAULTS]
    results: list[dict[str, Any]] = []
    for num_envs in map(int, settings["num_envs"].split(",")):
        for processes in map(int, settings["processes"].split(",")):
            results.append(start(processes, num_envs, overrides))
            add_efficiency(results)
            show(results[-1])
            Path(settings["out"]).write_text(json.dumps(results, indent=2) + "\n")


def start(processes: int, num_envs: int, overrides: list[str]) -> dict[str, Any]:
    """One run under torchrun; what its rank 0 measured."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "result.json")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes), __file__, MEASURE, str(out)]
        subprocess.run([*command, f"num_envs={processes * num_envs}", *overrides])
        if not out.exists():
            raise RunError(f"{processes} x {num_envs} envs did not get through: see above")
        return json.loads(out.read_text())


def measure(out: Path, overrides: list[str]) -> None:
    """Train a little on this rank; rank 0 writes how fast all of them were."""
    import torch

    from mimickit.training.speed import training_shares

    config = launch.compose(["logger=[]", "max_samples=1e12", *overrides])
    run = launch.make(launch.check_config(config), folder=out.parent)
    trainer = run.trainer(out.parent)
    rate, shares = training_shares(trainer)
    trainer.release()
    size = run.group.ranks.size
    if run.group.first:
        on_gpu = run.device.type == "cuda"
        facts = {
            "processes": size,
            "num_envs_per_process": run.env.num_envs,
            "samples_per_s": rate,
            "shares": shares,
            "device": torch.cuda.get_device_name(run.device) if on_gpu else platform.processor(),
            "torch": torch.__version__,
            "overrides": overrides,
        }
        out.write_text(json.dumps(facts))
    run.group.close()


def add_efficiency(results: list[dict[str, Any]]) -> None:
    """Compare the last result with that of one process with as many envs, if there is one."""
    last = results[-1]
    for other in results:
        if (
            other["processes"] == 1
            and other["num_envs_per_process"] == last["num_envs_per_process"]
        ):
            last["efficiency"] = last["samples_per_s"] / last["processes"] / other["samples_per_s"]


def show(result: dict[str, Any]) -> None:
    """A line."""
    shares = ", ".join(f"{name} {100 * share:.0f}%" for name, share in result["shares"].items())
    print(
        f"{result['processes']:>3} x {result['num_envs_per_process']:>6} envs "
        f"{result['samples_per_s']:>12,.0f} samples/s, efficiency "
        f"{result.get('efficiency', float('nan')):.2f} ({shares})",
        flush=True,
    )


if __name__ == "__main__":
    main()
