"""What every engine must do with the objects of its worlds, whichever simulator is behind it."""

from __future__ import annotations

import math

import pytest
import torch

from mimickit.geometry.quaternion import quat_angle, quat_from_exp_map
from mimickit.objects import read_objects
from mimickit.state import CharacterState, ObjectState
from tests.engines.states import same_bits

GRAVITY = 9.81
BALL = {"name": "ball", "shape": "sphere", "size": 0.1, "mass": 2.0, "pos": [5.0, 1.0, 3.0]}
CRATE = {
    "name": "crate", "shape": "box", "size": [0.2, 0.1, 0.15], "mass": 3.0, "pos": [6.0, 0.0, 0.15],
    "rot": [0.0, 0.0, math.sin(0.3), math.cos(0.3)],
}  # fmt: skip
WALL = {"name": "wall", "shape": "box", "size": [0.2, 2.0, 1.0], "pos": [8.0, 0.0, 1.0]}
ALL = (BALL, WALL, CRATE)  # the fixed one in the middle: free ones keep their order


@pytest.fixture
def build(engine_factory, humanoid):
    """Builds engines of humanoids: (nodes, num_envs, **settings)."""

    def engine(nodes=ALL, num_envs=2, **settings):
        return engine_factory(humanoid, num_envs, objects=read_objects(nodes), **settings)

    return engine


def everyone(engine):
    return torch.ones(engine.num_envs, dtype=torch.bool)


def all_objects(engine):
    return torch.ones_like(engine.objects.pos[..., 0], dtype=torch.bool)


def stand(engine, steps):
    """Hold the default pose for some control steps."""
    engine.command(torch.tensor(engine.character.default_dofs).float().repeat(engine.num_envs, 1))
    for _ in range(steps):
        engine.step()


def test_objects_begin_at_rest_where_they_were_declared(build):
    engine = build()
    assert "objects" in engine.provides
    assert [one.name for one in engine.object_specs] == ["ball", "wall", "crate"]
    zeros = ObjectState.zeros(2, 2, engine.character.num_bodies)
    for name, tensor in vars(engine.objects).items():
        expected = getattr(zeros, name)
        assert (tensor.shape, tensor.dtype) == (expected.shape, expected.dtype), name
    places = torch.tensor([[[5.0, 1.0, 3.0], [6.0, 0.0, 0.15]]] * 2)
    torch.testing.assert_close(engine.objects.pos, places)
    turn = torch.tensor([[[0.0, 0.0, 0.0, 1.0], CRATE["rot"]]] * 2)
    torch.testing.assert_close(engine.objects.rot, turn)
    for name in ("vel", "ang_vel", "contact_force"):
        assert (getattr(engine.objects, name) == 0).all()


def test_the_characters_own_state_is_of_its_own_size(build):
    engine = build()
    zeros = CharacterState.zeros(2, 15, 28)
    for name, tensor in vars(engine.state).items():
        assert tensor.shape == getattr(zeros, name).shape, name


def test_what_is_written_is_read_back_in_the_world_frame(build):
    engine = build()
    state = engine.objects.clone()
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        drawn = torch.randn(*shape, generator=generator, device="cpu")
        return drawn.to(state.pos.device)

    for name in ("pos", "vel", "ang_vel"):
        getattr(state, name).copy_(normal(2, 2, 3))
    state.rot.copy_(quat_from_exp_map(normal(2, 2, 3)))
    before = engine.objects.clone()
    mask = torch.tensor([[True, False], [False, True]])
    engine.write_objects(mask, state)
    for name in ("pos", "vel", "ang_vel"):
        got = getattr(engine.objects, name)
        torch.testing.assert_close(got[mask], getattr(state, name)[mask], atol=1e-5, rtol=0)
        assert torch.equal(got[~mask], getattr(before, name)[~mask])
    assert quat_angle(engine.objects.rot, state.rot)[mask].max() < 1e-5
    assert torch.equal(engine.objects.rot[~mask], before.rot[~mask])


