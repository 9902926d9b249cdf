"""Check a data folder and its splits before anything is trained on it: every fault with its file and what to do."""

import sys
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from anomask.commands import cli
from anomask.commands.entry import command
from anomask.errors import ConfigError
from anomask.settings.compose import plain


@command("verify", may_lack=["data.folder"])
def main(config: DictConfig) -> None:
    """Compose the settings from conf/verify.yaml and the command line, and check; exit code 1 if there are errors."""
    from hydra.utils import instantiate

    from anomask.data.checks.verification import verify_folder
    from anomask.report.verification import verification_text
    from anomask.runs.next_command import command as next_command
    from anomask.runs.next_command import say_next
    from anomask.training.checks import set_findings

    if config.folder is not None:
        config.data.folder = config.folder
    if OmegaConf.is_missing(config.data, "folder"):
        raise ConfigError("no data folder is named. Use folder=<folder>, or data=<one of conf/data>.")
    data = instantiate(config.data, progress=config.progress, _convert_="all")
    data.prepare_data()
    memory = Path(config.paths.cache) / "fingerprints"
    verification = verify_folder(data.folder, data.on_mixed_size, memory, config.progress)
    if not verification.errors:  # else there may be nothing to split
        more = set_findings(data, plain(config))
        verification = replace(verification, findings=[*verification.findings, *more])
    sys.stdout.write(verification_text(verification, config.all))
    if verification.errors:
        sys.exit(1)
    if config.folder is not None:
        say_next(next_command("fit", f"folder={config.folder}"))


if __name__ == "__main__":
    cli.main(["verify", *sys.argv[1:]])
