"""The first hour of a newcomer, with the commands of README and docs/ as they stand there, on a copy of the project."""

import csv
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anomask.data.phantom.dataset import phantom_slice, sample_patient
from tests.preparation.made import write_image, write_series

ROOT = Path(__file__).parents[2]
SIZE, SLICES = 64, 7  # of a made scan
LOW, HIGH = -1350.0, 150.0  # the lung window
# What makes a training small, in the keys that docs/howto/train.md and `anomask train --help` name.
SMALL = [
    "data.size=32",
    "data.batch_size=8",
    "model.network.features=[4,4,8,8,8,4]",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
]


def commands(page, heading=None):
    """The lines that begin with `anomask` in the code blocks of a page, or of its part below a heading."""
    text = (ROOT / page).read_text()
    if heading is not None:
        text = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)[1]
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line.split(" #")[0].rstrip() for block in blocks for line in block.splitlines() if line[:8] == "anomask "]


def scan(seed, family=None, slices=SLICES):
    """[Z, H, W] HU of a drawn patient, from the upper to the lower lung."""
    patient = sample_patient(np.random.default_rng([seed, 0]))
    levels = np.linspace(0.2, 0.75, slices)
    drawn = [
        phantom_slice(patient, level, SIZE, np.random.default_rng([seed, 1, z]), family)
        for z, level in enumerate(levels)
    ]
    return np.stack([one.hu for one in drawn]).round().clip(-1024, 3000)


def write_slices(folder, seed, hu):
    for z, values in enumerate(hu):
        write_image(
            folder / f"p{seed}_{z}.png", np.rint((values - LOW) * 255 / (HIGH - LOW)).clip(0, 255).astype(np.uint8)
        )


class Walk:
    """A copy of the project, and a shell in it that has `anomask` and a home of its own."""

    def __init__(self, home):
        self.folder, self.home = home / "anomask", home / "home"
        tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for name in filter(None, tracked.split("\0")):
            if (ROOT / name).exists() and not name.startswith(("results/", "tests/")):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name, follow_symlinks=False)
        anomask = self.home / "bin/anomask"
        anomask.parent.mkdir(parents=True)
        anomask.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m anomask "$@"\n')
        anomask.chmod(anomask.stat().st_mode | stat.S_IXUSR)
        (self.home / "key").write_text("the same patients are test patients every time")
        own = {name: value for name, value in os.environ.items() if not name.startswith(("ANOMASK", "PYTEST"))}
        self.environment = own | {
            "HOME": str(self.home),
            "PATH": f"{anomask.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "src"),
            "ANOMASK_KEY": str(self.home / "key"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, line, *settings, **places):
        """Run a line as typed, with paths in place of its <placeholders> and settings added; returns what it said."""
        for name, place in places.items():
            line, found = re.subn(rf"<{name.replace('_', ' ')}[^>]*>", str(place), line)
            assert found == 1, (name, line)
        assert "<" not in line, line
        typed = " ".join([line, *map(shlex.quote, settings)])
        shell = {"cwd": self.folder, "env": self.environment, "capture_output": True, "text": True, "timeout": 1200}
        done = subprocess.run(["bash", "-c", typed], **shell)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"$ {typed}\n{said}"
        assert not re.search(r"Traceback|Warning|WARNING|%\|", said), f"$ {typed}\n{said}"
        return said

    def rows(self, file):
        with (self.folder / file).open(newline="") as stream:
            return list(csv.DictReader(stream))


@pytest.fixture
def walk(tmp_path):
    return Walk(tmp_path)


def next_commands(said):
    """What the end of a command says is to be done next."""
    return re.findall(r"next: (anomask .*)", said)


def test_make_demo_runs_what_its_page_says():
    done = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    run = [line.partition("-m ")[2] for line in done.splitlines() if " -m anomask " in line]
    assert [re.sub(r" seed=0| data.phantom_seed=0", "", line) for line in run] == commands("docs/start/first_run.md")


@pytest.mark.slow
def test_own_scans_sweep_and_external_test_set(walk):
    for seed in range(20):
        write_series(walk.folder / f"scans/normal/case{seed}", scan(seed), PatientID=f"N{seed}")
    for seed in range(20, 23):
        write_series(walk.folder / f"scans/sick/case{seed}", scan(seed, "covid19"), PatientID=f"S{seed}")
    normal, sick, fit, predict = commands("README.md", "Your own data")
    verify = "anomask verify folder=data/ours"
    assert commands("docs/howto/volumes.md") == [normal, sick, verify, fit]

    assert next_commands(walk.run(normal, normal_scans="scans/normal")) == [fit]
    walk.run(sick, diseased_scans="scans/sick")
    parts = [(row["split"], row["disease"]) for row in walk.rows("data/ours/manifest.csv")]
    assert parts.count(("test", "covid19")) == 3 * SLICES and len(parts) == 23 * SLICES
    assert "0 errors, 0 warnings" in walk.run(verify)

    to_predict, to_compare = next_commands(walk.run(fit, *SMALL))
    report = walk.folder / "runs/ours/latest/evaluation/ours"
    assert "<img" in (report / "report.html").read_text()
    for line, place, count in ((predict, "scans/sick/case20", SLICES), (to_predict, "data/ours/test/normal", None)):
        walk.run(line, slice=place)
        found = walk.folder / "runs/ours/latest/predictions" / Path(place).name
        assert (found / "index.html").is_file()
        assert len(walk.rows(found / "scores.csv")) == (count or parts.count(("test", "")))

    sweep, page = commands("docs/howto/sweep.md")[:2]
    (to_page,) = next_commands(walk.run(sweep, *SMALL))
    assert (walk.folder / to_page.partition("sweep=")[2]).name == page.partition("sweep=")[2]
    assert "4 jobs: 4 finished" in walk.run(to_page)
    assert len(list((walk.folder / "runs/sweeps/nodules").glob("*/threshold.json"))) == 4

    evaluate, external = commands("docs/howto/evaluate.md")[:2]
    for seed in (30, 31):  # test slices alone
        write_slices(walk.folder / "data/other_hospital/test/normal", seed, scan(seed))
        write_slices(walk.folder / "data/other_hospital/test/abnormal/covid19", seed, scan(seed + 2, "covid19"))
    walk.run(external)
    record = json.loads((walk.folder / "runs/ours/latest/evaluation/other_hospital/record.json").read_text())
    assert (record["data"], record["floors_from"]) == ("other_hospital", "ours")
    walk.run(evaluate.replace("ours", "nodules"))
    walk.run(to_compare, another="nodules")
    (result,) = report.glob("against_nodules_*.md")
    assert "AUROC" in result.read_text()


@pytest.mark.slow
def test_own_png_slices(walk):
    folder = walk.folder / "data/ours"
    for seed in range(15):
        write_slices(folder / "train/normal", seed, scan(seed))
    for seed in (20, 21):
        write_slices(folder / "test/normal", seed, scan(seed))
        write_slices(folder / "test/abnormal/covid19", seed, scan(seed + 2, "covid19"))
    verify, fit, predict = commands("docs/howto/png_slices.md")
    assert next_commands(walk.run(verify)) == [fit]
    walk.run(fit, *SMALL)
    again = walk.run(fit, *SMALL)  # "Started again, it goes on where it stopped."
    assert again.count("there already") == 2
    walk.run(predict, new_slices="data/ours/test/abnormal")
    assert len(walk.rows("runs/ours/latest/predictions/abnormal/scores.csv")) == 2 * SLICES
