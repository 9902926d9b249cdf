"""Masks in a preparation: labels of volumes and images, what is named and never occurs, names with brackets."""

import logging

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from anomask.errors import ConfigError
from tests.preparation.made import chest, grey, manifest, write_image, write_nifti

FREE, SMALL = "without lesion (lesion_free)", "with too little lung (min_lung_share)"
SICK = ("split=test", "disease=flu", "min_lung_share=0", "pattern=*case.nii.gz", "mask='{folder}/{stem}_m.nii.gz'")


def lesion(*marked, slices=4, size=32):
    mask = np.zeros((slices, size, size), bool)
    mask[list(marked), 14:22, 6:16] = True  # 80 pixels
    return mask


def case(folder, mask, dtype=np.float32):
    write_nifti(folder / "case.nii.gz", chest()[0])
    write_nifti(folder / "case_m.nii.gz", mask, dtype=dtype)


def marked(folder):
    """Pixels of each written lesion mask, by slice."""
    rows = [row for row in manifest(folder) if row["mask"]]
    return {int(row["slice"]): int((np.asarray(Image.open(folder / row["mask"])) > 0).sum()) for row in rows}


def test_a_label_of_a_scaled_header_is_that_label_and_no_diseased_slice_becomes_normal(tmp_path, run):
    case(tmp_path / "in", lesion(2, 3) * np.float32(1.0000153) + np.roll(lesion(0), 10, 2) * np.float32(2.00003))
    run(*SICK, "mask_labels=[1]")
    assert marked(tmp_path / "out") == {2: 80, 3: 80}
    run("split=train", *SICK[1:], "mask_labels=[1]", "lesion_free=normal", output="normals")
    assert [row["slice"] for row in manifest(tmp_path / "normals")] == ["0", "1"]


def test_a_soft_mask_marks_its_lesion_and_the_slices_beside_it_are_free(tmp_path, run, caplog):
    blurred = ndimage.gaussian_filter(lesion(2, 3).astype(np.float32), (0.6, 1, 1))
    assert (blurred[1] > 0).any()
    case(tmp_path / "in", blurred)
    run(*SICK)
    assert marked(tmp_path / "out").keys() == {2, 3} and all(70 <= n <= 84 for n in marked(tmp_path / "out").values())
    assert "1 masks have grey edges (such as" in caplog.text


def test_noise_of_interpolation_is_background(tmp_path, run):
    noise = np.random.default_rng(0).normal(0, 1e-8, (4, 32, 32))
    case(tmp_path / "in", lesion(1) + noise)
    assert run(*SICK).dropped == {FREE: 3}
    assert marked(tmp_path / "out") == {1: 80}


def test_no_lesion_and_little_lung_are_told_apart(tmp_path, run, caplog):
    hu, lungs = chest()
    hu[0] = np.where(lungs, 40, hu[0])
    write_nifti(tmp_path / "in/case.nii.gz", hu)
    write_nifti(tmp_path / "in/case_m.nii.gz", lesion(0))
    tally = run(*SICK, "min_lung_share=0.05")
    assert tally.written == 0 and tally.dropped == {FREE: 3, SMALL: 1}
    assert "gave none of its 4 slices: 1 with too little lung (min_lung_share), 3 without lesion" in caplog.text
    tally = run("split=train", *SICK[1:], "lesion_free=normal", output="normals")
    assert tally.written == 3 and tally.dropped == {"with a lesion, in train": 1}


def test_labels_are_those_of_mask_images_too(tmp_path, run):
    _, lungs = chest()
    for z in range(3):
        write_image(tmp_path / f"in/images/p_{z}.png", grey(z))
        classes = np.where(lesion(1, 2)[z], 3, np.where(lungs, 1, 0))
        write_image(tmp_path / f"in/masks/p_{z}.png", classes.astype(np.uint8))
    sick = ("split=test", "disease=flu", "min_lung_share=0", "pattern=images/*", "mask='masks/{stem}.png'")
    assert run(*sick, "mask_labels=[3]").dropped == {FREE: 1}
    assert marked(tmp_path / "out") == {1: 80, 2: 80}
    with pytest.raises(ConfigError, match=r"mask_labels names \[2\], which occurs in none of the 3 masks .*\[1, 3\]"):
        run(*sick, "mask_labels=[2,3]", output="two")
    assert not (tmp_path / "two").exists()


def test_a_label_that_never_occurs_is_refused_where_others_do(tmp_path, run, caplog):
    case(tmp_path / "in", lesion(1) * 2)
    with pytest.raises(ConfigError, match=r"names \[1\], which occurs in none of the 1 masks .* they hold \[2\]"):
        run(*SICK, "mask_labels=[1]")
    with pytest.raises(ConfigError, match=r"lung_labels names \[5\]"):
        run(*SICK, "lung_mask='{folder}/{stem}_m.nii.gz'", "lung_labels=[5]")
    caplog.set_level(logging.WARNING)
    assert run(*SICK, "mask_labels=[2,4]").written == 1  # nothing that is marked is lost
    assert "names [4], which occurs in none" in caplog.text
    case(tmp_path / "in", lesion())
    assert run(*SICK, "mask_labels=[1]", output="free").dropped == {FREE: 4}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["mask_labels=[1]"], r"mask_labels is \[1\], and no group has mask"),
        (["lung_labels=[1]"], "no group has lung_mask"),
        (["mask_optional=true"], "no group has mask"),
        (["lesion_free=normal"], "no group has mask or nodules"),
        (["disease=flu", "mask=x", "mask_labels=[]"], "name at least one label"),
        (["disease=flu", "mask=x", "mask_labels=[0,1]"], "and not 0: the background"),
    ],
)
def test_options_that_do_not_apply(tmp_path, run, given, message):
    write_nifti(tmp_path / "in/a.nii.gz", chest()[0])
    with pytest.raises(ConfigError, match=message):
        run("split=test", *given)


def test_an_option_of_all_groups_may_be_for_some(tmp_path, run):
    case(tmp_path / "in", lesion(1))
    write_nifti(tmp_path / "in/normal.nii.gz", chest(seed=1)[0])
    groups = (
        "groups=[{pattern:case.nii.gz,mask:'{stem}_m.nii.gz',disease:flu,split:test},{pattern:normal*,split:train}]"
    )
    assert run(groups, "mask_labels=[1]", "min_lung_share=0").written == 5


@pytest.mark.parametrize("stem", ["scan [1]", "scan(1)", "a{b}", "what_", "[ab]*"])
def test_brackets_in_a_name_are_part_of_it(tmp_path, run, stem):
    write_nifti(tmp_path / f"in/{stem}/{stem}.nii.gz", chest()[0])
    write_nifti(tmp_path / f"in/{stem}/{stem}_m.nii.gz", lesion(1), dtype=np.uint8)
    write_nifti(tmp_path / "in/other/scan 1_m.nii.gz", lesion(2), dtype=np.uint8)  # what "scan [1]" stands for
    mask = "mask='{folder}/{stem}_m.nii*'"
    assert not run(
        "split=test", "disease=flu", mask, "min_lung_share=0", "pattern='*[!m].nii.gz'", "mask_optional=true"
    ).faults
    assert list(marked(tmp_path / "out")) == [1]
