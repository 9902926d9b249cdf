"""Transplants: identities of the blend, places against a slow search, halves by patient, whole folders or none."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anomask.data.folder.manifest import read_folder
from anomask.data.transplants.dataset import Recipe, write_transplants
from anomask.data.transplants.lesions import Lesion, cut_lesions, half_of, places, rescaled, transplant
from anomask.errors import DataError

SIDE = 64


def slice_with(rise=0.0, noise=0.01, seed=0, at=(20, 18)):
    rng = np.random.default_rng(seed)
    lung = np.zeros((SIDE, SIDE), bool)
    lung[10:54, 6:28] = lung[10:54, 36:58] = True
    image = np.where(lung, 0.2, 0.8) + noise * rng.standard_normal((SIDE, SIDE))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    mask = (rows - at[0]) ** 2 + (columns - at[1]) ** 2 <= 25
    return (image + rise * mask).clip(0, 1).astype(np.float32), mask, lung


def test_a_lesion_s_density_is_the_share_of_the_way_to_full_density():
    image, mask, lung = slice_with(rise=0.4, noise=0.0)
    (lesion,) = cut_lesions(image, mask, lung, "p", "s")
    assert np.array_equal(lesion.mask, mask[15:26, 13:24])
    assert lesion.density[4:7, 4:7] == pytest.approx(0.4 / 0.8, abs=1e-3)


def test_what_is_too_small_or_hardly_denser_is_no_lesion():
    image, mask, lung = slice_with(rise=0.01, noise=0.0)
    assert cut_lesions(image, mask, lung, "p", "s") == []
    image, mask, lung = slice_with(rise=0.4)
    small = np.zeros_like(mask)
    small[20:25, 15:20] = True
    assert cut_lesions(image, small, lung, "p", "s") == []


def test_places_are_those_of_a_slow_search():
    _, mask, lung = slice_with()
    own = mask[15:26, 13:24]
    slow = [
        (row, column)
        for row in range(SIDE - 10)
        for column in range(SIDE - 10)
        if lung[row : row + 11, column : column + 11][own].sum() >= 0.95 * own.sum()
    ]
    assert [tuple(place) for place in places(lung, own)] == slow


def test_outside_the_lesion_nothing_changes_and_inside_the_host_s_texture_fades():
    host, _, lung = slice_with(seed=1)
    lesion = Lesion(np.full((9, 9), 0.5, np.float32), np.ones((9, 9), bool), "p", "s")
    changed, mask = transplant(host, lung, lesion, 1.0, np.random.default_rng(0))
    assert mask.sum() == 81 and np.array_equal(changed[~mask], host[~mask])
    inner = np.zeros_like(mask)
    row, column = np.argwhere(mask)[0]
    inner[row + 3 : row + 6, column + 3 : column + 6] = True  # past the soft edge
    assert changed[inner] == pytest.approx(host[inner] + 0.5 * (1 - host[inner]), abs=1e-3)
    same, _ = transplant(host, lung, lesion, 0.0, np.random.default_rng(0))
    assert np.array_equal(same, host)


def test_a_lesion_that_fits_nowhere_is_not_placed():
    host, _, lung = slice_with()
    wide = Lesion(np.ones((30, 40), np.float32), np.ones((30, 40), bool), "p", "s")
    assert transplant(host, lung, wide, 1.0, np.random.default_rng(0)) is None
    assert transplant(host, np.zeros_like(lung), rescaled(wide, 0.1), 1.0, np.random.default_rng(0)) is None


def test_rescaling_scales_sides():
    lesion = Lesion(np.ones((20, 10), np.float32), np.ones((20, 10), bool), "p", "s")
    assert rescaled(lesion, 1.5).mask.shape == (30, 15) and rescaled(lesion, 0.5).mask.all()


def test_halves_part_the_patients():
    names = ["b", "a", "d", "c", "a"]
    assert half_of(names, "development") == {"a", "c"} and half_of(names, "test") == {"b", "d"}


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(array, np.float32) * 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Hosts: two training patients and one test patient; donors: four patients with a lesion each."""
    folder = tmp_path_factory.mktemp("sets")
    rows = ["path,patient,mask"]
    for index, (split, patient) in enumerate([("train", "h0")] * 6 + [("train", "h1")] * 3 + [("test", "h2")] * 3):
        name = f"{split}/normal/n{index}.png"
        save(slice_with(seed=index)[0], folder / "hosts" / name)
        rows.append(f"{name},{patient},")
    (folder / "hosts/manifest.csv").write_text("\n".join(rows))
    rows = ["path,patient,mask", "train/normal/n.png,d9,"]
    save(slice_with()[0], folder / "donors/train/normal/n.png")
    for index in range(4):
        image, mask, lung = slice_with(rise=0.4, seed=index, at=(20 + index, 18))
        name = f"l{index}.png"
        for kind, values in (("abnormal", image), ("masks", mask), ("lung_masks", lung)):
            save(values, folder / "donors/test" / kind / "covid" / name)
        rows.append(f"test/abnormal/covid/{name},d{index},test/masks/covid/{name}")
    (folder / "donors/manifest.csv").write_text("\n".join(rows))
    return folder


