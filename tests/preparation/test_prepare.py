"""anomask prepare end to end on made volumes and images: what it writes, resumes, hides and refuses."""

import json
import signal
import stat

import numpy as np
import pytest
from PIL import Image

from anomask.data.folder.manifest import read_folder
from anomask.data.loading.datamodule import SliceDataModule
from anomask.data.loading.slices import read_slice
from anomask.errors import ConfigError, DataError
from anomask.preparation import slices
from anomask.preparation.pseudonyms import Pseudonyms, read_key
from tests.preparation.made import BIRTH, ID, chest, grey, manifest, ones, tree, write_image, write_nifti, write_series
from tests.promises.test_entries import call_here


def test_what_is_written_loads_and_holds_the_windowed_values(tmp_path, run):
    ones(tmp_path / "in")
    tally = run("test_share=0.4")
    assert (tally.written, tally.faults) == (18, [])
    rows = manifest(tmp_path / "out")
    assert {row["split"] for row in rows} == {"train", "test"}  # of these six patients, by their hash
    assert [row["slice"] for row in rows[:3]] == ["0", "1", "2"] and rows[0]["spacing_mm"] == "2.5 0.7 0.7"
    first = Pseudonyms(read_key(tmp_path / "key", tmp_path / "out")).name("patient", f"{ID}-0")
    own = [row for row in rows if row["patient"] == first]
    hu, _ = chest(slices=3, seed=0)
    expected = np.rint((np.clip(hu[1], -1350, 150) + 1350.0) * 255 / 1500)
    assert np.array_equal(read_slice(tmp_path / "out" / own[1]["path"]), expected)
    data = SliceDataModule(str(tmp_path / "out"), 32, 2, 0.3, progress=False)
    data.setup()
    assert data.train_set[0].image.shape == (1, 32, 32)


def test_no_name_id_or_path_of_a_patient_is_in_the_output(tmp_path, run):
    ones(tmp_path / "in", patients=2)
    write_nifti(tmp_path / "in/Quixotic_Jane.nii.gz", chest()[0])
    run("split=train", "source=ours")
    for name, content in tree(tmp_path / "out").items():
        for secret in ("Doe", "Jane", "Quixotic", "HOSP", ID, BIRTH, str(tmp_path), "1.2.0"):
            assert secret.encode() not in content and secret not in name


def test_pseudonyms_depend_on_the_key_alone_and_it_is_private(tmp_path):
    key = read_key(tmp_path / "deep/key", tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "deep/key").stat().st_mode) == 0o600
    names = Pseudonyms(key)
    assert names.name("patient", "a") == Pseudonyms(read_key(tmp_path / "deep/key", tmp_path / "out")).name(
        "patient", "a"
    )
    assert len({names.name(*of) for of in (("patient", "a"), ("patient", "b"), ("series", "a"))}) == 3
    assert names.name("patient", "a") != Pseudonyms(b"x" * 32).name("patient", "a")
    assert names.name("patient", "") == ""
    assert Pseudonyms(key, plain=True).name("patient", "../../a b/1.2") == "a-b-1.2"


def test_a_key_in_the_output_or_too_short_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="lies in the output"):
        read_key(tmp_path / "out/key", tmp_path / "out")
    (tmp_path / "key").write_text("secret\n")
    with pytest.raises(ConfigError, match="has 6 characters"):
        read_key(tmp_path / "key", tmp_path / "out")


class Killed(BaseException):
    """As a kill: nothing catches it."""


