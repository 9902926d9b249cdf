"""What a prediction tells of its input: no name by default, which map is which, and what became of each file."""

import gzip
import json
import os

import numpy as np
import pytest

from anomask.errors import ConfigError
from tests.conftest import save
from tests.prediction.test_predict import bright, files_in, predicted, table  # noqa: F401
from tests.preparation.made import account, chest, write_nifti, write_series

SECRET = "Secretname"


def written(folder):
    """All that a folder holds, and the names of its files."""
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".gz")
    content += b"".join(gzip.decompress(path.read_bytes()) for path in folder.rglob("*.gz"))
    return content + "\n".join(files_in(folder)).encode()


@pytest.fixture
def named(tmp_path):
    """An input whose folders and files bear names and dates; one of its series lacks a slice."""
    place = tmp_path / f"{SECRET}_export"
    write_series(place / f"{SECRET}_Anna_19510203/ct", chest(slices=5)[0], PatientName=f"{SECRET}^Anna")
    write_series(place / f"{SECRET}_Bert/ct", chest(slices=5)[0])
    (place / f"{SECRET}_Bert/ct/002.dcm").unlink()
    write_nifti(place / f"{SECRET}_Carl.nii.gz", chest(slices=3)[0])
    save(np.full((32, 32), 99, np.uint8), place / f"{SECRET}_Dora_19400101.png")
    (place / f"{SECRET}_notes.txt").write_text("")
    return place


def test_no_name_of_the_input_is_in_the_output(bright, named, tmp_path, caplog):  # noqa: F811
    folder, faults = predicted(bright(32), named, names="neutral", output=str(tmp_path / "out"))
    content = written(folder)
    assert SECRET.encode() not in content and b"1951" not in content and str(tmp_path).encode() not in content
    assert {row["file"] for row in table(folder)} == {"slice_0001", "case_0001", "case_0003"}
    assert files_in(folder / "maps") == ["case_0001.nii.gz", "case_0003.nii.gz", "slice_0001.png"]
    assert len(faults) == 1 and len(json.loads((folder / "prediction.json").read_text())["faults"]) == 1
    told = {row["name"]: row["file"] for row in account(folder)}
    assert told["slice_0001"] == f"{SECRET}_Dora_19400101.png" and told["case_0003"] == f"{SECRET}_Carl.nii.gz"
    assert f"{SECRET}_Bert/ct/001.dcm and {SECRET}_Bert/ct/003.dcm are 5.00 mm apart" in caplog.text


def test_names_of_the_input_stay_where_they_are_asked_for_and_paths_are_relative(bright, named, tmp_path):  # noqa: F811
    folder, faults = predicted(bright(32), named, names="input", output=str(tmp_path / "out"))
    assert files_in(folder / "maps")[0] == f"{SECRET}_Anna_19510203/ct.nii.gz"
    record = json.loads((folder / "prediction.json").read_text())
    assert record["faults"] == faults and faults[0].startswith(f"{SECRET}_Bert/ct/001.dcm and")
    assert str(tmp_path).encode() not in written(folder)
    with pytest.raises(ConfigError, match="names is 'mine'; use one of neutral, input"):
        predicted(bright(32), named, names="mine")


@pytest.mark.parametrize("names", ["neutral", "input"])
def test_it_is_told_which_map_is_of_which_series(names, bright, tmp_path):  # noqa: F811
    for number, seed in (("2", 0), ("5", 1)):
        letters = [f"{'AB'[seed]}{z}" for z in range(4 + seed)]
        write_series(tmp_path / "in/ex", chest(4 + seed, seed=seed)[0], names=letters, SeriesNumber=number)
    folder, _ = predicted(bright(32), tmp_path / "in", names=names, output=str(tmp_path / "out"))
    volumes = json.loads((folder / "prediction.json").read_text())["volumes"]
    assert [(one["series_number"], one["slices"]) for one in volumes] == [("2", 4), ("5", 5)]
    assert [one["name"] for one in volumes] == (["case_0001", "case_0002"] if names == "neutral" else ["ex_1", "ex_2"])
    assert [one.get("first_file") for one in volumes] == ([None] * 2 if names == "neutral" else ["A0", "B0"])
    assert {row["file"]: row["name"] for row in account(folder)}["ex/B0"] == volumes[1]["name"]


