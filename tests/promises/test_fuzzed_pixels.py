"""Masks, images and NIfTI files changed at random: our own errors or the right answer, nothing else, and no hang."""

import io
import time

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from anomask.data.folder.reading import read_mask, read_slice
from anomask.data.labels import find_marked
from anomask.data.volumes.formats import find_volumes, read_volume, to_source_geometry
from anomask.data.volumes.images import read_grey, read_label
from anomask.errors import DataError
from tests.promises.fuzzing import thorough

SIDE = 24
LONGEST_S = 20.0  # a case that takes longer hangs; most take milliseconds
pytestmark = pytest.mark.slow

cases = thorough(2500)


def blobs(seed, classes, size=48):
    """A label map of a few ellipses."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    found = np.zeros((size, size), np.uint8)
    for label in range(1, classes + 1):
        y, x, a, b = *rng.uniform(12, size - 12, 2), *rng.uniform(4, 10, 2)
        found[((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1] = label
    return found


def stored_otherwise(labels, seed, way):
    """One label map in a format's own numbers; all of them mean the same."""
    rng = np.random.default_rng(seed)
    return {
        "whole": labels.astype(rng.choice([np.uint8, np.int16, np.int32, np.float32, np.float64])),
        "scaled": labels * np.float32(1 + rng.uniform(-0.02, 0.02)),
        "shifted": labels + rng.uniform(-0.04, 0.04),
        "noisy": labels + rng.normal(0, 1e-7, labels.shape),
        "greys": labels * 80.0,
        "volume": np.stack([labels] * 3).astype(np.float32),
    }[way]


@cases
@given(
    st.integers(0, 10**6),
    st.integers(0, 3),
    st.sampled_from(("whole", "scaled", "shifted", "noisy", "greys", "volume")),
)
def test_a_label_means_the_same_however_it_is_stored(seed, classes, way):
    labels = blobs(seed, classes)
    unit = 80 if way == "greys" else 1
    values = stored_otherwise(labels, seed, way)
    if not labels.any() and way == "shifted":
        return  # an offset alone is neither label nor noise
    assert np.array_equal(find_marked(values, None, "m").mask, np.broadcast_to(labels != 0, values.shape))
    if labels.any():
        one = find_marked(values, [unit], "m")
        assert np.array_equal(one.mask, np.broadcast_to(labels == 1, values.shape))
        assert one.labels == {unit * int(label) for label in np.unique(labels[labels > 0])}


@cases
@given(st.integers(0, 10**6), st.floats(0.3, 1.5), st.sampled_from((1.0, 255.0)))
def test_soft_edges_never_move_a_lesion_by_more_than_its_edge(seed, blur, top):
    lesion = blobs(seed, 1) > 0
    soft = ndimage.gaussian_filter(lesion * top, blur)
    try:
        found = find_marked(soft, None, "m").mask
    except DataError:
        return
    edge = ndimage.binary_dilation(lesion, iterations=2) & ~ndimage.binary_erosion(lesion, iterations=2)
    assert not ((found != lesion) & ~edge).any()


@cases
@given(
    st.lists(st.one_of(st.floats(width=32), st.integers(-3, 300)), min_size=1, max_size=36),
    st.one_of(st.none(), st.lists(st.integers(1, 255), min_size=1, max_size=3)),
    st.booleans(),
)
def test_any_numbers_are_a_mask_or_our_error(numbers, labels, lossy):
    values = np.asarray(numbers, np.float32)[None]
    try:
        found = find_marked(values, labels, "m", lossy)
    except DataError:
        return
    assert found.mask.shape == values.shape and found.mask.dtype == bool
    assert not found.mask[np.abs(values) < 1e-4].any()  # background is background
    assert labels is not None or found.mask[values == values.max()].all() or values.max() < 1e-3


def encoded(kind, mode):
    pixels = np.random.default_rng(0).integers(0, 2, (SIDE, SIDE), np.uint8) * 255
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16) * 200)
    elif mode == "F":
        image = Image.fromarray(pixels.astype(np.float32))
    else:
        image = image.convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" and mode in ("P", "RGB") else {}))
    return stream.getvalue()


