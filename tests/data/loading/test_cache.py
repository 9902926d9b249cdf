"""Decoded slices in files: equal to plain loading, built once, never half built, never stale."""

import multiprocessing
import os
import pickle
import signal
import time

import numpy as np
import pytest
import torch

from anomask.data.folder.manifest import read_folder
from anomask.data.loading.cache import DecodedSlices
from anomask.data.loading.datamodule import SliceDataModule
from anomask.data.loading.slices import LoadSlice
from anomask.errors import ConfigError, DataError
from tests.conftest import save, toy_slice

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(8):
        save(toy_slice(rng)[0], tmp_path / f"set/train/normal/a{index}.png")
    for index in range(3):
        image, mask, lung = toy_slice(rng, lesion=True)
        save(image, tmp_path / f"set/test/abnormal/flu/b{index}.png")
        save(mask.astype(np.uint8) * 255, tmp_path / f"set/test/masks/flu/b{index}.png")
        if index:
            save(lung.astype(np.uint8) * 255, tmp_path / f"set/test/lung_masks/flu/b{index}.png")
    return tmp_path / "set"


def decoded(folder, size=32, load=LoadSlice):
    return DecodedSlices(folder.parent / "cache", read_folder(folder), load(size, "estimate"), False)


def module(folder, **changes):
    settings = dict(size=32, batch_size=4, validation_share=0.25, progress=False)
    return SliceDataModule(str(folder), **(settings | changes))


def left(folder):
    return sorted(path.name for path in (folder.parent / "cache").iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize(("size", "kind"), [(32, np.uint8), (24, np.float32), (40, np.float32)])
def test_every_field_equals_plain_loading_to_the_last_bit(folder, size, kind):
    cache, load = decoded(folder, size), LoadSlice(size, "estimate")
    cache.build()
    for row, record in enumerate(cache.records):
        item = {"row": row + 5, "record": record}
        got, wanted = cache(item), load(item)
        assert got.keys() == wanted.keys()
        for name, value in wanted.items():
            assert got[name].dtype == value.dtype and torch.equal(got[name], value), name
    assert np.load(cache.place / "image.npy", mmap_mode="r").dtype == kind


def test_all_grey_values_survive_as_uint8(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save(grey, tmp_path / "set/train/normal/a.png")
    cache, load = decoded(tmp_path / "set", 16), LoadSlice(16, "estimate")
    cache.build()
    item = {"row": 0, "record": cache.records[0]}
    assert torch.equal(cache(item)["image"], load(item)["image"])


def test_slices_of_several_sizes_are_padded_as_in_plain_loading(folder):
    save(np.full((20, 30), 90, np.uint8), folder / "train/normal/a9.png")
    plain, disk = (module(folder, on_mixed_size="pad", **how) for how in ({}, on_disk(folder)))
    same_batches(plain, disk)


def on_disk(folder):
    return {"cache": "disk", "cache_folder": str(folder.parent / "cache")}


def same_batches(plain, disk):
    for data in (plain, disk):
        data.setup()
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        batches = [list(getattr(data, name)()) for data in (plain, disk)]
        assert len(batches[0]) == len(batches[1]) > 0
        for first, second in zip(*batches, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_augmented_or_of_a_worker_process_equal_those_of_plain_loading(folder, workers):
    from monai.transforms import RandCoarseDropoutd, RandGaussianNoised

    def augment():  # the first one works in place
        dropout = RandCoarseDropoutd(keys=["image"], holes=2, spatial_size=8, fill_value=0.5, prob=1.0)
        return [dropout, RandGaussianNoised(keys=["image"], prob=1.0)]

    common = {"num_workers": workers}
    plain = module(folder, augment=augment() if not workers else None, **common)
    disk = module(folder, augment=augment() if not workers else None, **common, **on_disk(folder))
    same_batches(plain, disk)


def test_a_second_run_and_another_share_decode_nothing(folder, monkeypatch):
    module(folder, **on_disk(folder)).setup()
    monkeypatch.setattr(LoadSlice, "__call__", lambda *_: pytest.fail("decoded again"))
    module(folder, validation_share=0.5, **on_disk(folder)).setup()


def test_a_worker_process_maps_the_files_itself(folder):
    cache = decoded(folder)
    cache.build()
    item = {"row": 0, "record": cache.records[0]}
    cache(item)
    sent = pickle.dumps(cache)
    assert len(sent) < 20_000 and torch.equal(pickle.loads(sent)(item)["image"], cache(item)["image"])


def test_a_file_replaced_by_one_of_equal_size_and_time_is_decoded_anew(folder):
    first = decoded(folder)
    first.build()
    path = folder / "train/normal/a0.png"
    before, other = path.stat(), (folder / "train/normal/a1.png").read_bytes()
    content = bytearray(path.read_bytes())
    content[: len(other)] = other[: len(content)]
    path.write_bytes(bytes(content).ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert decoded(folder).key != first.key


def test_a_touched_file_is_not_and_a_changed_mask_is(folder):
    first = decoded(folder)
    os.utime(folder / "train/normal/a0.png", (1, 1))
    assert decoded(folder).key == first.key
    save(np.zeros((32, 32), np.uint8), folder / "test/masks/flu/b0.png")
    assert decoded(folder).key != first.key


class SlowLoad(LoadSlice):
    """Takes its time, and says in a file that it was called."""

    def __call__(self, item):
        time.sleep(0.05)
        with open(os.environ["CALLS"], "a") as stream:
            stream.write("x")
        return super().__call__(item)


def build(folder):
    decoded(folder, load=SlowLoad).build()


def test_two_processes_build_once(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    processes = [FORK.Process(target=build, args=(folder,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "calls").read_text() == "x" * 11
    assert left(folder) == [decoded(folder).key]


def test_a_killed_builder_leaves_nothing_that_counts_and_is_cleaned_up_after(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    process = FORK.Process(target=build, args=(folder,))
    process.start()
    while not (tmp_path / "calls").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    cache = decoded(folder)
    assert left(folder) == [f".{cache.key}.part"]
    (folder.parent / "cache/.0123.part").mkdir()  # of another set, also killed
    cache.build()
    assert left(folder) == [cache.key]
    assert (tmp_path / "calls").read_text() != "x" * 11


def test_a_part_that_another_process_is_building_is_left_alone(folder):
    from filelock import FileLock

    place = folder.parent / "cache"
    (place / ".0123.part").mkdir(parents=True)
    with FileLock(place / ".0123.lock"):
        decoded(folder).build()
    assert (place / ".0123.part").is_dir()


def test_a_slice_that_changes_while_it_is_decoded_is_an_error(folder):
    class Changing(LoadSlice):
        def __call__(self, item):
            fields = super().__call__(item)
            if item["record"].name == "train/normal/a0.png":
                save(np.full((32, 32), 7, np.uint8), item["record"].path)
            return fields

    cache = decoded(folder, load=Changing)
    with pytest.raises(DataError, match="changed while they were decoded"):
        cache.build()
    assert left(folder) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("anomask.data.loading.cache.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        decoded(folder).build()
    assert left(folder) == []


def test_a_cache_of_another_kind_or_without_a_place_is_an_error(folder):
    with pytest.raises(ConfigError, match="data.cache is 'ram'"):
        module(folder, cache="ram")
    with pytest.raises(ConfigError, match="data.cache_folder is not set"):
        module(folder, cache="disk")
