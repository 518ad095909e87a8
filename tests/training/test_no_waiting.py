"""Collecting, learning and evaluating never wait for the device, but where an iteration ends."""

from __future__ import annotations

import contextlib
import warnings
from types import SimpleNamespace

import pytest
import torch

from mimickit import launch
from mimickit.algos.rollout import Rollout
from mimickit.envs.actions import AbsoluteActions, ReferenceActions
from mimickit.envs.conditions import Latents
from mimickit.envs.env import Env
from mimickit.envs.held_env import HeldEnv
from mimickit.envs.signals import Difference, Window
from mimickit.envs.skill_actions import SkillActions
from mimickit.evaluation.evaluator import Evaluator
from mimickit.methods.skill_style import StyleSignal
from mimickit.models.mlp import mlp
from mimickit.models.normalizer import Normalizer
from mimickit.models.policy import Policy
from mimickit.specs import GroupSpec
from mimickit.state import CharacterState
from mimickit.training.checkpoint import BEST, read
from mimickit.training.collector import Collector
from mimickit.training.progress import Stopwatch
from tests.envs.parts import DT, make_task
from tests.no_sync import no_sync
from tests.tasks.goals import GOALS, location
from tests.tasks.scenes import KINDS, scene, specs
from tests.training.runs import TINY, last_policy, metrics

NUM_ENVS, STEPS = 6, 4


class Statues:
    """An engine without physics: characters stand where they were put."""

    control_mode = "pos"
    control_dt = DT
    device = torch.device("cpu")

    def __init__(self, character, num_envs, objects):
        self.character, self.num_envs = character, num_envs
        self.objects = objects
        self.state = CharacterState.zeros(num_envs, character.num_bodies, character.num_dofs)
        self.diverged = torch.zeros(num_envs, dtype=torch.bool)

    def command(self, command):
        self.commanded = command

    def step(self):
        pass

    def write(self, mask, state, drawn=None):
        for name, buffer in vars(self.state).items():
            value = getattr(state, name)
            chosen = mask.view(-1, *(1,) * (value.dim() - 1))
            buffer.copy_(torch.where(chosen, value, buffer))

    def write_objects(self, mask, state):
        self.objects.pos.copy_(torch.where(mask.unsqueeze(-1), state.pos, self.objects.pos))


class OnCuda(torch.Tensor):
    """A CPU tensor that says it is on a CUDA device, so that code takes the way of fixed shapes."""

    @property
    def device(self):
        return torch.device("cuda")


class CudaEnv(Env):
    """Resets as it does on a CUDA device."""

    def reset(self, mask):
        return super().reset(mask.as_subclass(OnCuda))


CASES = {
    "one clip": {"motion": "walk"},
    "two clips": {"motion": ["backflip", "run"]},
    "adaptive": {"motion": ["walk", "kick"], "sampling": {"mode": "adaptive"}},
    "elsewhere": {
        "motion": "walk",
        "pose_termination": False,
        "default_pose_share": 0.3,
        "fallen_share": 0.3,
        "fallen_grace_s": 1.0,
    },
    **{name: {"motion": "walk", "goal": goal} for name, goal in GOALS.items()},
    **{name: {"motion": "walk", "goal": goal, "world": name} for name, goal in KINDS.items()},
}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def env(request, humanoid):
    actions = AbsoluteActions if request.param["motion"] == "walk" else ReferenceActions
    settings = dict(request.param)
    world = settings.pop("world", None)
    if "fallen_share" in settings:
        settings["falls"] = CharacterState.zeros(3, humanoid.num_bodies, humanoid.num_dofs)
    objects = scene(specs(world) if world else (), NUM_ENVS)
    task = make_task(
        humanoid, num=NUM_ENVS, tracking_error=True, phase=2, objects=objects, **settings
    )
    signals = {
        "window": Window(humanoid, task, DT, frames=3, global_frame=False),
        "difference": Difference(humanoid, task, DT, global_frame=True),
    }
    engine = Statues(humanoid, NUM_ENVS, objects.state)
    latents = Latents(
        NUM_ENVS, torch.device("cpu"), DT, task.generator, task,
        size=8, period_s=[0.0, 1.0], by_clip=True, return_share=0.5,
    )  # fmt: skip
    return CudaEnv(engine, task, actions(humanoid, "pos"), signals, {"latent": latents})


