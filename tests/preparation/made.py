"""Tiny CT volumes and the files that hold them."""

import csv
import os
import struct
import zlib

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

NAME, BIRTH, ID = "Doe^Jane Quixotic", "19510203", "HOSP-000417"


def chest(slices=4, size=32, seed=0):
    """[Z, H, W] int16 HU: a body with two lungs in air, in the orientation of `Volume.hu`, with some noise."""
    rows, columns = np.mgrid[:size, :size] / size
    body = ((rows - 0.5) / 0.42) ** 2 + ((columns - 0.5) / 0.47) ** 2 < 1
    lungs = ((rows - 0.5) / 0.28) ** 2 + ((abs(columns - 0.5) - 0.22) / 0.14) ** 2 < 1
    hu = np.where(lungs, -850, np.where(body, 40, -1000)) + np.zeros((slices, 1, 1))
    noise = np.random.default_rng(seed).normal(0, 20, hu.shape)
    return (hu + noise).round().clip(-1024, 3000).astype(np.int16), lungs


def dataset(path, uid, **changes):
    """A CT slice's header with a patient's name in it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = changes.pop("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = uid, generate_uid()
    data.PatientName, data.PatientID, data.PatientBirthDate = NAME, ID, BIRTH
    data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    for key, value in changes.items():
        setattr(data, key, value)
    return data


def write_series(folder, hu, uid=None, names=None, spacing=(0.7, 0.7), step=(0, 0, 2.5), slopes=None, **changes):
    """Write [Z, H, W] HU as one file a slice; `names` in the order of Z, `slopes` of each slice's own rescale."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid()
    for z, values in enumerate(hu):
        slope = 1.0 if slopes is None else slopes[z]
        path = folder / (names[z] if names else f"{z:03d}.dcm")
        data = dataset(path, uid)
        data.Rows, data.Columns = values.shape
        data.PixelSpacing, data.SliceThickness = list(spacing), 2.5
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [float(-11 + z * step[0]), float(-12 + z * step[1]), float(-100 + z * step[2])]
        data.RescaleSlope, data.RescaleIntercept = slope, -1024
        data.PixelData = ((values.astype(float) + 1024) / slope).round().astype(np.uint16).tobytes()
        for key, value in changes.items():
            if value is None:
                delattr(data, key)
            else:
                setattr(data, key, value)
        data.save_as(path)
    return uid


def write_multiframe(path, hu, slopes):
    """Write [Z, H, W] HU as one enhanced CT file, its frames from head to feet, each with its own rescale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = dataset(path, generate_uid(), SOPClassUID=EnhancedCTImageStorage)
    data.NumberOfFrames, data.Rows, data.Columns = hu.shape
    shared, frames = pydicom.Dataset(), []
    measures, plane = pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.7, 0.7], 2.5
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    stored = []
    for z in reversed(range(len(hu))):
        frame, position, rescale = (pydicom.Dataset() for _ in range(3))
        position.ImagePositionPatient = [-11.0, -12.0, -100 + 2.5 * z]
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slopes[z], -1024, "HU"
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [position], [rescale]
        frames.append(frame)
        stored.append(((hu[z].astype(float) + 1024) / slopes[z]).round().astype(np.uint16))
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    data.PixelData = np.stack(stored).tobytes()
    data.save_as(path)


def write_nifti(path, volume, affine=None, dtype=np.int16):
    """Write [Z, H, W] in the orientation of `Volume.hu` as NIfTI in RAS order (x, y, z), or with an affine as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(volume, dtype)
    if affine is None:
        values, affine = values[:, ::-1, ::-1].transpose(2, 1, 0), np.diag([0.7, 0.7, 2.5, 1.0])
    nib.save(nib.Nifti1Image(values, affine), path)


def write_image(path, pixels):
    """Write grey values as an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def tree(folder):
    """All files of a folder with their contents."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_bomb(path, side=40000):
    """Write a PNG of a few bytes whose header claims `side` x `side` pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(b"\0" * 100), b"IEND": b""}
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks.items()
        )
    )


def manifest(folder):
    with (folder / "manifest.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def account(output):
    """The lines of the account beside an output."""
    with output.with_name(f"{output.name}_files.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def die(*_):
    """Take a worker's place and end as if it were killed."""
    os._exit(1)


def ones(folder, patients=6, size=32):
    """Series of several patients, written below a folder that has the patient's name."""
    for index in range(patients):
        hu, _ = chest(slices=3, size=size, seed=index)
        write_series(folder / f"Doe_Jane_{index}", hu, PatientID=f"{ID}-{index}", uid=f"1.2.{index}")


def grey(seed):
    """A slice of `chest` in the lung window, as 8-bit grey."""
    hu, _ = chest(slices=1, seed=seed)
    return np.rint((np.clip(hu[0], -1350, 150) + 1350.0) * 255 / 1500).astype(np.uint8)
