"""Faults of a data folder that would spoil a result silently: copies, leaks between parts, in-place augmentation."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from anomask.data.folder.manifest import SliceRecord, read_folder
from anomask.data.folder.splits import split_validation
from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import DataError, SplitError


def noise(path, size=(32, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list("/".join(path.parts[-3:]).encode())  # another image for each name
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size, dtype=np.uint8)).save(path)


def module(folder, **changes):
    settings = dict(size=32, batch_size=4, validation_share=0.25, progress=False)
    return SliceDataModule(str(folder), **(settings | changes))


def write_manifest(folder, rows, columns=("path", "patient"), encoding="utf-8"):
    with (folder / "manifest.csv").open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream).writerows([columns, *rows])


@pytest.fixture
def folder(tmp_path):
    for index in range(8):
        noise(tmp_path / f"train/normal/a{index}.png")
    noise(tmp_path / "test/normal/b0.png")
    noise(tmp_path / "test/abnormal/flu/c0.png")
    return tmp_path


@pytest.mark.parametrize(("copy", "kind"), [("test/abnormal/flu/x.png", SplitError), ("train/normal/x.png", DataError)])
def test_a_copied_slice_is_an_error(folder, copy, kind):
    (folder / copy).write_bytes((folder / "train/normal/a0.png").read_bytes())
    with pytest.raises(kind, match="are the same image") as caught:
        module(folder).setup("fit")
    assert type(caught.value) is kind
    assert copy in str(caught.value) and "train/normal/a0.png" in str(caught.value)


def test_one_mask_for_two_slices_is_an_error(folder):
    noise(folder / "test/abnormal/cold/c0.png")
    noise(folder / "test/masks/c0.png")
    with pytest.raises(DataError, match=r"c0\.png is the mask of test/abnormal/cold/c0\.png and of .*/flu/c0\.png"):
        read_folder(folder)


def test_blanks_around_a_patient_do_not_hide_that_he_is_in_both_splits(folder):
    names = [record.name for record in read_folder(folder)]
    write_manifest(folder, [[name, " 0412" if "train" in name else "0412"] for name in names])
    with pytest.raises(SplitError, match="patient 0412 is in test and train"):
        read_folder(folder)


def test_an_unknown_column_or_encoding_is_an_error(folder):
    names = [record.name for record in read_folder(folder)]
    write_manifest(folder, [[name, "p"] for name in names], ("path", "patient_id"))
    with pytest.raises(DataError, match=r"unknown columns \['patient_id'\]"):
        read_folder(folder)
    write_manifest(folder, [[name, "Müller"] for name in names], encoding="latin-1")
    with pytest.raises(DataError, match="Save it as comma-separated UTF-8"):
        read_folder(folder)


def test_train_and_test_of_different_size_are_an_error(folder):
    noise(folder / "test/normal/b0.png", size=(64, 64))
    with pytest.raises(DataError, match=r"b0\.png is 64x64 pixels, train/normal/a0\.png is 32x32"):
        module(folder).setup("fit")


def test_equal_slices_that_are_not_square_are_an_error(tmp_path):
    for index in range(4):
        noise(tmp_path / f"train/normal/a{index}.png", size=(24, 40))
    with pytest.raises(DataError, match=r"a0\.png is 40x24 pixels\. Square"):
        module(tmp_path).setup("fit")


def test_a_missing_test_part_is_an_error_only_when_it_is_asked_for(tmp_path):
    for index in range(8):
        noise(tmp_path / f"train/normal/a{index}.png")
    data = module(tmp_path)
    data.setup()
    assert len(data.train_set) == 6
    with pytest.raises(DataError, match="no test slices"):
        data.test_dataloader()
    with pytest.raises(DataError, match="no test slices"):
        data.setup("test")


def test_known_patients_stay_whole_beside_unknown_ones():
    def records(patient, count):
        return [SliceRecord(None, f"{patient}{i:03d}", "train", "normal", patient=patient) for i in range(count)]

    training, validation, unit = split_validation([*records("", 10), *records("a", 20), *records("b", 20)], 0.2)
    assert unit == "block"
    assert not ({r.patient for r in training} & {r.patient for r in validation}) - {""}
    assert [r.name for r in validation if not r.patient] == ["008", "009"]
    training, validation, _ = split_validation([*records("", 10), *records("only", 20)], 0.2)
    assert {r.patient for r in validation} == {""} and len(validation) == 2


def test_a_damaged_slice_outside_the_cache_is_the_same_error(folder):
    data = module(folder, cache_rate=0.0)
    data.setup("fit")
    path = data.train_set.records[0].path
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="cannot be decoded"):
        data.train_set[0]


def test_the_fingerprint_follows_patients_and_needs_setup(folder):
    def fingerprint(first_of_b):
        names = [record.name for record in read_folder(folder)]
        write_manifest(folder, [[n, "t" if "test" in n else "a" if n < first_of_b else "b"] for n in names])
        data = module(folder)
        data.setup("fit")
        return data.fingerprint()

    with pytest.raises(DataError, match="Call setup"):
        module(folder).fingerprint()
    assert fingerprint("train/normal/a4") != fingerprint("train/normal/a2")


def test_augmentation_leaves_the_cache_alone_follows_the_seed_and_gives_plain_tensors(folder):
    from monai.transforms import RandCoarseDropoutd, RandGaussianNoised

    def module_with(seed):
        dropout = RandCoarseDropoutd(keys=["image"], holes=2, spatial_size=8, fill_value=0.5, prob=1.0)  # in place
        data = module(folder, augment=[dropout, RandGaussianNoised(keys=["image"], prob=1.0)], seed=seed)
        data.setup("fit")
        return data.train_set

    plain = module(folder)
    plain.setup("fit")
    first, again, other = module_with(0), module_with(0), module_with(1)
    drawn = first[0].image
    assert type(drawn) is torch.Tensor
    assert torch.equal(drawn, again[0].image) and not torch.equal(drawn, other[0].image)
    assert torch.equal(torch.as_tensor(first._cache[0]["image"]), plain.train_set[0].image)


def test_the_packaged_augmentation_keeps_ranges_and_kinds(folder):
    from hydra.utils import instantiate

    from tests.conftest import settings_of

    augment = [instantiate(one, _convert_="all") for one in settings_of("augment=ct")["data"]["augment"]]
    data = module(folder, augment=augment)
    data.setup("fit")
    batch = data.train_set[0]
    assert batch.image.dtype == torch.float32 and batch.mask.dtype == batch.lung_mask.dtype == torch.bool
    assert batch.image.min() >= 0.0 and batch.image.max() <= 1.0
    assert torch.equal(batch.image, data.train_set[0].image)
    data.train_set.epoch = 1
    assert not torch.equal(batch.image, data.train_set[0].image)  # drawn anew in each epoch
    assert torch.equal(data.validation_set[0].image, data.validation_set[0].image)


@pytest.mark.parametrize("name", ["a.jpg", "a.PNG", "a.dcm"])
def test_an_image_that_is_no_png_is_an_error_and_other_files_are_not(folder, name):
    (folder / "train/normal/notes.txt").write_text("scanned in May")
    assert len(read_folder(folder)) == 10
    (folder / "train/normal" / name).write_bytes(b"anything")
    with pytest.raises(DataError, match=rf"{name} is not a \.png; .* Convert or rename it"):
        read_folder(folder)


def test_a_disease_named_all_is_an_error(folder):
    noise(folder / "test/abnormal/all/c1.png")
    with pytest.raises(DataError, match="'all' stands for all diseases"):
        read_folder(folder)