def small_policy(env):
    return Policy(
        env.groups,
        env.action_size,
        actor_groups=["policy"],
        critic_groups=["policy"],
        actor_hidden=[8],
        critic_hidden=[8],
        activation="relu",
        action_scale=0.01,
        sigma="fixed",
        sigma_init=0.1,
        normalizer_samples=1e8,
    ).to(env.device)


def test_a_control_step_of_training_never_waits(env):
    """What a graph would capture: acting, stepping, recording and resetting."""
    rollout = Rollout(
        STEPS, NUM_ENVS, env.groups, env.action_size, env.device, max_steps=env.max_steps
    )
    collector = Collector(env, small_policy(env), rollout, torch.Generator())
    with torch.no_grad():
        collector._captured_step()  # allocates the reward terms' buffers
        with no_sync():
            for _ in range(STEPS - 1):
                collector._captured_step()
    assert (rollout.obs["policy"][1:STEPS] != 0).any(-1).all()


def test_a_control_step_of_an_evaluation_never_waits(env):
    evaluator = Evaluator(env, env.generator, seed=1, episodes=2 * NUM_ENVS)
    evaluator.begin(small_policy(env))
    with no_sync():
        for _ in range(evaluator.max_steps):
            evaluator.advance()
        over = evaluator.over
    assert bool(over)
    assert evaluator.results()["overall"]["episodes"] == 2 * NUM_ENVS


@pytest.fixture
def held(humanoid):
    """An environment whose actions are skills, held for three steps and judged at each."""
    task = make_task(humanoid, num=NUM_ENVS, global_frame=False, target_steps=[], goal=location())
    joints = AbsoluteActions(humanoid, "pos")
    groups = {"policy": GroupSpec(140), "latent": GroupSpec(8, scale=1.0)}
    actions = SkillActions(
        humanoid,
        small_policy(SimpleNamespace(groups=groups, action_size=joints.size, device="cpu")),
        joints,
        latent_size=8,
        global_frame=False,
        root_height=True,
    )
    width = Window(humanoid, task, DT, frames=3, global_frame=False).size
    style = StyleSignal(
        humanoid,
        task,
        DT,
        frames=3,
        global_frame=False,
        network=mlp(width + 3, [8], 1),
        normalizer=Normalizer(width, 1e8),
        labels=3,
        reward_scale=2.0,
        precision="fp32",
    )
    engine = Statues(humanoid, NUM_ENVS, scene((), NUM_ENVS).state)
    return CudaEnv(engine, task, actions, {"skill_style": style}, hold=3)


def test_a_hold_of_skills_never_waits(held):
    env = HeldEnv(held)
    rollout = Rollout(STEPS, NUM_ENVS, env.groups, env.action_size, env.device, env.max_steps)
    collector = Collector(env, small_policy(env), rollout, torch.Generator())
    with torch.no_grad():
        collector._captured_step()
        with no_sync():
            for _ in range(STEPS - 1):
                collector._captured_step()
    assert (rollout.signals["skill_style"] > 0).all()
    evaluator = Evaluator(held, held.generator, seed=1, episodes=NUM_ENVS)
    evaluator.begin(small_policy(held))
    with no_sync():
        for _ in range(10):
            evaluator.advance()


# ---------------------------------------------------------------------------------- CUDA

ON_CUDA = (
    "engine=mujoco_warp",
    "device=cuda",
    "num_envs=64",
    "evaluation.num_envs=16",
    "evaluation.episodes=16",
    "evaluation.every=1e9",
    "training.checkpoint_every_s=1e9",
)
ITERATION = 64 * 8  # samples


def cuda_run(folder, *overrides, iterations=6):
    """A run as of `tests.training.runs`, on a GPU."""
    tiny = [override for override in TINY if not override.startswith("engine")]
    budget = f"max_samples={iterations * ITERATION}"
    return launch.build(launch.compose([*tiny, *ON_CUDA, budget, *overrides]), folder)