def recipe(sets, half="test", **changes):
    whole = Recipe(sets / "hosts", (sets / "donors",), half, 0.4, (0.9, 1.1), {"faint": 0.5, "marked": 1.0}, 0)
    return whole._replace(**changes)


@pytest.mark.parametrize(("half", "hosts", "lenders"), [("test", {"h2"}, "d1 d3"), ("development", {"h1"}, "d0 d2")])
def test_a_folder_holds_each_host_with_and_without_a_lesion(sets, tmp_path, half, hosts, lenders):
    folder = tmp_path / half
    assert write_transplants(recipe(sets, half), folder, progress=False) == 6
    test = [record for record in read_folder(folder) if record.split == "test"]
    assert {record.patient for record in test} == hosts
    origin = (folder / "lesions.csv").read_text().splitlines()[1:]
    assert {line.split(",")[1] for line in origin} <= set(lenders.split()) and len(origin) == 6
    for record in (record for record in test if record.disease):
        host = np.asarray(Image.open(folder / "test/normal" / record.path.name)).astype(int)
        changed, mask = (np.asarray(Image.open(path)).astype(int) for path in (record.path, record.mask))
        assert np.array_equal(host[mask == 0], changed[mask == 0]) and (changed > host)[mask > 0].mean() > 0.9
    donors = {record.path.name: set() for record in test}
    for record in test:
        donors[record.path.name].add(record.lesion_donor)
    assert all(len(own) == 1 and own <= set(lenders.split()) for own in donors.values())  # host and copies alike
    by_contrast = (sorted((folder / "test/masks" / name).iterdir()) for name in ("faint", "marked"))
    for faint, marked in zip(*by_contrast, strict=True):  # the same lesion at the same place
        assert faint.name == marked.name and faint.read_bytes() == marked.read_bytes()


def test_the_same_recipe_is_kept_and_another_is_an_error(sets, tmp_path):
    folder = tmp_path / "t"
    write_transplants(recipe(sets), folder, progress=False)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_transplants(recipe(sets), folder, progress=False) == 6
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(DataError, match="holds something else than these transplants"):
        write_transplants(recipe(sets, seed=1), folder, progress=False)
    other = tmp_path / "u"
    write_transplants(recipe(sets), other, progress=False)
    assert json.loads((other / "transplants.json").read_text())["n_abnormal"] == 6
    same = [(folder / name).read_bytes() == (other / name).read_bytes() for name in ("manifest.csv", "lesions.csv")]
    assert all(same)


@pytest.mark.parametrize("damage", ["old", "empty", "missing", "no text"])
def test_a_folder_that_knows_no_donors_is_an_error(sets, tmp_path, damage):
    folder = tmp_path / "old"
    write_transplants(recipe(sets), folder, progress=False)
    manifest = folder / "manifest.csv"
    manifest.write_bytes(
        {"old": manifest.read_bytes().replace(b"lesion_donor", b"source_2", 1), "no text": b"\xff\xfe\x00"}.get(
            damage, b""
        )
    )
    if damage == "missing":
        manifest.unlink()
    with pytest.raises(DataError, match="earlier version.* Remove the folder and start again"):
        write_transplants(recipe(sets), folder, progress=False)


def test_what_cannot_be_made_is_an_error_and_leaves_nothing(sets, tmp_path):
    with pytest.raises(DataError, match="half is 'train'; use development or test"):
        write_transplants(recipe(sets, "train"), tmp_path / "t", progress=False)
    with pytest.raises(DataError, match="no lesions of the test half"):
        write_transplants(recipe(sets, donors=(sets / "hosts",)), tmp_path / "t", progress=False)
    dark = tmp_path / "dark"
    for name in ("train/normal/a.png", "train/normal/b.png", "test/normal/c.png"):
        save(np.full((SIDE, SIDE), 0.5), dark / name)
    with pytest.raises(DataError, match="shows enough lung"):
        write_transplants(recipe(sets, hosts=dark), tmp_path / "t", progress=False)
    assert [path for path in Path(tmp_path).iterdir() if path.name != "dark"] == []
