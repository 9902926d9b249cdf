"""On which training normals an evaluation's floors are fixed: the evaluated folder's, or else the run's own."""

import logging
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from anomask.build import build_data
from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import AnomaskError, DataError
from anomask.metrics.floors import Floors, floors_of, read_floors
from anomask.runs.folder import Run
from anomask.stages.baseline import BaselineStage
from anomask.stages.detector import DetectorStage

log = logging.getLogger(__name__)


def find_floors(data: SliceDataModule, stage: DetectorStage | BaselineStage, run: Run) -> tuple[Floors, str]:
    """Return the floors, and the name of the folder whose training normals are behind them.

    Args:
        data: of the evaluation, its test set loaded.
        stage: the run's.
        run: trained on normals of its own, which stand behind a folder of test slices alone.

    Raises:
        DataError: a folder of test slices alone, and the run's own normals are neither kept nor what they were.
    """
    if data.normals:
        data.setup("fit")
        return floors_of(_images(data)), data.folder.name
    own = Path(stage.settings["data"]["folder"])
    log.info("no training normals in %s: the run's own, of %s, are behind the floors", data.folder, own.name)
    if run.floors_file.is_file():
        return read_floors(run.floors_file), own.name
    return floors_of(_images(_own_data(data, stage, run, own))), own.name


def _own_data(data: SliceDataModule, stage: DetectorStage | BaselineStage, run: Run, own: Path) -> SliceDataModule:
    # A run of before its floors were kept; its data may be there still.
    known, lost = run.read_fingerprint(), f"{own} is not there, or not what the run learned from"
    trained_on = build_data(
        stage.settings, batch_size=data.batch_size, progress=data.progress, augment=None, crop="none"
    )
    try:
        trained_on.prepare_data()
        trained_on.setup("fit")
    except AnomaskError as error:
        lost = str(error)
    else:
        if known is not None and trained_on.fingerprint() == known["sha256"]:
            return trained_on
    raise DataError(
        f"no training normals in {data.folder}, and {run.folder} did not keep what floors need ({lost}). Put training "
        "normals into train/normal, or train the run again."
    )


def _images(data: SliceDataModule) -> Iterator[Tensor]:
    return (batch.image for batch in data.ordered_loader(data.train_set))
