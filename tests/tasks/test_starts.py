"""Episodes that do not begin in the reference: standing, or fallen."""

from __future__ import annotations

import pytest
import torch

from mimickit.errors import CheckpointError, ConfigError
from mimickit.tasks.starts import fallen_states
from tests.envs.parts import DT, make_task, random_state, same_bits
from tests.no_sync import no_sync

N = 400
EVERYWHERE = torch.ones(N, dtype=torch.bool)


@pytest.fixture(scope="module")
def falls(humanoid):
    """Five states that could be falls."""
    return random_state(humanoid, 5, seed=3, height=0.2)


def task_of(humanoid, falls=None, num=N, **changes):
    settings = {"pose_termination": False, "falls": falls, **changes}
    return make_task(humanoid, "walk", num, **settings)


def test_shares_of_episodes_begin_where_they_should(humanoid, falls):
    task = task_of(humanoid, falls, default_pose_share=0.5, fallen_share=0.25)
    start = task.reset(EVERYWHERE)
    fallen, elsewhere = task.starts.fallen, task.elsewhere
    assert fallen.float().mean().item() == pytest.approx(0.25, abs=0.06)
    assert elsewhere.float().mean().item() == pytest.approx(0.75, abs=0.06)
    standing = elsewhere & ~fallen
    assert same_bits(start, task.reference, ~elsewhere)
    # Standing: at the origin, at rest, upright.
    place = torch.tensor([0.0, 0.0, humanoid.default_height])
    assert torch.equal(start.root_pos[standing], place.expand(int(standing.sum()), 3))
    assert torch.equal(start.root_rot[standing][:, 3], torch.ones(int(standing.sum())))
    assert start.dof_vel[standing].abs().max() == 0
    # Fallen: all of the falls are drawn, whole.
    which = (start.root_pos[fallen].unsqueeze(1) == falls.root_pos).all(-1).long().argmax(-1)
    assert sorted(which.unique().tolist()) == [0, 1, 2, 3, 4]
    assert torch.equal(start.joint_rot[fallen], falls.joint_rot[which])


def test_only_masked_envs_begin_anew(humanoid, falls):
    task = task_of(humanoid, falls, default_pose_share=0.4, fallen_share=0.4)
    task.reset(EVERYWHERE)
    before = task.starts.state_dict()
    mask = torch.arange(N) < N // 2
    task.reset(mask)
    for name in ("elsewhere", "fallen"):
        now = getattr(task.starts, name)
        assert torch.equal(now[~mask], before[name][~mask])
        assert not torch.equal(now[mask], before[name][mask])


def test_lying_ends_an_episode_that_began_fallen_only_after_its_grace(humanoid, falls):
    task = task_of(humanoid, falls, num=2, fallen_share=1.0, fallen_grace_s=3 * DT)
    lying = task.reset(torch.ones(2, dtype=torch.bool)).clone()
    lying.contact_force[:, 0, 2] = 100.0  # on the pelvis, which may not
    failed = []
    for _ in range(4):
        task.advance(lying)
        failed.append(task.failed(lying).tolist())
    # Three steps of grace: the step that ends the third is the first that may fail.
    assert failed == [[False] * 2] * 2 + [[True] * 2] * 2
    task.starts.fallen[0] = False
    task.reset(torch.zeros(2, dtype=torch.bool))
    task._steps.zero_()
    task.advance(lying)
    assert task.failed(lying).tolist() == [True, False]


def test_a_goal_is_set_from_where_the_episode_really_begins(humanoid):
    from tests.tasks.goals import GOALS

    changes = {"goal": GOALS["location"], "default_pose_share": 1.0, "global_frame": False}
    task = task_of(humanoid, num=8, **changes)
    task.reset(torch.ones(8, dtype=torch.bool))
    assert torch.equal(task.goal._motion.buffers["place"], torch.zeros(8, 2))  # the default pose's


def test_without_shares_nothing_is_drawn(humanoid):
    plain, other = make_task(humanoid, num=4), make_task(humanoid, num=4)
    assert plain.starts is None
    assert plain.elsewhere is None
    assert torch.equal(plain.generator.get_state(), other.generator.get_state())


def test_it_goes_on_from_its_state(humanoid, falls):
    settings = {"default_pose_share": 0.3, "fallen_share": 0.3}
    first = task_of(humanoid, falls.clone(), **settings)
    others = random_state(humanoid, 5, seed=4)
    second = task_of(humanoid, others, seed=7, **settings)
    first.reset(EVERYWHERE)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.elsewhere, second.elsewhere)
    assert same_bits(first.reset(EVERYWHERE), second.reset(EVERYWHERE))


def test_a_state_without_falls_is_refused_where_they_are_needed(humanoid, falls):
    state = task_of(humanoid, default_pose_share=0.5).state_dict()
    with pytest.raises(CheckpointError, match=r"no falls .* task\.fallen_share=0\.3"):
        task_of(humanoid, falls, fallen_share=0.3).load_state_dict(state)


def test_nothing_waits_for_the_device(humanoid, falls):
    task = task_of(humanoid, falls, default_pose_share=0.3, fallen_share=0.3)
    with no_sync():
        task.starts.draw(EVERYWHERE, task.reference)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default_pose_share": 1.5}, r"task.default_pose_share must be in \[0, 1\], got 1.5"),
        ({"default_pose_share": 0.6, "fallen_share": 0.6}, "add up to more than 1"),
        ({"default_pose_share": 0.5, "pose_termination": True}, "task.pose_termination=true"),
        ({"fallen_grace_s": -1.0}, "task.fallen_grace_s must be >= 0, got -1.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(humanoid, falls, changes, message):
    with pytest.raises(ConfigError, match=message):
        task_of(humanoid, falls, **changes)


@pytest.mark.slow
@pytest.mark.engine("mujoco_warp")
def test_falls_in_warp_worlds_are_on_the_ground_too(humanoid):
    from mimickit.engines.mujoco_warp import MujocoWarpEngine

    engine = MujocoWarpEngine(humanoid, 4, control_mode="pos", device="cpu")
    found = fallen_states(engine, torch.Generator().manual_seed(0))
    assert found.root_pos.shape == (2, 3)
    assert found.root_pos[:, 2].max() < 0.6
    assert found.root_vel.norm(dim=-1).max() < 0.1


@pytest.mark.engine("mujoco")
def test_falls_are_states_at_rest_on_the_ground_of_all_kinds(humanoid):
    from mimickit.engines.mujoco import MujocoEngine

    def fall(seed):
        engine = MujocoEngine(humanoid, 16, control_mode="pos", threads=1)
        return fallen_states(engine, torch.Generator().manual_seed(seed))

    found = fall(0)
    assert found.root_pos.shape == (8, 3)
    assert torch.equal(found.root_pos[:, :2], torch.zeros(8, 2))
    assert found.root_pos[:, 2].max() < 0.5  # it stands at 0.88 m
    assert found.body_pos[..., 2].min() > 0.0
    assert found.root_vel.norm(dim=-1).max() < 0.05
    distances = torch.cdist(found.joint_rot.flatten(1), found.joint_rot.flatten(1))
    assert distances[~torch.eye(8, dtype=torch.bool)].min() > 0.5
    assert same_bits(found, fall(0))
    assert not same_bits(found, fall(1))