def test_a_killed_preparation_goes_on_and_equals_an_uninterrupted_one(tmp_path, run, monkeypatch):
    ones(tmp_path / "in")
    run(output="whole")
    save, count = slices._save, iter(range(100))

    def dying(pixels, path):
        if next(count) == 7:
            raise Killed
        save(pixels, path)

    monkeypatch.setattr(slices, "_save", dying)
    with pytest.raises(Killed):
        run()
    monkeypatch.setattr(slices, "_save", save)
    with pytest.raises(DataError, match=r"not in manifest\.csv"):
        read_folder(tmp_path / "out")  # half a preparation does not pass for a whole one
    assert not json.loads((tmp_path / "out/preparation.json").read_text())["finished"]
    # A kill that Python does not see leaves the file that was being written; it is no slice.
    (tmp_path / "out/train/normal/.p1_0001.4711.part.png").write_bytes(b"half")
    tally = run()
    assert (tally.kept, tally.written) == (2, 12)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert run().written == 0 and tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_preparation_in_one_line_and_keeps_what_is_finished(number, code, tmp_path, monkeypatch, capfd):
    ones(tmp_path / "in")
    save, count = slices._save, iter(range(100))

    def ending(pixels, path):
        save(pixels, path)
        if next(count) == 4:  # the second slice of the second volume
            signal.raise_signal(number)

    monkeypatch.setattr(slices, "_save", ending)
    given = ["input=in", "output=out", f"key_file={tmp_path}/key", "workers=1", "progress=false", "test_share=0"]
    monkeypatch.chdir(tmp_path)
    assert call_here("prepare", *given, monkeypatch=monkeypatch) == code
    said = capfd.readouterr()
    assert f"ended by {signal.Signals(number).name}" in said.out and "Traceback" not in said.out + said.err
    assert len(manifest(tmp_path / "out")) == 3 and not list((tmp_path / "out").rglob(".*.part*"))
    monkeypatch.setattr(slices, "_save", save)
    assert call_here("prepare", *given, monkeypatch=monkeypatch) == 0
    assert len(manifest(tmp_path / "out")) == 18


def test_two_processes_write_the_same_as_one(tmp_path, run):
    ones(tmp_path / "in", patients=3)
    run(output="one")
    run("workers=2", output="two")
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_changed_file_is_prepared_again_and_what_it_left_is_removed(tmp_path, run):
    write_nifti(tmp_path / "in/a.nii.gz", chest(slices=4)[0])
    write_nifti(tmp_path / "in/b.nii.gz", chest(slices=2, seed=1)[0])
    run("split=train")
    write_nifti(tmp_path / "in/a.nii.gz", chest(slices=3, seed=5)[0])
    tally = run("split=train")
    assert (tally.kept, tally.written) == (1, 3)
    assert len(read_folder(tmp_path / "out")) == len(list((tmp_path / "out").rglob("*.png"))) == 5
    run("split=train", output="fresh")
    assert tree(tmp_path / "out").keys() == tree(tmp_path / "fresh").keys()


def test_a_series_is_the_same_wherever_it_lies(tmp_path, run):
    ones(tmp_path / "in/deep", patients=2)
    run("split=train")
    before = tree(tmp_path / "out").keys()
    assert not run("split=train", source="in/deep").faults and tree(tmp_path / "out").keys() == before


def test_normal_and_abnormal_cases_of_two_calls_share_a_folder(tmp_path, run):
    write_nifti(tmp_path / "in/1.nii.gz", chest()[0])
    write_nifti(tmp_path / "sick/1.nii.gz", chest(seed=1)[0])
    run("split=train")
    with pytest.raises(DataError, match="Set source="):
        run("split=test", "disease=flu", "strict=true", source="sick")
    run("split=test", "disease=flu", "source=clinic", source="sick")
    records = read_folder(tmp_path / "out")
    assert [(r.split, r.disease) for r in records] == [("test", "flu")] * 4 + [("train", "")] * 4
    assert len({record.patient for record in records}) == 2 and {r.source for r in records} == {"", "clinic"}
    with pytest.raises(ConfigError, match="prepared with another window"):
        run("window=wide")
    (tmp_path / "key").write_text("another key of some length")
    with pytest.raises(ConfigError, match="prepared with another key_check"):
        run("split=train")


def lesions(folder):
    """A volume of 4 slices with a lesion in two of them, its lung mask, and the lesion."""
    hu, lungs = chest(slices=4)
    mask = np.zeros(hu.shape, np.uint8)
    mask[1:3, 14:18, 8:11] = 2
    write_nifti(folder / "case.nii.gz", hu)
    write_nifti(folder / "case_lesion.nii.gz", mask, dtype=np.uint8)
    write_nifti(folder / "lungs/case.nii.gz", lungs + np.zeros((4, 1, 1)), dtype=np.uint8)
    return mask > 0, lungs


