"""Planted faults, each on its own in a copy of a clean set: every one is found and named with its file and remedy."""

import json
import os
import shutil
import struct
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image
from scipy.stats import wasserstein_distance

from anomask.data.checks.greys import inverted, window_shifts
from anomask.data.checks.near_copies import close_pairs, near_copies, perceptual_hashes
from anomask.data.checks.verification import verify_folder
from anomask.data.folder.manifest import read_folder
from anomask.data.folder.names import edit_distance
from anomask.data.folder.records import PHANTOM, SliceRecord
from anomask.data.loading.datamodule import SliceDataModule
from anomask.errors import DataError, SplitError
from anomask.report.verification import in_short, refusal, verification_text
from tests.conftest import REAL_DATA, save, toy_slice

A, B, T, N = "train/normal/a0.png", "train/normal/a1.png", "test/abnormal/flu/c0.png", "test/normal/b0.png"
MASK, LUNG = "test/masks/flu/c0.png", "test/lung_masks/flu/c0.png"


def textured(rng, lesion=False):
    """A toy slice with a coarse texture of its own, so that no two are near-copies."""
    image, mask, lung = toy_slice(rng, 64, lesion)
    coarse = np.kron(rng.normal(0, 28, (8, 8)), np.ones((8, 8)))
    return (image + coarse).clip(1, 254).astype(np.uint8), mask, lung


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "clean"
    rng = np.random.default_rng(0)
    for index in range(10):
        save(textured(rng)[0], folder / f"train/normal/a{index}.png")
    for index in range(6):
        save(textured(rng)[0], folder / f"test/normal/b{index}.png")
        for disease in ("flu", "tuberculosis"):
            image, mask, lung = textured(rng, lesion=True)
            name = f"{disease}/c{index}.png"
            save(image, folder / "test/abnormal" / name)
            save(mask.astype(np.uint8) * 255, folder / "test/masks" / name)
            save(lung.astype(np.uint8) * 255, folder / "test/lung_masks" / name)
    rows = [f"{record.name},{record.split}_{index % 3}" for index, record in enumerate(read_folder(folder))]
    (folder / "manifest.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
    return folder


@pytest.fixture
def folder(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "set")


def verified(folder, on_mixed_size="error", memory=None):
    return verify_folder(folder, on_mixed_size, memory, False)


def pixels(path):
    return np.asarray(Image.open(path))


def change(name, function):
    def plant(folder):
        save(function(pixels(folder / name)), folder / name)

    return plant


def copy(name, to, keep_listed=True):
    def plant(folder):
        (folder / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, folder / to)
        if keep_listed:
            listed(to)(folder)

    return plant


def listed(name, patient=""):
    def plant(folder):
        with (folder / "manifest.csv").open("a") as stream:
            stream.write(f"{name},{patient}\n")

    return plant


def replaced(name, what, by):
    def plant(folder):
        file = folder / name
        assert what in file.read_text()
        file.write_text(file.read_text().replace(what, by))

    return plant


def cut(folder):
    (folder / A).write_bytes((folder / A).read_bytes()[:-400])


def renamed(name, to):
    def plant(folder):
        (folder / to).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).rename(folder / to)

    return plant


def re_encoded(folder):
    image = Image.fromarray((pixels(folder / A) * 0.8 + 10).astype(np.uint8)).resize((60, 60)).resize((64, 64))
    save(np.asarray(image), folder / "test/normal/again.png")
    listed("test/normal/again.png", "test_0")(folder)


def rewindowed(folder):
    for path in (folder / "test").glob("*normal/**/*.png"):
        save((pixels(path).astype(float) * 3 - 120).clip(0, 255).astype(np.uint8), path)


