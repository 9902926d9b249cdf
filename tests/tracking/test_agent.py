"""A sweep of W&B: its agent starts our trainings from the example file, and each is the run that the agent knows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from anomask.runs.folder import Run
from tests.conftest import TINY
from tests.tracking.offline_files import ROOT, one_run, without_account

EXAMPLE = yaml.safe_load((ROOT / "docs/howto/wandb_sweep.yaml").read_text())


@pytest.mark.slow
def test_an_agent_trains_the_example_with_the_ids_and_values_it_gave(toy_folder, tmp_path):
    command = EXAMPLE["command"]
    assert command[:5] == ["${env}", "${program}", "train", "experiment=detector", "data=folder"]
    small = ["model.network.features=[4,4,8,8,8,4]", "data.crop=none", "scoring.crops=null"]
    common = [setting for setting in TINY if not setting.startswith(("model.", "stage.", "data=folder"))]
    own = [f"data.folder={toy_folder}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache", *small, *common]
    python = ["${env}", sys.executable, "-m", "anomask", "train", *command[3:5]]
    share = "synthesiser.painter.nodule_share"
    assert EXAMPLE["parameters"][share]["values"] == [0.25, 0.5]
    runs = {f"run{value}": {share: value, "seed": 1} for value in (0.25, 0.5)} | {"bad": {share: 7}}
    plan = {"command": [*python, "logger=wandb", *own, "${args_no_hyphens}"], "runs": runs}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("agent.py")), str(tmp_path / "plan.json")],
        cwd=tmp_path,
        env=without_account(tmp_path) | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(f"^anomask train: {share}: got 7, wanted", done.stderr, re.MULTILINE), done.stderr[-3000:]
    folders = [folder for folder in (tmp_path / "runs").glob("*/*") if (folder / "cost.json").is_file()]
    found = {one_run(folder).run.run_id: folder for folder in folders}
    assert found.keys() == {"run0.25", "run0.5"}
    for name, folder in found.items():
        tracked, run = one_run(folder), Run(folder)
        assert tracked.run.sweep_id == "sweep1" and tracked.exit_code == 0
        assert tracked.config["seed"] == run.read_settings()["seed"] == 1
        assert tracked.config["synthesiser"]["painter"]["nodule_share"] == runs[name][share]
        assert json.loads(run.wandb_file.read_text())["id"] == name
        assert any(EXAMPLE["metric"]["name"] in row for row in tracked.rows)
    assert "Ignored wandb.init" not in done.stdout + done.stderr
