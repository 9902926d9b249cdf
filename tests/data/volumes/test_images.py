"""Images of doubtful origin: what is read, as what, and what is refused; windows."""

import numpy as np
import pytest
from PIL import Image

from anomask.data.lungs import AIR_HU, estimate_lungs
from anomask.data.volumes.images import read_grey, read_label
from anomask.data.volumes.window import to_grey, window_of
from anomask.errors import ConfigError, DataError
from tests.preparation.made import chest, write_bomb

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_of_any_mode_keeps_its_values(tmp_path, name, mode):
    if (mode, name) in (("LA", "a.bmp"), ("RGBA", "a.bmp")):
        pytest.skip("BMP has no alpha in Pillow")
    Image.fromarray(GREY).convert(mode).save(tmp_path / name)
    assert np.array_equal(read_grey(tmp_path / name), GREY)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_stay_sixteen(tmp_path, name):
    Image.fromarray(GREY.astype(np.uint16) * 1000).save(tmp_path / name)
    found = read_grey(tmp_path / name)
    assert found.dtype == np.uint16 and np.array_equal(found, GREY.astype(np.uint16) * 1000)


def test_what_is_no_grey_slice_is_refused(tmp_path):
    def refused(name, image, message, **how):
        image.save(tmp_path / name, **how)
        with pytest.raises(DataError, match=message):
            read_grey(tmp_path / name)

    colour = Image.merge("RGB", [Image.fromarray(GREY)] * 2 + [Image.fromarray(GREY + 1)])
    refused("colour.png", colour, "its channels differ")
    refused("pages.tif", Image.fromarray(GREY), "2 pages", save_all=True, append_images=[Image.fromarray(GREY)])
    refused("float.tif", Image.fromarray(GREY.astype(np.float32)), "of mode F")
    refused("wide.png", Image.new("L", (40000, 4)), "40000x4 pixels")
    turned = Image.Exif()
    turned[274] = 6
    refused("turned.jpg", Image.fromarray(GREY), "EXIF orientation", exif=turned)
    write_bomb(tmp_path / "bomb.png")
    with pytest.raises(DataError, match="decompression bomb"):
        read_grey(tmp_path / "bomb.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "colour.png").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.png cannot be read"):
        read_grey(tmp_path / "cut.png")


def test_a_tiff_whose_second_page_has_no_size_is_refused(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.tif")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    directory = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[directory : directory + 2], "little")
    following = directory + 2 + 12 * entries
    content[following : following + 4] = len(content).to_bytes(4, "little")  # the fuzzer's: a page without tags
    (tmp_path / "a.tif").write_bytes(bytes(content) + bytes(6))
    with pytest.raises(DataError, match=r"a\.tif cannot be read \("):
        read_grey(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif cannot be read"):
        read_label(tmp_path / "a.tif", (8, 8))


def test_a_mask_of_another_size_is_refused(tmp_path):
    Image.fromarray(GREY // 32).save(tmp_path / "m.png")
    assert read_label(tmp_path / "m.png", (8, 8)).mask.sum() == 32
    with pytest.raises(DataError, match="8x8 pixels, its slice 9x8"):
        read_label(tmp_path / "m.png", (8, 9))


def test_windows_by_hand():
    low, high = window_of("lung")
    assert (low + high) / 2 == -600 and high - low == 1500
    low, high = window_of("mediastinal")
    assert (low + high) / 2 == 40 and high - low == 400
    hu = np.array([-2000, -1350, -600, 149, 150, 3000])
    assert to_grey(hu, window_of("lung"), 8).tolist() == [0, 0, 128, 255, 255, 255]
    found = to_grey(np.array([0.0, 0.25, 0.5, 1]), (0, 1), 16)
    assert found.dtype == np.uint16 and found.tolist() == [0, 16384, 32768, 65535]
    assert window_of([-1000, 400]) == (-1000, 400)


@pytest.mark.parametrize("window", ["lungs", [1], [5, 5], [400, -1000]])
def test_windows_that_do_not_exist(window):
    with pytest.raises(ConfigError, match="window is"):
        window_of(window)
    with pytest.raises(ConfigError, match="bits is 12"):
        to_grey(np.zeros(1), (0, 1), 12)


def test_lungs_are_found_in_hu_and_the_table_and_the_air_around_are_not():
    hu, lungs = chest(slices=1, size=128)
    hu = hu[0]
    hu[118:, :] = -1000
    hu[119:126, 8:120] = -900  # a table: foam ...
    hu[[118, 126], 8:120] = 100  # ... in a shell
    found = estimate_lungs(hu, AIR_HU)
    assert 2 * (found & lungs).sum() / (found.sum() + lungs.sum()) > 0.97
    assert not found[110:].any()
