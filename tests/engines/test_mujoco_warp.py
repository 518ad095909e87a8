"""What only the MuJoCo Warp engine promises: graphs, bounded room, and MuJoCo's own physics."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch

from mimickit.characters import Kinematics
from mimickit.engines.engine import default_state
from mimickit.errors import ConfigError, EngineError
from mimickit.objects import read_objects
from tests.engines.states import agree, same_bits

pytestmark = pytest.mark.engine("mujoco_warp")
mujoco = pytest.importorskip("mujoco", minversion="4.0")
pytest.importorskip("mujoco_warp")


# The C engine's own limits, which nothing here reaches.
EXACT = {"solver_iterations": 100, "line_search_iterations": 50}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds engines on the CPU unless told otherwise."""
    from mimickit.engines.mujoco_warp import MujocoWarpEngine

    monkeypatch.chdir(tmp_path)

    def engine(character, num_envs, **settings):
        return MujocoWarpEngine(character, num_envs, **{"device": "cpu", **settings})

    return engine


def commands_for(character, num, steps, spread=0.3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    default = torch.tensor(character.default_dofs, dtype=torch.float32)
    noise = torch.randn(steps, num, character.num_dofs, generator=generator)
    return default + spread * noise


def run(engine, commands):
    for command in commands:
        engine.command(command)
        engine.step()


# ---------------------------------------------------------------------------------- physics


@pytest.mark.slow
def test_each_substep_is_mujocos_own(build, humanoid):
    """From the same states, with falls and contacts: 2,400 substeps of C and of Warp."""
    from mimickit.engines.mujoco import MujocoEngine

    warp = build(humanoid, 32, control_hz=120, **EXACT)
    c = MujocoEngine(humanoid, 32, control_hz=120)
    in_contact = 0
    for command in commands_for(humanoid, 32, 25).repeat_interleave(3, dim=0):
        for engine in (c, warp):
            engine.command(command)
        saved, theirs = warp.state_dict(), c.state_dict()["worlds"]
        for name in ("qpos", "qvel", "qacc_warmstart"):
            saved["worlds"][name] = theirs[name]
        warp.load_state_dict(saved)
        for engine in (c, warp):
            engine.step()
        qvel = [engine.state_dict()["worlds"]["qvel"].float() for engine in (warp, c)]
        torch.testing.assert_close(qvel[0], qvel[1], atol=5e-3, rtol=0)
        forces = [engine.state.contact_force for engine in (warp, c)]
        torch.testing.assert_close(forces[0], forces[1], atol=1.0, rtol=1e-2)
        in_contact += int((forces[1] != 0).any(-1).any(-1).sum())
    assert in_contact > 600


def test_falls_agree_with_mujocos_own(build, humanoid):
    """64 falls of 100 substeps. A few part ways over a contact, as two falls in C do.

    Those differ in qpos by up to 0.1 where they began 1e-7 m apart.
    """
    from mimickit.engines.mujoco import MujocoEngine

    warp, c = build(humanoid, 64, **EXACT), MujocoEngine(humanoid, 64)
    for engine in (warp, c):
        run(engine, commands_for(humanoid, 64, 1).expand(25, -1, -1))
    assert (c.state.contact_force != 0).any(-1).any(-1).float().mean() > 0.8
    ours, theirs = (engine.state_dict()["worlds"]["qpos"].double() for engine in (warp, c))
    error = (ours - theirs).abs().amax(-1)
    assert error.median() < 1e-5
    assert error.quantile(0.9) < 1e-4


def efforts(robot):
    """Proportional and damping gains, and torque limits, of the dofs: three [D]."""
    facts = (
        [getattr(joint, key) for joint in robot.joints] for key in ("kp", "kd", "torque_limit")
    )
    return (torch.tensor(robot.per_dof(values), dtype=torch.float32) for values in facts)


@pytest.mark.parametrize("height", [0.0, 100.0], ids=["falls", "air"])
@pytest.mark.parametrize("name", ["g1", "go2"])
def test_motors_at_and_below_their_limits_push_as_mujocos_own(build, request, name, height):
    """Each substep from the same states, under targets that ask for up to 1.2 times the limits.

    In the air all agree. On the ground 2 % do not: friction is a pyramid, which MuJoCo aligns with
    the axis of a capsule, and MuJoCo Warp does not where that is steep.
    """
    from mimickit.engines.mujoco import MujocoEngine

    robot = request.getfixturevalue(name)
    warp = build(robot, 16, control_hz=200, sim_hz=200, **EXACT)
    c = MujocoEngine(robot, 16, control_hz=200, sim_hz=200)
    start = c.state.clone()
    start.root_pos[:, 2] += height
    c.write(torch.ones(16, dtype=torch.bool), start)
    kp, kd, limit = efforts(robot)
    errors, in_contact, at_limit = [], 0, []
    for noise in (2.4 * torch.rand(30, 16, robot.num_dofs) - 1.2).repeat_interleave(4, dim=0):
        command = torch.tensor(robot.default_dofs, dtype=torch.float32) + noise * limit / kp
        saved, theirs = warp.state_dict(), c.state_dict()["worlds"]
        for field in ("qpos", "qvel", "qacc_warmstart"):
            saved["worlds"][field] = theirs[field]
        warp.load_state_dict(saved)
        angle, speed = theirs["qpos"][:, 7:].float(), theirs["qvel"][:, 6:].float()
        at_limit.append((kp * (command - angle) - kd * speed).abs() >= limit)
        for engine in (c, warp):
            engine.command(command)
            engine.step()
        qvel = [engine.state_dict()["worlds"]["qvel"].float() for engine in (warp, c)]
        errors.append((qvel[0] - qvel[1]).abs().amax(-1))
        in_contact += int((c.state.contact_force != 0).any(-1).any(-1).sum())
    error = torch.stack(errors)
    assert error.quantile(0.95) < 1e-3
    assert 0.05 < torch.stack(at_limit).float().mean() < 0.5
    if height:
        assert error.max() < 2e-2  # of speeds up to 60 rad/s
    else:
        assert in_contact > 400


# ---------------------------------------------------------------------------------- forces


def test_only_the_lower_corners_of_a_foot_are_pushed_as_by_mujoco(build, humanoid):
    """Even with all eight in the floor, as at the bottom of a hard landing."""
    engine = build(humanoid, 1, control_hz=120)
    start = default_state(humanoid, Kinematics(humanoid), 1)
    start.root_pos[:, 2] -= 0.1
    engine.write(torch.tensor([True]), start)
    engine.step()
    data = mujoco.MjData(engine.model)
    engine.write(torch.tensor([True]), start)
    data.qpos[:] = engine.state_dict()["worlds"]["qpos"][0].numpy()
    mujoco.mj_forward(engine.model, data)
    contacts = engine.worlds.data
    found = int(contacts.nacon.numpy()[0])
    heeded = contacts.contact.dist.numpy()[:found][contacts.contact.type.numpy()[:found] & 1 == 1]
    assert sorted(heeded) == pytest.approx(sorted(data.contact.dist), abs=1e-6)
    assert (heeded < -0.09).sum() == 8 and found > len(heeded)


def sensors(engine):
    """A function that gives what MuJoCo's own make of the last substep's forces, [N, B, 3]."""
    import mujoco_warp as mjw
    import warp as wp

    from mimickit.engines.mujoco_model import build_model

    compiled = build_model(engine.character, engine.sim_dt, "pos", 10, native_drives=False)
    with wp.ScopedDevice("cpu"):
        model = mjw.put_model(compiled)
        sensordata = wp.zeros((engine.num_envs, compiled.nsensordata), dtype=float)
    data = dataclasses.replace(engine.worlds.data, sensordata=sensordata)

    def sense():
        with wp.ScopedDevice("cpu"):
            sensordata.zero_()
            mjw.sensor_acc(model, data)
        return wp.to_torch(sensordata).view(engine.num_envs, -1, 3)

    return sense


def test_ground_forces_are_those_of_mujocos_own_sensors(build, humanoid):
    """Of falls that end on hands, knees and heads, and on the characters' own limbs."""
    engine = build(humanoid, 8)
    sense, touched = sensors(engine), torch.zeros(15, dtype=torch.bool)
    for command in commands_for(humanoid, 8, 1, spread=0.5).repeat(12, 1, 1):
        run(engine, command.expand(5, -1, -1))
        force = engine.state.contact_force
        torch.testing.assert_close(force, sense(), atol=1e-2, rtol=1e-5)
        touched |= (force != 0).any(-1).any(0)
    assert touched.sum() > 7


@pytest.mark.parametrize(
    ("cone", "condim"),
    [
        ("pyramidal", 4),
        ("pyramidal", 6),
        pytest.param("elliptic", 3, marks=pytest.mark.slow),  # kernels of their own to compile
        pytest.param("elliptic", 6, marks=pytest.mark.slow),
    ],
)
def test_so_they_are_for_every_kind_of_contact(build, toy, cone, condim):
    """A ball that slides and spins, on a floor that resists both."""
    mjcf = toy.model.read_text().replace("<worldbody>", f'<option cone="{cone}"/><worldbody>')
    toy.model.write_text(mjcf.replace('size="0.5"', f'size="0.5" condim="{condim}"'))
    engine = build(toy, 2)
    state = engine.state.clone()
    state.root_pos[:, 2] = 0.499
    state.root_vel[:, 0] = 0.5
    state.root_ang_vel[:, 2] = 3.0
    engine.write(torch.tensor([True, False]), state)
    sense = sensors(engine)
    pushed = torch.zeros(3)
    for _ in range(6):
        engine.step()
        force = engine.state.contact_force
        torch.testing.assert_close(force, sense(), atol=1e-2, rtol=1e-5)
        pushed = torch.maximum(pushed, force[0, 0].abs())
        assert (force[1] == 0).all()
    assert pushed[2] > 5e4
    assert pushed[0] > 10.0


def test_mujoco_neither_drives_nor_senses_what_the_engine_does_itself(build, humanoid):
    """Such stages would be launched in every substep."""
    model = build(humanoid, 1).model
    assert (model.nu, model.nsensor) == (0, 0)
    assert build(humanoid, 1, control_mode="torque").model.nu == 28


def test_a_files_dry_friction_holds_what_pushes_less(build, toy):
    toy.model.write_text(toy.model.read_text().replace("range=", 'frictionloss="0.2" range='))
    engine = build(toy, 2, control_mode="torque")
    run(engine, torch.tensor([[[0.0, 0.0, 0.0, 0.1], [0.0, 0.0, 0.0, 0.25]]] * 3))
    held, moved = engine.state.dof_vel[:, 3]
    assert abs(held) < 0.02
    # 0.25 - 0.2 = 0.05 Nm for 0.1 s on 0.014 kg m^2
    assert moved == pytest.approx(0.05 * 0.1 / 0.014, rel=0.05)


# ---------------------------------------------------------------------------------- graphs


def test_replayed_graphs_give_the_bits_of_plain_launches(build, humanoid):
    commands = commands_for(humanoid, 4, 20)
    mask = torch.tensor([True, False, True, False])
    replayed, plain = build(humanoid, 4), build(humanoid, 4)
    plain._step, plain._write = plain.worlds.step, plain.worlds.write
    for engine in (replayed, plain):
        run(engine, commands[:12])
        engine.write(mask, engine.state.clone())
        run(engine, commands[12:])
    assert (replayed.state.contact_force != 0).any()
    assert same_bits(replayed.state, plain.state)


def test_a_changed_option_counts_after_recapture(build, toy):
    engine = build(toy, 1, control_mode="none")
    engine.step()
    engine.worlds.model.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    engine.recapture()
    start = engine.state.root_pos[0, 2].item()
    speed = engine.state.root_vel[0, 2].item()
    engine.step()
    # RK4 has no error in free fall; implicitfast falls by g t dt / 2 = 1.4 mm more.
    fallen = start - engine.state.root_pos[0, 2].item()
    assert fallen == pytest.approx(-speed / 30 + 0.5 * 9.81 / 30**2, abs=1e-5)


def test_what_is_a_view_of_mujocos_arrays_is_not_copied(build, humanoid):
    engine = build(humanoid, 2)
    worlds = engine.worlds.saved
    assert engine.state.root_pos.data_ptr() == worlds["qpos"].data_ptr()
    assert engine.state.root_vel.data_ptr() == worlds["qvel"].data_ptr()


def test_a_write_may_name_the_engines_own_state(build, humanoid):
    engine = build(humanoid, 3)
    run(engine, commands_for(humanoid, 3, 5))
    before = engine.state.clone()
    engine.write(torch.tensor([True, True, False]), engine.state)
    for name in ("root_pos", "root_rot", "root_vel", "joint_rot", "dof_vel", "body_pos"):
        torch.testing.assert_close(
            getattr(engine.state, name), getattr(before, name), atol=1e-6, rtol=1e-6, msg=name
        )


# ---------------------------------------------------------------------------------- divergence


def test_a_world_that_blew_up_is_at_rest_in_the_default_pose(build, humanoid):
    engine, fresh = build(humanoid, 3), build(humanoid, 1)
    commands = commands_for(humanoid, 3, 6)
    commands[5, 1, 5] = float("nan")
    run(engine, commands)
    assert engine.diverged.tolist() == [False, True, False]
    for name, tensor in vars(fresh.state).items():
        assert torch.equal(getattr(engine.state, name)[1], tensor[0]), name


@pytest.mark.parametrize("mode", ["pos", "vel", "torque", "pd_1d"])
def test_a_command_that_is_no_number_counts_as_divergence_in_every_mode(build, wheels, mode):
    engine = build(wheels, 2, control_mode=mode)
    run(engine, torch.tensor([[[0.0, 0.0], [0.0, float("nan")]]]))
    assert engine.diverged.tolist() == [False, True]


# ---------------------------------------------------------------------------------- room


def standing(build, humanoid, **room):
    """Two engines of one humanoid that stands on eight contacts, or 32 rows, and one in the air."""
    engine = build(humanoid, 2, **room)
    state = engine.state.clone()
    state.root_pos[1, 2] = 5.0
    engine.write(torch.tensor([False, True]), state)
    run(engine, commands_for(humanoid, 2, 8, spread=0.0))
    return engine


def test_dropped_rows_are_counted_and_end_the_episode(build, humanoid, capfd):
    engine = standing(build, humanoid, njmax=16)
    assert engine.diverged.tolist() == [True, False]
    rows, contacts = engine.overflows.tolist()
    assert 4 <= rows <= 8
    assert contacts == 0
    with pytest.raises(EngineError) as caught:
        engine.check()
    assert str(caught.value) == (
        f"MuJoCo Warp dropped constraint rows in {rows} world steps: raise engine.njmax above 16"
    )
    assert "overflow" not in "".join(capfd.readouterr())  # kernels that print stall the device


def test_dropped_contacts_are_counted_for_all_who_share_the_pool(build, humanoid):
    engine = standing(build, humanoid, nconmax=3)
    assert engine.diverged.tolist() == [True, True]
    rows, contacts = engine.overflows.tolist()
    assert rows == 0
    assert contacts >= 8
    with pytest.raises(
        EngineError, match=r"dropped contacts in \d+ world steps: raise engine.ncon"
    ):
        engine.check()


def test_room_for_a_humanoid_is_enough_for_falls(build, humanoid):
    engine = build(humanoid, 16)
    assert (engine.nconmax, engine.njmax) == (32, 112)
    run(engine, commands_for(humanoid, 16, 1).expand(60, -1, -1))
    assert (engine.state.root_pos[:, 2] < 0.4).float().mean() > 0.8
    engine.check()
    assert not engine.diverged.any()


@pytest.mark.parametrize("name", ["g1", "go2"])
def test_room_for_a_robot_is_enough_for_falls(build, request, name):
    robot = request.getfixturevalue(name)
    engine = build(robot, 16, control_hz=50, sim_hz=200)
    assert (engine.nconmax, engine.njmax) == (40, 144)
    kp, _, limit = efforts(robot)
    for _ in range(30):
        noise = (2 * torch.rand(16, robot.num_dofs) - 1) * limit / kp
        command = torch.tensor(robot.default_dofs, dtype=torch.float32) + noise
        run(engine, command.expand(3, -1, -1))
        assert not engine.diverged.any()
    assert (engine.state.root_pos[:, 2] < 0.6 * robot.default_height).float().mean() > 0.5
    engine.check()


# ---------------------------------------------------------------------------------- baseline


def test_the_baseline_leaves_the_worlds_as_they_were(build, humanoid):
    from mimickit.engines.mujoco_warp_baseline import warp_seconds_per_step

    commands = commands_for(humanoid, 2, 8)
    measured, other = build(humanoid, 2), build(humanoid, 2)
    for engine in (measured, other):
        run(engine, commands[:5])
    assert 0 < warp_seconds_per_step(measured, 3) < 1
    assert same_bits(measured.state, other.state)
    for engine in (measured, other):
        run(engine, commands[5:])
    assert same_bits(measured.state, other.state)


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("key", ["solver_iterations", "line_search_iterations", "nconmax", "njmax"])
def test_sizes_below_one_are_refused(build, humanoid, key):
    with pytest.raises(ConfigError, match=rf"engine\.{key} must be at least 1, got 0"):
        build(humanoid, 1, **{key: 0})


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("gpu", "engine.device=gpu: choose auto, cpu, cuda or cuda:0"),
        ("meta", "engine.device=meta: MuJoCo Warp runs on cuda and cpu only"),
        ("cuda:63", "engine.device=cuda:63: (there are only cuda:0|torch .* finds no CUDA device)"),
    ],
)
def test_a_device_that_is_not_there_is_refused(build, humanoid, device, message):
    with pytest.raises(ConfigError, match=message):
        build(humanoid, 1, device=device)


@pytest.mark.parametrize("missing", ["warp", "mujoco_warp", "mujoco.batch"])
def test_a_missing_package_is_told_with_what_to_install(build, humanoid, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EngineError, match=r"pip install mujoco-warp==4\.0\.0 warp-lang==1\.19\.0"):
        build(humanoid, 1)


def test_the_notice_before_compiling_says_where_kernels_are_kept():
    import warp

    from mimickit.engines.mujoco_warp import compile_notice

    notice = compile_notice()
    assert "about a minute the first time" in notice
    assert notice.endswith(f"kept in {warp.config.kernel_cache_dir}")


# ---------------------------------------------------------------------------------- CUDA


@pytest.mark.gpu
def test_torchs_graph_replays_steps_and_writes_without_waiting(build, humanoid):
    """Two control steps and a masked write as one graph of torch's, against plain calls."""
    device = torch.device("cuda")
    captured, plain = (build(humanoid, 8, device="cuda") for _ in range(2))
    commands = commands_for(humanoid, 8, 2).to(device)
    mask = torch.tensor([True, False] * 4, device=device)
    start = captured.state.clone()

    def work(engine):
        for command in commands:
            engine.command(command)
            engine.step()
        engine.write(mask, start)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        work(captured)
    torch.cuda.current_stream().wait_stream(stream)
    work(plain)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work(captured)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(10):
            graph.replay()
            work(plain)
        for engine in (captured, plain):  # by graphs of their own again
            engine.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (captured.state.contact_force != 0).any()
    assert agree(captured.state, plain.state)


