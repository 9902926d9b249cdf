"""The data layout, its checks, the split and the data module, on generated PNG files and on the real sets."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from anomask.data.folder.manifest import SliceRecord, natural_key, read_folder
from anomask.data.folder.splits import split_validation
from anomask.data.loading.datamodule import SliceDataModule
from anomask.data.loading.slices import read_mask, read_slice
from anomask.data.lungs import estimate_lungs
from anomask.errors import ConfigError, DataError, SplitError
from tests.conftest import REAL_DATA, save, toy_slice


def grey(path, size=(32, 32), value=90):
    save(np.full(size, value, np.uint8), path)


def module(folder, **changes):
    settings = dict(size=32, batch_size=4, validation_share=0.25, progress=False)
    return SliceDataModule(str(folder), **(settings | changes))


@pytest.fixture
def folder(tmp_path):
    for index in range(8):
        grey(tmp_path / f"train/normal/a{index}.png", value=40 + index)
    grey(tmp_path / "test/normal/b0.png")
    grey(tmp_path / "test/abnormal/flu/c0.png", value=120)
    return tmp_path


def manifest(folder, rows, columns=("path", "patient")):
    with (folder / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([columns, *rows])


def test_the_layout_is_read_with_and_without_disease_folders(folder):
    grey(folder / "test/abnormal/plain.png")
    grey(folder / "test/masks/flu/c0.png", value=255)
    grey(folder / "test/masks/plain.png", value=255)
    grey(folder / "test/lung_masks/normal/b0.png", value=255)
    records = {record.name: record for record in read_folder(folder)}
    assert len(records) == 11
    assert records["test/abnormal/flu/c0.png"].disease == "flu"
    assert records["test/abnormal/flu/c0.png"].mask == folder / "test/masks/flu/c0.png"
    assert records["test/abnormal/plain.png"].disease == "abnormal"
    assert records["test/abnormal/plain.png"].mask == folder / "test/masks/plain.png"
    assert records["test/normal/b0.png"].lung_mask == folder / "test/lung_masks/normal/b0.png"


def test_slices_are_in_natural_order():
    assert sorted(["s10", "s9", "s1", "s09"], key=natural_key) == ["s1", "s9", "s09", "s10"]


def test_manifest_gives_patients(folder):
    names = [record.name for record in read_folder(folder)]
    manifest(folder, [[name, f"p{index}"] for index, name in enumerate(names)])
    assert [record.patient for record in read_folder(folder)] == [f"p{index}" for index in range(10)]


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no slices in .*8-bit grey PNG"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="no data folder at .*ANOMASK_DATA"):
        read_folder(tmp_path / "none")


def test_a_folder_without_normals_is_an_error(tmp_path):
    grey(tmp_path / "test/abnormal/x.png")
    with pytest.raises(DataError, match="no normal slices to train on"):
        read_folder(tmp_path)


def test_a_mask_without_a_slice_is_an_error(folder):
    grey(folder / "test/masks/flu/other.png")
    with pytest.raises(DataError, match="is a mask without a slice"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["train/normal/zz.png", "p"]], "line 2 lists train/normal/zz.png"),
        ([["train/normal/a0.png", "p"]] * 2, "is listed twice .*lines 2 and 3"),
        ([["train/normal/a0.png", "p"]], "slices of .* are not in manifest.csv"),
    ],
)
def test_a_manifest_that_disagrees_with_the_files_is_an_error(folder, rows, message):
    manifest(folder, rows)
    with pytest.raises(DataError, match=message):
        read_folder(folder)


def test_a_manifest_without_path_or_with_another_split_or_mask_is_an_error(folder):
    manifest(folder, [["x"]], ["file"])
    with pytest.raises(DataError, match="a column 'path' is wanted"):
        read_folder(folder)
    manifest(folder, [["train/normal/a0.png", "test"]], ["path", "split"])
    with pytest.raises(DataError, match="says split 'test', the folder says 'train'"):
        read_folder(folder)
    manifest(folder, [["train/normal/a0.png", "m.png"]], ["path", "mask"])
    with pytest.raises(DataError, match=r"names the mask m.png, which does not exist"):
        read_folder(folder)


def test_a_patient_in_train_and_test_is_an_error(folder):
    names = [record.name for record in read_folder(folder)]
    manifest(folder, [[name, "0412"] for name in names])
    with pytest.raises(SplitError, match=r"patient 0412 is in test and train \(manifest.csv lines 2 and 4\)"):
        read_folder(folder)


def test_a_damaged_png_is_an_error(folder):
    path = folder / "train/normal/a3.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"a3.png cannot be decoded"):
        module(folder).setup("fit")


@pytest.mark.parametrize(("mode", "word"), [("RGB", "RGB"), ("I;16", "16-bit grey"), ("P", "palette")])
def test_other_kinds_of_png_are_errors(tmp_path, mode, word):
    Image.new(mode, (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=f"x.png is {word}; an 8-bit grey PNG is wanted"):
        read_slice(tmp_path / "x.png")


def test_mixed_sizes_are_an_error_unless_padded(folder):
    grey(folder / "train/normal/a9.png", size=(24, 40))
    with pytest.raises(DataError, match="a9.png is 40x24 pixels, train/normal/a0.png is 32x32"):
        module(folder).setup("fit")
    data = module(folder, on_mixed_size="pad")
    data.setup("fit")
    assert all(row.image.shape == (1, 32, 32) for row in (*data.train_set, *data.validation_set))


def test_masks_of_another_size_or_with_grey_values_are_errors(tmp_path):
    grey(tmp_path / "m.png", size=(8, 9), value=255)
    with pytest.raises(DataError, match="is 9x8 pixels, its slice 8x8"):
        read_mask(tmp_path / "m.png", (8, 8))
    save(np.arange(64, dtype=np.uint8).reshape(8, 8), tmp_path / "g.png")
    with pytest.raises(DataError, match="a mask has 0 and 255 alone"):
        read_mask(tmp_path / "g.png", (8, 8))


def test_a_lesion_mask_on_a_normal_slice_is_an_error(folder):
    grey(folder / "test/masks/normal/b0.png", value=255)
    with pytest.raises(DataError, match="marks a lesion on the normal slice test/normal/b0.png"):
        module(folder).setup("test")


def records_of(*groups):
    return [
        SliceRecord(None, f"{patient}_{index:03d}", "train", "normal", patient=patient, source=source)
        for patient, source, count in groups
        for index in range(count)
    ]


def test_validation_takes_whole_patients():
    records = records_of(("a", "s", 10), ("b", "s", 30), ("c", "s", 12), ("d", "s", 40))
    training, validation, unit = split_validation(records, 0.2)
    assert unit == "patient"
    assert {r.patient for r in validation} == {"a", "c"} and len(validation) == 22
    assert not {r.patient for r in training} & {r.patient for r in validation}
    assert len(training) + len(validation) == len(records)


@pytest.mark.parametrize("patient", ["", "only"])
def test_validation_takes_the_last_block_where_patients_do_not_help(patient):
    records = records_of((patient, "s", 20), (patient, "t", 10))
    training, validation, unit = split_validation(records, 0.2)
    assert unit == "block"
    assert [r.name[-3:] for r in validation] == ["016", "017", "018", "019", "008", "009"]
    assert len(training) == 24


def test_a_split_that_cannot_be_made_is_an_error():
    with pytest.raises(SplitError, match="one part would be empty"):
        split_validation(records_of(("", "s", 1)), 0.2)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        split_validation(records_of(("", "s", 9)), 1.2)


def test_batches_hold_what_is_known(toy_folder):
    data = module(toy_folder)
    data.setup()
    batch = next(iter(data.test_dataloader()))
    assert batch.image.shape == (4, 1, 32, 32) and batch.image.dtype == torch.float32
    assert batch.has_mask.all() and batch.has_lung_mask.all()
    record = data.test_set.records[int(batch.index[1])]
    assert torch.equal(batch.mask[1, 0], torch.from_numpy(np.asarray(Image.open(record.mask)) > 0))
    torch.testing.assert_close(batch.image[1, 0], torch.from_numpy(np.asarray(Image.open(record.path)) / 255.0).float())
    normal = next(row for row in data.test_set if data.test_set.records[int(row.index)].label == "normal")
    assert normal.has_mask and not normal.has_lung_mask and not normal.mask.any()


def test_training_order_depends_on_seed_and_epoch_alone(toy_folder):
    def order(seed, epoch):
        data = module(toy_folder, seed=seed)
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch.index for batch in loader]).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2) and order(0, 1) != order(1, 1)


def test_a_loader_entered_in_the_middle_goes_on_where_it_was(toy_folder):
    data = module(toy_folder)
    data.setup("fit")
    loader = data.train_dataloader()
    whole = [
        batch.index.tolist() for batch, _ in zip(loader, range(len(loader)), strict=False)
    ]  # as Lightning takes them
    assert [batch.index.tolist() for batch in loader] == whole
    taken = iter(loader)
    next(taken), next(taken)
    resumed = data.train_dataloader()
    resumed.load_state_dict(loader.state_dict())
    assert [batch.index.tolist() for batch in resumed] == whole[2:]
    assert [batch.index.tolist() for batch in resumed] == whole


def test_fingerprint_follows_the_content(folder):
    def fingerprint():
        data = module(folder)
        data.setup("fit")
        return data.fingerprint()

    before = fingerprint()
    assert before == fingerprint()
    grey(folder / "test/normal/b0.png", value=91)
    assert fingerprint() != before


def test_augmentation_runs_after_the_cache(toy_folder):
    from monai.transforms import RandFlipd

    data = module(toy_folder, augment=[RandFlipd(keys=["image", "mask", "lung_mask"], prob=1.0, spatial_axis=1)])
    plain = module(toy_folder)
    data.setup("fit")
    plain.setup("fit")
    torch.testing.assert_close(torch.as_tensor(data.train_set[0].image), plain.train_set[0].image.flip(2))


def test_estimated_lungs_cover_the_dark_ellipses_and_not_the_air_outside():
    image, _, lung = toy_slice(np.random.default_rng(0), size=128)
    image = image / 255.0
    image[:, :8] = 0.0  # air beside the body
    found = estimate_lungs(image)
    assert (found & lung).sum() > 0.9 * lung.sum()
    assert (found & ~lung).sum() < 0.1 * lung.sum()
    assert not estimate_lungs(np.zeros((32, 32))).any()


@pytest.mark.parametrize(
    ("name", "counts"), [("lungwin256", (494, 254)), ("covidseg256", (196, 470)), ("sarscov2ct224", (442, 457))]
)
def test_the_real_sets_are_read(name, counts):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set ANOMASK_DATA")
    records = read_folder(REAL_DATA / name)
    assert (sum(r.split == "train" for r in records), sum(r.split == "test" for r in records)) == counts
    training, validation, unit = split_validation([r for r in records if r.split == "train"], 0.2)
    assert 0.1 < len(validation) / (len(training) + len(validation)) < 0.3
    assert unit == ("block" if name == "sarscov2ct224" else "patient")


@pytest.mark.parametrize("limit", [3, 0.5])
def test_an_epoch_that_ends_before_the_loader_does_is_a_finished_one(toy_folder, limit):
    data = module(toy_folder)
    data.setup("fit")
    loader = data.train_dataloader()
    loader.limit = limit
    assert loader.epoch_batches == 3 and len(loader) == 6
    whole = [batch.index.tolist() for batch in data.train_dataloader()]
    for _ in range(2):  # each epoch begins with the first row of its order
        assert [batch.index.tolist() for batch, _ in zip(loader, range(3), strict=False)][:2] == whole[:2]
    passing = iter(loader)
    for _ in range(3):
        next(passing)
    resumed = data.train_dataloader()
    resumed.limit = limit
    resumed.load_state_dict(loader.state_dict())
    assert next(iter(resumed)).index.tolist() == whole[0]
