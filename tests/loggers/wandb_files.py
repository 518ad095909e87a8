"""Reads what W&B keeps on disk: run-<id>.wandb, a LevelDB log of protobuf records."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field

HEADER = 7  # bytes before the first record, and before every piece of one
BLOCK = 32_768
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class Kept:
    """What the files of one run folder hold, sessions in order."""

    ids: list = field(default_factory=list)
    filed: list = field(default_factory=list)  # (project, name, group) of every session
    config: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)  # (step, metrics)
    exits: list = field(default_factory=list)
    files: list = field(default_factory=list)

    def points(self, name):
        return [(step, row[name]) for step, row in self.rows if name in row]


def read_wandb(folder):
    """All offline runs of a run folder, as one."""
    import wandb
    from wandb.proto.wandb_internal_pb2 import Record

    wandb.teardown()  # finish() may return before W&B's process has written; its end does not
    kept = Kept()
    for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        for data in records(path.read_bytes()):
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                kept.ids.append(run.run_id)
                kept.filed.append((run.project, run.display_name, run.run_group))
                for item in run.config.update:
                    kept.config[item.key] = json.loads(item.value_json)
            elif kind == "history":
                row: dict = {}
                for item in record.history.item:
                    name, *inner = item.nested_key or [item.key]
                    value = json.loads(item.value_json)
                    if inner:  # a table, a film
                        row.setdefault(name, {})["/".join(inner)] = value
                    else:
                        row[name] = value
                kept.rows.append((row.pop("_step", record.history.step.num), row))
            elif kind == "exit":
                kept.exits.append(record.exit.exit_code)
            elif kind == "files":
                kept.files += [item.path for item in record.files.files]
    return kept


def records(data):
    """The records of a LevelDB log, joined where they cross a block."""
    assert data[:4] == b":W&B"
    at, parts = HEADER, []
    while at + HEADER <= len(data):
        room = BLOCK - at % BLOCK
        if room < HEADER:  # the rest of a block is filled with zeros
            at += room
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        parts.append(data[at + HEADER : at + HEADER + length])
        at += HEADER + length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []
