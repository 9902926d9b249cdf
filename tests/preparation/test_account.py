"""Everything that preparation finds is accounted for: used, left out with a reason, or a fault and exit code 1."""

import os
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from anomask.data.volumes import geometry
from anomask.data.volumes.account import Account
from anomask.errors import ConfigError, DataError
from anomask.preparation.patients import is_placeholder
from anomask.preparation.prepare import Tally
from tests.preparation.made import account, chest, grey, manifest, ones, write_image, write_nifti, write_series


def test_the_last_line_says_what_there_was_and_nothing_of_what_there_was_not():
    assert Tally(strict=False, written=3).told("data/ours") == "3 slices written to data/ours"
    tally = Tally(False, 0, Counter({"with little lung": 2}), kept=1, skipped=4, faults=[DataError("bad")])
    assert tally.told("out") == (
        "0 slices written to out; 2 slices left out (2 with little lung); 1 volumes or images that an earlier call had "
        "finished; 4 series left out: no axial CT; 1 faults, each with its line above"
    )


def became(output):
    return {row["file"]: row["became"] for row in account(output)}


def test_files_of_other_formats_are_named_and_a_fault(tmp_path, run, caplog):
    write_nifti(tmp_path / "in/scan.nii.gz", chest()[0])
    write_image(tmp_path / "in/a_01.png", grey(1))
    for name in ("b.nrrd", "c.img", "c.hdr", "d.npy", "e.zip", "f.mnc"):
        (tmp_path / "in" / name).write_bytes(b"NRRD0004\n")
    (tmp_path / "in/other.scan").write_bytes((tmp_path / "in/scan.nii.gz").read_bytes())
    (tmp_path / "in/bare").write_bytes(b"\0" * 600)
    for name in ("notes.txt", "README", "viewer.exe", "cases.csv"):
        (tmp_path / "in" / name).write_bytes(b"MZ text")
    caplog.set_level("INFO")
    tally = run("split=train")
    told = became(tmp_path / "out")
    assert {name for name, what in told.items() if what == "used"} == {"scan.nii.gz"} and tally.written == 4
    left = {"notes.txt", "README", "viewer.exe", "cases.csv"}
    assert {name for name, what in told.items() if what == "left out"} == left
    assert len(told) == 14 and set(told.values()) == {"used", "left out", "not used"}
    faults = " ".join(map(str, tally.faults))
    for name in ("a_01.png", "b.nrrd", "c.img", "d.npy", "e.zip", "f.mnc", "other.scan", "bare"):
        assert name in faults and told[name] == "not used"
    assert "images beside volumes" in faults and "1 used: slices (scan.nii.gz)" in caplog.text


def test_an_option_says_which_of_several_formats_is_meant(tmp_path, run):
    write_nifti(tmp_path / "in/scan.nii.gz", chest()[0])
    write_image(tmp_path / "in/a_01.png", grey(1))
    (tmp_path / "in/b.nrrd").write_bytes(b"NRRD0004\n")
    tally = run("split=train", "pattern=*.nii.gz")
    assert (tally.faults, tally.written) == ([], 4)
    tally = run("split=train", "pattern=*.png", output="two")
    assert (tally.faults, tally.written) == ([], 1)
    assert became(tmp_path / "two") == {"a_01.png": "used", "b.nrrd": "left out", "scan.nii.gz": "left out"}


def test_masks_tables_and_voxels_beside_a_header_are_used(tmp_path, run):
    write_nifti(tmp_path / "in/case.nii.gz", chest()[0])
    mask = np.zeros((4, 32, 32), np.uint8)
    mask[1:3, 14:18, 8:11] = 1
    write_nifti(tmp_path / "in/case_m.nii.gz", mask, dtype=np.uint8)
    (tmp_path / "in/t.csv").write_text("path,disease,split\ncase.nii.gz,flu,test\n")
    tally = run("split=test", "disease=flu", "mask='{stem}_m.nii*'", "table=t.csv", "pattern=case.nii.gz")
    assert tally.faults == [] and set(became(tmp_path / "out").values()) == {"used"}


def test_rows_of_a_table_that_match_nothing_are_named(tmp_path, run):
    for name in "abc":
        write_nifti(tmp_path / f"in/scans/{name}.nii.gz", chest(seed=ord(name))[0])
    table = tmp_path / "in/t.csv"
    table.write_bytes("\ufeffpath,patient\r\nscans/a,1\r\nscans/b,2\r\nscans/c.nii.gz,3\r\n".encode())
    tally = run("split=train", "table=t.csv")
    assert tally.written == 4 and len(tally.faults) == 1
    assert "the table t.csv lists scans/a, scans/b, which are not in the input (2 of 3 rows)" in str(tally.faults[0])
    assert "with their suffix" in str(tally.faults[0])
    table.write_text("path,patient\nscans\\a.nii.gz,1\nscans/c.nii.gz,3\n")
    assert r"lists scans\a.nii.gz, which is not in the input (1 of 2 rows). Use forward slashes" in str(
        run("split=train", "table=t.csv", output="two").faults[0]
    )
    table.write_text("path,patient\nscans\\a.nii.gz,1\n")
    with pytest.raises(DataError, match=r"nothing to prepare.*none of them in a group \(pattern \*, table t\.csv\)"):
        run("split=train", "table=t.csv", output="three")
    table.write_text("path,patient\nscans/c.nii.gz,1\nscans/c.nii.gz,2\n")
    with pytest.raises(DataError, match=r"line 3 names scans/c\.nii\.gz again"):
        run("split=train", "table=t.csv", output="four")


