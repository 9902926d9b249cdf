"""The wheel works where the repository is not: commands, conf/, pages, a conf folder of the user's own."""

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
PHANTOM = ["train_patients=6", "test_patients=2", "slices_per_patient=4", "abnormal_per_family=2"]
SMALL = [*(one for one in TINY if one != "data=folder"), *(f"data.{one}" for one in PHANTOM)]


def run(*command, folder):
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ANOMASK", "HYDRA"))
    }
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel from a copy, and install it into an environment that has this one's libraries beside it."""
    home = tmp_path_factory.mktemp("wheel")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, home / "copy" / name, symlinks=True, ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, home / "copy")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", home / "dist", home / "copy", folder=home)
    shutil.rmtree(home / "copy")
    run(sys.executable, "-m", "venv", "--without-pip", home / "env", folder=home)
    (wheel,) = (home / "dist").glob("*.whl")
    run(*pip, "--python", home / "env/bin/python", "install", "--no-deps", "--no-index", wheel, folder=home)
    (packages,) = (home / "env/lib").glob("python*/site-packages")
    # Paths alone: what an editable install has put there is not followed.
    libraries = [path for path in sys.path if path in site.getsitepackages()]
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    (home / "elsewhere").mkdir()
    return home


@pytest.mark.slow
def test_commands_of_an_installed_wheel(installed):
    home, anomask = installed / "elsewhere", installed / "env/bin/anomask"
    where = run(installed / "env/bin/python", "-c", "import anomask; print(anomask.__file__)", folder=home)
    assert where.startswith(str(installed / "env")) and Path(where.strip()).with_name("py.typed").is_file()

    run(anomask, "train", "experiment=demo_codebook", *SMALL, folder=home)
    run(anomask, "train", "experiment=demo_detector", "codebook_run=demo_codebook", *SMALL, folder=home)
    (slices,) = (home / "data").glob("phantom*/test/abnormal")
    run(anomask, "predict", "run=demo_detector", f"input={slices}", "output=predicted (1)", folder=home)
    assert (home / "predicted (1)/index.html").is_file()
    assert "0 errors" in run(anomask, "verify", f"folder={slices.parents[1]}", "scoring.specificity=0.8", folder=home)
    sweep = ["-m", "sweep=two", "experiment=demo_codebook", "seed=0,1", *SMALL]
    run(anomask, "train", *sweep, folder=home)
    assert len(list((home / "runs/sweeps/two").glob("*/cost.json"))) == 2
    run(anomask, "sweep", "sweep=two", folder=home)
    assert (home / "runs/sweeps/two/index.html").is_file()

    (home / "mine/experiment").mkdir(parents=True)
    ours = "# @package _global_\ndefaults:\n  - demo_codebook\n  - _self_\nseed: 7\nname: ours\n"
    (home / "mine/experiment/ours.yaml").write_text(ours)
    shown = run(anomask, "train", "--config-dir", "mine", "experiment=ours", "--cfg", "job", folder=home)
    assert "name: ours" in shown and "seed: 7" in shown and "max_steps: 300" in shown