def test_masks_follow_their_slices(tmp_path, run):
    mask, lungs = lesions(tmp_path / "in")
    patterns = ["mask='{folder}/{stem}_lesion.nii*'", "lung_mask='lungs/{stem}.nii.gz'"]
    assert run("split=test", "disease=flu", *patterns).written == 2
    run("split=test", "disease=flu", *patterns, "lesion_free=normal", output="all")
    for row in manifest(tmp_path / "all"):
        z = int(row["slice"])
        assert row["label"] == ("abnormal" if z in (1, 2) else "normal")
        assert np.array_equal(np.asarray(Image.open(tmp_path / "all" / row["lung_mask"])) > 0, lungs)
        if row["label"] == "abnormal":
            assert np.array_equal(np.asarray(Image.open(tmp_path / "all" / row["mask"])) > 0, mask[z])
        else:
            assert row["mask"] == ""
    write_nifti(tmp_path / "in/n.nii.gz", chest(seed=9)[0])
    assert [row["label"] for row in manifest(tmp_path / "out")] == ["abnormal"] * 2


def test_labels_of_a_mask_may_be_chosen(tmp_path, run):
    lesions(tmp_path / "in")
    chosen = ("split=test", "disease=flu", "pattern=case.nii.gz", "mask='{stem}_lesion.nii*'")
    assert run(*chosen, "mask_labels=[2]").written == 2
    with pytest.raises(ConfigError, match=r"names \[1\], which occurs in none"):
        run(*chosen, "mask_labels=[1]")


def test_a_mask_off_its_volume_is_an_error(tmp_path, run):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    write_nifti(tmp_path / "in/a_m.nii.gz", np.zeros((4, 4, 4)), np.diag([0.7, 0.7, 2.5, 1.0]))
    write_nifti(tmp_path / "in/b.nii.gz", chest(seed=1)[0])
    affine = np.diag([0.7, 0.7, 2.5, 1.0])
    affine[2, 3] = 5
    write_nifti(tmp_path / "in/b_m.nii.gz", np.zeros((32, 32, 4)), affine)
    write_nifti(tmp_path / "in/c.nii.gz", chest(seed=2)[0])
    tally = run("split=test", "disease=flu", "mask='{stem}_m.nii*'")
    messages = " | ".join(map(str, tally.faults))
    assert "(4, 4, 4) voxels" in messages and "5.0 mm off" in messages and "0 files inside the input match" in messages
    assert len(tally.faults) == 3 and tally.written == 0 and not list((tmp_path / "out").rglob("*.png"))


def test_slices_with_little_lung_are_left_out_and_estimates_are_written_if_wanted(tmp_path, run):
    hu, lungs = chest(slices=4)
    hu[0] = np.where(lungs, 40, hu[0])
    write_nifti(tmp_path / "in/a.nii.gz", hu)
    tally = run("split=train", "lung_masks=estimate")
    assert (tally.written, tally.dropped) == (3, {"with too little lung (min_lung_share)": 1})
    for row in manifest(tmp_path / "out"):
        found = np.asarray(Image.open(tmp_path / "out" / row["lung_mask"])) > 0
        assert 2 * (found & lungs).sum() / (found.sum() + lungs.sum()) > 0.9


def test_slices_whose_pixels_are_not_square_are_written_square_with_their_masks(tmp_path, run):
    hu, lungs = chest(slices=2, size=64)
    half = hu[:, :, ::2]
    write_series(tmp_path / "in/case", half, spacing=(0.7, 1.4))
    affine = np.diag([-1.4, -0.7, 2.5, 1.0])
    affine[:3, 3] = (11, 12, -100)
    write_nifti(tmp_path / "in/lungs.nii.gz", np.broadcast_to(lungs[:, ::2], half.shape).transpose(2, 1, 0), affine)
    run("split=train", "pattern=case/*", "lung_mask=lungs.nii.gz")
    (row, _) = manifest(tmp_path / "out")
    pixels = read_slice(tmp_path / "out" / row["path"])
    assert pixels.shape == (64, 64) and row["spacing_mm"] == "2.5 0.7 0.7"
    assert np.abs(pixels[:, 20:44].astype(int) - grey_of(hu[0])[:, 20:44]).mean() < 12
    mask = np.asarray(Image.open(tmp_path / "out" / row["lung_mask"])) > 0
    assert (mask ^ lungs).mean() < 0.02


