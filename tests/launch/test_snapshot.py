"""The copy of the code that a sweep's jobs run."""

from __future__ import annotations

import subprocess

import pytest

from mimickit.errors import RunError
from mimickit.launch.snapshot import refuse_dirty, take_snapshot
from mimickit.training.provenance import record_git


def git(folder, *arguments):
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@t", *arguments],
        check=True,
        capture_output=True,
    )


@pytest.fixture
def checkout(tmp_path):
    """A repository with something of everything, all committed."""
    root = tmp_path / "checkout"
    for name in ("mimickit/run.py", "conf/run.yaml", "docs/page.md", "train.py", "assets/a.xml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{name}, first\n")
    (root / ".gitignore").write_text("outputs/\n*.pyc\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_clean_tree_may_start_and_so_may_one_with_other_changes(checkout):
    refuse_dirty(checkout)
    (checkout / "docs" / "page.md").write_text("better\n")
    (checkout / "notes.txt").write_text("mine\n")
    refuse_dirty(checkout)


@pytest.mark.parametrize("name", ["mimickit/run.py", "conf/method/mine.yaml"])
def test_a_dirty_tree_is_refused_with_what_is_dirty_and_what_to_do(checkout, name):
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("changed\n")
    with pytest.raises(RunError) as caught:
        refuse_dirty(checkout)
    assert name.split("/")[0] in str(caught.value)
    assert "hydra.launcher.dirty=true" in str(caught.value)


def test_the_copy_holds_the_code_as_it_lies_there_and_nothing_else(checkout, tmp_path):
    (checkout / "mimickit" / "run.py").write_text("changed\n")
    (checkout / "conf" / "new.yaml").write_text("new\n")
    (checkout / "mimickit" / "run.pyc").write_text("ignored\n")
    (checkout / "assets" / "a.xml").unlink()
    copy = take_snapshot(tmp_path / "sweep", checkout)
    assert copy == tmp_path / "sweep" / "code"
    assert names(copy) == ["conf/new.yaml", "conf/run.yaml", "git.diff", "mimickit/run.py",
                           "revision.json", "train.py"]  # fmt: skip
    assert (copy / "mimickit" / "run.py").read_text() == "changed\n"
    (checkout / "mimickit" / "run.py").write_text("changed again\n")
    assert (copy / "mimickit" / "run.py").read_text() == "changed\n"


def test_a_run_of_the_copy_records_the_revision_and_the_difference(checkout, tmp_path):
    (checkout / "mimickit" / "run.py").write_text("changed\n")
    of_original = record_git(tmp_path / "run" / "git.diff", checkout / "mimickit")
    copy = take_snapshot(tmp_path / "sweep", checkout)
    (tmp_path / "other").mkdir()
    of_copy = record_git(tmp_path / "other" / "git-2.diff", copy / "mimickit" / "training")
    assert of_copy == {**of_original, "diff": "git-2.diff"}
    assert len(of_copy["revision"]) == 40
    first = (tmp_path / "run" / "git.diff").read_bytes()
    assert (tmp_path / "other" / "git-2.diff").read_bytes() == first
    assert b"+changed" in first


def test_a_second_submission_gets_a_copy_of_its_own(checkout, tmp_path):
    assert [take_snapshot(tmp_path, checkout).name for _ in range(3)] == [
        "code", "code-2", "code-3",
    ]  # fmt: skip


def test_without_git_all_that_a_run_needs_is_copied(tmp_path):
    root = tmp_path / "unpacked"
    for name in ("mimickit/run.py", "mimickit/__pycache__/run.pyc", "train.py", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text\n")
    refuse_dirty(root)
    copy = take_snapshot(tmp_path / "sweep", root)
    assert names(copy) == ["mimickit/run.py", "revision.json", "train.py"]


def test_a_place_that_cannot_be_written_is_named(checkout, tmp_path):
    (tmp_path / "sweep").write_text("a file\n")
    with pytest.raises(RunError, match=r"cannot keep a copy of the code in .*hydra\.sweep\.dir"):
        take_snapshot(tmp_path / "sweep", checkout)
