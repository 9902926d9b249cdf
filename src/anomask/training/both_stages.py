"""From a data folder to an evaluated detector: check, codebook, detector, evaluation; what is there is left out."""

import hashlib
import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose

from anomask.build import build_data, needs_codebook
from anomask.data.checks.verification import verify_folder
from anomask.data.folder.findings import raise_first
from anomask.errors import ConfigError, RunError
from anomask.report.verification import in_short, refusal
from anomask.runs.checkpoints import digest
from anomask.runs.evaluations import find_evaluation
from anomask.runs.folder import Run
from anomask.runs.next_command import PART, after_evaluation, after_training, command, say_next
from anomask.settings.compose import CONF_FOLDER, plain
from anomask.settings.key import settings_key
from anomask.settings.schema import FitConfig
from anomask.training.checks import set_findings

log = logging.getLogger(__name__)

OWN = ("folder", "dry", "name", "experiment", "hydra")  # what is not passed on as it was typed
OF_DETECTOR = ("stage", "baseline", "ablation", "title", "codebook_run", "weights_run")
PLAIN = re.compile(r"[\w./-]+")


class Part(NamedTuple):
    """One training of the two, on the data as it is."""

    what: str
    overrides: list[str]  # of anomask train
    settings: dict[str, Any]
    data: str  # SHA-256 of the data folder
    codebook: str | None = None  # digest of the one that it stands on

    @property
    def run(self) -> Run:
        """The finished run of this name, these settings, data and codebook, or the one that is to be."""
        place = Path(self.settings["paths"]["runs"]) / self.settings["name"]
        key = settings_key(self.settings)
        for file in sorted(place.glob("*/config.yaml"), reverse=True):
            run = Run(file.parent)
            if file.parent.name != "latest" and run.finished and self._is(run, key):
                return run
        return Run(place / hashlib.sha256(f"{key} {self.data} {self.codebook}".encode()).hexdigest()[:12])

    def _is(self, run: Run, key: str) -> bool:
        learned_from = (run.read_fingerprint() or {}).get("sha256")
        codebook = (run.read_cost() or {}).get("codebook", {}).get("best_sha256")
        return (settings_key(run.read_settings()), learned_from, codebook) == (key, self.data, self.codebook)


def fit(config: FitConfig, typed: Sequence[str]) -> Run:
    """Do what is not done yet.

    Args:
        config: see `conf/fit.yaml`.
        typed: the overrides that it was composed with; they go to both stages.

    Returns:
        the detector's run

    Raises:
        AnomaskError: a folder that cannot be trained on, or a part that failed; what is done stays.
    """
    passed, name, experiment = _passed(config, typed)
    overrides = [f"experiment={experiment}", f"name={quoted(name)}", *passed]
    settings = plain(compose("train", overrides))
    data, test = _checked(settings)
    codebook = None
    if needs_codebook(settings) and not settings["weights_run"] and not _heads(passed) & {"codebook_run"}:
        learned = _train(_codebook_part(name, experiment, passed, settings, data), config.dry).checkpoint_file("best")
        codebook = digest(learned) if learned.is_file() else "not learned yet"
        overrides.append(f"codebook_run={quoted(f'{name}_codebook')}")
        settings = plain(compose("train", overrides))
    run = _train(Part("detector", overrides, settings, data, codebook), config.dry)
    if test:
        _evaluate(run, data, config)
    if not config.dry:
        say_next(*(after_evaluation(run) if test else [after_training(run, False)]))
    return run


def quoted(text: str) -> str:
    """Return a value as Hydra's grammar reads it as text."""
    if PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _passed(config: FitConfig, typed: Sequence[str]) -> tuple[list[str], str, str]:
    # What goes to both stages, the detector's name, and its experiment.
    has_data = any(one.startswith(("data=", "data.folder=")) for one in typed)
    if config.folder is None and not has_data:
        raise ConfigError("no data folder is named. Use folder=<folder>, or data=<one of conf/data>.")
    data = []
    if config.folder is not None:
        chosen = any(one.startswith("data=") for one in typed)
        data = [*([] if chosen else ["data=folder"]), f"data.folder={quoted(config.folder)}"]
    passed = [*data, *(one for one in typed if not _heads([one]) & set(OWN))]
    named = dict(one.split("=", 1) for one in typed if one.startswith(("name=", "experiment=")))
    where = config.folder or plain(compose("train", passed))["data"]["folder"]
    return passed, config.name if "name" in named else Path(where).resolve().name, named.get("experiment", "detector")


def _heads(overrides: Sequence[str]) -> set[str]:
    return {re.split(r"[.=/@]", one.lstrip("+~"))[0] for one in overrides}


def _checked(settings: dict[str, Any]) -> tuple[str, bool]:
    # The data's hash, and whether there are test slices.
    data = build_data(settings)
    data.prepare_data()
    memory = Path(settings["paths"]["cache"]) / "fingerprints"
    verification = verify_folder(data.folder, data.on_mixed_size, memory, data.progress)
    if (error := refusal(verification)) is not None:
        raise error
    raise_first(set_findings(data, settings))
    for line in in_short(verification.findings):
        log.warning("%s", line)
    parts = verification.fingerprint["parts"]
    log.info("checked: %d slices in %s", sum(part["slices"] for part in parts), data.folder)
    return verification.fingerprint["sha256"], any(part["split"] == "test" for part in parts)


def _codebook_part(name: str, experiment: str, passed: Sequence[str], settings: dict[str, Any], data: str) -> Part:
    known = [file.stem for file in (CONF_FOLDER / "experiment").glob("*.yaml")]
    wanted = experiment.replace("detector", "codebook")
    stage = [f"experiment={wanted if wanted in known and wanted != experiment else 'codebook'}"]
    kept = [one for one in passed if not _heads([one]) & set(OF_DETECTOR)]
    if (crop := settings["data"]["crop"]) != "none":  # experiments crop; a codebook sees what its detector sees
        kept.append(f"data.crop={crop}")
    overrides = [*stage, f"name={quoted(f'{name}_codebook')}", *kept]
    return Part("codebook", overrides, plain(compose("train", overrides)), data)


def _train(part: Part, dry: bool) -> Run:
    run = part.run
    if run.finished:
        log.info("%s: there already, %s", part.what, run.folder)
        run.link_latest()
    else:
        log.info("%s: %s", part.what, run.folder)
        _call(part.what, ["train", *part.overrides, f"run={quoted(str(run.folder))}"], dry)
    return run


def _evaluate(run: Run, data: str, config: FitConfig) -> None:
    if (there := find_evaluation(run, data)) is not None:
        log.info("evaluation: there already, %s", there / "report.html")
        return
    log.info("evaluation:")
    shown = [f"{key}={str(config[key]).lower()}" for key in ("progress", "quiet")]
    _call("evaluation", ["evaluate", f"run={quoted(str(run.folder))}", *shown], config.dry)


def _call(what: str, arguments: list[str], dry: bool) -> None:
    # A process of its own: its log goes into its run folder, and several devices start it again as they need.
    log.info("%s", command(*arguments))
    if dry:
        return
    whole = [sys.executable, "-m", "anomask", *arguments]
    if subprocess.run(whole, env=os.environ | {PART: what}, check=False).returncode:
        raise RunError(f"the {what} did not come to its end, for the reason above. Started again, this goes on there.")
