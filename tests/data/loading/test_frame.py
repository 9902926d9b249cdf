"""The box of the lungs by hand, and that what is found in it comes back to its place in the slice."""

import numpy as np
import pytest
import torch

from anomask.data.folder.records import SliceRecord
from anomask.data.loading.cache import DecodedSlices
from anomask.data.loading.frame import WHOLE, Frame, cut, frame_px, in_slice, lung_frame, paste
from anomask.data.loading.inputs import input_batch
from anomask.data.loading.slices import LoadSlice, to_input, to_source
from tests.conftest import save, toy_slice


def lung(size, rows, columns):
    found = np.zeros((size, size), bool)
    found[slice(*rows), slice(*columns)] = True
    return found


@pytest.mark.parametrize(
    ("rows", "columns", "wanted"),
    [
        ((40, 60), (20, 80), (18, 18, 65)),  # 60 wide: 65 with 4 % on either side, about the middle (50, 50)
        ((0, 70), (30, 60), (0, 7, 76)),  # pushed down into the slice
        ((40, 50), (45, 55), (20, 25, 50)),  # never below half of the slice
        ((2, 98), (2, 98), (0, 0, 100)),  # wider than the slice with its margin
    ],
)
def test_boxes_by_hand(rows, columns, wanted):
    assert lung_frame(lung(100, rows, columns)) == pytest.approx([value / 100 for value in wanted])


def test_without_lungs_the_whole_slice_is_seen(tmp_path):
    assert lung_frame(np.zeros((32, 32), bool)) == WHOLE
    pixels = np.full((32, 32), 90, np.uint8)
    save(pixels, tmp_path / "a.png")
    fields = LoadSlice(32, "estimate", "lungs")({"row": 0, "record": record(tmp_path / "a.png")})
    assert fields["frame"].tolist() == [0, 0, 1] and torch.equal(fields["image"], to_input(pixels, 32))


@pytest.mark.parametrize("shape", [(90, 61), (61, 90), (64, 64)])
def test_a_map_comes_back_to_the_source_exactly_at_the_boxes_own_size(shape):
    frame, side = Frame(0.2, 0.1, 0.6), max(shape)
    pixels = np.random.default_rng(0).integers(1, 255, shape, np.uint8)
    back = to_source(to_input(pixels, frame_px(frame, side), frame), shape, frame)
    inside = to_source(torch.ones(1, 8, 8), shape, frame) > 0.5
    assert back.shape == shape and np.array_equal((back * 255).round()[inside], pixels[inside])
    assert not back[~inside].any() and 0.2 < inside.mean() < 0.7


def test_cutting_and_pasting_are_inverse():
    values = np.random.default_rng(0).random((50, 50))
    frame = Frame(0.3, 0.14, 0.52)
    part = cut(values, frame)
    assert part.shape == (26, 26) and np.array_equal(part, values[15:41, 7:33])
    assert np.array_equal(cut(paste(part, frame, 50), frame), part)
    assert paste(part, frame, 50).sum() == pytest.approx(part.sum())


def test_maps_come_back_into_slices_of_the_same_size():
    frames = torch.tensor([[0.25, 0.125, 0.5], WHOLE])
    ramp = torch.arange(16.0).expand(1, 16, 16) / 16
    maps = torch.stack([ramp + 1, ramp + 1])
    found = in_slice(maps, frames)
    torch.testing.assert_close(found[1], maps[1])
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 2:10] = True
    assert bool((found[0, 0][~inside] == 0).all())
    # A frame of half the side: two of its pixels make one of the slice.
    torch.testing.assert_close(found[0, 0, 4:12, 2:10], (ramp + 1)[0].view(8, 2, 8, 2).mean((1, 3)))


def test_maps_of_whole_slices_stay_as_they_are():
    maps = torch.rand(2, 1, 8, 8)
    assert in_slice(maps, torch.tensor([WHOLE, WHOLE])) is maps


def record(path, **more):
    return SliceRecord(path, path.name, "test", "abnormal", **more)


@pytest.fixture
def lesion(tmp_path):
    pixels, mask, lungs = toy_slice(np.random.default_rng(3), 96, lesion=True)
    for name, values in (("a", pixels), ("mask", mask * np.uint8(255)), ("lung", lungs * np.uint8(255))):
        save(values, tmp_path / f"{name}.png")
    return tmp_path, pixels


def test_slice_lesion_and_lungs_are_cropped_alike(lesion):
    folder, pixels = lesion
    given = record(folder / "a.png", mask=folder / "mask.png", lung_mask=folder / "lung.png")
    whole, framed = (LoadSlice(48, "estimate", crop)({"row": 0, "record": given}) for crop in ("none", "lungs"))
    frame = framed["frame"][None]
    assert float(frame[0, 2]) < 0.9 and whole["frame"].tolist() == [0, 0, 1]
    for name in ("mask", "lung_mask"):
        back = in_slice(framed[name][None].float(), frame)[0] >= 0.5
        assert float((back ^ whole[name]).sum()) < 0.15 * float(whole[name].sum()), name
        assert framed[name].sum() > 1.2 * whole[name].sum()  # enlarged
    seen = in_slice(torch.ones(1, 1, 48, 48), frame)[0] > 0.99
    difference = (in_slice(framed["image"][None], frame)[0] - whole["image"])[seen]
    assert float(difference.abs().mean()) < 0.05


def test_a_given_lung_mask_never_decides_the_box(lesion):
    folder, _ = lesion
    save(np.pad(np.full((10, 10), 255, np.uint8), ((0, 86), (0, 86))), folder / "wrong.png")
    frames = [
        LoadSlice(48, "estimate", "lungs")({"row": 0, "record": record(folder / "a.png", lung_mask=mask)})["frame"]
        for mask in (None, folder / "lung.png", folder / "wrong.png")
    ]
    assert torch.equal(frames[0], frames[1]) and torch.equal(frames[0], frames[2])


def test_a_new_slice_is_framed_as_in_training(lesion):
    folder, pixels = lesion
    wanted = LoadSlice(48, "estimate", "lungs")({"row": 0, "record": record(folder / "a.png")})
    batch = input_batch([pixels], 48, "lungs")
    for name in ("image", "lung_mask", "frame"):
        assert torch.equal(getattr(batch, name)[0], wanted[name]), name


def test_decoded_slices_keep_the_frame_and_cropped_ones_another_folder(lesion):
    folder, _ = lesion
    records = [record(folder / "a.png", mask=folder / "mask.png")]
    caches = [
        DecodedSlices(folder / "cache", records, LoadSlice(96, "estimate", crop), False) for crop in ("none", "lungs")
    ]
    assert caches[0].key != caches[1].key
    for cache in caches:
        cache.build()
        item = {"row": 0, "record": records[0]}
        got, wanted = cache(item), cache.load(item)
        assert all(torch.equal(got[name], value) for name, value in wanted.items())
