"""A training loader that is shared by processes, and that a resumed run can enter in the middle of an epoch."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from anomask.batches import SliceBatch


class SharedSampler(Sampler[int]):
    """Shuffles as a function of seed and epoch alone; each joint batch is cut into one contiguous part a process.

    Processes in rank order thus see what one process with the joint batch size sees, and epochs are as long. Rows that
    fill no joint batch are left out of an epoch; fewer rows than one joint batch are one short batch, of which some
    rows may be seen twice to give every process as many. Of several sources an epoch shows as many rows each: those of
    a small one come more than once, those of a large one take turns over the epochs.

    Args:
        sources: where each row comes from; all alike where the set is seen as it is.
        batch_size: of one process.
        world: processes.
        rank: of this process.
        seed: of the order.
    """

    def __init__(self, sources: Sequence[str], batch_size: int, world: int, rank: int, seed: int) -> None:
        self.groups = [[row for row, own in enumerate(sources) if own == source] for source in sorted(set(sources))]
        self.n_rows, self.batch_size, self.world, self.rank, self.seed = len(sources), batch_size, world, rank, seed
        self.epoch = 0
        self.skip = 0  # rows that the next pass leaves out

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return this process's rows of an epoch."""
        batches = self.n_rows // (self.batch_size * self.world)
        return batches * self.batch_size if batches else -(-self.n_rows // self.world)

    def __iter__(self) -> Iterator[int]:
        """Yield this process's rows of the epoch, without the first `skip` ones."""
        skip, self.skip = self.skip, 0
        order = self._order(torch.Generator().manual_seed(self.seed + self.epoch))
        share = min(self.batch_size, len(self))
        order = order.repeat(-(-len(self) * self.world // self.n_rows))[: len(self) * self.world]
        return islice(order.view(-1, self.world, share)[:, self.rank].flatten().tolist(), skip, None)

    def _order(self, generator: torch.Generator) -> Tensor:
        if len(self.groups) < 2:
            return torch.randperm(self.n_rows, generator=generator)
        share = -(-self.n_rows // len(self.groups))
        rows = []
        for group in self.groups:
            times = -(-share // len(group))
            shuffled = torch.cat([torch.randperm(len(group), generator=generator) for _ in range(times)])[:share]
            rows.append(torch.tensor(group)[shuffled])
        pooled = torch.cat(rows)
        return pooled[torch.randperm(len(pooled), generator=generator)[: self.n_rows]]


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
        self.dataset.epoch = self.sampler.epoch  # before worker processes copy the set
        for batch in super().__iter__():
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of the current epoch were taken; a finished epoch counts as none."""
        return {"taken": self.taken % max(1, self.epoch_batches)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start the next pass after the batches that were taken."""
        self.resume_after = state["taken"]
