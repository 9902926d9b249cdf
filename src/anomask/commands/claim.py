"""Two runs of one name that start in the same second get a folder each."""

import os
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from anomask.files import new_folder

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # of a process among those of one training


class ClaimFolder(Callback):
    """Makes the folder that is named by the time, under a name of its own where another run was faster.

    Hydra itself takes a folder that is there, and writes over what another run has written. Where the user names the
    folder, and in the further processes of one training, it is taken as it is.
    """

    def on_run_start(self, config: DictConfig, **named: object) -> None:
        """Make the folder of `hydra.run.dir`."""
        given = [*config.hydra.overrides.task, *config.hydra.overrides.hydra]
        named_by_user = any(text.lstrip("+").startswith(("run=", "hydra.run.dir=")) for text in given)
        if (
            named_by_user
            or not Path(config.hydra.run.dir).name
            or any(os.environ.get(name, "0") != "0" for name in RANKS)
        ):
            return
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.run.dir = str(new_folder(Path(config.hydra.run.dir)))
