"""What can be wrong with what a user gives: for each case how to make it, and what must be said."""

from __future__ import annotations

import numpy as np

from tests import broken
from tests.broken import clip, dataset, frames, model, run, text

# What is wrong: (arguments, what makes the files, what the message must say). {here} is the folder.
CLIPS = {
    "truncated npz": ("motion=clip.npz", broken.truncated_clip(), "clip.npz is truncated"),
    "NaN frames": (
        "motion=clip.npz",
        clip(joint_rot=broken.with_nan),
        "clip.npz",
        "NaN",
        "frame 5, joint",
    ),
    "other joint": (
        "motion=clip.npz",
        clip(joint_names=lambda names: broken.with_names(names, neck="nekc")),
        "clip.npz",
        "missing joints: neck (closest: nekc)",
        "unknown joints: nekc (closest: neck)",
    ),
    "zero fps": ("motion=clip.npz", clip(fps=0.0), "clip.npz", "fps must be finite and > 0, got 0"),
    "pkl of another width": (
        "motion=clip.pkl",
        broken.pickled_clip(frames=frames(35)),
        "clip.pkl is not for character 'humanoid'",
        "35 numbers, the character needs 34",
    ),
    "hostile pkl": (
        "motion=clip.pkl",
        broken.pickled_clip(hostile=True),
        "clip.pkl is refused",
        "system",
    ),
    "mistyped clip in a list": (
        "motion=[walk,rol]",
        None,
        "no motion 'rol' (asked for by motion[1])",
        "Closest: roll",
    ),
}

