"""The environment record, with and without git, and files that are whole or as they were."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import torch
import yaml

from mimickit.training import provenance


@pytest.fixture
def repository(tmp_path):
    """A git repository with one committed file in src/."""

    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    (root / "src" / "code.py").write_text("a = 1\n")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "first")
    return root, git


def test_git_record_of_a_clean_repository_is_its_revision(repository, tmp_path):
    root, git = repository
    record = provenance.record_git(tmp_path / "git.diff", root / "src")
    assert record == {"revision": git("rev-parse", "HEAD"), "dirty": False, "untracked": []}
    assert not (tmp_path / "git.diff").exists()


def test_git_diff_holds_what_is_not_committed(repository, tmp_path):
    root, _ = repository
    (root / "src" / "code.py").write_text("a = 2\n")
    (root / "new.txt").write_text("new")
    record = provenance.record_git(tmp_path / "run" / "git.diff", root / "src")
    assert (record["dirty"], record["untracked"]) == (True, ["new.txt"])
    assert (record["diff"], record["diff_is_cut"]) == ("git.diff", False)
    diff = (tmp_path / "run" / "git.diff").read_text()
    assert "-a = 1\n+a = 2\n" in diff


def test_a_huge_diff_is_cut_and_says_so(repository, tmp_path, monkeypatch):
    root, _ = repository
    monkeypatch.setattr(provenance, "LARGEST_DIFF", 100)
    (root / "src" / "code.py").write_text("b = 2\n" * 1000)
    record = provenance.record_git(tmp_path / "git.diff", root / "src")
    assert record["diff_is_cut"] is True
    assert (tmp_path / "git.diff").stat().st_size == 100


def test_a_repository_that_does_not_hold_the_code_is_not_its_provenance(repository, tmp_path):
    root, _ = repository
    (root / "site-packages").mkdir()  # e.g. a virtual environment inside somebody's repository
    (root / "site-packages" / "code.py").write_text("a = 1\n")
    record = provenance.record_git(tmp_path / "git.diff", root / "site-packages")
    assert record == {"revision": None}


def test_no_git_is_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.record_git(tmp_path / "git.diff") == {"revision": None}


def test_environment_names_versions_machine_seed_and_device(tmp_path):
    provenance.record_environment(tmp_path, seed=3, device="cpu")
    record = json.loads((tmp_path / "environment.json").read_text())
    assert (record["seed"], record["device"], record["earlier"]) == (3, "cpu", [])
    assert record["versions"]["torch"] == torch.__version__
    assert record["versions"]["python"].startswith("3.")
    assert record["machine"]["cpu_count"] == os.cpu_count()
    assert record["machine"]["torch_threads"] == torch.get_num_threads()
    assert record["started"].endswith("+00:00")
    assert record["command"]


def test_a_resumed_run_keeps_its_earlier_records_in_order(tmp_path):
    for seed in (1, 2, 3):
        provenance.record_environment(tmp_path, seed=seed, device="cpu")
    record = json.loads((tmp_path / "environment.json").read_text())
    assert record["seed"] == 3
    assert [old["seed"] for old in record["earlier"]] == [1, 2]
    assert all("earlier" not in old for old in record["earlier"])


def test_a_damaged_record_is_kept_beside_the_new_one(tmp_path):
    (tmp_path / "environment.json").write_text('{"seed": 1')
    provenance.record_environment(tmp_path, seed=2, device="cpu")
    record = json.loads((tmp_path / "environment.json").read_text())
    assert record["earlier"] == [{"unreadable": '{"seed": 1'}]


def test_overrides_of_all_sessions_stay_in_order(tmp_path):
    provenance.write_overrides(tmp_path, ["seed=1", "motion=[a,b]"])
    provenance.write_overrides(tmp_path, ["max_samples=2e6"])
    written = yaml.safe_load((tmp_path / "overrides.yaml").read_text())
    assert written == ["seed=1", "motion=[a,b]", "max_samples=2e6"]


def test_resolved_config_reads_back_as_written(tmp_path):
    config = {"z": 1e-5, "a": [1, {"b": None}], "text": "1e5", "yes": "yes"}
    provenance.write_resolved(tmp_path, config)
    read = yaml.safe_load((tmp_path / "resolved.yaml").read_text())
    assert read == config
    assert list(read) == list(config)


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    provenance.write_text(path, "old")
    monkeypatch.setattr(provenance.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        provenance.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