def test_a_table_that_says_less_than_it_seems_to_is_refused(tmp_path, run, caplog):
    for name in "ab":
        write_nifti(tmp_path / f"in/{name}.nii.gz", chest(seed=ord(name))[0])
    table = tmp_path / "in/t.csv"
    table.write_text("path,split,disease\na.nii.gz,test,flu\nb.nii.gz,test\n")  # b's class is cut off: it was normal
    with pytest.raises(DataError, match=r"t\.csv line 3 has 2 cells, the table 3 columns\. .*an empty cell"):
        run("table=t.csv")
    table.write_text("path,split,disease\nscans, new/a.nii.gz,test,flu\n")
    with pytest.raises(DataError, match="line 2 has 4 cells, the table 3 columns. Put a cell with a comma in quotes"):
        run("table=t.csv")
    table.write_text("path,disease,Disease\n")
    with pytest.raises(DataError, match="has the column disease twice"):
        run("table=t.csv")
    for name in ("diseas", "Diseases", "dissease"):
        table.write_text(f"path,split,{name}\n")
        with pytest.raises(DataError, match=f"has the column {name!r}: did you mean disease"):
            run("table=t.csv")
    table.write_text("path;split\na.nii.gz;test\n")
    with pytest.raises(DataError, match="Is it separated by ; or tabs"):
        run("table=t.csv")
    table.write_text("Path,Split,DISEASE,age,\na.nii.gz,test,flu,61,\n\nb.nii.gz,test,,,\n")
    run("table=t.csv")
    assert {row["disease"] for row in manifest(tmp_path / "out")} == {"flu", ""}
    assert "columns of t.csv that are not read: 'age', '' (read: path, split, disease, patient)" in caplog.text


def test_hidden_files_are_told_of(tmp_path, run):
    write_image(tmp_path / "in/a.png", grey(1))
    for name in (".b.png", ".study/c.png"):
        write_image(tmp_path / "in" / name, grey(2))
    assert run("split=train").written == 1
    assert became(tmp_path / "out") == {"a.png": "used", ".b.png": "left out", ".study": "left out"}


def test_a_link_to_a_file_of_the_input_is_not_a_second_one(tmp_path, run):
    write_nifti(tmp_path / "in/b.nii.gz", chest()[0])
    write_nifti(tmp_path / "in/.annex/c.nii.gz", chest(seed=1)[0])
    (tmp_path / "in/a.nii.gz").symlink_to("b.nii.gz")
    (tmp_path / "in/c.nii.gz").symlink_to(".annex/c.nii.gz")  # what data tools keep apart is there once
    assert run("split=train").written == 8
    told = became(tmp_path / "out")
    assert told == {"b.nii.gz": "used", "c.nii.gz": "used", "a.nii.gz": "left out", ".annex": "left out"}


def test_a_volume_that_gives_no_slice_is_a_fault(tmp_path, run):
    hu, lungs = chest()
    write_nifti(tmp_path / "in/liver.nii.gz", np.where(lungs, 40, hu))
    write_nifti(tmp_path / "in/chest.nii.gz", hu)
    tally = run("split=train")
    assert tally.written == 4 and "liver.nii.gz gave none of its 4 slices: 4 with too little lung" in str(
        tally.faults[0]
    )


def test_a_name_that_is_not_utf8_is_prepared_and_written_escaped(tmp_path, run):
    write_image(tmp_path / "in/ok.png", grey(1))
    write_image(tmp_path / "in/t.png", grey(2))
    os.rename(tmp_path / "in/t.png", os.fsencode(tmp_path / "in") + b"/M\xfcller_01.png")
    tally = run("split=train", "pseudonymise=false")
    assert (tally.written, tally.faults) == (2, []) and len(manifest(tmp_path / "out")) == 2
    assert set(became(tmp_path / "out")) == {"ok.png", r"M\udcfcller_01.png"}
    assert str(DataError("M\udcfcller")) == r"M\udcfcller"


