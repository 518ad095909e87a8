"""The training loop on a world without physics: budgets, metrics, guards, going on."""

from __future__ import annotations

import os
import signal
import time

import pytest
import torch

from mimickit.errors import CheckpointError, RunError
from mimickit.evaluation import background
from mimickit.evaluation.evaluator import Evaluator
from mimickit.methods import Method, Part
from mimickit.training.checkpoint import BEST, Checkpoints, read
from mimickit.training.trainer import Trainer, TrainerSettings, _headline
from tests.algos.test_ppo import ppo
from tests.algos.toy import PointEnv, point_policy
from tests.evaluation.points import EvaluatedPoints

STEPS, NUM_ENVS = 4, 8
ITERATION = STEPS * NUM_ENVS


class Memory:
    """A logger that keeps its rows."""

    def __init__(self):
        self.rows = []
        self.resumed_at = None

    def resume(self, samples):
        self.resumed_at = samples

    def log(self, metrics, samples):
        self.rows.append({"samples": samples, **metrics})


class Scores:
    """An evaluator that hands out prepared scores and draws random numbers while at it."""

    def __init__(self, *scores):
        self.scores = list(scores)
        self.calls = 0

    def run(self, policy):
        score = self.scores[min(self.calls, len(self.scores) - 1)]
        self.calls += 1
        torch.randn(17)
        policy.act_deterministic({"policy": torch.zeros(3, 2)})
        return {"overall": {"return": score, "episodes": 3, "success_rate": 1.0}, "clips": {}}


class Raise(Part):
    """Calls a function at the n-th update."""

    def __init__(self, at, action):
        self.at, self.action, self.updates = at, action, 0

    def update(self, rollout):
        self.updates += 1
        if self.updates == self.at:
            self.action()
        return {"updates": torch.tensor(float(self.updates))}

    def state_dict(self):
        return {"updates": self.updates}

    def load_state_dict(self, state):
        self.updates = state["updates"]


def trainer(folder, iterations=4, **changes):
    policy = point_policy()
    settings = {
        "max_samples": iterations * ITERATION,
        "evaluate_every": 2 * ITERATION,
        "checkpoint_every_s": 0.0,
        "progress": False,
    }
    settings.update({k: changes.pop(k) for k in list(changes) if k in settings})
    parts = {
        "env": PointEnv(NUM_ENVS),
        "policy": policy,
        "algo": ppo(policy, steps=STEPS),
        "method": Method("deepmimic", {"task": 1.0}, {}),
        "evaluator": Scores(1.0),
        "logger": Memory(),
        "checkpoints": Checkpoints(folder, keep=100),
        "settings": TrainerSettings(**settings),
        "noise": torch.Generator().manual_seed(2),
        "config": {},
        "facts": {"character": "point"},
    }
    parts.update(changes)
    return Trainer(**parts)


def same_weights(a, b):
    pairs = zip(a.policy.state_dict().values(), b.policy.state_dict().values())
    return all(torch.equal(x, y) for x, y in pairs)


def results(rows):
    """Rows without what depends on the clock; NaN, which equals nothing, as text."""
    return [
        {k: str(v) if v != v else v for k, v in row.items() if not k.startswith("time/")}
        for row in rows
    ]


def test_ends_with_the_iteration_that_spends_the_budget(tmp_path):
    run = trainer(tmp_path, max_samples=2 * ITERATION + 1)
    assert run.train()
    assert [row["samples"] for row in run.logger.rows] == [ITERATION, 2 * ITERATION, 3 * ITERATION]
    assert run.counters.iterations == 3
    assert read(run.checkpoints.newest())["samples"] == 3 * ITERATION


def test_a_spent_budget_trains_no_further(tmp_path):
    run = trainer(tmp_path)
    run.train()
    again = trainer(tmp_path)
    again.load(read(run.checkpoints.newest()), run.checkpoints.newest())
    assert again.train()
    assert again.logger.rows == []
    assert same_weights(run, again)


