"""Learning runs without a word from the host, so a CUDA graph of it does the same."""

from __future__ import annotations

import io
from functools import partial

import pytest
import torch

from mimickit.algos import side_by_side as jobs
from mimickit.algos.ppo import PPO
from mimickit.algos.rollout import Rollout
from mimickit.graphs import Graphed
from mimickit.methods import Method
from mimickit.models.mlp import mlp
from mimickit.models.policy import Policy
from mimickit.models.precision import matmul_precision, run_network
from mimickit.specs import GroupSpec
from mimickit.state import Step
from mimickit.training.episodes import EpisodeStatistics
from tests.no_sync import no_sync

T, N, A = 6, 64, 3
GROUPS = {"policy": GroupSpec(20), "secret": GroupSpec(4)}
CPU = torch.device("cpu")
SGD = partial(torch.optim.SGD, lr=1e-2, momentum=0.9)
ADAM = partial(torch.optim.Adam, lr=1e-2)


class Learner:
    """All that learns in an iteration, on random observations; alike for equal arguments."""

    def __init__(self, device, factory=ADAM, sigma="fixed", precision="fp32"):
        torch.manual_seed(0)
        self.device = device
        self.policy = Policy(
            GROUPS,
            A,
            actor_groups=["policy"],
            critic_groups=["policy", "secret"],
            actor_hidden=[64, 32],
            critic_hidden=[64, 32],
            activation="silu",
            action_scale=0.01,
            sigma=sigma,
            sigma_init=0.3,
            normalizer_samples=3 * T * N,  # freezes on the way
            precision=precision,
        ).to(device)
        self.algo = PPO(
            self.policy,
            torch.Generator(device).manual_seed(1),
            steps=T,
            discount=0.9,
            trace=0.95,
            clip=0.2,
            advantage_clip=4.0,
            actor_epochs=2,
            critic_epochs=2,
            actor_minibatches=3,
            critic_minibatches=4,
            actor_optimizer=factory,
            critic_optimizer=factory,
            bound_weight=10.0,
            entropy_weight=0.01,
            max_grad_norm=1.0,
            schedule="linear",
        )
        self.method = Method("deepmimic", {"task": 1.0}, {})
        self.episodes = EpisodeStatistics(N, 0.1, device)
        self.rollout = Rollout(T, N, GROUPS, A, device, max_steps=4)
        self.draw = torch.Generator().manual_seed(2)
        self.noise = torch.Generator(device).manual_seed(3)

    def observe(self):
        return {
            name: torch.randn(N, spec.size, generator=self.draw).to(self.device)
            for name, spec in GROUPS.items()
        }

    def collect(self):
        for t in range(T):
            obs = self.observe()
            action, log_prob = self.policy.act(obs, self.noise)
            done = torch.randint(0, 8, (N,), generator=self.draw)
            done = torch.where(done > 3, 0, torch.where((done == 3) & (t % 4 > 0), 0, done))
            step = Step(
                reward={"near": -action.square().sum(-1), "alive": torch.ones_like(log_prob)},
                done=done.to(self.device),
                info={},
            )
            self.rollout.record(t, obs, action, log_prob, step, self.observe())
        self.rollout.finish(self.observe())

    def learn(self):
        metrics = self.method.reward(self.rollout)
        metrics.update(self.episodes.add(self.rollout.reward, self.rollout.done))
        metrics.update(self.algo.update(self.rollout, self.method.actor_terms()))
        metrics.update(self.method.update(self.rollout))
        self.policy.update_normalizers({k: v[:T] for k, v in self.rollout.obs.items()})
        return metrics


def numbers(metrics):
    return {name: value.item() for name, value in metrics.items()}


@pytest.fixture
def one_thread(monkeypatch):
    """The mode sees this thread only."""
    in_turn = lambda work, device, in_turn: jobs.side_by_side(work, device, True)  # noqa: E731
    monkeypatch.setattr("mimickit.algos.actor_critic.side_by_side", in_turn)


@pytest.mark.parametrize("sigma", ["fixed", "learned", "state"])
@pytest.mark.parametrize(
    "factory",
    [SGD, partial(torch.optim.SGD, lr=1e-2, fused=True), partial(ADAM, fused=True)],
    ids=["SGD", "fused SGD", "fused Adam"],  # plain Adam's step count lies on the host
)
def test_learning_never_waits_for_the_device(one_thread, sigma, factory):
    learner = Learner(CPU, factory, sigma)
    for _ in range(2):
        learner.collect()
        with no_sync():
            metrics = learner.learn()
    assert all(value.shape == () for value in metrics.values())
    assert {"train/return", "reward/near", "algo/lr", "algo/kl"} <= metrics.keys()


def test_acting_and_recording_never_wait_for_the_device():
    learner = Learner(CPU)
    learner.collect()
    t, obs, reached = torch.tensor([2]), learner.observe(), learner.observe()
    done = torch.ones(N, dtype=torch.long)
    with no_sync():
        action, log_prob = learner.policy.act(obs, learner.noise)
        reward = {"near": log_prob, "alive": log_prob}
        learner.rollout.record(t, obs, action, log_prob, Step(reward, done, {}), reached)


