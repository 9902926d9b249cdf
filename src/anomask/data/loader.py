"""A training loader that a resumed run can enter in the middle of an epoch."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader, DistributedSampler

from anomask.types import SliceBatch


class SkippingSampler(DistributedSampler):
    """Shuffles as a function of seed and epoch alone, and can leave out the first rows of its next pass."""

    skip = 0

    def __iter__(self) -> Iterator[int]:
        """Yield this process's rows of the epoch, without the first `skip` ones."""
        skip, self.skip = self.skip, 0
        return islice(super().__iter__(), skip, None)


class ResumableLoader(DataLoader):
    """Counts its batches; Lightning stores the count in the checkpoint and gives it back on resume."""

    taken = 0  # batches of the current pass, with those before a resume
    resume_after = 0  # batches that the next pass leaves out
    limit: int | float = 1.0  # Lightning's limit_train_batches: an epoch may end before the loader does

    @property
    def epoch_batches(self) -> int:
        """Batches of an epoch, as Lightning counts them."""
        return min(self.limit, len(self)) if isinstance(self.limit, int) else int(self.limit * len(self))

    def __iter__(self) -> Iterator[SliceBatch]:
        """Yield the batches of an epoch, or the rest of one after `load_state_dict`."""
        self.taken, self.resume_after = self.resume_after, 0
        self.sampler.skip = self.taken * self.batch_size
        for batch in super().__iter__():
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of the current epoch were taken; a finished epoch counts as none."""
        return {"taken": self.taken % max(1, self.epoch_batches)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next pass after the batches that were taken."""
        self.resume_after = state["taken"]