SEEDS = [("PNG", mode) for mode in ("1", "L", "P", "RGB", "RGBA", "I;16")]
SEEDS += [("TIFF", mode) for mode in ("1", "L", "P", "RGB", "I;16", "F")] + [
    ("JPEG", "L"),
    ("JPEG", "RGB"),
    ("BMP", "L"),
]
ENCODED = {seed: encoded(*seed) for seed in SEEDS}
changes = st.lists(
    st.tuples(st.sampled_from(("set", "cut", "drop", "add")), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=6,
)


def changed(content, how):
    """Change bytes; places are shares of the length, squared: headers stand in front."""
    found = bytearray(content)
    for action, share, value in how:
        place = int(share**2 * max(0, len(found) - 1))
        if action == "set" and found:
            found[place] = value
        elif action == "cut":
            del found[max(8, place) :]
        elif action == "drop":
            del found[place : place + 1 + value % 4]
        else:
            found[place:place] = bytes([value])
    return bytes(found)


@cases
@given(st.sampled_from(SEEDS), changes)
def test_an_image_is_read_or_refused(tmp_path_factory, seed, how):
    path = tmp_path_factory.getbasetemp() / f"fuzz.{seed[0].lower()}"
    path.write_bytes(changed(ENCODED[seed], how))
    start = time.monotonic()
    for read in (read_grey, read_slice):
        try:
            pixels = read(path)
        except DataError:
            continue
        assert pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)
    for read in (read_mask, read_label):
        try:
            found = read(path, (SIDE, SIDE))
        except DataError:
            continue
        assert getattr(found, "mask", found).shape == (SIDE, SIDE)
    assert time.monotonic() - start < LONGEST_S


HU = np.where(np.random.default_rng(0).random((6, 5, 4)) < 0.5, -1000, 40).astype(np.int16)
FIELDS = (
    "dim",
    "pixdim",
    "sform_code",
    "qform_code",
    "srow_x",
    "srow_y",
    "srow_z",
    "quatern_b",
    "quatern_c",
    "qoffset_x",
)
FIELDS += (
    "scl_slope",
    "scl_inter",
    "datatype",
    "bitpix",
    "vox_offset",
    "xyzt_units",
    "sizeof_hdr",
    "magic",
    "intent_code",
)


def nifti():
    image = nib.Nifti1Image(HU, np.diag([0.7, 0.7, 2.5, 1.0]))
    image.set_qform(image.affine, 1)
    return image.to_bytes()


NIFTI = nifti()
PLACES = {name: nib.Nifti1Header.template_dtype.fields[name] for name in FIELDS}
values = st.one_of(
    st.integers(-(2**31), 2**31 - 1), st.integers(-4, 20), st.floats(width=32), st.sampled_from((0, 1, -1, 2**15))
)


@cases
@given(
    st.lists(st.tuples(st.sampled_from(FIELDS), st.integers(0, 7), values), min_size=1, max_size=3),
    st.one_of(st.just([]), changes),
)
def test_a_nifti_header_is_read_or_refused_and_its_map_lies_on_it(tmp_path_factory, fields, how):
    content = np.frombuffer(NIFTI[:348], nib.Nifti1Header.template_dtype).copy()
    for name, index, value in fields:
        kind = PLACES[name][0].base
        with np.errstate(all="ignore"):
            number = (
                np.array(value if kind.kind == "f" else int(np.nan_to_num(value)) % 2**15 - 2 * (value == -1))
                if kind.kind != "S"
                else b"n+2"
            )
            view = content[name][0]
            if view.shape:
                view[index % len(view)] = number
            else:
                content[name] = number if kind.kind == "S" else number.astype(kind)
    path = tmp_path_factory.getbasetemp() / "fuzz.nii"
    path.write_bytes(changed(content.tobytes() + NIFTI[348:], how) if how else content.tobytes() + NIFTI[348:])
    start = time.monotonic()
    for kind in ("hu", "labels"):
        try:
            (source,) = find_volumes(path)
            volume = read_volume(source, values=kind)
        except DataError:
            continue
        assert volume.hu.ndim == 3 and np.isfinite(volume.hu).all() and min(volume.spacing_mm) > 0
        result = to_source_geometry(volume, volume.hu)
        given_ = nib.load(path)
        np.testing.assert_allclose(result.affine, given_.affine, rtol=1e-3, atol=1e-3)
        axes = result.header.get_qform()[:3, :3] / np.linalg.norm(result.header.get_qform()[:3, :3], axis=0)
        assert int(result.header["qform_code"]) == 0 or np.allclose(axes.T @ axes, np.eye(3), atol=1e-3)
    assert time.monotonic() - start < LONGEST_S