@contextlib.contextmanager
def sync_debug_mode(mode):
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.fixture(
    params=[(), ("method=amp",), ("method=add", "algo=awr", "character=g1")],
    ids=["deepmimic", "amp", "add with awr"],
)
def captured(request, tmp_path):
    """A trainer whose graphs are there."""
    trainer = cuda_run(tmp_path / "run", *request.param).trainer(tmp_path / "run")
    for _ in range(3):
        trainer.iterate(Stopwatch())
    return trainer


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_collecting_and_learning_on_cuda_never_wait(captured):
    with sync_debug_mode("error"):
        captured.collector.collect()
        learned, episodes = captured._learn()
    assert all(value.is_cuda for value in (*learned.values(), *episodes.values()))


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_choosing_skills_on_cuda_never_waits_and_leaves_them_as_they_are(tmp_path):
    cuda_run(tmp_path / "low", "method=ase", iterations=2).start()
    options = ("method=ase_hlc", f"skills={tmp_path / 'low'}")
    trainer = cuda_run(tmp_path / "high", *options, iterations=30).trainer(tmp_path / "high")
    frozen = trainer.env.actions._policy
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    for _ in range(3):
        trainer.iterate(Stopwatch())
    with sync_debug_mode("error"):
        trainer.collector.collect()
        learned, _ = trainer._learn()
    assert bool(torch.stack([value.isfinite() for value in learned.values()]).all())
    assert all(torch.equal(frozen.state_dict()[name], value) for name, value in before.items())
    assert trainer.evaluator.run(trainer.policy)["overall"]["episodes"] == 16


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_adaptive_sampling_on_cuda_never_waits_and_learns(tmp_path):
    adaptive = ("task.sampling.mode=adaptive", "motion=[walk,spinkick]")
    trainer = cuda_run(tmp_path / "run", *adaptive).trainer(tmp_path / "run")
    for _ in range(3):
        trainer.iterate(Stopwatch())
    before = trainer.env.task.sampler.state_dict()
    with sync_debug_mode("error"):
        trainer.collector.collect()
    after = trainer.env.task.sampler.state_dict()
    assert float(after["seconds"].sum()) > float(before["seconds"].sum())
    assert float(after["failures"].sum()) > 0.0


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_an_iteration_on_cuda_waits_to_know_the_shares_and_for_the_numbers_only(captured):
    with warnings.catch_warnings(record=True) as caught, sync_debug_mode("warn"):
        warnings.simplefilter("always")
        captured.iterate(Stopwatch())
    assert sum("synchronizing CUDA operation" in str(w.message) for w in caught) == 2


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_turns_of_an_evaluation_on_cuda_never_wait(captured):
    background = captured._background
    background.prepare(captured.policy)
    expected = captured.evaluator.run(background._snapshot)
    with sync_debug_mode("error"):
        background.begin(captured.policy)
        captured.collector.collect()
        found = background.proceed()
    found = found or background.finish()
    for name, value in expected["overall"].items():
        assert found["overall"][name] == pytest.approx(value, rel=0.05, abs=0.05)


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_a_run_on_cuda_evaluates_beside_training_and_keeps_the_best(tmp_path):
    folder = tmp_path / "run"
    cuda_run(folder, f"evaluation.every={2 * ITERATION}", iterations=40).start()
    rows = metrics(folder)
    judged = [int(float(cell)) for cell in rows["eval/samples"] if cell]
    assert judged[0] == 2 * ITERATION
    assert judged == sorted(judged)
    best = read(folder / "checkpoints" / BEST)
    assert best["samples"] in judged
    scores = [float(cell) for cell in rows["eval/return"] if cell]
    assert best["run"]["counters"]["best_score"] == max(scores)
    assert all(value.device.type == "cpu" for value in best["policy"].values())


@pytest.mark.gpu
@pytest.mark.engine("mujoco_warp")
def test_a_run_on_cuda_goes_on_from_its_checkpoint(tmp_path):
    folder = tmp_path / "run"
    cuda_run(folder, iterations=4).start()
    run = cuda_run(folder, f"resume={folder}", iterations=6)
    run.start()
    assert metrics(folder)["samples"] == [str(i * ITERATION) for i in range(1, 7)]
    assert all(bool(value.isfinite().all()) for value in last_policy(folder).values())
