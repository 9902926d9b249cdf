"""Read the offline run files of the W&B client: a header, then LevelDB's log format in blocks of 32 KiB."""

import json
import os
import socket
import struct
import time
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

ROOT = Path(__file__).parents[2]


def records_of(file):
    """Yield the records of one file; one that was cut off at its end is left out."""
    data, place, held = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # no header fits into the rest of a block
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        held += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4) and place <= len(data):  # whole, or the last part
            yield Record.FromString(held)
            held = b""


def files_of(folder):
    """Return the offline run files below a run folder, oldest first."""
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


def finished(file, seconds=20):
    """Return the records of a run that was finished; the client's own process writes the last ones a moment later."""
    for _ in range(10 * seconds):
        records = list(records_of(file))
        if any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{file} has no exit record")


def values(items):
    """Return key -> value of the items of a history, summary or config record."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


class OfflineRun:
    """What one offline file says: the run, its config, rows and artefacts."""

    def __init__(self, records):
        self.run = next(r.run for r in records if r.HasField("run"))
        self.config = values(self.run.config.update)
        for record in records:
            self.config |= values(record.config.update)
        self.rows = [values(r.history.item) for r in records if r.HasField("history")]
        self.artefacts = [r.artifact for r in records if r.HasField("artifact")]
        self.exit_code = next((r.exit.exit_code for r in records if r.HasField("exit")), None)


def without_account(home):
    """Return the environment of someone without a W&B key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "NETRC"))}
    return kept | {"HOME": str(home), "OMP_NUM_THREADS": "1"}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def one_run(folder):
    (file,) = files_of(folder)
    return OfflineRun(finished(file))