@pytest.mark.gpu
def test_the_default_device_is_cuda_where_there_is_one(build, humanoid):
    assert build(humanoid, 1, device="auto").device == torch.device("cuda", 0)


# ---------------------------------------------------------------------------------- objects

BALL = {"name": "ball", "shape": "sphere", "size": 0.1, "mass": 2.0, "pos": [1.0, 0.0, 1.2]}
CRATE = {"name": "crate", "shape": "box", "size": [0.3, 0.3, 0.2], "mass": 5.0, "pos": [0, 0, 0.2]}
STEP = {"name": "step", "shape": "box", "size": [0.3, 0.6, 0.1], "pos": [0.4, 0.0, 0.1]}


def test_a_thrown_ball_does_what_it_does_in_c(build, humanoid):
    """Bounces off the chest and to the floor, 12 control steps, with the forces on the way."""
    from mimickit.engines.mujoco import MujocoEngine

    objects = read_objects([BALL])
    engines = (
        build(humanoid, 1, objects=objects, **EXACT),
        MujocoEngine(humanoid, 1, objects=objects),
    )
    for engine in engines:
        state = engine.objects.clone()
        state.vel[..., 0] = -10.0
        engine.write_objects(torch.tensor([[True]]), state)
    touched = False
    for command in commands_for(humanoid, 1, 12, spread=0.0):
        for engine in engines:
            engine.command(command)
            engine.step()
        warp, c = (engine.objects for engine in engines)
        for name, tolerance in (("pos", 1e-4), ("vel", 1e-3), ("contact_force", 1.0)):
            torch.testing.assert_close(
                getattr(warp, name), getattr(c, name), atol=tolerance, rtol=1e-3, msg=name
            )
        touched |= bool((c.contact_force != 0).any())
    assert touched


