"""What counts as marked: labels of any number type, soft edges, and what is no mask; images and arrays alike."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from anomask.data.folder.reading import read_mask
from anomask.data.labels import find_marked
from anomask.data.volumes.images import read_grey, read_label
from anomask.errors import DataError
from tests.conftest import save

LESION = np.zeros((64, 64), bool)
LESION[20:32, 20:30] = True  # 120 pixels
LUNG = np.zeros((64, 64), bool)
LUNG[10:50, 10:40] = True
CLASSES = np.where(LESION, 3, np.where(LUNG, 1, 0)).astype(np.uint8)


def disc(size=64, times=4):
    """A disc drawn at four times the size and averaged down: its true area lies between the grey levels."""
    rows, columns = np.mgrid[: size * times, : size * times] / times
    drawn = (rows - 30) ** 2 + (columns - 33) ** 2 < 9**2
    return drawn, drawn.reshape(size, times, size, times).mean((1, 3))


# name -> (values, labels, pixels that count, whether the edges are soft)
MASKS = {
    "0 and 1": (LESION * 1, None, LESION, False),
    "0 and 255": (LESION * 255, None, LESION, False),
    "a scaled header": (LESION * np.float32(1.0000153) + LUNG * np.float32(2e-5), [1], LESION, False),
    "rounded at the limit": (LESION * 1.09 - 0.02, [1], LESION, False),
    "noise of interpolation": (LESION + np.random.default_rng(0).normal(0, 1e-8, LESION.shape), None, LESION, False),
    "noise alone": (np.full((8, 8), 1e-8), None, np.zeros((8, 8), bool), False),
    "divided by 255": (LESION / 255, None, LESION, False),
    "a probability of one": (LESION * 0.5, None, LESION, False),
    "every class": (CLASSES, None, LUNG, False),
    "one class": (CLASSES, [3], LESION, False),
    "classes as greys": (CLASSES * 85, None, LUNG, False),
    "one grey of several": (CLASSES * 85, [255], LESION, False),
    "a class of padding": (np.where(LESION, 1, np.where(LUNG, 0, -1000)), [1], LESION, False),
    "empty": (LESION * 0, [1], LESION & False, False),
    "anti-aliased": (np.rint(disc()[1] * 255), None, disc()[1] >= 0.5, True),
    "anti-aliased, its one label named": (disc()[1] * 255, [255], disc()[1] >= 0.5, True),
    "blurred": (ndimage.gaussian_filter(LESION * 1.0, 0.5), None, LESION, True),
    "below and above by a spline": (LESION * 1.08 - 0.04, None, LESION, False),
}


@pytest.mark.parametrize("name", MASKS)
def test_what_a_mask_marks(name):
    values, labels, wanted, soft = MASKS[name]
    found = find_marked(np.asarray(values), labels, "m.png")
    assert np.array_equal(found.mask, wanted) and found.soft == soft


@pytest.mark.parametrize("quality", [95, 75, 50, 25, 10])
def test_a_jpeg_of_any_usual_quality_marks_its_lesion_but_for_single_pixels(quality, tmp_path):
    rows, columns = np.mgrid[:256, :256]
    drawn = (rows - 128) ** 2 + (columns - 90) ** 2 < 30**2
    Image.fromarray(drawn.astype(np.uint8) * 255).save(tmp_path / "m.jpg", quality=quality)
    found = read_label(tmp_path / "m.jpg", (256, 256)).mask
    assert (found != drawn).sum() <= 2


@pytest.mark.parametrize("labels", [None, [1]])
@pytest.mark.parametrize("value", [1e38, 1e20, 3e9, -1e19])
def test_values_beyond_any_label_are_refused_without_a_warning(value, labels):
    with pytest.raises(DataError, match="which are no labels"), np.errstate(all="raise"):
        find_marked(np.array([[0, value, 1]]), labels, "m")


def test_a_blurred_volume_marks_the_voxels_of_its_lesion():
    lesion = np.zeros((10, 40, 40), np.float32)
    lesion[7:, 15:27, 12:22] = 1
    found = find_marked(ndimage.gaussian_filter(lesion, 1.0), None, "m.nii")
    counts = found.mask.sum((1, 2))
    assert found.soft and (counts[:7] == 0).all() and counts[7:].tolist() == [80, 116, 116]


def test_soft_edges_are_cut_where_half_of_the_pixel_is_lesion():
    drawn, grey = disc()
    found = find_marked(np.rint(grey * 255), None, "m.png")
    assert abs(int(found.mask.sum()) - drawn.sum() / 16) < 4  # the area of the disc as drawn
    assert np.count_nonzero(grey) > found.mask.sum() + 20  # what counted before


NO_MASKS = {
    "below 0": (LESION * -1, None, "values below 0"),
    "resampled with -1000": (np.where(LUNG, LESION, -1000), None, "values below 0"),
    "no background": (LESION + 1, None, "marks everything"),
    "a number that is none": (np.where(LESION, np.nan, 0), None, "no numbers"),
    "a probability": (
        ndimage.gaussian_filter(np.random.default_rng(0).random((64, 64)), 4).clip(0.45) - 0.45,
        None,
        "between classes",
    ),
    "classes interpolated": (ndimage.gaussian_filter(CLASSES * 1.0, 2), None, "between classes"),
    "classes interpolated, one named": (ndimage.zoom(CLASSES * 1.0, 1.7, order=1), [3], "between classes"),
    "a slice": (np.random.default_rng(0).integers(0, 255, (64, 64)), None, "between classes"),
    "half a class": (LUNG * 0.5 + LESION * 0.5, None, "between classes"),
}


@pytest.mark.parametrize("name", NO_MASKS)
def test_what_is_no_mask(name):
    values, labels, message = NO_MASKS[name]
    with pytest.raises(DataError, match=message):
        find_marked(values, labels, "m.png")


def test_a_jpeg_of_one_class_is_cut_at_half_and_of_several_refused(tmp_path):
    Image.fromarray((LESION * 255).astype(np.uint8)).save(tmp_path / "m.jpg", quality=60)
    stored = np.asarray(Image.open(tmp_path / "m.jpg"))
    found = read_label(tmp_path / "m.jpg", (64, 64))
    assert (stored > 0).sum() > 140 and np.array_equal(found.mask, LESION)
    for values in (CLASSES * 85, CLASSES):
        Image.fromarray(values).save(tmp_path / "m.jpg", quality=60)
        with pytest.raises(DataError, match="JPEG keeps no labels"):
            read_label(tmp_path / "m.jpg", (64, 64))


def stored(path, values, kind):
    image = Image.fromarray(values.astype({"F": np.float32, "I;16": np.uint16}.get(kind, np.uint8)))
    if kind == "P":
        image = Image.fromarray(values.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 250, 250, 0])
    image.convert({"1": "1", "RGB": "RGB", "LA": "LA"}.get(kind, image.mode)).save(path)


@pytest.mark.parametrize("name", ["m.png", "m.tif"])
@pytest.mark.parametrize("kind", ["L", "P", "I;16", "F", "RGB", "LA"])
def test_labels_of_every_kind_of_image(tmp_path, kind, name):
    if (kind, name) == ("F", "m.png"):
        pytest.skip("PNG holds no floats")
    stored(tmp_path / name, CLASSES, kind)
    assert np.array_equal(read_label(tmp_path / name, (64, 64), [3]).mask, LESION)
    assert np.array_equal(read_label(tmp_path / name, (64, 64)).mask, LUNG)


def test_one_bit_masks_and_palettes_are_read_alike_by_training(tmp_path):
    for name, image in (
        ("bits.png", Image.fromarray(LESION)),
        ("grey.png", Image.fromarray((LESION * 255).astype(np.uint8))),
        ("sixteen.png", Image.fromarray((LESION * 65535).astype(np.uint16))),
    ):
        image.save(tmp_path / name)
        assert np.array_equal(read_mask(tmp_path / name, (64, 64)), LESION), name
    stored(tmp_path / "palette.png", LESION * 1, "P")
    assert np.array_equal(read_mask(tmp_path / "palette.png", (64, 64)), LESION)


def test_training_takes_finished_masks_alone(tmp_path):
    for values, message in ((np.rint(disc()[1] * 255), r"values \[0, "), (CLASSES, r"values \[0, 1, 3\]")):
        save(values.astype(np.uint8), tmp_path / "m.png")
        with pytest.raises(DataError, match=message):
            read_mask(tmp_path / "m.png", (64, 64))
    colour = np.stack([LESION * 255, LESION * 0, LESION * 0], -1).astype(np.uint8)
    save(colour, tmp_path / "m.png")
    for read in (read_mask, read_label):
        with pytest.raises(DataError, match="in colour or transparent"):
            read(tmp_path / "m.png", (64, 64))
    clear = np.dstack([np.full((64, 64, 3), 255), LESION * 255]).astype(np.uint8)  # what is not lesion is transparent
    Image.fromarray(clear).save(tmp_path / "m.png")
    for read in (read_mask, read_label):
        with pytest.raises(DataError, match="in colour or transparent"):
            read(tmp_path / "m.png", (64, 64))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_a_negative_tiff_is_turned_right(tmp_path, dtype, compression):
    most = np.iinfo(dtype).max
    pixels = np.linspace(0, most, 64).reshape(8, 8).astype(dtype)
    how = {} if compression is None else {"compression": compression}
    written = pixels if dtype == np.uint8 else most - pixels  # Pillow turns 8 bits itself
    Image.fromarray(written).save(tmp_path / "a.tif", tiffinfo={262: 0}, **how)
    with Image.open(tmp_path / "a.tif") as image:
        assert image.tag_v2[262] == 0
    assert np.array_equal(read_grey(tmp_path / "a.tif"), pixels)
