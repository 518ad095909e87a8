"""Checkpoints: whole or not at all, only ours, only of this run."""

from __future__ import annotations

import os
import pickle
import random
import threading
import zipfile

import pytest
import torch

from mimickit.errors import CheckpointError
from mimickit.training import checkpoint
from mimickit.training.checkpoint import (
    Checkpoints,
    check_same_run,
    map_tensors,
    read,
    read_part,
    write,
)


def state(samples=64, value=1.0):
    return {
        "samples": samples,
        "config": {"seed": 0, "motion": ["walk", "run"], "resume": None},
        "facts": {"character": "humanoid"},
        "policy": {"weight": torch.full((50, 10), value)},
        "run": {"counters": {"samples": samples, "best_score": float("-inf")}},
    }


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoint_000000000064.pt"
    write(path, state())
    return path


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_reads_what_was_written(saved):
    loaded = read(saved)
    assert loaded.pop("version") == checkpoint.VERSION
    assert torch.equal(loaded["policy"].pop("weight"), torch.ones(50, 10))
    assert loaded == {**state(), "policy": {}}


def test_keeps_the_newest_few_and_the_best(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints", keep=2)
    store.save_best(state(10))
    for samples in (10, 20, 999, 1000):
        store.save(state(samples))
    assert [p.name for p in store.paths()] == [
        "checkpoint_000000000999.pt",
        "checkpoint_000000001000.pt",
    ]
    assert names(store.folder)[0] == checkpoint.BEST
    assert read(store.folder / checkpoint.BEST)["samples"] == 10
    assert store.newest() == store.paths()[-1]


def test_folder_is_made_when_first_written_to(tmp_path):
    store = Checkpoints(tmp_path / "a" / "b")
    assert (store.paths(), store.newest()) == ([], None)
    assert not (tmp_path / "a").exists()
    store.save(state())
    assert store.newest() is not None


def test_unfinished_and_foreign_files_are_no_checkpoints(tmp_path):
    for name in ("checkpoint_000000000064.tmp1", "best.pt", "checkpoint_64.pt", "notes.txt"):
        (tmp_path / name).write_text("x")
    assert Checkpoints(tmp_path).newest() is None


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 832 vs 726")]
)
def test_a_failure_while_writing_leaves_the_old_file_and_no_rest(saved, monkeypatch, error):
    before = saved.read_bytes()

    def half(data, file):
        file.write(b"half a checkpoint")
        raise error

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(CheckpointError, match=f"cannot write checkpoint .*{saved.name}"):
        write(saved, state(value=2.0))
    assert saved.read_bytes() == before
    assert names(saved.parent) == [saved.name]


def test_a_kill_while_writing_leaves_the_old_file_and_the_next_write_tidies_up(saved, monkeypatch):
    before = saved.read_bytes()

    class Killed(BaseException):
        pass

    def half(data, file):
        file.write(b"half a checkpoint")
        raise Killed

    def killed_before_tidying(path):
        raise Killed

    store = Checkpoints(saved.parent)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        patch.setattr(type(saved), "unlink", killed_before_tidying)
        with pytest.raises(Killed):
            store.save(state(128))
    assert saved.read_bytes() == before
    assert store.newest() == saved
    assert len(names(saved.parent)) == 2
    store.save(state(192))
    assert names(saved.parent) == [saved.name, "checkpoint_000000000192.pt"]


def test_one_written_behind_holds_what_was_there_when_it_was_saved(tmp_path):
    now = state()
    store = Checkpoints(tmp_path, keep=1)
    store.save(state(32), behind=True)
    path = store.save(now, behind=True)
    now["policy"]["weight"].zero_()
    store.save_best(now, behind=True)
    store.wait()
    assert torch.equal(read(path)["policy"]["weight"], torch.ones(50, 10))
    assert not read(tmp_path / checkpoint.BEST)["policy"]["weight"].any()
    assert names(tmp_path) == [checkpoint.BEST, path.name]


