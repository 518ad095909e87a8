"""Judge a trained policy: deterministic episodes, pose termination off, Table 1's errors.

Writes evaluation.json into the run's folder and prints it beside the paper's figures.
Usage: python scripts/evaluate.py run=FOLDER [checkpoint=FILE] [motion=CLIP] [episodes=256]
           [num_envs=256] [seed=1000] [random_start=true] [out=evaluation.json]
           [engine=mujoco] [engine.KEY=VALUE ...] [policy=trained]
With engine=... on another engine than the run was trained on, at the run's own rates.
With policy=random_skills a run of method=ase_hlc is judged with its low level driven by random
latents instead, the floor for what chooses them; written to evaluation_random_skills.json.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mimickit import launch
from mimickit.errors import ConfigError, RunError
from mimickit.launch.arguments import REQUIRED, read_arguments, true_or_false, whole_number
from mimickit.launch.loading import split_engine_settings

# Where the results of a policy go by default.
OUT = {"trained": "evaluation.json", "random_skills": "evaluation_random_skills.json"}


@launch.friendly_errors()
def main() -> None:
    """Evaluate one run."""
    arguments, engine_settings = split_engine_settings(sys.argv[1:])
    values = read_arguments(
        arguments,
        {
            "run": REQUIRED,
            "checkpoint": None,
            "motion": None,
            "episodes": 256,
            "num_envs": None,
            "seed": 1000,
            "random_start": True,
            "out": None,
            "policy": "trained",
            "engine": None,
        },
        str(__doc__),
    )
    from mimickit.evaluation.evaluator import Evaluator
    from mimickit.evaluation.report import write_report
    from mimickit.loaded_run import LoadedRun

    episodes = whole_number(values, "episodes")
    num_envs = episodes if values["num_envs"] is None else whole_number(values, "num_envs")
    seed = whole_number(values, "seed", least=0)
    if values["policy"] not in OUT:
        raise ConfigError(f"policy={values['policy']}: choose one of {', '.join(OUT)}")
    name = str(values["out"] or OUT[values["policy"]])
    out = Path(str(values["run"]), name)
    run = LoadedRun(
        Path(str(values["run"])),
        num_envs=num_envs,
        checkpoint=Path(str(values["checkpoint"])) if values["checkpoint"] else None,
        motion=values["motion"],
        seed=seed,
        random_start=true_or_false(values, "random_start"),
        engine=str(values["engine"]) if values["engine"] else None,
        engine_settings=engine_settings,
    )
    if not out.parent.is_dir():  # before the work, not after it
        raise RunError(f"out={name}: there is no folder {out.parent} to write it into")
    print("{engine} on {device}; trained on {trained_on}".format(**run.engine_facts), flush=True)
    policy = run.policy
    if values["policy"] == "random_skills":
        policy = run.random_skills()
        print("random latents drive the skills")
    results = Evaluator(run.env, run.generator, seed, episodes).run(policy)
    facts = {
        "method": run.config["method"]["name"],
        "character": run.config["character"]["name"],
        "checkpoint": run.checkpoint.name,
        "samples": run.samples,
        "policy": values["policy"],
        "seed": seed,
        **run.engine_facts,
    }
    print(write_report(run.folder, results, facts, name))


if __name__ == "__main__":
    main()
