"""W&B's own sweep agent, with a server's answers read from a file: `python agent.py <sweep.json>`."""

import json
import sys
from pathlib import Path
from unittest.mock import Mock, patch

import wandb
import yaml
from wandb.apis.public import sweeps
from wandb.wandb_agent import Agent, run_agent

plan = json.loads(Path(sys.argv[1]).read_text())
commands = iter(
    {
        "type": "run",
        "program": "anomask",
        "run_id": name,
        "args": {key: {"value": value} for key, value in args.items()},
    }
    for name, args in plan["runs"].items()
)


def heartbeat(api, agent, metrics, running):
    """Give the next run when nothing runs, and the order to end after the last."""
    return [] if running else [next(commands, {"type": "exit"})]


Agent.POLL_INTERVAL = 0.2
answers = {
    "_sweep_with_runs": lambda *_: {"config": yaml.safe_dump({"command": plan["command"]})},
    "_register_agent": lambda *_, **__: {"id": "agent"},
    "_agent_heartbeat": heartbeat,
}
with patch.multiple(sweeps, **answers), patch.object(wandb, "Api", Mock()):
    run_agent("me/ours/sweep1")