def test_writing_behind_does_not_hold_up_the_caller(tmp_path, monkeypatch):
    go_on = threading.Event()
    save = torch.save

    def slow(*arguments):
        assert go_on.wait(timeout=30)
        save(*arguments)

    monkeypatch.setattr(torch, "save", slow)
    store = Checkpoints(tmp_path)
    path = store.save(state(), behind=True)
    assert not path.exists()
    go_on.set()
    store.wait()
    assert read(path)["samples"] == 64


@pytest.mark.parametrize("then", ["wait", "save", "save_best"])
def test_a_failure_behind_is_raised_by_the_next_call_and_once(tmp_path, then):
    (tmp_path / "file").write_text("in the way")
    store = Checkpoints(tmp_path / "file")
    store.save(state(), behind=True)
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*file/checkpoint_"):
        getattr(store, then)(*[] if then == "wait" else [state(128)])
    store.wait()


def test_every_tensor_of_a_state_is_mapped_and_the_rest_is_kept():
    nested = {"a": torch.ones(2), "b": [torch.ones(1), {"c": (1, "x", None)}]}
    mapped = map_tensors(nested, lambda t: t + 1)
    assert mapped["a"].tolist() == [2.0, 2.0]
    assert mapped["b"][0].tolist() == [2.0]
    assert mapped["b"][1] == {"c": (1, "x", None)}
    assert nested["a"].tolist() == [1.0, 1.0]


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"cannot write checkpoint .*file/checkpoint_"):
        Checkpoints(tmp_path / "file").save(state())
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_missing_checkpoint_lists_its_neighbours(saved):
    with pytest.raises(
        CheckpointError, match=r"there is no checkpoint .*x\.pt .*_000000000064\.pt"
    ):
        read(saved.parent / "x.pt")
    with pytest.raises(CheckpointError, match="beside it: none"):
        read(saved.parent / "nowhere" / "x.pt")


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("how", ["torch.save", "pickle"])
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path, how):
    path, trap = tmp_path / "hostile.pt", tmp_path / "trap"
    if how == "pickle":
        path.write_bytes(pickle.dumps({"version": 1, "run": Hostile(trap)}))
    else:
        torch.save({**state(), "version": 1, "run": Hostile(trap)}, path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this package, or is damaged"):
        read(path)
    assert not trap.exists()


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.9, -1])
def test_a_truncated_file_is_called_damaged(saved, kept):
    data = saved.read_bytes()
    end = int(len(data) * kept) if isinstance(kept, float) else kept
    saved.write_bytes(data[:end])
    with pytest.raises(CheckpointError, match=r"checkpoint_000000000064\.pt is .*damaged"):
        read(saved)


def test_flipped_bits_are_found_or_harmless(saved):
    # torch.load alone takes a flipped bit within a weight for a weight.
    data, rng, refused = saved.read_bytes(), random.Random(0), 0
    for _ in range(150):
        broken = bytearray(data)
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        saved.write_bytes(broken)
        try:
            assert torch.equal(read(saved)["policy"]["weight"], torch.ones(50, 10))
        except CheckpointError:
            refused += 1
    assert refused > 60  # half of so small a file is padding and dates


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"\x80\x04garbage", b"PK\x03\x04" + b"\x00" * 100, b"\x00" * 4096],
)
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"x\.pt is not a checkpoint of this package, or is damaged"
    ):
        read(path)


def test_a_foreign_archive_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match=r"x\.pt is"):
        read(path)


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, torch.ones(3)])
def test_other_torch_files_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt is not a checkpoint of this package$"):
        read(tmp_path / "x.pt")