def grey_of(hu):
    return np.rint((np.clip(hu, -1350, 150) + 1350.0) * 255 / 1500)


def test_a_projection_is_left_out_and_padding_is_black(tmp_path, run, caplog):
    caplog.set_level("INFO")
    hu, _ = chest(slices=3)
    write_series(tmp_path / "in/mip", hu, ImageType=["DERIVED", "SECONDARY", "MIP"])
    hu = hu.astype(int)
    hu[:, 0, 0] = 63536 - 1024
    write_series(tmp_path / "in/padded", hu, PixelPaddingValue=63536)
    tally = run("split=train")
    assert (tally.written, tally.faults) == (3, [])
    assert "3 left out: a picture computed from slices (MIP)" in caplog.text
    for row in manifest(tmp_path / "out"):
        assert read_slice(tmp_path / "out" / row["path"])[0, 0] == 0


def test_sixteen_bits_are_for_other_tools(tmp_path, run):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    run("split=train", "bits=16")
    pixels = np.asarray(Image.open(tmp_path / "out" / manifest(tmp_path / "out")[0]["path"]))
    assert pixels.dtype == np.uint16 and pixels.max() > 255
    with pytest.raises(DataError, match="16-bit grey; an 8-bit grey PNG is wanted"):
        SliceDataModule(str(tmp_path / "out"), 32, 2, 0.3, progress=False).setup("fit")


def test_images_keep_their_values_order_and_patients(tmp_path, run):
    for index in (2, 10, 1):
        write_image(tmp_path / f"in/jane/s{index}.png", grey(index))
        write_image(tmp_path / f"in/john/s{index}.tif", np.repeat(grey(20 + index)[..., None], 3, axis=2))
    with pytest.raises(ConfigError, match="split=by_patient needs patients"):
        run()
    run("patient='([^/]+)/s'", "split=train")
    rows = manifest(tmp_path / "out")
    assert len({row["patient"] for row in rows}) == 2 and len({row["series"] for row in rows}) == 2
    names = Pseudonyms(read_key(tmp_path / "key", tmp_path / "out"))
    jane = [row for row in rows if row["patient"] == names.name("patient", "jane")]
    for row, index in zip(jane, (1, 2, 10), strict=True):
        assert np.array_equal(read_slice(tmp_path / "out" / row["path"]), grey(index))
    write_image(tmp_path / "in/jane/s0.png", grey(0))  # every later slice of jane takes another name
    run("patient='([^/]+)/s'", "split=train")
    assert len(read_folder(tmp_path / "out")) == len(list((tmp_path / "out").rglob("*.png"))) == 7


def test_images_of_sixteen_bits_need_a_range(tmp_path, run):
    write_image(tmp_path / "in/a.png", grey(0).astype(np.uint16) * 16)
    tally = run("split=train")
    assert "has 16 bits" in str(tally.faults[0]) and tally.written == 0
    run("split=train", "values=grey", "window=[0,4080]", output="two")
    assert np.array_equal(read_slice(tmp_path / "two" / manifest(tmp_path / "two")[0]["path"]), grey(0))


def test_a_table_says_split_disease_and_patient(tmp_path, run):
    for name in "abcd":
        write_nifti(tmp_path / f"in/{name}.nii.gz", chest(seed=ord(name))[0])
    table = "path,split,disease,patient\na.nii.gz,train,,1\nb.nii.gz,test,,2\nc.nii.gz,test,flu,3\n"
    (tmp_path / "in/cases.csv").write_text(table)
    run("table=cases.csv")
    found = {(r.split, r.disease) for r in read_folder(tmp_path / "out")}
    assert found == {("train", ""), ("test", ""), ("test", "flu")} and len(manifest(tmp_path / "out")) == 12
    (tmp_path / "in/cases.csv").write_text(table.replace("test,,", "tets,,"))
    with pytest.raises(DataError, match=r"cases\.csv line 3 has split 'tets'"):
        run("table=cases.csv")
