"""What is found in an input, and the way of a slice to the model's size and back."""

import numpy as np
import pytest
import torch

from anomask.data.folder.manifest import SliceRecord
from anomask.data.loading.inputs import find_inputs, input_batch, read_cases
from anomask.data.loading.slices import LoadSlice, to_input, to_source
from anomask.data.volumes.account import Account
from anomask.errors import DataError
from tests.conftest import save, toy_slice

WINDOW = (-1350.0, 150.0)


def account(place):
    """An account that takes no fault."""

    def no_fault(fault):
        raise fault

    return Account(place, no_fault)


@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (31, 40), (40, 40)])
def test_padding_and_resizing_are_undone_exactly_at_the_slices_own_size(shape):
    pixels = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    back = to_source(to_input(pixels, 40), shape)
    assert back.shape == shape and np.array_equal((back * 255).round(), pixels)


@pytest.mark.parametrize("size", [16, 48, 200])
def test_a_place_in_the_map_is_that_place_in_the_slice_at_any_size(size):
    rows, columns = np.mgrid[:90, :61]
    pixels = (255 * np.exp(-((rows - 61.5) ** 2 + (columns - 20) ** 2) / (2 * 8**2))).astype(np.uint8)
    back = to_source(to_input(pixels, size), pixels.shape)
    centre = np.array([(rows * back).sum(), (columns * back).sum()]) / back.sum()
    wanted = np.array([(rows * pixels).sum(), (columns * pixels.astype(float)).sum()]) / pixels.sum()
    np.testing.assert_allclose(centre, wanted, atol=0.3)
    assert back.max() == pytest.approx(1, abs=0.15)


def test_a_batch_is_what_training_sees(tmp_path):
    pixels = toy_slice(np.random.default_rng(1), 50)[0][:, 4:]
    save(pixels, tmp_path / "a.png")
    record = SliceRecord(tmp_path / "a.png", "a.png", "test", "abnormal")
    wanted = LoadSlice(32, "estimate")({"row": 0, "record": record})
    batch = input_batch([pixels], 32)
    for name in ("image", "mask", "lung_mask", "has_mask", "has_lung_mask"):
        assert torch.equal(getattr(batch, name)[0], wanted[name]), name


def test_slices_are_found_in_natural_order_without_masks_and_read_in_batches(tmp_path):
    image = np.full((8, 8), 7, np.uint8)
    for name in ("b/s10.png", "b/s9.png", "a.tif", "masks/b/s9.png", "c/lung_masks/x.png", ".hidden/x.png"):
        save(image, tmp_path / name)
    (tmp_path / "notes.txt").write_text("nothing")
    inputs = find_inputs(tmp_path, None, account(tmp_path))
    assert list(inputs.slices) == ["a.tif", "b/s9.png", "b/s10.png"] and not inputs.volumes
    assert [case.files for case in read_cases(inputs, 2, WINDOW, account(tmp_path))] == [
        ["a.tif", "b/s9.png"],
        ["b/s10.png"],
    ]
    assert list(find_inputs(tmp_path, 2, account(tmp_path)).slices) == ["a.tif", "b/s9.png"]
    assert list(find_inputs(tmp_path / "b/s9.png", None, account(tmp_path / "b/s9.png")).slices) == ["s9.png"]


def test_a_slice_that_cannot_be_read_is_left_out_and_the_batch_filled_up(tmp_path):
    for index in range(4):
        save(np.full((8, 8), index, np.uint8), tmp_path / f"s{index}.png")
    (tmp_path / "s1.png").write_bytes(b"\x89PNG cut off")
    save(np.full((8, 8), 300, np.uint16), tmp_path / "s2.png")
    faults = []
    noted = Account(tmp_path, faults.append)
    cases = list(read_cases(find_inputs(tmp_path, None, noted), 2, WINDOW, noted))
    assert [case.files for case in cases] == [["s0.png", "s3.png"]]
    assert len(faults) == 2 and "s1.png cannot be read" in str(faults[0]) and "s2.png has 16 bits" in str(faults[1])


def test_an_empty_folder_and_a_missing_input_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"nothing to predict in .*Wanted: 8-bit grey slices \(\.png"):
        find_inputs(tmp_path, None, account(tmp_path))
    with pytest.raises(DataError, match="nothing at .*nowhere"):
        find_inputs(tmp_path / "nowhere", None, account(tmp_path / "nowhere"))
