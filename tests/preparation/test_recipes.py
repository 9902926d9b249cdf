"""Each recipe on a tiny made folder of the published layout."""

import hashlib

import numpy as np
import pytest

from anomask.data.folder.manifest import read_folder
from anomask.settings.compose import CONF_FOLDER
from tests.data.volumes.test_volumes import write_metaimage
from tests.preparation.made import chest, grey, manifest, write_image, write_nifti, write_series

SIZE = 32


def lesion(slices, *marked):
    mask = np.zeros((slices, SIZE, SIZE), np.uint8)
    mask[list(marked), 14:18, 8:11] = 1
    return mask


def volume(path, seed):
    write_nifti(path, chest(slices=3, seed=seed)[0])


def save_grey(path, seed):
    write_image(path, grey(seed))


def tested_of(*patients):
    """How many of the patients are in the test set: those whose hash is in the lowest fifth."""
    hashes = [hashlib.sha256(f"split:{patient}".encode()).hexdigest() for patient in patients]
    return sum(int(value[:16], 16) < 0.2 * 2**64 for value in hashes)


def covid_ct_md(folder):
    for index in range(6):
        write_series(folder / f"Normal Cases/normal{index:03d}", chest(slices=2, seed=index)[0], PatientID="")
    write_series(folder / "COVID-19 Cases/P001", chest(slices=2, seed=10)[0], PatientID="")
    write_series(folder / "Cap Cases/cap001", chest(slices=2, seed=11)[0], PatientID="")
    (folder / "Index.csv").write_text("Folder/ID\n")
    tested = tested_of(*(f"normal{index:03d}" for index in range(6)))
    normals = {"train/normal": 2 * (6 - tested), "test/normal": 2 * tested}
    return normals | {"test/covid19": 2, "test/cap_pneumonia": 2}


def covid19_seg20(folder):
    lungs = chest()[1] + np.zeros((3, 1, 1))
    for name, seed in (("coronacases_001", 0), ("radiopaedia_10_85902_1", 1)):
        hu = chest(slices=3, seed=seed)[0]
        values = hu if seed == 0 else (np.clip(hu, -1250, 250) + 1250.0) * 255 / 1500
        write_nifti(folder / f"COVID-19-CT-Seg_20cases/{name}.nii.gz", values)
        write_nifti(folder / f"Infection_Mask/{name}.nii.gz", lesion(3, 1))
        write_nifti(folder / f"Lung_Mask/{name}.nii.gz", lungs * 2)
        write_nifti(folder / f"Lung_and_Infection_Mask/{name}.nii.gz", lungs * 2)
    write_nifti(folder / "ct_scans/coronacases_org_002.nii", chest(slices=3, seed=2)[0])
    write_nifti(folder / "infection_mask/coronacases_002.nii", lesion(3, 0, 2))
    write_nifti(folder / "lung_mask/coronacases_002.nii", lungs)
    return {"test/covid19": 4}


def mosmeddata(folder):
    for index in range(1, 6):
        volume(folder / f"COVID19_1110/studies/CT-0/study_{index:04d}.nii.gz", index)
    volume(folder / "COVID19_1110/studies/CT-1/study_0255.nii.gz", 10)
    write_nifti(folder / "COVID19_1110/masks/study_0255_mask.nii.gz", lesion(3, 2))
    volume(folder / "COVID19_1110/studies/CT-4/study_1110.nii.gz", 11)
    tested = tested_of(*(f"study_{index:04d}" for index in range(1, 6)))
    return {"train/normal": 3 * (5 - tested), "test/normal": 3 * tested, "test/covid19": 4}


def luna16(folder):
    lungs = np.where(chest()[1], 3, 0) + np.zeros((3, 1, 1))
    rows = ["seriesuid,coordX,coordY,coordZ,diameter_mm"]
    for index in range(6):
        uid = f"1.3.6.1.{index}"
        for place, values in ((f"subset{index}", chest(slices=3, seed=index)[0]), ("seg-lungs-LUNA16", lungs)):
            (folder / place).mkdir(parents=True, exist_ok=True)
            write_metaimage(folder / place / f"{uid}.mhd", values, compressed=place != f"subset{index}")
        rows.append(f"{uid},-5,-5,-97.4,1.5")  # slices lie at -100, -97.5, -95: the one in the middle
    (folder / "annotations.csv").write_text("\n".join(rows))
    tested = tested_of(*(f"luna16/subset{index}/1.3.6.1.{index}.mhd" for index in range(6)))
    return {"train/normal": 2 * (6 - tested), "test/normal": 2 * tested, "test/nodule": tested}


