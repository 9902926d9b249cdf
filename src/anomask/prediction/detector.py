"""Detection from Python: `anomask.load` a run or an exported file, then call it with a slice or a volume."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from pydicom import Dataset

from anomask.data.loading.inputs import GREYS, Case, find_inputs, read_cases
from anomask.data.volumes.account import Account
from anomask.data.volumes.formats import Volume, to_source_geometry
from anomask.data.volumes.values import check_values
from anomask.data.volumes.window import to_grey
from anomask.errors import ConfigError, DataError
from anomask.prediction.loading import open_model
from anomask.prediction.model import Card, Model
from anomask.prediction.predict import VALUES, Predictor, choose_window, decision_of
from anomask.report.prediction.candidates import Candidate, find_candidates

GIVEN = "an array, a tensor, a nibabel image, a list of pydicom data sets, or a path"


@dataclass(frozen=True)
class Found:
    """What a detector finds in a slice or a volume. For research use only."""

    anomaly_map: np.ndarray  # float32 in [0, 1], [H, W] of a slice, [Z, H, W] of a volume; higher is worse
    scores: np.ndarray  # [Z], of each slice
    called_abnormal: np.ndarray  # [Z] bool, whether a slice's score is above the threshold
    candidates: list[Candidate]  # lesion candidates, the highest peak first, three-dimensional in a volume
    volume: Volume | None  # None of a slice or an array; its slices run from feet to head, rows to the back

    @property
    def score(self) -> float:
        """The highest score of a slice."""
        return float(self.scores.max())

    def to_nifti(self) -> nib.Nifti1Image:
        """Return the map with the shape and the affine of the file, image or series that was given.

        Raises:
            ConfigError: a slice or an array was given, which has no geometry.
        """
        if self.volume is None:
            raise ConfigError("a slice or an array has no geometry: only maps of volumes become NIfTI.")
        return to_source_geometry(self.volume, self.anomaly_map)


class LoadedDetector:
    """A trained detector as a function.

    Args:
        model: what detects.
        batch_size: slices at once.
    """

    def __init__(self, model: Model, batch_size: int = 16) -> None:
        self._predictor = Predictor(model, batch_size)

    @property
    def card(self) -> Card:
        """What it is: training, thresholds, figures."""
        return self._predictor.card

    def __call__(
        self, given: Any, values: str | None = None, window: Any = None, allow_gaps: bool = False, min_pixels: int = 20
    ) -> Found:
        """Detect anomalies in one slice or one volume.

        Args:
            given: a path to a slice, a NIfTI file or a DICOM series' folder; an array or tensor, [H, W] or
                [Z, H, W]; a nibabel image; a list of pydicom data sets, one a slice.
            values: 'hu' or 'grey' (0 to 255, windowed already); None takes uint8 arrays for greys, all else for HU.
            window: (low, high) in HU or a name; None is that of the training, or lung.
            allow_gaps: whether slices of a DICOM series may be missing.
            min_pixels: smaller candidates are left out.

        Raises:
            DataError: what is given cannot be used.
            ConfigError: options that cannot be meant.
        """
        if values not in (*VALUES, None):
            raise ConfigError(f"values is {values!r}; use one of {', '.join(VALUES)}.")
        if min_pixels < 1:
            raise ConfigError(f"min_pixels is {min_pixels}; at least 1 is wanted.")
        chosen = choose_window(window, self.card)
        case, single = self._case(given, values, chosen, allow_gaps)
        maps, scores, within = self._predictor(case)
        whole, inside = (np.stack(part) for part in (maps, within))
        threshold, volume = decision_of(self.card), case.volume
        if single:
            whole, inside = whole[0], inside[0]
        geometry = () if volume is None else (volume.spacing_mm, volume.affine)
        candidates, _ = find_candidates(whole * inside, threshold.pixel, min_pixels, *geometry)
        each = np.array(scores)
        return Found(whole, each, each > threshold.score, candidates, volume)

    def _case(self, given: Any, values: str | None, window: tuple[float, float], allow_gaps: bool) -> tuple[Case, bool]:
        """Return what is given as a case, and whether it is one slice."""
        if isinstance(given, str | Path):
            return _read(Path(given), values, window, allow_gaps)
        series = isinstance(given, list | tuple) and given and all(isinstance(one, Dataset) for one in given)
        if series or isinstance(given, nib.spatialimages.SpatialImage):
            with tempfile.TemporaryDirectory() as folder:  # read as what a scanner's files are read
                _save(given, Path(folder))
                return _read(Path(folder), values, window, allow_gaps)
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu().numpy()
        if not isinstance(given, np.ndarray):
            raise DataError(f"got {type(given).__name__}, wanted {GIVEN}.")
        return _of_array(given, values, window)


def load(run: str | Path, runs: str | Path = "runs", device: str = "cpu", batch_size: int = 16) -> LoadedDetector:
    """Load a trained detector.

    Args:
        run: a file of ``anomask export``, a run folder, a run's name, or a checkpoint file.
        runs: folder in which names are looked up.
        device: such as cpu or cuda:1; exported files run on the CPU.
        batch_size: slices at once.

    Raises:
        anomask.errors.AnomaskError: there is none, or it cannot be used.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; at least 1 is wanted.")
    return LoadedDetector(open_model(str(run), str(runs), device=device), batch_size)


def _save(given: Any, folder: Path) -> None:
    try:
        if isinstance(given, nib.spatialimages.SpatialImage):
            nib.save(given, folder / "image.nii")
            return
        for row, one in enumerate(given):
            one.save_as(folder / f"{row:06d}.dcm")
    except Exception as error:  # nibabel and pydicom raise many kinds for what their formats cannot hold
        said = " ".join(str(error).split())
        raise DataError(
            f"the {type(given).__name__} that was given cannot be written as a file ({type(error).__name__}: {said}). "
            f"Wanted: {GIVEN}."
        ) from error


def _read(place: Path, values: str | None, window: tuple[float, float], allow_gaps: bool) -> tuple[Case, bool]:
    def stop(fault: DataError) -> None:
        raise fault

    account = Account(place, stop)
    inputs = find_inputs(place, None, account)
    count = len(inputs.slices) + len(inputs.volumes)
    if count > 1:
        raise DataError(f"{place} holds {count} slices and volumes; one is wanted. For all of them: anomask predict.")
    cases = list(read_cases(inputs, 1, window, account, values or "hu", allow_gaps))
    if not cases:
        raise DataError(f"{place} holds no axial CT.")
    return cases[0], cases[0].volume is None


def _of_array(given: np.ndarray, values: str | None, window: tuple[float, float]) -> tuple[Case, bool]:
    if given.ndim not in (2, 3) or 0 in given.shape:
        raise DataError(f"got an array of shape {given.shape}, wanted [H, W] or [Z, H, W].")
    if given.dtype.kind not in "iuf":
        raise DataError(f"got an array of {given.dtype}, wanted numbers: 8-bit greys, or HU.")
    single, slices = given.ndim == 2, given[None] if given.ndim == 2 else given
    values = values or ("grey" if given.dtype == np.uint8 else "hu")
    hu = slices.astype(np.float32)
    if not (given.dtype == np.uint8 and values == "grey"):  # greys as of a file may all be dark
        check_values(Volume(hu, np.eye(4), (1.0, 1.0, 1.0), "", "array", Path("the array"), "LPS"), values)
    pixels = [to_grey(one, GREYS if values == "grey" else window, 8) for one in hu]
    return Case(["array"] * len(pixels), pixels), single
