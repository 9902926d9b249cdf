"""W&B's client where it cannot work: without a key, without a server, and when its own process dies."""

import re
import subprocess
import sys
import time

import pytest

from tests.conftest import fit, run_of
from tests.tracking.offline_files import ROOT, free_port, one_run, without_account


@pytest.mark.slow
def test_the_death_of_wandbs_own_process_stops_neither_its_run_nor_the_log_of_the_next(tiny):
    kill = ["+callbacks.kill._target_=tests.tracking.faults.KillService", "+callbacks.kill.after=2"]
    settings = tiny("stage=codebook", "logger=wandb", *kill)
    fit(settings)
    assert run_of(settings).read_cost()["steps"] == 4
    assert len(one_run(fit(tiny("stage=codebook", "logger=wandb", name="next")).folder).rows) == 5


START = """
import sys, threading, logging
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
import anomask.tracking.client as client
logging.basicConfig(level=logging.WARNING)
client.INIT_SECONDS = 2
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.end_headers()
    do_POST = do_GET
    def log_message(self, *_):
        pass
if sys.argv[2] == "answers":
    server = HTTPServer(("127.0.0.1", int(sys.argv[3])), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
with client.start(False, Path(sys.argv[1]), project="anomask", id="abc") as run:
    run.log({"loss": 1.0}, step=3)
"""


@pytest.mark.parametrize(
    ("server", "key", "reason"),
    [
        ("silent", "0" * 40, "is offline: no answer from .* refused"),
        ("answers", "", "is offline: there is no key"),
        ("answers", "0" * 40, "did not start online: CommError"),
    ],
)
def test_without_key_or_server_a_run_is_offline_within_seconds(server, key, reason, tmp_path):
    port = free_port()
    environment = without_account(tmp_path) | {"PYTHONPATH": str(ROOT / "src")}
    environment |= {"WANDB_API_KEY": key, "WANDB_BASE_URL": f"http://127.0.0.1:{port}"}
    command = [sys.executable, "-c", START, str(tmp_path), server, str(port)]
    start = time.perf_counter()
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr[-2000:]
    (warning,) = re.findall(r"WARNING:.*", result.stderr)
    assert re.search(reason, warning) and f"wandb sync {tmp_path}/wandb" in warning
    assert time.perf_counter() - start < 20  # mostly imports
    (row,) = one_run(tmp_path).rows
    assert row["loss"] == 1.0 and row["_step"] == 3