def test_writes_of_objects_are_replayed_as_they_were_launched(build, humanoid):
    objects = read_objects([BALL, CRATE])
    replayed, plain = (build(humanoid, 3, objects=objects) for _ in range(2))
    plain._step, plain._write = plain.worlds.step, plain.worlds.write
    plain._write_objects = plain.worlds.write_objects
    mask = torch.tensor([[True, False], [False, True], [False, False]])
    for engine in (replayed, plain):
        for command in commands_for(humanoid, 3, 6):
            state = engine.objects.clone()
            state.vel[..., 1] += 1.0
            engine.write_objects(mask, state)
            engine.command(command)
            engine.step()
    assert same_bits(replayed.state, plain.state)
    assert same_bits(replayed.objects, plain.objects)


def test_objects_have_room_of_their_own(build, humanoid):
    """Eight contacts of four rows each: 18 geoms * 1.5 + 2 * 8 = 43, 18 * 6 + 2 * 32 = 172."""
    engine = build(humanoid, 8, objects=read_objects([{**CRATE, "pos": [0.4, 0, 0.5]}, STEP]))
    assert (engine.nconmax, engine.njmax) == (48, 176)
    run(engine, commands_for(humanoid, 8, 1, spread=0.5).expand(60, -1, -1))
    engine.check()
    assert not engine.diverged.any()


def test_without_free_objects_no_kernel_of_theirs_is_launched(build, humanoid, monkeypatch):
    from mimickit.engines import mujoco_warp_object_kernels as theirs
    from mimickit.engines import mujoco_warp_worlds as worlds

    launched = []
    launch = worlds.wp.launch
    monkeypatch.setattr(
        worlds.wp,
        "launch",
        lambda kernel, *a, **k: (launched.append(kernel), launch(kernel, *a, **k)),
    )
    names = ("write_objects", "read_objects", "add_touch_forces")
    kernels = [getattr(theirs, name) for name in names]
    counts = {}
    for nodes in ((), (STEP,), (BALL,)):
        engine = build(humanoid, 1, objects=read_objects(nodes))
        launched.clear()
        engine.worlds.step()
        counts[len(nodes), bool(nodes and nodes[0].get("mass"))] = [
            kernel in launched for kernel in kernels
        ]
    assert counts == {(0, False): [False] * 3, (1, False): [False] * 3, (1, True): [True] * 3}