@pytest.mark.parametrize("key", ["samples", "config", "facts", "policy", "run"])
def test_a_checkpoint_that_lacks_something_is_refused(tmp_path, key):
    whole = {**state(), "version": checkpoint.VERSION}
    torch.save({k: v for k, v in whole.items() if k != key}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        read(tmp_path / "x.pt")


def test_another_version_names_both(tmp_path):
    torch.save({**state(), "version": 99}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt has version 99, this package reads 1"):
        read(tmp_path / "x.pt")


def test_a_checkpoint_of_another_run_names_the_fact_and_both_sides(saved):
    here = {"character": "humanoid", "action size": 28}
    check_same_run(saved, {**here, "more": 1}, here)
    with pytest.raises(
        CheckpointError, match="of another run: its action size is 29, here it is 28"
    ):
        check_same_run(saved, {**here, "action size": 29}, here)
    with pytest.raises(CheckpointError, match="its character is g1, here it is humanoid"):
        check_same_run(saved, {"character": "g1"}, here)


def test_long_facts_are_shortened_in_the_message(saved):
    with pytest.raises(CheckpointError) as raised:
        check_same_run(saved, {"clips": [f"clip_{i}" for i in range(999)]}, {"clips": ["walk"]})
    assert "here it is ['walk']" in str(raised.value)
    assert "clip_0" in str(raised.value)
    assert len(str(raised.value)) < 500


def test_keeping_none_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"training\.keep_checkpoints must be at least 1"):
        Checkpoints(tmp_path, keep=0)


def rank_state(rank, samples=64):
    facts = {"character": "humanoid", "processes": 2}
    return {**state(samples), "facts": facts, "run": {"counters": {}, "noise": torch.tensor(rank)}}


@pytest.fixture
def two(tmp_path):
    """The checkpoints of both ranks of a run."""
    return [Checkpoints(tmp_path / "c", keep=2, rank=rank, ranks=2) for rank in (0, 1)]


def test_ranks_write_parts_and_read_back_their_own(two):
    for samples in (10, 20, 30):
        two[1].save(rank_state(1, samples))
        two[0].save(rank_state(0, samples))
    assert names(two[0].folder) == [
        "checkpoint_000000000020.pt",
        "checkpoint_000000000020.rank1.pt",
        "checkpoint_000000000030.pt",
        "checkpoint_000000000030.rank1.pt",
    ]
    newest = two[1].newest()
    assert newest == two[0].newest() == two[0].paths()[-1]
    assert [read_part(newest, rank, 2)["run"]["noise"] for rank in (0, 1)] == [0, 1]
    assert read(newest)["policy"]["weight"].shape == (50, 10)


def test_a_checkpoint_is_not_there_before_all_parts_are(two):
    two[0].save(rank_state(0), behind=True)
    assert two[0].newest() is None
    two[1].save(rank_state(1))
    two[0].wait()
    assert two[0].newest() is not None


def test_a_part_that_never_comes_is_an_error(two, monkeypatch):
    monkeypatch.setattr(checkpoint, "RANKS_TIMEOUT_S", 0.05)
    with pytest.raises(CheckpointError, match=r"incomplete: rank 1 wrote nothing .* all hosts see"):
        two[0].save(rank_state(0))
    assert two[0].newest() is None


def test_parts_of_an_attempt_that_was_cut_short_are_forgotten(two):
    two[1].save(rank_state(1, 10))
    two[0].save(rank_state(0, 10))
    two[1].save(rank_state(1, 20))  # and then all were killed
    for each in two:
        each.forget_incomplete()
    assert names(two[0].folder) == [
        "checkpoint_000000000010.pt",
        "checkpoint_000000000010.rank1.pt",
    ]


def test_another_number_of_processes_is_refused(two, saved):
    two[1].save(rank_state(1))
    path = two[0].save(rank_state(0))
    with pytest.raises(CheckpointError, match="of a run over 2 processes, this is one over 1: go"):
        read_part(path, 0, 1)
    with pytest.raises(CheckpointError, match="of a run over 1 processes, this is one over 2"):
        read_part(saved, 0, 2)
    with pytest.raises(CheckpointError, match=r"its processes is 2, here it is 1"):
        check_same_run(path, {"processes": 2}, {"processes": 1})
    check_same_run(path, {}, {"processes": 1})  # of before there were several


def test_the_best_checkpoint_has_no_parts_to_go_on_from(two):
    two[0].save_best(rank_state(0))
    with pytest.raises(CheckpointError, match=r"no part of rank 1 .* newest checkpoint instead"):
        read_part(two[0].folder / checkpoint.BEST, 0, 2)