def test_a_spin_is_of_the_world_frame(build):
    """A ball turned by 90 degrees about x, spinning about the world's z, turns about z."""
    engine = build([BALL], control_hz=1000.0, sim_hz=1000.0)
    state = engine.objects.clone()
    state.rot.copy_(torch.tensor([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]).expand_as(state.rot))
    state.ang_vel[..., 2] = 3.0
    engine.write_objects(all_objects(engine), state)
    for _ in range(100):
        engine.step()
    half = torch.tensor(0.5 * 3.0 * 0.1)
    about_z = torch.tensor([0.0, 0.0, half.sin(), half.cos()])
    q = engine.objects.rot[0, 0]
    s = math.sqrt(0.5)
    # (about_z) * (s, 0, 0, s), multiplied out.
    expected = torch.stack([s * about_z[3], s * about_z[2], s * about_z[2], s * about_z[3]])
    assert quat_angle(q, expected) < 1e-3


def test_a_ball_falls_as_anything_does_and_comes_to_rest_on_the_floor(build):
    """Semi-implicit steps of dt fall g t (t + dt) / 2: 0.1 s at 120 Hz, 0.05314 m."""
    engine = build([BALL])
    for _ in range(3):
        engine.step()
    fallen = 3.0 - engine.objects.pos[:, 0, 2]
    expected = torch.full((2,), 0.5 * GRAVITY * 0.1 * (0.1 + 1 / 120))
    torch.testing.assert_close(fallen, expected, atol=1e-4, rtol=0)
    stand(engine, 60)
    torch.testing.assert_close(
        engine.objects.pos[:, 0, 2], torch.full((2,), 0.1), atol=5e-3, rtol=0
    )


def test_the_ground_forces_of_a_character_do_not_count_its_objects(build, same):
    """A crate lies on the floor: the feet carry what they carry without it."""
    with_objects, without = build(), build([])
    for engine in (with_objects, without):
        stand(engine, 15)
    force = with_objects.state.contact_force[:, :, 2].sum(-1)
    torch.testing.assert_close(
        force, without.state.contact_force[:, :, 2].sum(-1), atol=1.0, rtol=0
    )
    assert (with_objects.objects.contact_force == 0).all()


def test_a_wall_stops_a_ball_and_stays(build):
    engine = build([BALL, WALL])
    state = engine.objects.clone()
    state.pos[...] = torch.tensor([7.0, 0.0, 1.0])
    state.vel[..., 0] = 10.0
    engine.write_objects(all_objects(engine), state)
    farthest = -math.inf
    for _ in range(15):
        engine.step()
        farthest = max(farthest, float(engine.objects.pos[..., 0].max()))
    assert 7.6 < farthest < 7.8  # the wall's face is at 7.8 m, the ball's radius 0.1 m
    assert (engine.objects.contact_force == 0).all()  # of the character's bodies


def thrown_at_the_chest(engine):
    """A ball at 8 m/s, 0.5 m in front of the chest of world 0; the highest forces on it."""
    state = engine.objects.clone()
    height = engine.state.body_pos[0, 1, 2] + 0.12
    state.pos[:, 0] = torch.stack([torch.tensor(0.7), torch.tensor(0.0), height])
    state.vel[:, 0, 0] = -8.0
    mask = torch.zeros_like(all_objects(engine))
    mask[0, 0] = True
    engine.write_objects(mask, state)
    highest = torch.zeros_like(engine.objects.contact_force)
    for _ in range(24):
        stand(engine, 1)
        force = engine.objects.contact_force
        highest = torch.where(force.abs() > highest.abs(), force, highest)
    return highest


def test_a_ball_bounces_off_the_body_it_hits_and_pushes_it(build):
    engine = build(control_hz=120.0)
    force = thrown_at_the_chest(engine)
    assert engine.objects.vel[0, 0, 0] > -1.0  # it was stopped
    assert engine.state.root_vel[0, 0] < engine.state.root_vel[1, 0] - 0.05  # and the body pushed
    assert force[0, 0, 1, 0] > 100.0  # by the torso, away from it
    assert (force[1] == 0).all()  # in the other world none was thrown
    assert (force[:, 1] == 0).all()  # the crate
    assert engine.character.body_names[1] == "torso"
    hands = engine.character.body_ids(engine.character.hands, "")
    assert (force[:, :, hands] == 0).all()


def test_what_stands_on_an_obstacle_feels_no_ground(build):
    """And does not fall either."""
    deck = {"name": "deck", "shape": "box", "size": [1.0, 1.0, 0.25], "pos": [0.0, 0.0, 0.25]}
    engine = build([deck])
    state = engine.state.clone()
    state.root_pos[:, 2] += 0.5
    engine.write(everyone(engine), state)
    stand(engine, 20)
    assert (engine.state.root_pos[:, 2] > 1.2).all()
    assert (engine.state.contact_force == 0).all()


