"""What anomask prepare refuses, and what it survives: settings, tables, hostile files, killed workers."""

import os

import numpy as np
import pytest

import anomask.preparation.prepare as entry
from anomask.data.folder.manifest import read_folder
from anomask.errors import AnomaskError, ConfigError, DataError
from anomask.preparation.pseudonyms import read_key
from tests.preparation.made import account, chest, die, grey, ones, write_bomb, write_image, write_nifti, write_series


def test_faults_of_tables_and_companions_are_named(tmp_path, run):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    write_nifti(tmp_path / "in/b.nii.gz", chest(seed=1)[0])
    cases = tmp_path / "in/cases.csv"

    def refused(message, *overrides):
        with pytest.raises(AnomaskError, match=message):
            run("split=test", "strict=true", *overrides)

    refused("0 files inside the input match 'cases.csv'", "table=cases.csv")
    cases.write_bytes(b"path\n\xff\xfe")
    refused(r"cases\.csv cannot be read", "table=cases.csv")
    cases.write_text("file,split\na.nii.gz,train\n")
    refused("a column 'path' is wanted", "table=cases.csv")
    cases.write_text("path,disease\na.nii.gz,7\n")
    refused("has the class '7'; the recipe knows n", "groups=[{table:cases.csv,diseases:{n:''}}]")
    refused("does not match patient='x", "patient='x(.)'")
    refused("2 files inside the input match", "disease=flu", "mask='*.nii.gz'")
    refused("0 files inside the input match '../secret/a.nii'", "disease=flu", "mask='../secret/{stem}.nii'")
    refused("is the mask of a volume", "disease=flu", "pattern=a.nii.gz", "mask=cases.csv")
    refused(r"columns seriesuid, coordX", "disease=flu", "nodules=cases.csv")
    refused("values=grey means 0 to 255", "values=grey")
    assert not list((tmp_path / "out").rglob("*.png"))


def test_an_input_that_is_not_there_and_a_key_that_cannot_be_made(tmp_path, run):
    with pytest.raises(DataError, match="nothing at"):
        run(source="nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read or made"):
        read_key(tmp_path / "file/key", tmp_path / "out")


def test_a_single_file_is_an_input(tmp_path, run):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    write_nifti(tmp_path / "in/b.nii.gz", chest(seed=1)[0])
    assert run("split=train", source="in/a.nii.gz").written == 4


BAD_SETTINGS = {
    "disease=flu": "nothing is learned from abnormal slices",
    "disease='a/b' split=test": "it names a folder",
    "split=training": "split is 'training'",
    "mask=x split=test": "and no disease",
    "patient='('": "no regular expression",
    "min_lung_share=1.5": "min_lung_share is 1.5",
    "lung_masks=all": "lung_masks is",
    "bits=12": r"bits is 12 \(8 or 16\)",
    "workers=0": "workers 0",
    "window=soft": "window is 'soft'",
    "groups=[{patern:x}]": r"a group has the keys \['patern'\]",
    "mask='{stam}.nii' split=test disease=flu": "cannot be filled in",
    "pattern=*.png": "nothing to prepare",
}


@pytest.mark.parametrize("bad", BAD_SETTINGS)
def test_settings_that_make_no_sense(tmp_path, run, bad):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    with pytest.raises(AnomaskError, match=BAD_SETTINGS[bad]):
        run(*bad.split())
    assert not list(tmp_path.glob("out/**/*.png"))


def test_the_output_is_neither_in_the_input_nor_someone_elses_folder(tmp_path, run):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    with pytest.raises(ConfigError, match="lie in one another"):
        run(output="in/out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        run()


def hostile(folder):
    """A folder with one good volume among faults of every kind; returns what each one's line says."""
    write_nifti(folder / "good.nii.gz", chest()[0])
    secret = folder.parent / "secret"
    write_nifti(secret / "a.nii.gz", chest(seed=3)[0])
    (folder / "link").symlink_to(secret)
    (folder / "loop").symlink_to(folder)
    (folder / "self").symlink_to("self")
    write_nifti(folder / "cut.nii.gz", chest(slices=9)[0])
    content = (folder / "cut.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    (folder / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 50)
    write_series(folder / "huge", chest(slices=1)[0], Rows=40000, Columns=40000)
    write_series(folder / "rgb", chest(slices=1)[0], PhotometricInterpretation="RGB", SamplesPerPixel=3)
    return [
        "link is a link that leaves",
        "self is a link to nowhere",
        "cut.nii.gz is cut off",
        "bad.dcm cannot be read",
        "claims 1x40000x40000 voxels",
        "is a picture (RGB",
    ]


def test_hostile_files_get_one_line_each_and_the_rest_goes_on(tmp_path, run, caplog):
    lines = hostile(tmp_path / "in")
    tally = run("split=train")
    messages = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(messages) == len(tally.faults) == len(lines) and not any("\n" in message for message in messages)
    for line in lines:
        assert sum(line in message for message in messages) == 1, line
    assert tally.written == 4 and len(read_folder(tmp_path / "out")) == 4  # the loop adds no second copy
    assert not [path for path in (tmp_path / "out").rglob("*") if ".part" in path.name]
    with pytest.raises(DataError):
        run("split=train", "strict=true")


def test_hostile_images(tmp_path, run):
    write_image(tmp_path / "in/good.png", grey(0))
    write_bomb(tmp_path / "in/bomb.png")
    write_image(tmp_path / "in/wide.png", np.zeros((4, 40000), np.uint8))
    (tmp_path / "in/cut.png").write_bytes((tmp_path / "in/good.png").read_bytes()[:-60])
    tally = run("split=train")
    assert len(tally.faults) == 3 and tally.written == 1
    assert tally.kept == 0 and run("split=train").faults  # what failed is tried again
    os.remove(tmp_path / "in/bomb.png")
    os.remove(tmp_path / "in/wide.png")
    os.remove(tmp_path / "in/cut.png")
    assert not run("split=train").faults and len(read_folder(tmp_path / "out")) == 1


def test_what_may_not_be_read_is_reported(tmp_path, run):
    write_nifti(tmp_path / "in/good.nii.gz", chest()[0])
    write_nifti(tmp_path / "in/locked.nii.gz", chest(seed=1)[0])
    (tmp_path / "in/locked").mkdir()
    os.chmod(tmp_path / "in/locked.nii.gz", 0)
    os.chmod(tmp_path / "in/locked", 0)
    if os.access(tmp_path / "in/locked.nii.gz", os.R_OK):
        pytest.skip("this user may read everything")
    tally = run("split=train")
    assert len(tally.faults) == 2 and tally.written == 4


def test_a_series_that_is_no_ct_is_left_out_without_a_fault(tmp_path, run):
    ones(tmp_path / "in", patients=1)
    write_series(tmp_path / "in/mr", chest()[0], Modality="MR")
    tally = run("split=train")
    assert (tally.faults, tally.written) == ([], 3)
    became = [row["because"] for row in account(tmp_path / "out") if row["file"].startswith("mr/")]
    assert became == ["of modality MR; CT is wanted"] * 4


def test_a_killed_worker_is_explained(tmp_path, run, monkeypatch):
    ones(tmp_path / "in", patients=2)
    monkeypatch.setattr(entry, "prepare_unit", die)
    with pytest.raises(ConfigError, match="a worker was killed"):
        run("workers=2")
