"""Slices shared by processes: the joint batches of one process, each validation slice once, augmentation by slice."""

from types import SimpleNamespace

import pytest
import torch
from monai.transforms import RandFlipd, RandGaussianNoised

from anomask.build import build_data
from anomask.data.loading.loader import SharedSampler
from anomask.errors import DataError


def part(n_rows, batch, world, rank, epoch=0, skip=0):
    sampler = SharedSampler([""] * n_rows, batch, world, rank, seed=5)
    sampler.set_epoch(epoch)
    sampler.skip = skip
    rows = list(sampler)
    assert len(rows) == len(sampler) - skip
    return rows


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("n_rows", [12, 13, 23, 24, 25, 100])
def test_the_parts_of_all_processes_in_rank_order_are_the_joint_batch(n_rows, world):
    joint = 12
    for epoch in (0, 3):
        alone = part(n_rows, joint, 1, 0, epoch)
        shares = [torch.tensor(part(n_rows, joint // world, world, rank, epoch)) for rank in range(world)]
        batches = torch.stack([share.view(-1, joint // world) for share in shares], dim=1)
        assert batches.flatten().tolist() == alone
        assert len(set(alone)) == n_rows // joint * joint
    assert part(n_rows, joint, 1, 0, 0) != part(n_rows, joint, 1, 0, 3)


@pytest.mark.parametrize(("n_rows", "world"), [(1, 2), (5, 2), (7, 4), (3, 4)])
def test_fewer_rows_than_a_joint_batch_are_one_short_batch(n_rows, world):
    shares = [part(n_rows, 8, world, rank) for rank in range(world)]
    assert {len(share) for share in shares} == {-(-n_rows // world)}
    assert {row for share in shares for row in share} == set(range(n_rows))


def test_a_pass_can_leave_out_its_first_rows():
    assert part(24, 4, 2, 1, skip=8) == part(24, 4, 2, 1)[8:]


def data_of(tiny, world, rank):
    data = build_data(tiny(), progress=False)
    data.setup("fit")
    data.trainer = SimpleNamespace(world_size=world, global_rank=rank, limit_train_batches=1.0)
    return data


def test_each_validation_normal_is_in_one_process(tiny):
    rows = [batch.index for rank in range(5) for batch in data_of(tiny, 5, rank).val_dataloader()]
    assert sorted(torch.cat(rows).tolist()) == list(range(12))


def test_more_processes_than_validation_normals_are_an_error(tiny):
    with pytest.raises(DataError, match="12 validation normals cannot be shared by 13 processes"):
        data_of(tiny, 13, 0).val_dataloader()


def test_augmentation_is_a_function_of_epoch_and_slice(tiny):
    augment = [RandFlipd(["image"], prob=0.5, spatial_axis=1), RandGaussianNoised(["image"], prob=1.0, std=0.1)]

    def rows_of(order, epoch=0, workers=0):
        data = build_data(tiny(), progress=False, augment=augment, num_workers=workers)
        data.setup("fit")
        data.train_set.epoch = epoch
        loader = data.ordered_loader(data.train_set)
        if workers:
            return {int(row): image for batch in loader for row, image in zip(batch.index, batch.image, strict=True)}
        return {row: data.train_set[row].image for row in order}

    forward, backward = rows_of(range(8)), rows_of(range(7, -1, -1))
    other, loaded = rows_of(range(8), epoch=1), rows_of(None, workers=2)
    for row in range(8):
        assert torch.equal(forward[row], backward[row]) and torch.equal(forward[row], loaded[row])
        assert not torch.equal(forward[row], other[row])
