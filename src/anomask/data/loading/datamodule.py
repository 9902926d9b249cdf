"""The Lightning data module over a folder of slices."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from anomask.data.checks.copies import copies
from anomask.data.checks.fingerprint import content_hash
from anomask.data.folder.findings import raise_first
from anomask.data.folder.hashing import file_hashes
from anomask.data.folder.manifest import read_folder
from anomask.data.folder.reading import check_sizes
from anomask.data.folder.records import SliceRecord, is_synthetic
from anomask.data.folder.splits import split_validation
from anomask.data.loading.cache import DecodedSlices
from anomask.data.loading.frame import CROPS
from anomask.data.loading.loader import ResumableLoader, SharedSampler
from anomask.data.loading.slices import LoadSlice, SliceDataset, collate
from anomask.errors import ConfigError, DataError

log = logging.getLogger(__name__)


class SliceDataModule(pl.LightningDataModule):
    """Training normals, validation normals split off them, and the test set of a data folder.

    Args:
        folder: in the layout of `anomask.data.folder.manifest.LAYOUT`.
        size: S, side in pixels; slices are resized to it.
        batch_size: of this process.
        validation_share: of the training normals, see `split_validation`.
        on_mixed_size: 'error', or 'pad' to pad slices to squares.
        lung_masks: 'given', or 'estimate' for slices that came without one.
        crop: 'none', or 'lungs' to show the networks the box of the estimated lungs alone.
        augment: MONAI dictionary transforms for training slices, or None.
        cache: 'memory', or 'disk' to keep decoded slices in files that all processes and later runs map into memory.
        cache_rate: share of the slices kept in memory where `cache` is 'memory'.
        cache_folder: parent of the files where `cache` is 'disk'.
        num_workers: processes that load batches; with all slices in memory 0 is fastest.
        balance: 'none', or 'source' to show as many slices of each source in an epoch.
        seed: of the training order and of augmentation.
        progress: whether loading shows progress bars.

    Raises:
        ConfigError: an unknown choice, or no folder for the files.
    """

    def __init__(
        self,
        folder: str,
        size: int,
        batch_size: int,
        validation_share: float,
        on_mixed_size: str = "error",
        lung_masks: str = "estimate",
        crop: str = "none",
        augment: list[Callable] | None = None,
        cache: str = "memory",
        cache_rate: float = 1.0,
        cache_folder: str | None = None,
        num_workers: int = 0,
        balance: str = "none",
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("on_mixed_size", on_mixed_size, ("error", "pad")),
            ("lung_masks", lung_masks, ("given", "estimate")),
            ("crop", crop, CROPS),
            ("cache", cache, ("memory", "disk")),
            ("balance", balance, ("none", "source")),
        ):
            if value not in known:
                raise ConfigError(f"data.{name} is {value!r}; use one of {', '.join(known)}.")
        if cache == "disk" and cache_folder is None:
            raise ConfigError("data.cache is 'disk' and data.cache_folder is not set; name a folder for the files.")
        self.folder, self.size, self.batch_size = Path(folder), size, batch_size
        self.validation_share, self.on_mixed_size, self.lung_masks = validation_share, on_mixed_size, lung_masks
        self.crop, self.augment, self.num_workers = crop, augment, num_workers
        self.cache, self.cache_rate = cache, cache_rate if cache == "memory" else 0.0
        self.cache_folder = None if cache_folder is None else Path(cache_folder)
        self.balance, self.seed, self.progress = balance, seed, progress
        self.records: list[SliceRecord] = []
        self.train_set: SliceDataset | None = None
        self.validation_set: SliceDataset | None = None
        self.test_set: SliceDataset | None = None

    @property
    def synthetic(self) -> bool:
        """Whether the slices are generated and say nothing about patients."""
        return is_synthetic(self.folder)

    def setup(self, stage: str | None = None) -> None:
        """Read and check the folder, and load what `stage` needs; calling it again changes nothing.

        A folder of test slices alone will do for the stage 'test'.

        Raises:
            DataError, SplitError: a folder that cannot be used.
        """
        self._read(to_train=stage != "test")
        if stage in ("fit", "validate", None) and self.train_set is None:
            normals = self.normals
            training, validation, unit = self.split_normals()
            log.info("%d training and %d validation normals, split by %s", len(training), len(validation), unit)
            decoded = self._decoded(normals)  # of both, so that another share decodes nothing anew
            self.train_set = self._load(training, self.augment, decoded)
            self.validation_set = self._load(validation, None, decoded)
        if stage in ("test", None) and self.test_set is None:
            test = [record for record in self.records if record.split == "test"]
            if test:
                self.test_set = self._load(test, None, self._decoded(test))
            elif stage == "test":
                raise DataError(
                    f"no test slices in {self.folder}: test/normal and test/abnormal are both empty. Put slices there."
                )

    @property
    def normals(self) -> list[SliceRecord]:
        """The training normals, those that are held out for validation among them; empty before `setup`."""
        return [record for record in self.records if (record.split, record.label) == ("train", "normal")]

    def split_normals(self) -> tuple[list[SliceRecord], list[SliceRecord], str]:
        """Split them as `split_validation` does; nothing is loaded."""
        self._read(to_train=True)
        return split_validation(self.normals, self.validation_share)

    def _read(self, to_train: bool) -> None:
        if not self.records:
            records = read_folder(self.folder, to_train)
            # Training slices first: they are the ones the others are compared with.
            training_first = sorted(records, key=lambda record: record.split != "train")
            raise_first(check_sizes(training_first, self.on_mixed_size))
            raise_first(copies(records, self.slice_hashes(records)))
            self.records = records

    def train_dataloader(self) -> DataLoader:
        """Training normals in a new order each epoch, this process's share of them."""
        # The order is a function of seed and epoch, so a resumed run sees the batches it would have seen.
        sources = [record.source if self.balance == "source" else "" for record in self.train_set.records]
        sampler = SharedSampler(sources, self.batch_size, *self._processes(), self.seed)
        loader = self._loader(self.train_set, kind=ResumableLoader, sampler=sampler)
        if self.trainer is not None:
            loader.limit = self.trainer.limit_train_batches
        return loader

    def val_dataloader(self) -> DataLoader:
        """This process's share of the validation normals, each in one process, in order.

        Raises:
            DataError: there are fewer than processes.
        """
        world, rank = self._processes()
        rows = range(rank, len(self.validation_set), world)
        if len(self.validation_set) < world:
            raise DataError(
                f"{len(self.validation_set)} validation normals cannot be shared by {world} processes; each needs one. "
                "Raise data.validation_share or use fewer devices."
            )
        return self._loader(self.validation_set, sampler=rows)

    def test_dataloader(self) -> DataLoader:
        """All test slices in order.

        Raises:
            DataError: the folder has none, or they were not loaded yet.
        """
        if self.test_set is None:
            raise DataError(
                f"no test slices of {self.folder} are loaded: call setup first, and put slices into "
                "test/normal and test/abnormal if there are none."
            )
        return self.ordered_loader(self.test_set)

    def ordered_loader(self, rows: SliceDataset) -> DataLoader:
        """Return a loader over a set, once and in order."""
        return self._loader(rows, shuffle=False)

    def slice_hashes(self, records: Sequence[SliceRecord]) -> list[str]:
        """Return the SHA-256 of each slice's file, which caches are keyed by."""
        return file_hashes(record.path for record in records)

    def fingerprint(self) -> str:
        """Return one SHA-256 over names, patients and contents of all slices and masks.

        Raises:
            DataError: before setup.
        """
        if not self.records:
            raise DataError(f"{self.folder} was not read yet. Call setup before fingerprint.")
        return content_hash(self.records)

    def _processes(self) -> tuple[int, int]:
        return (1, 0) if self.trainer is None else (self.trainer.world_size, self.trainer.global_rank)

    def _decoded(self, records: list[SliceRecord]) -> DecodedSlices | None:
        if self.cache == "memory":
            return None
        decoded = DecodedSlices(self.cache_folder, records, self._reader(), self.progress)
        decoded.build()
        return decoded

    def _load(
        self, records: list[SliceRecord], augment: list[Callable] | None, decoded: DecodedSlices | None
    ) -> SliceDataset:
        load = decoded or self._reader()
        return SliceDataset(records, load, augment, self.cache_rate, self.progress, self.seed)

    def _reader(self) -> LoadSlice:
        return LoadSlice(self.size, self.lung_masks, self.crop)

    def _loader(self, rows: SliceDataset, kind: type[DataLoader] = DataLoader, **how: object) -> DataLoader:
        return kind(rows, self.batch_size, num_workers=self.num_workers, collate_fn=collate, **how)
