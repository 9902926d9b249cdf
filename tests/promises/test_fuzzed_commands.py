"""Whole commands on inputs changed at random: prepare, verify what it wrote, predict. Bad files cost no good one."""

import csv
import shutil
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomask.data.checks.verification import verify_folder
from anomask.errors import AnomaskError
from anomask.preparation.prepare import prepare
from anomask.runs import Run
from tests.conftest import predicted
from tests.preparation.conftest import settings_of
from tests.preparation.made import account, chest, grey, manifest, write_image, write_nifti, write_series
from tests.promises.fuzzing import thorough
from tests.promises.test_fuzzed_files import change, fields, raw
from tests.promises.test_fuzzed_pixels import changed, changes

LONGEST_S = 60.0
pytestmark = pytest.mark.slow
cases = thorough(30)
GOOD = {"good_series": 5, "good.nii": 3, "good.png": 1}  # slices of each, which nothing may cost


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A series, a volume and a slice twice: one of each is changed, the other never is."""
    folder = tmp_path_factory.mktemp("commands") / "in"
    for seed, name in enumerate(("bad", "good")):
        write_series(folder / f"{name}_series", chest(slices=5, seed=seed)[0], uid=f"1.5.{seed}", PatientID=name)
        write_nifti(folder / f"{name}.nii", chest(slices=3, seed=seed + 2)[0])
        write_image(folder / f"{name}.png", grey(seed + 4))
    return folder


@pytest.fixture(scope="module")
def whole(original, evaluated_once, tmp_path_factory):
    """What prepare and predict make of the input as it is."""
    home = tmp_path_factory.mktemp("whole")
    volumes = home / "volumes"
    shutil.copytree(original, volumes, ignore=shutil.ignore_patterns("*.png"))
    prepared(volumes, home / "out")
    predicted(Run(evaluated_once / "runs/detector"), original, output=str(home / "found"))
    return home


def prepared(place, output):
    key = output.with_name("key")
    fixed = [f"input={place}", f"output={output}", f"key_file={key}", "workers=1", "progress=false"]
    return prepare(settings_of(*fixed, "split=train", "pseudonymise=false", "source=ours"))


def spoilt(original, place, how, bytes_, nifti, image):
    """Write the input anew with its bad files changed."""
    shutil.rmtree(place.parent, ignore_errors=True)
    shutil.copytree(original, place)
    change(place / "bad_series", how, bytes_)
    for name, ways in (("bad.nii", nifti), ("bad.png", image)):
        if ways:
            (place / name).write_bytes(changed((place / name).read_bytes(), ways))


def everything_is_accounted_for(place, output):
    files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
    lines = account(output)
    assert {line["file"] for line in lines} == files and all(line["became"] for line in lines)
    return {line["file"]: line for line in lines}


def no_part_is_left(folder):
    assert [path for path in folder.rglob("*") if ".part" in path.name] == []


ways = st.one_of(st.just([]), changes)


@cases
@given(fields, raw, ways)
def test_what_is_prepared_of_a_spoilt_folder_is_whole_and_verifies(
    original, whole, tmp_path_factory, how, bytes_, nifti
):
    place = tmp_path_factory.getbasetemp() / "spoilt_prepare/in"
    spoilt(original, place, how, bytes_, nifti, [])
    for png in place.glob("*.png"):
        png.unlink()
    output, start = place.with_name("out"), time.monotonic()
    tally = prepared(place, output)
    lines = everything_is_accounted_for(place, output)
    assert all("\n" not in str(fault) for fault in tally.faults)
    assert bool(tally.faults) == any(line["became"] in ("fault", "not used") for line in lines.values())
    wanted, found = manifest(whole / "out"), {row["path"]: row for row in manifest(output)}
    good = [row for row in wanted if row["patient"] == "good" or "good" in row["path"]]
    assert len(good) >= GOOD["good_series"]
    for row in good:
        assert found[row["path"]] == row
        assert (output / row["path"]).read_bytes() == (whole / "out" / row["path"]).read_bytes()
    verification = verify_folder(output, "pad", None, progress=False)
    assert verification.errors == []
    assert len(found) == tally.written
    no_part_is_left(output)
    assert time.monotonic() - start < LONGEST_S


@cases
@given(fields, raw, ways, ways)
def test_what_is_predicted_of_a_spoilt_folder_is_whole(
    original, whole, evaluated_once, tmp_path_factory, how, bytes_, nifti, image
):
    place = tmp_path_factory.getbasetemp() / "spoilt_predict/in"
    spoilt(original, place, how, bytes_, nifti, image)
    output, start = place.with_name("out"), time.monotonic()
    try:
        _, faults = predicted(Run(evaluated_once / "runs/detector"), place, output=str(output))
    except AnomaskError as error:  # such as a name that two maps would have
        raise AssertionError("good files were lost") from error
    lines = everything_is_accounted_for(place, output)
    assert bool(faults) == any(line["became"] in ("fault", "not used") for line in lines.values())
    scores, wanted = scores_of(output), scores_of(whole / "found")
    for name, count in GOOD.items():
        of_it = {key: row for key, row in wanted.items() if key[0].split(".nii")[0] == name.split(".nii")[0]}
        assert len(of_it) == count
        for key, row in of_it.items():
            assert scores[key]["score"] == pytest.approx(row["score"], rel=1e-5)
            assert scores[key]["called_abnormal"] == row["called_abnormal"]
    assert all(np.isfinite(row["score"]) for row in scores.values())
    no_part_is_left(place.parent)
    assert time.monotonic() - start < LONGEST_S


def scores_of(folder):
    with (folder / "scores.csv").open(newline="") as stream:
        rows = [row | {"score": float(row["score"])} for row in csv.DictReader(stream)]
    return {(row["file"], row["slice"]): row for row in rows}