@pytest.mark.parametrize("names", ["neutral", "input"])
def test_a_name_that_is_not_utf8_costs_nothing(names, bright, tmp_path):  # noqa: F811
    for name in ("ok", "t"):
        save(np.full((16, 16), 99, np.uint8), tmp_path / f"in/{name}.png")
        write_nifti(tmp_path / f"in/{name}.nii.gz", chest(slices=3, size=16)[0])
    for suffix in (b".png", b".nii.gz"):
        os.rename(os.fsencode(tmp_path / "in/t") + suffix, os.fsencode(tmp_path / "in") + b"/M\xfcller" + suffix)
    folder, faults = predicted(bright(16), tmp_path / "in", names=names, output=str(tmp_path / "out"))
    assert faults == [] and len(table(folder)) == 8
    assert (r"M\udcfcller.png" in {row["file"] for row in table(folder)}) == (names == "input")


def test_no_map_is_written_over_another_one(bright, tmp_path):  # noqa: F811
    hu = chest(slices=1, size=16)[0]
    for name in ("scan.nii", "scan.nii.gz", "scan_1.nii.gz", "other.nii.gz", "x.nii.gz"):
        write_nifti(tmp_path / "in" / name, hu)
    save(np.full((16, 16), 99, np.uint8), tmp_path / "in/other/0000.png")
    folder, faults = predicted(bright(16), tmp_path / "in", names="input", maps="both", output=str(tmp_path / "out"))
    volumes = ["other_1", "scan_1", "scan_2", "scan_3", "x"]
    assert faults == [] and sorted({row["series"] for row in table(folder)} - {""}) == volumes
    wanted = ["other/0000.png", *(f"{name}/0000.png" for name in volumes)]
    assert files_in(folder / "overlays") == sorted(wanted)
    assert files_in(folder / "maps") == sorted([*wanted, *(f"{name}.nii.gz" for name in volumes)])
    save(np.full((16, 16), 99, np.uint8), tmp_path / "two/a.jpg")
    save(np.full((16, 16), 99, np.uint8), tmp_path / "two/a.jpg.png")
    with pytest.raises(ConfigError, match="a.jpg and a.jpg.png would have one map.*names=neutral"):
        predicted(bright(16), tmp_path / "two", names="input", output=str(tmp_path / "out2"))


def test_what_is_not_predicted_is_accounted_for(bright, tmp_path):  # noqa: F811
    save(np.full((16, 16), 99, np.uint8), tmp_path / "in/a.png")
    save(np.full((16, 16), 99, np.uint8), tmp_path / "in/masks/a.png")
    save(np.full((16, 16), 99, np.uint8), tmp_path / "in/b.png")
    write_series(tmp_path / "in/mr", chest(slices=1)[0], Modality="MR")
    (tmp_path / "in/c.nrrd").write_bytes(b"NRRD0004\n")
    (tmp_path / "in/notes.txt").write_text("")
    folder, faults = predicted(bright(16), tmp_path / "in", limit=1, output=str(tmp_path / "out"))
    assert {row["file"]: row["became"] for row in account(folder)} == {
        "a.png": "used",
        "b.png": "left out",
        "c.nrrd": "not used",
        "masks/a.png": "left out",
        "mr/000.dcm": "left out",
        "notes.txt": "left out",
    }
    assert len(faults) == 1 and "NRRD is not read here" in faults[0]


def test_one_odd_file_among_good_ones_costs_nothing_else(bright, tmp_path):  # noqa: F811
    save(np.full((16, 16), 99, np.uint8), tmp_path / "in/a.png")
    write_series(tmp_path / "in/good", chest(slices=3)[0])
    write_series(tmp_path / "in/bad", chest(slices=3)[0])
    for path in (tmp_path / "in/bad").iterdir():
        path.write_bytes(path.read_bytes().replace(b"-1024.0 ", b"-1024,0 "))
    folder, faults = predicted(bright(32), tmp_path / "in", output=str(tmp_path / "out"))
    assert len(table(folder)) == 4 and len(faults) == 1
    assert faults[0].startswith("bad/000.dcm cannot be read as DICOM (ValueError: could not convert")