# Cheaper to show than to train on; both read clips the same way.
MORE_CLIPS = {
    "npz of objects": ("motion=clip.npz", broken.clip_of_objects(), "pickled objects"),
    "no npz": ("motion=clip.npz", text("clip.npz", "BVH"), "clip.npz is not an .npz file"),
    "empty file": ("motion=clip.npz", text("clip.npz", ""), "clip.npz is empty"),
    "frame counts": ("motion=clip.npz", clip(root_rot=lambda a: a[1:]), "clip.npz", "root_rot has"),
    "negative fps": ("motion=clip.npz", clip(fps=-30.0), "clip.npz", "got -30"),
    "one frame": (
        "motion=clip.npz",
        clip(root_pos=lambda a: a[:1], root_rot=lambda a: a[:1], joint_rot=lambda a: a[:1]),
        "clip.npz",
        "needs at least 2 frames, got 1",
    ),
    "long quaternions": (
        "motion=clip.npz",
        clip(root_rot=lambda a: 2 * a),
        "clip.npz",
        "length 2.000",
    ),
    "empty joint names": (
        "motion=clip.npz",
        clip(joint_names=lambda names: broken.with_names(names, neck="")),
        "clip.npz",
        "has no name",
    ),
    "no joints": (
        "motion=clip.npz",
        clip(joint_names=np.empty(0, "U1"), joint_rot=lambda a: a[:, :0]),
        "clip.npz",
        "names no joints",
    ),
    "newer clip": ("motion=clip.npz", clip(version=99), "clip.npz has clip format 99"),
    "LFS pointer": (
        "motion=clip.npz",
        text("clip.npz", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "clip.npz is a Git-LFS pointer",
        "git lfs pull",
    ),
    "pkl at zero fps": (
        "motion=clip.pkl",
        broken.pickled_clip(frames=frames(34), fps=0),
        "clip.pkl",
        "fps must be finite and > 0, got 0",
    ),
    "no pickle": ("motion=clip.pkl", text("clip.pkl", "hello"), "clip.pkl is no readable pickle"),
    "missing clip": (
        "motion=clips/wlak.npz",
        text("clips/walk.npz", ""),
        "no motion file clips/wlak.npz",
        "Closest: walk.npz",
    ),
    "mistyped clip": (
        "motion=spinkik",
        None,
        "no motion 'spinkik' (asked for by motion)",
        "Closest: spinkick",
    ),
    "a folder without clips": ("motion=./", None, "motion: folder . holds no clip"),
}

DATASETS = {
    "negative weight": (
        "motion=motions.yaml",
        dataset({"name": "walk"}, {"name": "run", "weight": -1}),
        "motions.yaml: motions[1].weight",
        "clip 'run' must be finite and >= 0, got -1",
    ),
    "NaN weight": (
        "motion=[{name:walk,weight:nan}]",
        None,
        "motion[0].weight",
        "must be finite and >= 0, got nan",
    ),
    "weight in words": (
        "motion=motions.yaml",
        dataset({"name": "walk", "weight": "much"}),
        "motions[0].weight",
        "got much",
    ),
    "all weights zero": (
        "motion=motions.yaml",
        dataset({"name": "walk", "weight": 0}, {"name": "run", "weight": 0}),
        "motion: the weights of all clips are 0 (walk, run)",
    ),
    "unknown body on the ground": (
        "motion=motions.yaml",
        dataset({"name": "walk", "may_touch_ground": ["left_fot"]}),
        "no body 'left_fot'",
        "motions[0].may_touch_ground",
        "Closest: left_foot",
    ),
    "unknown key": (
        "motion=motions.yaml",
        dataset({"name": "walk", "wieght": 2}),
        "motions[0] has an unknown key 'wieght'",
        "Closest: weight",
    ),
    "name and file": (
        "motion=motions.yaml",
        dataset({"name": "walk", "file": "walk.npz"}),
        "motions[0] wants one of `name`, `file`, `folder`",
    ),
    "missing file": (
        "motion=motions.yaml",
        dataset({"file": "clips/walk.npz"}),
        "no motion file clips/walk.npz",
    ),
    "no entries": ("motion=motions.yaml", dataset(), "motions.yaml: 'motions' must be a list"),
    "other top key": ("motion=motions.yaml", dataset(key="motion"), "'motion'", "Closest: motions"),
    "empty dataset": ("motion=motions.yaml", text("motions.yaml", ""), "motions.yaml is empty"),
    "no YAML": (
        "motion=motions.yaml",
        text("motions.yaml", "motions: [walk\n- :"),
        "motions.yaml is not readable YAML",
    ),
    "binary": (
        "motion=motions.yaml",
        broken.data("motions.yaml", b"\xff\xfe\0"),
        "motions.yaml is not",
    ),
    "missing dataset": (
        "motion=motoins.yaml",
        dataset({"name": "walk"}),
        "no motion file motoins.yaml",
        "Closest: motions.yaml",
    ),
}

CHARACTERS = {
    "unknown body": (
        "character.bodies.key_bodies=[haed]",
        None,
        "no body 'haed' (asked for by character.bodies.key_bodies)",
        "Closest: head",
    ),
    "unknown weight": (
        "+character.tracking_weights.tors=1",
        None,
        "no body 'tors' (asked for by character.tracking_weights)",
        "Closest: torso",
    ),
    "unknown joint": (
        "+character.joints.left_kne={kp:1,kd:1,torque_limit:1}",
        None,
        "no joint 'left_kne' (asked for by character.joints)",
        "Closest: left_knee",
    ),
    "joints of the wrong kind": ("character.joints=5", None, "character.joints=5", "a mapping"),
    "bodies of the wrong kind": (
        "character.bodies.feet=head",
        None,
        "character.bodies.feet=head: a list of bodies is needed",
    ),
    "no model": ("character.model=null", None, "character.model=None: text is needed"),
    "joint without gains": ("~character.joints.neck", None, "character.joints", "'neck'"),
    "gain in words": ("character.joints.neck.kp=stiff", None, "character.joints.neck.kp", "stiff"),
    "negative gain": ("character.joints.neck.kd=-1", None, "character.joints.neck.kd", "-1"),
    "unknown gain": ("+character.joints.neck.ki=1", None, "character.joints.neck", "'ki'"),
    "limits crossed": (
        "character.joints.neck.limits=[[1,-1],[-1,1],[-1,1]]",
        None,
        "character.joints.neck.limits",
        "low < high",
        "[1, -1]",
    ),
    "limits of a hinge for a ball": (
        "character.joints.neck.limits=[-1,1]",
        None,
        "character.joints.neck.limits wants 3 pairs",
        "[-1, 1]",
    ),
    "limits in words": (
        "character.joints.neck.limits=wide",
        None,
        "character.joints.neck.limits",
        "wide",
    ),
    "unknown joint in the pose": (
        "+character.default_pose.joints.nek=[0,0,0]",
        None,
        "no joint 'nek' (asked for by character.default_pose.joints)",
        "Closest: neck",
    ),
    "height in words": ("character.default_pose.height=tall", None, "default_pose.height", "tall"),
    "contact height": (
        "character.contact_height=nan",
        None,
        "character 'humanoid': contact_height must be > 0, got nan",
    ),
    "missing model": (
        "character.model={here}/modle.xml",
        model(),
        "modle.xml",
        "character.model",
        "Closest: model.xml",
    ),
    "model is a folder": ("character.model={here}", None, "{here}", "character.model"),
    "model of a package that is not there": (
        "character.model=pkg://no_such_package/g1.xml",
        None,
        "character.model=pkg://no_such_package/g1.xml",
    ),
    "broken XML": (
        "character.model={here}/model.xml",
        model("</body>", ""),
        "model.xml is not readable XML",
        "line",
    ),
    "not MJCF": (
        "character.model={here}/model.xml",
        model(whole="<robot name='g1'/>"),
        "model.xml is not MJCF",
        "<robot>",
    ),
    "binary model": (
        "character.model={here}/model.xml",
        broken.data("model.xml", b"\xff\xfe\x00glTF"),
        "model.xml is not readable XML",
    ),
    "model with a word for a number": (
        "character.model={here}/model.xml",
        model('pos="0 0 0.236151"', 'pos="0 0 high"'),
        "model.xml",
        "torso",
        "0 0 high",
    ),
    "model with a slide joint": (
        "character.model={here}/model.xml",
        model('name="neck" type="ball"', 'name="neck" type="slide"'),
        "model.xml: joint 'neck' is a slide",
    ),
}

MODELS = {
    "model that MuJoCo refuses": (
        "character.model={here}/model.xml",
        model('type="sphere" pos="0 0 0.175"', 'type="shpere" pos="0 0 0.175"'),
        "model.xml",
        "shpere",
    ),
    "model that does not compile": (
        "character.model={here}/model.xml",
        model('size="0.095" density="1081"', 'size="0.095" density="0"'),
        "model.xml",
        "head",
    ),
}

SETTINGS = {
    "pd_1d with balls": (
        "engine.control_mode=pd_1d",
        None,
        "engine.control_mode=pd_1d needs hinges only",
        "(abdomen, neck",
    ),
    "mistyped mode": ("engine.control_mode=toruqe", None, "engine.control_mode=toruqe", "torque"),
    "rates": (
        "engine.sim_hz=100",
        None,
        "engine.sim_hz=100",
        "whole multiple of engine.control_hz=30",
    ),
    "zero rate": ("engine.control_hz=0", None, "engine.control_hz=0"),
    "reference with torque": (
        "action=reference engine.control_mode=torque",
        None,
        "action=reference",
        "engine.control_mode=torque",
        "action=absolute",
    ),
    "no envs": ("num_envs=0", None, "num_envs=0: must be at least 1"),
    "budget": (
        "max_samples=3",
        None,
        "max_samples=3 is less than one iteration of num_envs=2 x algo.steps=2",
    ),
    "no episodes": ("evaluation.episodes=0", None, "evaluation.episodes=0: must be at least 1"),
    "negative seed": ("seed=-3", None, "seed=-3: must be at least 0"),
    "unknown device": ("device=gpu9", None, "device=gpu9: choose auto, cpu, cuda"),
    "device of another engine": ("device=cuda:9", None, "device=cuda:9", "device=auto"),
    "sigma": ("model.sigma=fixd", None, "model.sigma=fixd", "fixed"),
    "sigma_init": ("model.sigma_init=0", None, "model.sigma_init must be > 0, got 0"),
    "activation": ("model.activation=relo", None, "model.activation=relo", "relu"),
    "layer": ("model.actor_hidden=[0]", None, "model.actor_hidden", "[0]"),
    "layer in words": ("model.actor_hidden=[wide]", None, "model.actor_hidden", "wide"),
    "group": ("model.actor_groups=[polcy]", None, "model.actor_groups", "Closest: policy"),
    "no layers": ("model.actor_hidden=8", None, "model.actor_hidden=8: a list is needed"),
    "no group": ("model.actor_groups=[]", None, "model.actor_groups"),
    "method's weight": ("method.reward.task=x", None, "method.reward.task", "got x"),
    "no reward": (
        "~method.reward.task",
        None,
        "method 'deepmimic' rewards nothing",
        "its weights are {}; set one, e.g. method.reward.task=1",
    ),
    "no reward of a part": (
        "method=amp method.reward.style=0",
        None,
        "method 'amp' rewards nothing",
        "method.reward.style=1",
    ),
    "reward emptied": (
        "method.reward={}",
        None,
        "method.reward={} takes nothing away",
        "'~method.reward.<key>'",
    ),
    "negative period": (
        "training.checkpoint_every_s=-1",
        None,
        "training.checkpoint_every_s=-1.0: must be at least 0 [s]",
    ),
    "no period": ("training.checkpoint_every_s=nan", None, "training.checkpoint_every_s=nan"),
    "schedule": ("algo.schedule=liner", None, "algo.schedule=liner", "linear"),
    "discount": ("algo.discount=1.5", None, "algo.discount must be in [0, 1], got 1.5"),
    "learning rate": ("algo.actor_optimizer.lr=-1", None, "algo.actor_optimizer", "-1"),
    "reward terms": (
        "~task.reward_weights.pose",
        None,
        "task.reward_weights wants pose, velocity",
        "got velocity",
    ),
    "reward in words": ("task.reward_weights.pose=big", None, "task.reward_weights.pose", "big"),
    "target steps": ("task.target_steps=[0,1]", None, "task.target_steps", "[0, 1]"),
    "target steps in words": ("task.target_steps=[soon]", None, "task.target_steps", "soon"),
    "method's parts": ("+method.reward.taks=1", None, "method.reward", "'taks'", "Closest: task"),
    "action scale": ("action.scale=0", None, "action.scale must be > 0, got 0"),
    "value": ("algo.clip=abc", None, "algo.clip=abc: a number is needed"),
    "key": ("algo.clipp=1", None, "no setting 'clipp'", "Closest: clip"),
    "new key": ("+algo.clipp=1", None, "no setting 'clipp'", "Closest: clip"),
    "root key": ("+sed=1", None, "no setting 'sed'", "Closest: seed"),
    "option": ("task=imitat", None, "no task 'imitat'", "Closest: imitate"),
    "nested": ("algo.actor_optimizer.lrr=1", None, "no setting 'lrr'", "Closest: lr"),
    "sweep over a typo": ("-m seed=0,1 task=imitat", None, "no task 'imitat'", "Closest: imitate"),
}

FOLDERS = {
    "folder in a file": (
        "hydra.run.dir=file/run",
        text("file", "kept"),
        "cannot make the run folder",
        "'file/run'",
        "hydra.run.dir=",
    ),
    "folder in /proc": ("hydra.run.dir=/proc/run", None, "'/proc/run'", "hydra.run.dir="),
    "resume nothing": ("resume=rnu", run(), "resume=rnu", "Closest: run"),
    "resume no run": (
        "resume=notes",
        text("notes/a.txt", ""),
        "resume=notes is neither a run folder",
    ),
    "resume the config of no run": (
        "resume=notes",
        text("notes/config.yaml", "[1, 2]"),
        "notes/config.yaml cannot be read",
    ),
    "resume half a checkpoint": (
        f"resume={broken.CHECKPOINT}",
        broken.run_with_checkpoint(broken.first_half),
        "checkpoint_000000000008.pt",
    ),
    "resume noise": (
        "resume=run",
        broken.run_with_checkpoint(broken.noise),
        "checkpoint_000000000008.pt is not a checkpoint",
    ),
    "resume a flipped bit": (
        "resume=run",
        broken.run_with_checkpoint(broken.flipped),
        "checkpoint_000000000008.pt is not a checkpoint of this package, or is damaged",
    ),
    "resume a hostile checkpoint": (
        "resume=run",
        broken.hostile_checkpoint(),
        "checkpoint_000000000008.pt",
        "asks for posix.system",
    ),
    "resume a hostile pickle": (
        "resume=run",
        broken.run_with_checkpoint(broken.pickled),
        "checkpoint_000000000008.pt",
    ),
    "resume a newer checkpoint": (
        "resume=run",
        broken.run_with_checkpoint(broken.newer),
        "checkpoint_000000000008.pt has version 99",
    ),
    "resume foreign weights": (
        "resume=run",
        broken.run_with_checkpoint(broken.foreign),
        "checkpoint_000000000008.pt is not a checkpoint of this package",
    ),
    "resume with other networks": (
        "resume=run model.actor_hidden=[9]",
        run(),
        "checkpoint_000000000008.pt is of another run: its network is",
    ),
    "resume with other optimisers": (
        "resume=run algo.actor_optimizer._target_=torch.optim.SGD",
        run(),
        "checkpoint_000000000008.pt is of another run: its algorithm is",
        "here it is ['mimickit.algos.ppo.PPO', 'torch.optim.SGD'",
    ),
    "start over another character's run": (
        "hydra.run.dir=run character.name=robot motion={walk}",
        run(),
        "checkpoint_000000000008.pt is of another run: its character is humanoid, here it is robot",
    ),
    "start in a folder that holds a run": (
        "hydra.run.dir=run resume=null",
        run(),
        "already holds a run",
        "resume=auto",
    ),
}

# For both programs that take a trained run, and for one of them.
RUNS = {
    "no run given": ("", None, "run=... is needed", "scripts/{program}.py"),
    "missing run": ("run=rnu", run(), "no run folder rnu (run=...)", "Closest: run"),
    "no checkpoint": (
        "run=run",
        broken.run_without("checkpoints"),
        "run run has no checkpoint yet",
    ),
    "hostile checkpoint": ("run=run", broken.hostile_checkpoint(), "checkpoint_000000000008.pt"),
    "no truth value": ("run=run random_start=maybe", run(), "random_start", "got maybe"),
    "out in a file": (
        "run=run out={here}/file/out.mp4",
        broken.both(run(), text("file", "kept")),
        "{here}/file",
        "out.mp4",
    ),
    "out in /proc": ("run=run out=/proc/out.mp4", run(), "/proc", "out.mp4"),
}
EVALUATIONS = {
    "unknown argument": ("run=run episods=3", run(), "no argument 'episods'", "Closest: episodes"),
    "no argument": ("run", run(), "'run' is not of the form key=value"),
    "number for a run": ("run=7", None, "no run folder 7 (run=...)"),
    "no run": ("run=notes", text("notes/a.txt", ""), "'notes' is not a run folder", "config.yaml"),
    "missing checkpoint": (
        "run=run checkpoint=run/checkpoints/bset.pt",
        run(),
        "no checkpoint run/checkpoints/bset.pt",
        "checkpoint_000000000008.pt",
    ),
    "half a checkpoint": (
        "run=run",
        broken.run_with_checkpoint(broken.first_half),
        "checkpoint_000000000008.pt",
    ),
    "checkpoint of another character": (
        "run=run checkpoint=other.pt",
        broken.run_and_checkpoint(character="g1"),
        "other.pt is of another run: its character is g1, here it is humanoid",
    ),
    "checkpoint of other networks": (
        "run=run",
        run("actor_hidden:\n  - 8", "actor_hidden:\n  - 9"),
        "checkpoint_000000000008.pt",
        "model",
    ),
    "config with a key too many": (
        "run=run",
        run("seed: 0", "sede: 0"),
        "run/config.yaml",
        "no setting 'sede'",
        "Closest: seed",
    ),
    "mistyped clip": ("run=run motion=wlak", run(), "no motion 'wlak'", "Closest: walk"),
    "no episodes": (
        "run=run episodes=0",
        run(),
        "episodes must be a whole number of at least 1, got 0",
    ),
    "negative seed": (
        "run=run seed=-1",
        run(),
        "seed must be a whole number of at least 0, got -1",
    ),
}

VIEWS = {
    "mistyped character": ("character=humaniod", None, "no character 'humaniod'", "humanoid"),
    "mistyped argument": ("motoin=walk", None, "no setting 'motoin'", "Closest: motion"),
    "truncated npz": ("motion=clip.npz", broken.truncated_clip(), "clip.npz is truncated"),
    "hostile pkl": ("motion=clip.pkl", broken.pickled_clip(hostile=True), "clip.pkl is refused"),
    "clip of another character": (
        "motion=clip.npz",
        clip(joint_names=lambda names: broken.with_names(names, neck="nekc")),
        "missing joints: neck (closest: nekc)",
    ),
    "zero fps": ("fps=0", None, "fps must be above 0, got 0"),
    "seconds": ("seconds=long", None, "seconds must be a number, got long"),
    "size": ("size=854", None, "size must be WIDTHxHEIGHT", "got 854"),
    "no film": ("out=clip.mpeg", None, "must end in .mp4, got clip.mpeg"),
    "nothing to draw": ("out=null window=false", None, "out=null", "html=true"),
    "out in a file": ("out=file/walk.mp4", text("file", "kept"), "folder file", "walk.mp4"),
    "out in /proc": ("out=/proc/view/walk.mp4", None, "/proc/view", "walk.mp4"),
}

ROW = "samples,train/return\n100,1.0\n"
PLOTS = {
    "missing run": ("rnu", broken.metrics(ROW), "no run folder rnu", "run"),
    "no run": ("notes", text("notes/a.txt", ""), "no metrics.csv in notes"),
    "no rows": ("run", broken.metrics("samples,train/return\n"), "run/metrics.csv has no rows yet"),
    "no log": (
        "run",
        broken.metrics("a,b\n1,2\n"),
        "run/metrics.csv does not begin with a 'samples'",
    ),
    "cut row": ("run", broken.metrics(ROW + "200\n"), "run/metrics.csv, line 3: 1 cells"),
    "word in a row": ("run", broken.metrics(ROW + "200,high\n"), "run/metrics.csv", "high"),
    "metric": ("run --y train/retrun", broken.metrics(ROW), "'train/retrun'", "train/return"),
    "axis": ("run --x sample", broken.metrics(ROW), "no axis 'sample'", "Closest: samples"),
    "axis without a column": ("run --x wall", broken.metrics(ROW), "--x wall", "time/wall_s"),
    "picture": ("run --out curves.xyz", broken.metrics(ROW), "--out curves.xyz", "png"),
    "out in a file": (
        "run --out file/curves.png",
        broken.both(broken.metrics(ROW), text("file", "kept")),
        "--out file/curves.png",
    ),
    "settings": (
        "run",
        broken.both(broken.metrics(ROW), text("run/resolved.yaml", "a: [")),
        "run/resolved.yaml is not readable YAML",
    ),
}

PROGRAMS = {
    "train": (CLIPS, MODELS, SETTINGS, FOLDERS),
    "evaluate": (RUNS, EVALUATIONS),
    "play": (RUNS,),
    "view_motion": (VIEWS, MORE_CLIPS, DATASETS, CHARACTERS),
    "plot": (PLOTS,),
}
CASES = {
    f"{program}: {name}": (program, *case)
    for program, tables in PROGRAMS.items()
    for table in tables
    for name, case in table.items()
}