def msd_lung(folder):
    volume(folder / "Task06_Lung/imagesTr/lung_001.nii.gz", 0)
    write_nifti(folder / "Task06_Lung/labelsTr/lung_001.nii.gz", lesion(3, 0))
    volume(folder / "Task06_Lung/imagesTs/lung_002.nii.gz", 1)
    (folder / "Task06_Lung/imagesTr/._lung_001.nii.gz").write_bytes(b"\0\5\26\7")
    return {"test/normal": 2, "test/lung_cancer": 1}


def sars_cov_2_ct(folder):
    for index in (1, 2, 999, 1000, 1229):
        save_grey(folder / f"non-COVID/Non-Covid ({index}).png", index)
    for index in (1, 1250):
        save_grey(folder / f"COVID/Covid ({index}).png", 5000 + index)
    return {"train/normal": 3, "test/normal": 2, "test/covid19": 2}


def covidx_ct(folder):
    names = {
        "train": [("COVIDCTMD-normal001-IM0001", 0), ("COVIDCTMD-normal001-IM0002", 0), ("NCP_96_1328_0034", 2)],
        "val": [("COVIDCTMD-normal002-IM0001", 0)],
        "test": [("CP_10_3102_0001", 1), ("Normal_3_1886_0000", 0), ("137covid_patient1_SR_3_IM00012", 2)],
    }
    for seed, (split, rows) in enumerate(names.items()):
        for index, (name, _) in enumerate(rows):
            save_grey(folder / f"3A_images/{name}.png", 10 * seed + index)
        lines = [f"{name}.png {label} 0 26 32 30" for name, label in rows]
        (folder / f"{split}_COVIDx_CT-3A.txt").write_text("\n".join(lines) + "\n")
    return {"train/normal": 2, "test/normal": 1, "test/pneumonia": 1, "test/covid19": 1}


LAYOUTS = {f.__name__: f for f in (covid_ct_md, covid19_seg20, mosmeddata, luna16, msd_lung, sars_cov_2_ct, covidx_ct)}


def test_every_recipe_has_a_layout_here():
    assert LAYOUTS.keys() == {path.stem for path in (CONF_FOLDER / "recipe").glob("*.yaml")}


@pytest.mark.parametrize("recipe", LAYOUTS)
def test_a_recipe_reads_the_layout_it_is_for(recipe, tmp_path, run):
    expected = LAYOUTS[recipe](tmp_path / "in")
    tally = run(f"recipe={recipe}", *(["min_lung_share=0.03"] if recipe == "sars_cov_2_ct" else []))
    assert not tally.faults
    found = {}
    for row in manifest(tmp_path / "out"):
        place = f"{row['split']}/{row['disease'] or 'normal'}"
        found[place] = found.get(place, 0) + 1
    assert found == {place: count for place, count in expected.items() if count}
    if any(place == "train/normal" for place in expected):
        assert len(read_folder(tmp_path / "out")) == sum(expected.values())


def test_patients_of_a_recipe_are_its_own(tmp_path, run):
    covidx_ct(tmp_path / "in")
    run("recipe=covidx_ct", "pseudonymise=false")
    patients = {row["patient"] for row in manifest(tmp_path / "out")}
    assert patients == {"COVIDCTMD-normal001", "CP-10", "Normal-3", "137covid-patient1"}


def test_masks_of_the_twenty_volumes_come_along(tmp_path, run):
    covid19_seg20(tmp_path / "in")
    run("recipe=covid19_seg20", "lesion_free=normal", "pseudonymise=false")
    rows = manifest(tmp_path / "out")
    assert {row["patient"] for row in rows} == {"coronacases-001", "coronacases-org-002", "10"}
    assert len(rows) == 9 and all(row["lung_mask"] for row in rows)
    assert sum(bool(row["mask"]) for row in rows) == sum(row["label"] == "abnormal" for row in rows) == 4
