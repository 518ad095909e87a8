"""Every option, every pair of options and every experiment composes and fits its signatures."""

from __future__ import annotations

import itertools
import re

import hydra
import pytest
import yaml

from mimickit import launch
from mimickit.evaluation.published import CLIPS, METHODS
from mimickit.launch.checks import targets

CONF = launch.CONF
APART = {"hydra", "tuned", "experiment", "logger"}  # no choice of one among several


def options(group, conf=CONF):
    """What a group offers; base files are only there to be extended."""
    return sorted(p.stem for p in (conf / group).glob("*.yaml") if p.stem != "base")


GROUPS = {p.name: options(p.name) for p in sorted(CONF.iterdir()) if p.is_dir()}
CHOICES = {name: found for name, found in GROUPS.items() if name not in APART and found}


def all_pairs(choices):
    """Few combinations in which every two options of different groups meet."""
    open_pairs = {
        frozenset([(a, x), (b, y)])
        for a, b in itertools.combinations(choices, 2)
        for x in choices[a]
        for y in choices[b]
    }
    rows = []
    while open_pairs:
        row = dict(min(sorted(pair) for pair in open_pairs))
        for group in choices:
            if group not in row:
                row[group] = max(
                    choices[group],
                    key=lambda x, g=group: sum(
                        frozenset([(g, x), other]) in open_pairs for other in row.items()
                    ),
                )
        open_pairs -= {frozenset(two) for two in itertools.combinations(row.items(), 2)}
        rows.append(row)
    return rows


def composed(*overrides):
    return launch.check_config(launch.compose(overrides))


def unreachable(conf):
    """Files in tuned/ whose name is no pair of options, as conf/run.yaml pairs them, that exist."""
    pairs = {
        "task": ("method", "task"),
        "task_character": ("task", "character"),
        "character": ("method", "character"),
        "experiment": ("experiment", "method"),
    }
    found = []
    for kind, (first, second) in pairs.items():
        names = {f"{a}_{b}" for a in options(first, conf) for b in options(second, conf)}
        found += [f"tuned/{kind}/{x}" for x in options(f"tuned/{kind}", conf) if x not in names]
    folders = {p.name for p in (conf / "tuned").glob("*") if p.is_dir()}
    return found + [f"tuned/{name}" for name in sorted(folders - set(pairs))]


def without_source(conf):
    """Experiments in which no comment names a source."""
    files = (conf / "experiment").glob("*.yaml")
    return [p.stem for p in files if not re.search(r"#.*\bsource:", p.read_text(), re.IGNORECASE)]


@pytest.mark.parametrize(
    "override", [f"{group}={x}" for group, found in CHOICES.items() for x in found]
)
def test_each_option_composes_and_fits_its_target(override):
    composed(override)


@pytest.mark.parametrize("row", all_pairs(CHOICES), ids=lambda row: "-".join(row.values()))
def test_all_pairs_of_options_compose(row):
    composed(*(f"{group}={x}" for group, x in row.items()))


def test_all_pairs_meets_every_pair_in_fewer_rows_than_the_product():
    choices = {"a": ["1", "2", "3"], "b": ["1", "2"], "c": ["1", "2"]}
    rows = all_pairs(choices)
    met = {frozenset(two) for row in rows for two in itertools.combinations(sorted(row.items()), 2)}
    assert len(met) == 3 * 2 + 3 * 2 + 2 * 2  # ab + ac + bc
    assert len(rows) < 3 * 2 * 2


@pytest.mark.parametrize("name", GROUPS["experiment"])
def test_each_experiment_composes(name):
    assert composed(f"experiment={name}").max_samples >= 1


@pytest.mark.parametrize("name", GROUPS["logger"])
def test_each_logger_composes_alone(name):
    assert list(composed(f"logger=[{name}]").logger) == [name]


def test_no_logger_composes():
    assert not composed("logger=[]").logger


def test_every_tuned_file_is_the_value_of_some_combination():
    assert unreachable(CONF) == []


