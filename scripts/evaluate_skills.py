"""Judge the skills of a trained low level (method=ase): random latents, without action noise.

Writes skills.json into the run's folder and prints it; docs/skills-data.md says what each figure
means. Episodes keep a latent for `seconds`, then another one for `switch` seconds.
Usage: python scripts/evaluate_skills.py run=FOLDER [checkpoint=FILE] [motion=CLIPS]
           [episodes=1024] [repeats=2] [seconds=10] [switch=5] [seed=1000] [out=skills.json]
           [engine=mujoco] [engine.KEY=VALUE ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from mimickit import launch
from mimickit.errors import RunError
from mimickit.launch.arguments import REQUIRED, read_arguments, whole_number
from mimickit.launch.loading import split_engine_settings

OWN = {
    "run": REQUIRED,
    "checkpoint": None,
    "motion": None,
    "episodes": 1024,
    "repeats": 2,
    "seconds": 10.0,
    "switch": 5.0,
    "seed": 1000,
    "out": "skills.json",
    "engine": None,
}


@launch.friendly_errors()
def main() -> None:
    """Evaluate the skills of one run."""
    from mimickit.viewers.arguments import positive

    arguments, engine_settings = split_engine_settings(sys.argv[1:])
    values = read_arguments(arguments, OWN, str(__doc__))
    from mimickit.evaluation.clip_windows import ClipWindows
    from mimickit.evaluation.skill_report import write_skill_report
    from mimickit.evaluation.skills import (
        SkillRecorder,
        SkillSettings,
        skill_encoder,
        skill_figures,
    )
    from mimickit.loaded_run import load_skills

    settings = SkillSettings(
        repeats=whole_number(values, "repeats"),
        seconds=positive(values, "seconds"),
        switch_seconds=positive(values, "switch"),
    )
    out = Path(str(values["run"]), str(values["out"]))
    seed = whole_number(values, "seed", least=0)
    run = load_skills(
        Path(str(values["run"])),
        settings.all_seconds,
        num_envs=whole_number(values, "episodes"),
        checkpoint=Path(str(values["checkpoint"])) if values["checkpoint"] else None,
        motion=values["motion"],
        seed=seed,
        engine=str(values["engine"]) if values["engine"] else None,
        engine_settings=engine_settings,
    )
    if not out.parent.is_dir():  # before the work, not after it
        raise RunError(f"out={values['out']}: there is no folder {out.parent} to write it into")
    print("{engine} on {device}; trained on {trained_on}".format(**run.engine_facts), flush=True)
    clips = ClipWindows(run.env, seed)
    encode = skill_encoder(run.method.parts).encode
    recorder = SkillRecorder(run.env, run.policy, encode, clips, settings, seed)
    facts = {
        "method": run.method.name,
        "character": run.env.engine.character.name,
        "checkpoint": run.checkpoint.name,
        "samples": run.samples,
        "seed": seed,
        **run.engine_facts,
    }
    figures = skill_figures(recorder.run(), clips)
    print(write_skill_report(run.folder, figures, facts, str(values["out"])))


if __name__ == "__main__":
    main()