def test_threads_and_turns_give_the_same_bits(monkeypatch):
    together, in_turn = Learner(CPU), Learner(CPU)
    together.collect()
    ours = numbers(together.learn())
    monkeypatch.setattr(
        "mimickit.algos.actor_critic.side_by_side",
        lambda work, device, in_turn: jobs.side_by_side(work, device, True),
    )
    in_turn.collect()
    assert ours == numbers(in_turn.learn())


def test_jobs_return_in_order_whichever_ends_first():
    def job(result, steps):
        for step in range(steps):
            done.append((result, step))
            yield
        return result

    work = [partial(job, "a", 2), partial(job, "b", 0), partial(job, "c", 3)]
    for in_turn in (False, True):
        done = []
        assert jobs.side_by_side(work, CPU, in_turn) == ["a", "b", "c"]
    assert done == [("a", 0), ("c", 0), ("a", 1), ("c", 1), ("c", 2)]  # on every rank alike


CUDA = torch.device("cuda", 0)


@pytest.mark.gpu
@pytest.mark.parametrize("factory", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_graph_learns_what_eager_work_learns(factory, precision):
    eager, graphed = (Learner(CUDA, factory, precision=precision) for _ in range(2))
    assert graphed.algo.capturable
    learn = Graphed(graphed.learn, CUDA, [graphed.algo.generator])
    for iteration in range(5):
        found = []
        for learner, work in ((eager, eager.learn), (graphed, learn)):
            learner.algo.set_progress(iteration / 5)
            learner.collect()
            found.append(numbers(work()))
        assert found[1] == pytest.approx(found[0], rel=1e-3, abs=1e-5, nan_ok=True)
    assert found[1]["algo/lr"] == pytest.approx(1e-2 * (1.0 - 4 / 5))
    for name, ours in graphed.policy.state_dict().items():
        torch.testing.assert_close(ours, eager.policy.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("factory", [SGD, ADAM], ids=["SGD", "Adam"])
def test_learning_on_the_device_never_synchronises(factory):
    learner = Learner(CUDA, factory)
    learn = Graphed(learner.learn, CUDA, [learner.algo.generator])
    for iteration in range(4):
        learner.algo.set_progress(iteration / 4)
        learner.collect()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error" if iteration != 2 else "default")  # 2: captures
        try:
            learn()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("factory", [SGD, ADAM], ids=["SGD", "Adam"])
def test_going_on_from_a_state_needs_no_new_graph(factory):
    straight, other = Learner(CUDA, factory), Learner(CUDA, factory)
    learn = Graphed(other.learn, CUDA, [other.algo.generator])
    for _ in range(4):  # away from the state, and captured
        other.collect()
        learn()
    straight.collect()
    straight.learn()
    other.policy.load_state_dict(straight.policy.state_dict())
    other.algo.load_state_dict(straight.algo.state_dict())
    other.episodes.load_state_dict(straight.episodes.state_dict())
    other.draw.set_state(straight.draw.get_state())
    other.noise.set_state(straight.noise.get_state())
    for learner, work in ((straight, straight.learn), (other, learn)):
        learner.collect()
        work()
    for name, ours in other.policy.state_dict().items():
        torch.testing.assert_close(ours, straight.policy.state_dict()[name], rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("factory", [SGD, ADAM], ids=["SGD", "Adam"])
@pytest.mark.parametrize(("source", "target"), [(CPU, CUDA), (CUDA, CPU)], ids=["up", "down"])
def test_moments_go_from_one_device_to_another(factory, source, target):
    before, after = Learner(source, factory), Learner(target, factory)
    before.collect()
    before.learn()
    file = io.BytesIO()
    torch.save([before.policy.state_dict(), before.algo.state_dict()], file)
    file.seek(0)
    policy, algo = torch.load(file, map_location="cpu", weights_only=True)
    after.policy.load_state_dict(policy)
    after.algo.learner.actor_optimizer.load_state_dict(algo["actor_optimizer"])
    after.algo.learner.critic_optimizer.load_state_dict(algo["critic_optimizer"])
    for learner in (before, after):
        optimizer = learner.algo.learner.critic_optimizer
        inputs = torch.linspace(-1.0, 1.0, 24, device=learner.device).expand(5, 24)
        optimizer.step(learner.policy.value(inputs).square().mean())
    for ours, theirs in zip(after.policy.critic.parameters(), before.policy.critic.parameters()):
        torch.testing.assert_close(ours.cpu(), theirs.cpu(), rtol=1e-4, atol=1e-6)


@pytest.mark.gpu
def test_precision_is_of_the_networks_alone():
    network, inputs = mlp(512, [512, 512], 64).to(CUDA), torch.randn(512, 512, device=CUDA)

    def output(precision):
        with torch.no_grad(), matmul_precision(precision, CUDA):
            return run_network(network, inputs, precision)

    exact = output("fp32")
    tf32, bf16 = ((output(name) - exact).abs().max().item() for name in ("tf32", "bf16"))
    assert 0.0 < tf32 < bf16 < 0.1
    assert output("bf16").dtype == torch.float32
    with torch.no_grad():
        assert torch.equal(network(inputs), exact)  # outside, products are exact again


@pytest.mark.gpu
def test_precision_is_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError), matmul_precision("tf32", CUDA):
        assert torch.get_float32_matmul_precision() == "high"
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == "highest"