def test_a_misnamed_tuned_file_is_found(tmp_path):
    for file in (
        "method/amp",
        "task/location",
        "tuned/task/amp_location",
        "tuned/task/apm_location",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{file}.yaml").touch()
    assert unreachable(tmp_path) == ["tuned/task/apm_location"]


def test_every_experiment_names_its_source():
    assert without_source(CONF) == []


def test_an_experiment_without_source_is_found(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "good.yaml").write_text("# Source: a paper, Table 1.\nseed: 1\n")
    (tmp_path / "experiment" / "bad.yaml").write_text("seed: 1  # resource: none\n")
    assert without_source(tmp_path) == ["bad"]


def test_method_in_an_experiment_gets_what_it_needs_there_and_typed_settings_still_win():
    assert composed("experiment=gpu", "method=amp").method.parts.style.share == 1.0
    assert composed("experiment=table1", "method=add").method.parts.tracking.minibatches == 8
    assert composed("method=amp").method.parts.style.share == 0.25
    typed = composed("experiment=gpu", "method=amp", "method.parts.style.share=0.5")
    assert typed.method.parts.style.share == 0.5


def test_table1_is_every_method_of_the_paper_on_its_clips_that_are_here_with_five_seeds():
    launch.register()
    with hydra.initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        whole = hydra.compose("run", ["experiment=table1"], return_hydra_config=True)
    params = {key: value.split(",") for key, value in whole.hydra.sweeper.params.items()}
    assert sorted(params["method"]) == sorted(METHODS)
    assert params["seed"] == ["0", "1", "2", "3", "4"]
    index = yaml.safe_load((CONF.parent / "motions" / "humanoid" / "index.yaml").read_text())
    assert params["motion"] == [clip for clip in CLIPS if clip in index["clips"]]
    for method in params["method"]:
        cfg = composed("experiment=table1", f"method={method}", "motion=walk")
        assert cfg.evaluation.episodes == 4096
        batch = cfg.num_envs * cfg.algo.steps
        assert batch % cfg.algo.actor_minibatches == 0


def test_no_motion_group_hides_the_setting_of_that_name():
    # With a folder conf/motion, motion=backflip would look for a file and fail.
    assert not (CONF / "motion").exists()
    assert composed("motion=backflip").motion == "backflip"


def test_defaults_are_the_described_run():
    cfg = composed()
    assert cfg.character.name == "humanoid"
    assert cfg.method.name == "deepmimic"
    assert list(cfg.logger) == ["text", "csv", "tensorboard"]
    assert cfg.num_envs == cfg.engine.num_envs
    assert cfg.motion == cfg.character.motion
    assert cfg.resume == "auto"


def test_typed_settings_win_over_an_experiment():
    name = GROUPS["experiment"][0]
    cfg = composed(f"experiment={name}", "seed=7", "motion=[walk,run]", "max_samples=12345")
    assert (cfg.seed, list(cfg.motion), cfg.max_samples) == (7, ["walk", "run"], 12345)


def test_whole_floats_become_integers():
    cfg = launch.compose(["num_envs=1e3", "max_samples=2e6"])
    assert (cfg.num_envs, cfg.max_samples) == (1000, 2_000_000)
    assert isinstance(cfg.num_envs, int)
    assert isinstance(cfg.max_samples, int)


def test_targets_lists_the_engine_first():
    node = {"algo": {"_target_": "a"}, "engine": {"_target_": "b"}, "_target_": "c", "x": [{}]}
    assert [key for key, _ in targets(node)] == ["engine", "algo", ""]


def test_engines_run_at_the_characters_rates_unless_told_otherwise():
    for engine in GROUPS["engine"]:
        for name, rates in (("humanoid", (30, 120)), ("g1", (50, 200)), ("go2", (50, 200))):
            cfg = composed(f"engine={engine}", f"character={name}")
            assert (cfg.engine.control_hz, cfg.engine.sim_hz) == rates
    cfg = composed("character=g1", "engine.control_hz=100")
    assert (cfg.engine.control_hz, cfg.engine.sim_hz) == (100, 200)
    cfg = composed("character=g1", "character.sim_hz=400")
    assert (cfg.engine.control_hz, cfg.engine.sim_hz) == (50, 400)


@pytest.mark.parametrize(
    ("method", "part", "exceptions", "others"),
    [
        ("amp", "style", {"g1": 10.0, "smpl": 10.0}, 5.0),
        ("add", "tracking", {"pi_plus": 10.0}, 2.0),
    ],
)
def test_gradient_penalties_are_the_published_ones(method, part, exceptions, others):
    for name in GROUPS["character"]:
        cfg = composed(f"method={method}", f"character={name}")
        assert cfg.method.parts[part].penalty == exceptions.get(name, others)