def test_the_account_is_private_beside_the_output_and_its_paths_are_relative(tmp_path, run):
    ones(tmp_path / "in", patients=1)
    write_series(tmp_path / "in/bad", chest()[0], RescaleSlope=None)
    tally = run("split=train")
    assert str(tally.faults[0]).startswith("bad/000.dcm does not say how its values become HU")
    file = tmp_path / "out_files.csv"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and str(tmp_path) not in file.read_text()
    assert not list((tmp_path / "out").rglob("*files.csv"))


def test_paths_in_a_text_are_told_from_the_input(tmp_path, monkeypatch):
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/b").write_text("")
    assert Account(tmp_path / "in").relative(f"{tmp_path}/in/a/b, {tmp_path}/inner") == f"a/b, {tmp_path}/inner"
    assert Account(tmp_path / "in/a/b").relative(f"x {tmp_path}/in/a/b y") == "x b y"
    monkeypatch.chdir(tmp_path)
    assert Account(Path("in")).relative("in/a/b lies in/within main/x") == "a/b lies within main/x"
    assert Account(Path()).relative("in/a/b. Done.") == "in/a/b. Done."


def test_a_volume_of_too_many_voxels_is_refused_unread(tmp_path, run, monkeypatch):
    write_nifti(tmp_path / "in/good.nii.gz", chest(slices=2)[0])
    write_nifti(tmp_path / "in/large.nii.gz", chest(slices=9)[0])
    assert 1024 * 1024 * 1024 > geometry.MAX_VOXELS > 512 * 512 * 1400
    monkeypatch.setattr(geometry, "MAX_VOXELS", 32 * 32 * 8)
    tally = run("split=train")
    assert tally.written == 2 and "large.nii.gz claims 32x32x9 voxels" in str(tally.faults[0])


def test_copies_are_in_the_account_by_their_file(tmp_path, run):
    write_series(tmp_path / "in", chest(slices=3)[0], uid="1.2")
    (tmp_path / "in/x.dcm").write_bytes((tmp_path / "in/001.dcm").read_bytes())
    assert run("split=train").written == 3
    (copy,) = (row for row in account(tmp_path / "out") if row["became"] == "left out")
    assert (copy["file"], copy["because"]) == ("x.dcm", "the same image as 001.dcm")


# ------------------------------------------------------------------------------------------------------------ patients


def studies(folder, patient, count=4):
    for index in range(count):
        write_series(folder / f"{index}", chest(seed=index)[0], PatientID=patient, StudyInstanceUID=f"1.9.{index}")


def test_a_placeholder_for_all_patients_is_a_warning(tmp_path, run, caplog):
    studies(tmp_path / "in", "ANONYMOUS", 3)
    run()
    assert "3 studies share the PatientID 'ANONYMOUS', which reads like a placeholder" in caplog.text
    assert "patient=<regular expression" in caplog.text
    caplog.clear()
    run("patient='^([^/]+)/'", output="two")
    assert "PatientID" not in caplog.text and len({row["patient"] for row in manifest(tmp_path / "two")}) == 3


def test_several_studies_of_one_id_are_said_once(tmp_path, run, caplog):
    studies(tmp_path / "in", "4711", 3)
    run()
    assert "PatientIDs with several studies: 1 (3 studies)" in caplog.text


@pytest.mark.parametrize("patient", ["ANONYMOUS", "anonymized", "Anon", "0000", "XXXX", "unknown", "De-Identified"])
def test_what_reads_like_a_placeholder(patient):
    assert is_placeholder(patient)


@pytest.mark.parametrize("patient", ["4711", "ANON0001", "P001", "HOSP-000417", "LIDC-IDRI-0001", "Nantes-12", "1.2.3"])
def test_what_does_not(patient):
    assert not is_placeholder(patient)


def test_without_a_patient_the_study_is_one(tmp_path, run):
    for name in "ab":
        write_series(tmp_path / "in" / name, chest(seed=ord(name))[0], PatientID="", StudyInstanceUID="1.9")
    write_series(tmp_path / "in/c", chest(seed=9)[0], PatientID="", StudyInstanceUID="1.8")
    run("test_share=0")
    rows = manifest(tmp_path / "out")
    assert len({row["patient"] for row in rows}) == 2 and len({row["series"] for row in rows}) == 3


def test_two_patients_of_one_series_id_do_not_overwrite_each_other_in_two_calls(tmp_path, run):
    for name in "ab":
        write_series(tmp_path / name, chest(seed=ord(name))[0], uid="1.2.3", PatientID=name, StudyInstanceUID="1.9")
        run("split=train", source=name)
    assert len(manifest(tmp_path / "out")) == 8


def test_a_folder_of_an_older_version_is_not_added_to(tmp_path, run):
    ones(tmp_path / "in", patients=1)
    run("split=train")
    file = tmp_path / "out/preparation.json"
    file.write_text(file.read_text().replace('"identities": 2,', '"identities": 1,'))
    with pytest.raises(ConfigError, match="was prepared with another identities"):
        run("split=train")
