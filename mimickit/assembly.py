"""Builds what runs are made of, each from its config node: methods, worlds, networks, judges."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Optional

import torch

from mimickit.characters import Character
from mimickit.envs.conditions import Condition
from mimickit.envs.env import Env
from mimickit.envs.held_env import AnyEnv
from mimickit.envs.signals import Signal
from mimickit.errors import (
    ConfigError,
)
from mimickit.evaluation.evaluator import Evaluator
from mimickit.launch.building import make
from mimickit.methods import Method, Sources
from mimickit.methods.method import part_nodes
from mimickit.models.policy import Policy
from mimickit.motions.catalog import resolve_motions
from mimickit.motions.library import MotionLibrary
from mimickit.objects import SceneObjects, read_objects
from mimickit.pooling import ALONE, Pool
from mimickit.ranks import Ranks, find_ranks
from mimickit.skills import Skills
from mimickit.state import CharacterState
from mimickit.tasks.starts import FALLS, fallen_states
from mimickit.training import seeding

Node = Mapping[str, Any]


def build_method(config: Node) -> Method:
    """The method of a config with its parts, not yet connected to anything.

    A part that is null in the config is left away, and with it the weight of its reward.
    """
    node = config["method"]
    parts = {name: make(part) for name, part in part_nodes(node).items()}
    left_away = node["parts"].keys() - parts.keys()
    reward = {name: weight for name, weight in node["reward"].items() if name not in left_away}
    return make(node, parts=parts, reward=reward)


def method_sources(
    method: Method, env: AnyEnv, policy: Policy, seed: int, pool: Pool = ALONE
) -> dict[str, Sources]:
    """What each part of a method draws on, with randomness of its own."""
    return {
        name: Sources(
            signals=env.signals,
            conditions=env.conditions,
            policy=policy,
            library=env.task.library,
            device=env.device,
            generator=seeding.generator(part_seed, env.device),
            pool=pool,
        )
        for name, part_seed in seeding.part_seeds(seed, method.parts).items()
    }


def build_env(
    config: Node,
    character: Character,
    num_envs: int,
    seed: int,
    library: Optional[MotionLibrary] = None,
    signals: Optional[Mapping[str, Callable[..., Signal]]] = None,
    conditions: Optional[Mapping[str, Callable[..., Condition]]] = None,
    skills: Optional[Skills] = None,
    **task_settings: Any,
) -> Env:
    """Engine, clips, task and actions of a config.

    Args:
        seed: of the task's random stream.
        library: the clips, where another environment of this config has them on its device.
        signals: what a method wants observed; see `Method.signals`.
        conditions: what it adds to what is acted on; see `Method.conditions`.
        skills: what actions choose among, each for `method.hold` control steps.
        task_settings: override keys of the task's node.
    """
    entries = [] if library is not None else resolve_motions(config["motion"], character)
    engine_node, device = dict(config["engine"]), config["device"]
    _fit_beside_others(engine_node, device)
    if device != "auto" and "device" in engine_node:  # an engine with a choice declares it
        engine_node["device"] = device
    task_node = {**config["task"], **task_settings}
    live: dict[str, Any] = {}
    if task_node.get("fallen_share"):
        live["falls"] = _falls(engine_node, character, seed)
    objects = read_objects(task_node.get("objects") or ())
    engine = make(engine_node, character=character, num_envs=num_envs, objects=objects)
    if device != "auto" and torch.device(device).type != engine.device.type:
        raise ConfigError(
            f"device={device}: {type(engine).__name__} runs on the {engine.device.type} only; use "
            "device=auto or another engine"
        )
    if library is None:
        library = MotionLibrary(character, entries, engine.device)
    task = make(
        task_node,
        character=character,
        library=library,
        num_envs=num_envs,
        objects=SceneObjects(objects, engine.objects),
        control_dt=engine.control_dt,
        generator=seeding.generator(seed, engine.device),
        **live,
    )
    actions = make(
        config["action"],
        character=character,
        control_mode=engine.control_mode,
        device=engine.device,
    )
    if skills is not None:
        actions = skills.actions(character, actions, engine.device)
    made = {
        name: factory(character=character, task=task, control_dt=engine.control_dt)
        for name, factory in (signals or {}).items()
    }
    added = {
        name: factory(
            num_envs=num_envs,
            device=engine.device,
            control_dt=engine.control_dt,
            generator=task.generator,
            task=task,
        )
        for name, factory in (conditions or {}).items()
    }
    hold = 1 if skills is None else config["method"]["hold"]
    return Env(engine, task, actions, made, added, hold)


def _falls(engine_node: Node, character: Character, seed: int) -> CharacterState:
    """Where falls end, found out on an engine of their own."""
    engine = make(engine_node, character=character, num_envs=2 * FALLS, objects=())
    return fallen_states(engine, seeding.generator(seed, engine.device))


def build_policy(config: Node, env: AnyEnv) -> Policy:
    """The networks of a config, untrained, on the environment's device."""
    policy: Policy = make(config["model"], groups=env.groups, action_size=env.action_size)
    return policy.to(env.device)


def build_evaluator(
    config: Node,
    character: Character,
    episodes: int,
    *,
    num_envs: Optional[int] = None,
    seed: Optional[int] = None,
    library: Optional[MotionLibrary] = None,
    signals: Optional[Mapping[str, Callable[..., Signal]]] = None,
    conditions: Optional[Mapping[str, Callable[..., Condition]]] = None,
    skills: Optional[Skills] = None,
) -> Evaluator:
    """Judges policies on its own environments, with pose termination off.

    Args:
        episodes: how many per evaluation.
        num_envs: side by side; as many as episodes unless given.
        seed: of start times; the config's unless given.
        library, signals, conditions, skills: see `build_env`.
    """
    start: int = config["evaluation"]["seed"] if seed is None else seed
    judged: dict[str, Any] = {key: False for key in ("pose_termination",) if key in config["task"]}
    sampling = config["task"].get("sampling") or {}
    if sampling.get("mode") == "adaptive":  # what is judged must not depend on what was learned
        judged["sampling"] = {**sampling, "mode": "length"}
    env = build_env(
        config,
        character,
        num_envs or episodes,
        start,
        library,
        signals=signals,
        conditions=conditions,
        skills=skills,
        **judged,
    )
    return Evaluator(env, env.task.generator, start, episodes)


def _fit_beside_others(engine_node: dict[str, Any], device: str) -> None:
    """Leave an engine the cores and the GPU that are this process's, of several on a host.

    Raises:
        ConfigError: the config names one GPU for all.
    """
    ranks = find_ranks(os.environ)
    if ranks.size == 1:
        return
    for key, value in (("device", device), ("engine.device", engine_node.get("device"))):
        if str(value).startswith("cuda:"):
            raise ConfigError(
                f"{key}={value} would put {ranks.size} processes on one GPU: each takes one of its "
                f"own with {key}=auto or {key}=cuda"
            )
    if engine_node.get("threads") == 0:
        engine_node["threads"] = cores(ranks)


def cores(ranks: Ranks) -> int:
    """Processors for this process: those it is held to, or its share of the machine's."""
    count = os.cpu_count() or 1
    held_to = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    return max(1, min(held_to, count // ranks.local_size))