def test_every_row_says_how_fast_and_what_took_how_long(tmp_path):
    run = trainer(tmp_path)
    run.train()
    for row in run.logger.rows:
        assert row["time/samples_per_s"] == pytest.approx(
            ITERATION / (row["time/simulate_s"] + row["time/learn_s"])
        )
    walls = [row["time/wall_s"] for row in run.logger.rows]
    assert 0 < walls[0] < walls[-1]
    assert walls == sorted(walls)
    assert [row["train/iterations"] for row in run.logger.rows] == [1, 2, 3, 4]
    assert all(name.count("/") == 1 for name in run.logger.rows[0] if name != "samples")


def test_wall_time_counts_everything_between_rows(tmp_path):
    class Slow(Memory):
        def log(self, metrics, samples):
            super().log(metrics, samples)
            time.sleep(0.05)

    run = trainer(tmp_path, logger=Slow())
    run.train()
    walls = [row["time/wall_s"] for row in run.logger.rows]
    assert all(after - before >= 0.05 for before, after in zip(walls[:-1], walls[1:]))


def test_evaluates_on_its_own_period_and_times_it(tmp_path):
    run = trainer(tmp_path, iterations=5)
    run.train()
    evaluated = [row["samples"] // ITERATION for row in run.logger.rows if "eval/return" in row]
    assert evaluated == [2, 4]
    timed = [row["samples"] // ITERATION for row in run.logger.rows if "time/evaluate_s" in row]
    assert timed == [2, 4]
    assert run.evaluator.calls == 2


def test_evaluation_leaves_training_untouched(tmp_path):
    with_it = trainer(tmp_path / "a", evaluate_every=ITERATION)
    without = trainer(tmp_path / "b", evaluate_every=1000 * ITERATION)
    with_it.train()
    without.train()
    assert (with_it.evaluator.calls, without.evaluator.calls) == (4, 0)
    assert same_weights(with_it, without)


def test_evaluations_are_logged_with_the_samples_of_the_policy_they_judge(tmp_path):
    run = trainer(tmp_path, iterations=5)
    run.train()
    rows = [row for row in run.logger.rows if "eval/return" in row]
    assert [row["eval/samples"] for row in rows] == [row["samples"] for row in rows]


def with_evaluation_beside(run, monkeypatch):
    """As on CUDA, but each turn is worked off at once: of 16 steps it takes four of five."""
    monkeypatch.setattr(background, "STEPS_PER_TURN", 5)
    env = EvaluatedPoints(num_envs=4)
    run.evaluator = Evaluator(env, env.generator, seed=5, episodes=8)
    run._background = background.BackgroundEvaluation(run.evaluator, run.policy)
    return run


def test_evaluation_beside_training_is_of_the_policy_that_it_began_with(tmp_path, monkeypatch):
    run = with_evaluation_beside(
        trainer(tmp_path, iterations=7, evaluate_every=ITERATION), monkeypatch
    )
    assert run.train()
    rows = [row for row in run.logger.rows if "eval/return" in row]
    # The first begins after iteration 1 and takes two turns there, then one after each. While it
    # runs, none begins. The end of the run waits for the second.
    at = [(row["samples"] // ITERATION, row["eval/samples"] // ITERATION) for row in rows]
    assert at == [(4, 1), (7, 5)]
    for row in rows:
        saved = read(tmp_path / f"checkpoint_{int(row['eval/samples']):012d}.pt")["policy"]
        policy = point_policy()
        policy.load_state_dict(saved)
        assert run.evaluator.run(policy)["overall"]["return"] == row["eval/return"]


def test_the_best_checkpoint_is_the_one_that_was_judged(tmp_path, monkeypatch):
    run = with_evaluation_beside(
        trainer(tmp_path, iterations=4, evaluate_every=ITERATION), monkeypatch
    )
    run.train()
    best, then = read(tmp_path / BEST), read(tmp_path / f"checkpoint_{ITERATION:012d}.pt")
    assert best["samples"] == ITERATION
    assert all(torch.equal(value, then["policy"][name]) for name, value in best["policy"].items())
    assert torch.equal(best["run"]["env"]["point"], then["run"]["env"]["point"])
    score = next(row["eval/return"] for row in run.logger.rows if "eval/return" in row)
    assert best["run"]["counters"]["best_score"] == run.counters.best_score == score


def test_evaluation_beside_training_leaves_it_untouched(tmp_path, monkeypatch):
    beside = with_evaluation_beside(trainer(tmp_path / "a", evaluate_every=ITERATION), monkeypatch)
    without = trainer(tmp_path / "b", evaluate_every=1000 * ITERATION)
    beside.train()
    without.train()
    assert same_weights(beside, without)


def test_a_longer_period_after_going_on_counts_from_where_the_run_is(tmp_path):
    run = trainer(tmp_path, iterations=4, evaluate_every=ITERATION)
    run.train()
    more = trainer(tmp_path, iterations=9, evaluate_every=3 * ITERATION)
    more.load(read(run.checkpoints.newest()), run.checkpoints.newest())
    more.train()
    evaluated = [row["samples"] // ITERATION for row in more.logger.rows if "eval/return" in row]
    assert evaluated == [6, 9]  # and not at once, nor never: 4 evaluations are behind it


def test_the_best_checkpoint_is_the_one_that_scored_best(tmp_path):
    run = trainer(tmp_path, iterations=4, evaluate_every=ITERATION, evaluator=Scores(1, 3, 2, 3))
    run.train()
    best = read(tmp_path / BEST)
    assert best["samples"] == 2 * ITERATION  # a tie does not replace the earlier one
    assert best["run"]["counters"]["best_score"] == 3


def test_going_on_does_not_forget_the_best_score(tmp_path):
    run = trainer(tmp_path, iterations=2, evaluate_every=ITERATION, evaluator=Scores(5, 1))
    run.train()
    more = trainer(tmp_path, iterations=4, evaluate_every=ITERATION, evaluator=Scores(4))
    more.load(read(run.checkpoints.newest()), run.checkpoints.newest())
    more.train()
    assert read(tmp_path / BEST)["samples"] == ITERATION


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_going_on_is_as_if_it_never_stopped(tmp_path, stopped_after):
    straight = trainer(tmp_path / "straight")
    straight.train()
    path = straight.checkpoints.paths()[stopped_after - 1]
    assert read(path)["samples"] == stopped_after * ITERATION
    resumed = trainer(tmp_path / "resumed", env=PointEnv(NUM_ENVS, seed=99))
    resumed.load(read(path), path)
    assert resumed.logger.resumed_at == stopped_after * ITERATION
    resumed.train()
    assert results(resumed.logger.rows) == results(straight.logger.rows[stopped_after:])
    assert same_weights(resumed, straight)
    assert resumed.counters.wall_s > straight.logger.rows[stopped_after - 1]["time/wall_s"]


def test_a_checkpoint_of_another_run_changes_nothing(tmp_path):
    run, other = trainer(tmp_path / "a"), trainer(tmp_path / "b", facts={"character": "line"})
    run.train()
    before = {k: v.clone() for k, v in other.policy.state_dict().items()}
    path = run.checkpoints.newest()
    with pytest.raises(CheckpointError, match="its character is point, here it is line"):
        other.load(read(path), path)
    assert all(torch.equal(v, before[k]) for k, v in other.policy.state_dict().items())
    assert other.logger.resumed_at is None


def test_checkpoints_have_a_period_of_wall_time(tmp_path):
    never = trainer(tmp_path / "never", checkpoint_every_s=1e9)
    never.train()
    assert len(never.checkpoints.paths()) == 1  # the one at the end
    always = trainer(tmp_path / "always")
    always.train()
    assert len(always.checkpoints.paths()) == 4


def poisoned(where, run, value=float("nan")):
    def poison():
        if where == "weight":
            with torch.no_grad():
                run.policy.actor[0].weight[0, 0] = value
        elif where == "statistics":
            run.rollout.obs["policy"][1, 0] = value
        else:
            run.rollout.terms["near"].fill_(value)

    return poison


@pytest.mark.parametrize("where", ["weight", "statistics"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_stop_the_run_and_reach_no_checkpoint(tmp_path, where, value):
    run = trainer(tmp_path)
    run.method = Method(
        "deepmimic",
        {"task": 1.0},
        {"bad": Raise(3, lambda: poisoned(where, run, value)())},
    )
    with pytest.raises(RunError) as raised:
        run.train()
    message = str(raised.value)
    assert message.startswith("iteration 3: ")
    assert "no longer a finite number" in message
    assert f"checkpoint_{2 * ITERATION:012d}.pt" in message
    assert "\n" not in message
    newest = read(run.checkpoints.newest())
    assert newest["samples"] == 2 * ITERATION
    assert all(bool(t.isfinite().all()) for t in newest["policy"].values())
    assert len(run.logger.rows) == 2


def test_a_metric_that_is_not_finite_is_named(tmp_path):
    run = trainer(tmp_path)

    class Bad(Part):
        def reward(self, rollout):
            return torch.full_like(rollout.reward, float("nan"))

    run.method = Method("deepmimic", {"task": 1.0, "bad": 1.0}, {"bad": Bad()})
    with pytest.raises(RunError, match=r"reward/bad.*good checkpoint is none yet.*learning rates"):
        run.train()
    assert run.checkpoints.paths() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_iteration_and_saves(tmp_path, number, capfd):
    straight = trainer(tmp_path / "straight")
    straight.train()
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stopper = {"stop": Raise(2, lambda: os.kill(os.getpid(), number))}
    run = trainer(
        tmp_path / "run",
        checkpoint_every_s=1e9,
        method=Method("deepmimic", {"task": 1.0}, stopper),
    )
    assert not run.train()
    assert run.counters.iterations == 2
    said = f"{number.name}: saves after this iteration, then ends\n"  # at once: it may take long
    assert said in capfd.readouterr().err
    assert read(run.checkpoints.newest())["samples"] == 2 * ITERATION
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_second_ctrl_c_ends_it_at_once(tmp_path):
    def twice():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    run = trainer(tmp_path, method=Method("m", {"task": 1.0}, {"stop": Raise(2, twice)}))
    with pytest.raises(KeyboardInterrupt):
        run.train()
    assert run.counters.samples == ITERATION
    assert signal.getsignal(signal.SIGINT) is handler


def test_the_linear_schedule_reaches_zero_with_the_budget(tmp_path):
    policy = point_policy()
    run = trainer(tmp_path, policy=policy, algo=ppo(policy, steps=STEPS, schedule="linear"))
    run.train()
    rates = [row["algo/lr"] for row in run.logger.rows]
    assert rates == pytest.approx([3e-3 * share for share in (1.0, 0.75, 0.5, 0.25)])


def test_a_noise_state_of_another_device_is_drawn_anew(tmp_path, caplog):
    run = trainer(tmp_path)
    run.train()
    path = run.checkpoints.newest()
    state = read(path)
    state["run"]["noise"] = torch.zeros(16, dtype=torch.uint8)  # as a CUDA device writes it
    trainer(tmp_path).load(state, path)
    assert "random state of the exploration noise" in caplog.text


def test_before_any_episode_has_ended_the_headline_says_so():
    assert _headline({"train/return": float("nan")}) == "no episode ended"
    assert _headline({"train/return": 2.0, "eval/success_rate": 0.5}) == "return 2  succeeds 50%"


def test_divergences_are_counted_in_the_log(tmp_path):
    run = trainer(tmp_path)
    run.env.divergences += 3
    run.train()
    assert run.logger.rows[-1]["train/divergences"] == 3.0
