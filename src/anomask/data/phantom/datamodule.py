"""The phantom as a data module: generated on first use, then read like any other folder."""

from anomask.data.loading.datamodule import SliceDataModule
from anomask.data.phantom.dataset import write_phantom


class PhantomDataModule(SliceDataModule):
    """Synthetic thorax slices; nothing about patients follows from scores on them.

    Args:
        folder: where the phantom is, or will be written.
        size: side in pixels.
        train_patients: synthetic patients of the training normals.
        test_patients: synthetic patients of the test set.
        slices_per_patient: normal slices of each.
        abnormal_per_family: lesion slices of each of the five families.
        phantom_seed: of the generator.
        settings: everything else, as in `SliceDataModule`.
    """

    def __init__(
        self,
        folder: str,
        size: int,
        train_patients: int,
        test_patients: int,
        slices_per_patient: int,
        abnormal_per_family: int,
        phantom_seed: int,
        **settings: object,
    ) -> None:
        super().__init__(folder, size, **settings)
        self.phantom = {
            "train_patients": train_patients,
            "test_patients": test_patients,
            "slices_per_patient": slices_per_patient,
            "abnormal_per_family": abnormal_per_family,
            "seed": phantom_seed,
        }

    def prepare_data(self) -> None:
        """Write the phantom where it is not there yet."""
        write_phantom(self.folder, size=self.size, progress=self.progress, **self.phantom)