def test_a_write_of_a_character_puts_the_objects_of_its_world_back(build):
    engine = build()
    before = engine.objects.clone()
    stand(engine, 10)
    fallen = engine.objects.clone()
    engine.write(torch.tensor([True, False]), engine.state.clone())
    first, second = torch.tensor([True, False]), torch.tensor([False, True])
    assert same_bits(engine.objects, before, first)
    assert same_bits(engine.objects, fallen, second)


def test_a_written_object_leaves_the_others_as_they_were_ever_after(build, same):
    engines = [build(num_envs=3) for _ in range(2)]
    for engine in engines:
        stand(engine, 5)
    state = engines[0].objects.clone()
    state.vel[..., 0] = -5.0
    mask = torch.tensor([[False, False], [True, True], [False, False]])
    engines[0].write_objects(mask, state)
    for engine in engines:
        stand(engine, 15)
    untouched = torch.tensor([True, False, True])
    assert same(engines[0].state, engines[1].state, untouched)
    pos = [engine.objects.pos for engine in engines]
    torch.testing.assert_close(pos[0][untouched], pos[1][untouched], atol=1e-3, rtol=0)
    assert (pos[0][1] - pos[1][1]).norm(dim=-1).min() > 0.1


def test_a_saved_engine_goes_on_with_its_objects(build, same):
    original, copy = build(), build()
    thrown_at_the_chest(original)
    saved, state = original.state_dict(), original.objects.clone()
    thrown_at_the_chest(original)
    stand(copy, 7)
    copy.load_state_dict(saved)
    assert same_bits(copy.objects, state)
    thrown_at_the_chest(copy)
    assert same(copy.state, original.state)
    torch.testing.assert_close(copy.objects.pos, original.objects.pos, atol=1e-2, rtol=0)


def test_buffers_stay_where_they_are(build):
    engine = build()

    def pointers():
        return {name: tensor.data_ptr() for name, tensor in vars(engine.objects).items()}

    view, before, saved = engine.objects, pointers(), engine.state_dict()
    thrown_at_the_chest(engine)
    engine.write(torch.tensor([True, False]), engine.state.clone())
    engine.load_state_dict(saved)
    assert engine.objects is view
    assert pointers() == before


def test_a_world_that_blew_up_gets_its_objects_back(build):
    engine = build()
    start = engine.objects.clone()
    stand(engine, 5)
    command = torch.zeros(2, 28)
    command[0, 3] = float("nan")
    engine.command(command)
    engine.step()
    assert engine.diverged.tolist() == [True, False]
    first, second = torch.tensor([True, False]), torch.tensor([False, True])
    assert torch.equal(engine.objects.pos[first], start.pos[first])
    assert (engine.objects.pos[second] != start.pos[second]).any()
    for name, tensor in vars(engine.objects).items():
        assert torch.isfinite(tensor).all(), name


def test_friction_is_what_was_declared_not_the_larger_of_two(build):
    """On a floor of friction 1: a crate at 2 m/s with 0.1 stops after v^2 / (2 mu g) = 2.04 m."""
    crate = {**CRATE, "size": [0.2, 0.2, 0.05], "pos": [6.0, 0.0, 0.05], "friction": 0.1}
    engine = build([crate])
    stand(engine, 5)
    state = engine.objects.clone()
    state.vel[..., 0] = 2.0
    engine.write_objects(all_objects(engine), state)
    stand(engine, 75)
    slid = engine.objects.pos[:, 0, 0] - 6.0
    torch.testing.assert_close(slid, torch.full((2,), 2.04), atol=0.1, rtol=0)
    assert (engine.objects.vel.abs() < 0.05).all()


def test_without_objects_there_are_none_and_nothing_changes(build, engine_factory, humanoid, same):
    engine, plain = build([]), engine_factory(humanoid, 2)
    assert engine.objects.pos.shape == (2, 0, 3)
    assert set(engine.state_dict()) == set(plain.state_dict())
    engine.write_objects(all_objects(engine), engine.objects)
    for each in (engine, plain):
        stand(each, 10)
    assert same(engine.state, plain.state)
    assert (engine.model.nq, engine.model.nbody) == (plain.model.nq, plain.model.nbody)


def test_a_fixed_object_alone_adds_no_coordinates(build):
    engine = build([WALL])
    assert engine.objects.pos.shape == (2, 0, 3)
    assert engine.model.nbody == 1 + engine.character.num_bodies