def bomb(folder, side=40_000):
    """A few bytes that claim 1.6 thousand million pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    (folder / A).write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))


def loop(folder):
    (folder / "train/normal/more").symlink_to(folder / "train")


def name_of_bytes(folder):
    shutil.copy(folder / A, os.fsencode(folder) + b"/train/normal/M\xfcller.png")


def link_to_nothing(folder):
    (folder / "train/normal/gone.png").symlink_to(folder / "nowhere.png")


def link_to_itself(folder):
    (folder / "train/normal/self.png").symlink_to("self.png")


def shadowed(folder):
    save(np.pad(np.full((8, 8), 255, np.uint8), 28), folder / "test/masks/normal/b0.png")


def jpeg_inside(folder):
    Image.fromarray(pixels(folder / A)).save(folder / A, format="JPEG")


def misspelt(folder):
    for kind in ("abnormal", "masks", "lung_masks"):
        renamed(f"test/{kind}/tuberculosis/c0.png", f"test/{kind}/tubercolosis/c0.png")(folder)
    replaced("manifest.csv", "tuberculosis/c0", "tubercolosis/c0")(folder)


def notes(folder):
    (folder / "test/normal/notes.txt").write_text("x")


def nan(folder):
    (folder / "preparation.json").write_text('{"window_low_hu": NaN}')


# name: plant, kind, severity, files that are named, words of the remedy
FAULTS = {
    "truncated": (cut, "damaged", "error", [A], "Copy or convert it again"),
    "no image": (lambda f: (f / A).write_text("hello"), "damaged", "error", [A], "Copy or convert"),
    "empty file": (lambda f: (f / A).write_bytes(b""), "damaged", "error", [A], "Copy or convert"),
    "constant": (change(A, lambda a: np.full_like(a, 9)), "constant", "error", [A], "Export it again"),
    "inverted": (change(A, lambda a: 255 - a), "inverted", "error", [A], "255 - value"),
    "a mask as a slice": (change(A, lambda a: (a > 99) * np.uint8(255)), "few grey values", "warning", [A], "Put the"),
    "another size": (change(A, lambda a: a[:32, :32]), "size", "error", [A], "on_mixed_size=pad"),
    "16 bits": (change(A, lambda a: a.astype(np.uint16) * 256), "colour or bit depth", "error", [A], "8-bit grey"),
    "colour": (change(A, lambda a: np.stack([a] * 3, -1)), "colour or bit depth", "error", [A], "convert('L')"),
    "a JPEG named .png": (jpeg_inside, "not PNG inside", "warning", [A], "Export it again as PNG"),
    "40,000 pixels": (bomb, "too large", "error", [A], "Crop or resample"),
    "mask without slice": (copy(MASK, "test/masks/flu/x.png", False), "mask without slice", "error", ["x.png"], "Add"),
    "mask stem": (renamed(MASK, "test/masks/flu/c0_mask.png"), "mask without slice", "error", ["c0_mask.png"], "Add"),
    "missing mask": (lambda f: (f / MASK).unlink(), "missing masks", "warning", [T], "Add test/masks"),
    "empty mask": (change(MASK, np.zeros_like), "empty mask", "warning", [MASK, T], "Draw the lesion"),
    "empty lung mask": (change(LUNG, np.zeros_like), "empty mask", "warning", [LUNG, T], "Draw the lung"),
    "mask size": (change(MASK, lambda a: a[:32]), "mask of another size", "error", [MASK], "its slice's size"),
    "mask values": (change(MASK, lambda a: a // 2), "mask values", "error", [MASK], "Threshold it"),
    "mask inverted": (change(MASK, lambda a: 255 - a), "inverted mask", "warning", [MASK, T], "Exchange black"),
    "mask outside": (change(LUNG, lambda a: 255 - a), "mask outside the lung", "warning", [MASK, T], "flipped"),
    "lesion on a normal": (shadowed, "lesion on a normal slice", "error", [N], "Move the slice to abnormal"),
    "copy": (copy(A, "train/normal/z.png"), "copy", "error", [A, "train/normal/z.png"], "remove one"),
    "copy in test": (copy(A, "test/normal/z.png"), "copy in two splits", "error", [A, "normal/z.png"], "remove"),
    "near-copy": (re_encoded, "near-copy in two splits", "error", [A, "test/normal/again.png"], "in one split"),
    "patient": (replaced("manifest.csv", "test_0", "train_0"), "patient in two splits", "error", ["test/"], "move all"),
    "patient nan": (replaced("manifest.csv", "test_0", "NaN"), "patient not known", "error", ["test/"], "cell empty"),
    "window": (rewindowed, "window", "warning", ["test/normal"], "one window"),
    "disease twice": (misspelt, "similar diseases", "warning", ["tubercolosis", "tuberculosis"], "one folder"),
    "disease normal": (copy(A, "test/abnormal/norml/q.png"), "misspelt folder", "error", ["norml"], "test/normal"),
    "label misspelt": (renamed("test/normal", "test/norml"), "misspelt folder", "error", ["test/norml"], "Rename"),
    "split misspelt": (copy(A, "Train/normal/q.png", False), "misspelt folder", "error", ["Train"], "Rename it"),
    "elsewhere": (copy(A, "validation/q.png", False), "ignored images", "warning", ["validation"], "Move them"),
    "train/abnormal": (copy(T, "train/abnormal/q.png"), "unused slices", "warning", ["abnormal/q.png"], "Move them"),
    "not PNG": (renamed(A, "train/normal/a0.tif"), "not PNG", "error", ["train/normal/a0.tif"], "Convert or rename"),
    "mask not PNG": (renamed(MASK, "test/masks/flu/c0.jpg"), "not PNG", "error", ["flu/c0.jpg"], "Convert"),
    "notes": (notes, "ignored files", "warning", ["notes.txt"], "Keep"),
    "no test normals": (lambda f: shutil.rmtree(f / "test/normal"), "empty part", "warning", ["test/normal"], "Put"),
    "not listed": (copy(A, "train/normal/q.png", False), "manifest", "error", ["q.png"], "Add them"),
    "path that leaves": (listed("../secret.png"), "path outside the folder", "error", ["../secret.png"], "Copy"),
    "name of bytes": (name_of_bytes, "name not UTF-8", "error", ["M\\udcfcller.png"], "Rename it"),
    "link loop": (loop, "link loop", "warning", ["train/normal/more"], "Remove the link"),
    "link to nothing": (link_to_nothing, "broken link", "error", ["gone.png"], "Restore its target"),
    "link to itself": (link_to_itself, "broken link", "error", ["self.png"], "remove the link"),
    "preparation": (nan, "preparation", "error", ["preparation.json"], "Prepare the data again"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_named_with_file_and_remedy(folder, name):
    plant, kind, severity, files, remedy = FAULTS[name]
    plant(folder)
    found = [finding for finding in verified(folder).findings if finding.kind == kind]
    assert found, [finding.kind for finding in verified(folder).findings]
    for finding in found:
        assert finding.severity == severity and remedy in finding.remedy
        assert str(folder) not in " ".join(finding.files)
    named = " ".join(" ".join((*finding.files, finding.message)) for finding in found)
    assert all(file in named for file in files), named
    if name not in ("window", "patient", "patient nan", "no test normals"):  # those are of many files
        assert len(found) == 1


def test_a_clean_set_passes(folder):
    verification = verified(folder)
    assert verification.findings == [] and refusal(verification) is None
    assert "0 errors, 0 warnings" in verification_text(verification)


def test_all_findings_are_reported_errors_first_and_grouped(folder):
    (folder / "test/normal/notes.txt").write_text("x")
    cut(folder)
    (folder / B).write_bytes(b"")
    shadowed(folder)
    text = verification_text(verified(folder))
    order = ["ERROR damaged (2)", A, B, "-> Copy", "ERROR lesion on a normal slice (1)", "WARNING ignored files (1)"]
    places = [text.index(words) for words in order]
    assert places == sorted(places) and text.endswith("3 errors, 1 warning\n")
    error = refusal(verified(folder))
    assert (
        isinstance(error, DataError) and str(error).startswith("3 errors in ") and "(1 more of this kind)" in str(error)
    )
    assert len(in_short(verified(folder).findings)) == 3


def test_many_findings_are_counted_and_shown_on_request(folder):
    for index in range(8):
        (folder / f"train/normal/a{index}.png").write_bytes(b"")
    for index in range(4):
        (folder / f"test/normal/b{index}.png").write_bytes(b"")
    text = verification_text(verified(folder))
    assert "ERROR damaged (12)" in text and "and 2 more (all=true" in text
    assert "more (all" not in verification_text(verified(folder), all_of_them=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything, so permissions have no effect")
def test_a_file_without_permission_is_one_finding_by_its_mode(folder):
    (folder / A).chmod(0)
    check_unreadable(folder)


def test_a_file_that_cannot_be_opened_is_one_finding(folder, monkeypatch):
    from pathlib import Path

    read = Path.read_bytes

    def refuse(path):
        if path == folder / A:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    check_unreadable(folder)


def check_unreadable(folder):
    cut_too = folder / B
    cut_too.write_bytes(cut_too.read_bytes()[:-400])
    verification = verified(folder)
    assert [(one.kind, one.files) for one in verification.findings] == [("unreadable", (A,)), ("damaged", (B,))]
    assert verification.fingerprint["sha256"] is None
    with pytest.raises(DataError, match=r"a0\.png cannot be opened \(Permission denied\)\. Give yourself"):
        SliceDataModule(str(folder), 32, 4, 0.25, progress=False).setup("fit")


def test_a_folder_that_cannot_be_listed_is_one_finding(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("test/normal"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    (folder / "manifest.csv").unlink()
    monkeypatch.setattr("anomask.data.folder.tree.os.scandir", refuse)
    found = verified(folder).findings
    assert [one.kind for one in found] == ["unreadable", "empty part"] and found[0].files == ("test/normal",)


def test_linked_folders_are_read_and_two_that_lead_to_each_other_end(folder, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(folder / "train/normal", outside)
    shutil.rmtree(folder / "train/normal")
    (folder / "train/normal").symlink_to(outside)
    assert verified(folder).findings == []
    (outside / "there").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/back").symlink_to(outside)
    assert [one.kind for one in verified(folder).findings] == ["link loop"]
    assert len(read_folder(folder)) == 28


def test_a_huge_image_is_an_error_of_the_loader_too(folder):
    bomb(folder)
    with pytest.raises(DataError, match=r"a0\.png has more than 178 million pixels"):
        SliceDataModule(str(folder), 32, 4, 0.25, progress=False).setup("fit")
    bomb(folder, 5000)
    with pytest.raises(DataError, match="has 5000x5000 pixels; a slice has 16777216"):
        SliceDataModule(str(folder), 32, 4, 0.25, progress=False).setup("fit")


def test_the_folder_above_or_below_is_named(folder):
    with pytest.raises(DataError, match="one folder further down: use set"):
        read_folder(folder.parent)


def test_the_fingerprint_says_what_the_data_is(folder, tmp_path):
    (folder / "preparation.json").write_text('{"window_low_hu": -1350}')
    data = SliceDataModule(str(folder), 32, 4, 0.25, progress=False)
    data.setup()
    found = verified(folder, memory=tmp_path / "memory").fingerprint
    (file,) = (tmp_path / "memory").glob("*/fingerprint.json")
    assert json.loads(file.read_text()) == found
    assert found["sha256"] == data.fingerprint() and found["sizes"] == {"64x64": 28}
    assert found["preparation"] == {"window_low_hu": -1350} and found["findings"] == {"error": {}, "warning": {}}
    parts = {(part["split"], part["label"], part["disease"]): part for part in found["parts"]}
    assert parts["train", "normal", ""]["slices"] == 10 and parts["train", "normal", ""]["patients"] == 3
    assert parts["test", "abnormal", "flu"]["masks"] == parts["test", "abnormal", "flu"]["lung_masks"] == 6
    values = np.concatenate([pixels(path).ravel() for path in (folder / "train/normal").glob("*.png")])
    grey = found["grey"]["train/normal"]
    assert grey["mean"] == pytest.approx(values.mean(), abs=0.01)
    assert grey["quantiles"]["0.95"] == np.quantile(values, 0.95, method="inverted_cdf")


def test_what_was_seen_is_remembered_until_a_file_changes(folder, tmp_path, monkeypatch):
    shadowed(folder)
    first = verified(folder, memory=tmp_path / "memory")
    with monkeypatch.context() as patched:
        patched.setattr("anomask.data.checks.verification.inspect", lambda *_: pytest.fail("decoded again"))
        again = verified(folder, memory=tmp_path / "memory")
        (folder / "test/normal/notes.txt").write_text("x")  # names are looked at each time
        assert len(verified(folder, memory=tmp_path / "memory").findings) == 2
    assert again == first and len(first.errors) == 1
    cut(folder)
    assert len(verified(folder, memory=tmp_path / "memory").errors) == 2


def test_a_place_that_cannot_be_written_to_costs_nothing_but_time(folder, tmp_path):
    (tmp_path / "file").write_text("")
    assert verified(folder, memory=tmp_path / "file").findings == []


def test_hashes_are_those_of_imagehash(clean):
    paths = sorted(clean.rglob("*normal/*.png"))
    images = [Image.open(path) for path in paths]
    thumbnails = np.stack([np.asarray(one.resize((32, 32), Image.Resampling.LANCZOS)) for one in images])
    ours = perceptual_hashes(thumbnails)
    for one, value in zip(images, ours, strict=True):
        theirs = np.packbits(imagehash.phash(one).hash.ravel()).view(np.uint64)[0]
        assert theirs == value


def test_close_pairs_are_those_of_two_plain_loops():
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 700, dtype=np.uint64)
    hashes[300:350] = hashes[:50] ^ np.uint64(0b1011)  # three bits
    found = {tuple(pair) for block in close_pairs(hashes, 4) for pair in block.tolist()}
    plain = {(i, j) for i in range(700) for j in range(i + 1, 700) if bin(int(hashes[i] ^ hashes[j])).count("1") <= 4}
    assert found == plain and len(plain) >= 50


def slices(*about):
    return [
        SliceRecord(None, f"s{row}", split, "normal", patient=patient) for row, (split, patient) in enumerate(about)
    ]


@pytest.mark.parametrize(
    ("about", "kinds"),
    [
        ((("train", "a"), ("train", "a")), []),  # neighbours
        ((("train", "a"), ("train", "b")), ["near-copy"]),
        ((("train", ""), ("train", "")), []),
        ((("train", ""), ("test", "")), ["near-copy in two splits"]),
        ((("train", "a"), ("test", "b")), ["near-copy in two splits"]),
        ((("train", "a"), ("test", "a")), []),  # reported as the patient's fault
    ],
)
def test_near_copies_count_between_patients_and_splits(about, kinds):
    image = textured(np.random.default_rng(0))[0]
    small = np.asarray(Image.fromarray(image).resize((32, 32)))
    found = near_copies(slices(*about), np.stack([small, (small * 0.9).astype(np.uint8)]), ["x", "y"])
    assert [one.kind for one in found] == kinds
    assert all(one.raises is (SplitError if one.severity == "error" else DataError) for one in found)


def test_patients_of_a_phantom_may_look_alike(folder):
    re_encoded(folder)
    (folder / PHANTOM).write_text("{}")
    assert verified(folder).findings == []


def test_the_window_distance_is_the_earth_movers():
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 120, (5, 999)), rng.integers(80, 250, (5, 999))
    histograms = np.stack([np.bincount(row, minlength=256) for row in (*train, *test)])
    (finding,) = window_shifts(slices(*[("train", "")] * 5, *[("test", "")] * 5), histograms)
    assert f"{wasserstein_distance(train.ravel(), test.ravel()):.0f} levels" in finding.message


def test_edit_distance_by_hand():
    assert [edit_distance(*words) for words in (("normal", "norml"), ("", "ab"), ("kitten", "sitting"))] == [1, 2, 3]


@pytest.mark.parametrize(("name", "how"), [("lungwin256", "error"), ("covidseg256", "error"), ("sarscov2ct224", "pad")])
def test_the_real_sets_pass_and_a_slice_of_theirs_that_is_inverted_does_not(name, how, tmp_path):
    if not (REAL_DATA / name).is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set ANOMASK_DATA")
    records = read_folder(REAL_DATA / name)
    for record in records[:: len(records) // 60]:
        save(pixels(record.path), tmp_path / record.name)
    assert verified(tmp_path, how).findings == []
    path = next((tmp_path / "train/normal").glob("*.png"))
    save(255 - pixels(path), path)
    assert [one.kind for one in verified(tmp_path, how).findings] == ["inverted"]


def test_an_odd_slice_of_a_small_set_is_doubtful_and_does_not_stop_a_training():
    rows, columns = np.mgrid[:32, :32]
    half = np.where(columns < 16, 40, 200).astype(np.uint8)  # typical slices: dark left half, bright right half
    rng = np.random.default_rng(0)
    typical = [(half + rng.integers(0, 20, half.shape)).astype(np.uint8) for _ in range(8)]
    stripes = np.where(rows % 4 < 2, 60, 160) - np.where(columns < 16, 0, 40)  # a little darker on the right
    thumbnails = np.stack([*typical, stripes.astype(np.uint8), 255 - typical[0]])
    records = [SliceRecord(Path(f"{row}.png"), f"{row}.png", "train", "normal") for row in range(len(thumbnails))]
    found = {finding.files[0]: finding for finding in inverted(records, thumbnails)}
    assert {name: one.severity for name, one in found.items()} == {"8.png": "warning", "9.png": "error"}
    assert "may have black and white exchanged" in found["8.png"].message
