"""Training normals of several data folders as one: what came from where, whose it is, and as many of each shown."""

import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from anomask.build import build_data
from anomask.data.folder.manifest import read_folder
from anomask.data.folder.pool import write_pool
from anomask.errors import ConfigError, DataError
from tests.conftest import settings_of


@pytest.fixture
def hospitals(toy_folder, tmp_path):
    """Two data folders, of which the second has half of the normals; patients are called alike."""
    first, second = (shutil.copytree(toy_folder, tmp_path / name) for name in ("north", "south"))
    names = sorted(file.name for file in (second / "train/normal").glob("*.png"))
    for name in names[: len(names) // 2]:
        (second / "train/normal" / name).unlink()
    for name in names[len(names) // 2 :]:  # another hospital's: no copies
        pixels = np.array(Image.open(second / "train/normal" / name))
        Image.fromarray(pixels[:, ::-1].copy()).save(second / "train/normal" / name)
    for folder in (first, second):
        slices = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("train/normal/*.png"))
        rows = [f"{name},p{number // 3}" for number, name in enumerate(slices)]
        tests = [file.relative_to(folder).as_posix() for file in (folder / "test").rglob("*.png")]
        tests = [f"{name},t" for name in tests if name.split("/")[1] in ("normal", "abnormal")]
        (folder / "manifest.csv").write_text("\n".join(["path,patient", *rows, *tests]))
    return first, second


def test_a_pool_holds_the_training_normals_of_each_with_their_patients(hospitals, tmp_path):
    counts = write_pool(hospitals, tmp_path / "pool")
    records = read_folder(tmp_path / "pool")
    assert {record.split for record in records} == {"train"}
    assert Counter(record.source for record in records) == counts == {"north": 36, "south": 18}
    assert {record.patient for record in records} == {f"p{number}" for number in range(12)}  # one of a name is one
    own = {record.name: record.path.read_bytes() for record in records}
    for record in read_folder(hospitals[1]):
        if record.split == "train":
            assert own[record.name.replace("normal/", "normal/south/")] == record.path.read_bytes()
    assert write_pool(hospitals, tmp_path / "pool") == counts  # again, in its place


def test_an_epoch_shows_as_many_slices_of_each_hospital(hospitals, tmp_path):
    write_pool(hospitals, tmp_path / "pool")
    given = [f"data.folder={tmp_path}/pool", "data.size=32", "data.batch_size=4"]

    def shown(*more):
        data = build_data(settings_of("experiment=detector", *given, *more), progress=False, augment=None)
        data.setup("fit")
        found = []
        for epoch in range(6):
            loader = data.train_dataloader()
            loader.sampler.set_epoch(epoch)
            rows = list(loader.sampler)
            found.append(Counter(data.train_set.records[row].source for row in rows))
        return found

    assert all(abs(one["north"] - one["south"]) <= 4 for one in shown("data=pooled"))  # less what fills no batch
    as_they_are = shown("data=folder")
    assert sum(one["north"] - one["south"] for one in as_they_are) > 4 * len(as_they_are)


def test_what_cannot_be_pooled_is_said_and_nothing_is_written(hospitals, toy_folder, tmp_path):
    output = tmp_path / "pool"
    with pytest.raises(ConfigError, match="folders names 1 data folder; two or more are wanted"):
        write_pool(hospitals[:1], output)
    twin = shutil.copytree(hospitals[0], tmp_path / "other/north")
    with pytest.raises(ConfigError, match="two of the folders are called north"):
        write_pool([hospitals[0], twin], output)
    with pytest.raises(DataError, match="no data folder at"):
        write_pool([hospitals[0], tmp_path / "nowhere"], output)
    assert not output.exists()
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds other files"):
        write_pool(hospitals, output)
    assert [file.name for file in output.iterdir()] == ["notes.txt"]
