"""What libraries say at every start and no user can act on."""

import logging
import warnings


def quieten() -> None:
    """Hide what libraries say at every start and no user can act on; real warnings stay."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    for message in (
        r".*isinstance\(treespec.*",
        r".*does not have many workers.*",
        r"Found \d+ module\(s\) in eval mode.*",  # the frozen codebook is meant to be
        r".*smaller than the logging interval.*",
        r"Experiment logs directory.*",  # the run folder holds more than logs
        r"Checkpoint directory .* exists and is not empty.*",  # a run that goes on
        r".*get_mask_edges:always_return_as_numpy.*",  # what MONAI's surface Dice tells itself
        r"The ``compute`` method of metric .* before the ``update`` method.*",  # one that goes on at an epoch's end
    ):
        warnings.filterwarnings("ignore", message)
