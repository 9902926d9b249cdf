"""Time of checking a data folder, and of one epoch over it with and without the decoded cache.

python benchmarks/verify.py [--slices 6000] [--size 256] [--model-size 128] [--read 2000]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from anomask.data.checks.verification import verify_folder
from anomask.data.folder.manifest import read_folder
from anomask.data.loading.cache import DecodedSlices
from anomask.data.loading.slices import LoadSlice
from anomask.parallel import in_parallel, worker_count


def write_slice(path, size, seed):
    """Write a body with two lungs of random pose, coarse texture and noise: about as many bytes as a real slice."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    rows, columns = rows + rng.normal(0, 0.04), columns + rng.normal(0, 0.04)
    body = (rows / rng.uniform(0.32, 0.42)) ** 2 + (columns / rng.uniform(0.4, 0.48)) ** 2 < 1
    left, right = (
        (rows / rng.uniform(0.18, 0.28)) ** 2 + ((columns - side) / rng.uniform(0.1, 0.15)) ** 2 < 1
        for side in (-0.19, 0.19)
    )
    coarse = ndimage.zoom(rng.normal(0, 35, (8, 8)), size / 8, order=1)
    image = np.where(left | right, 70.0, np.where(body, 190.0, 20.0)) + coarse + rng.normal(0, 6, (size, size))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, compress_level=1)


def write_folder(folder, slices, size):
    jobs = []
    for index in range(slices):
        place = "train/normal" if index % 6 else ("test/normal" if index % 12 else "test/abnormal/flu")
        jobs.append((folder / place / f"s{index:06d}.png", index))
    list(in_parallel(lambda job: write_slice(job[0], size, job[1]), jobs, "write", True))


def timed(text, function):
    start, processor = time.perf_counter(), time.process_time()
    result = function()
    used = time.process_time() - processor
    print(f"{text}: {time.perf_counter() - start:.1f} s ({used:.1f} s of processor time)")
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("slices", 6000), ("size", 256), ("model-size", 128), ("read", 2000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, memory = Path(place) / "set", Path(place) / "fingerprints"
        write_folder(folder, a.slices, a.size)
        size = sum(path.stat().st_size for path in folder.rglob("*.png"))
        print(f"{a.slices} slices of {a.size}^2, {size / a.slices / 1e3:.0f} kB each, {worker_count()} threads")
        found = timed("first check", lambda: verify_folder(folder, "error", memory, True))
        print(f"findings: {found.fingerprint['findings']}")
        timed("second check", lambda: verify_folder(folder, "error", memory, True))
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
        records = read_folder(folder)[: a.read]
        load = LoadSlice(a.model_size, "estimate")
        decoded = DecodedSlices(Path(place) / "slices", records, load, True)
        timed(f"decoding {len(records)} slices into files", decoded.build)
        items = [{"row": row, "record": record} for row, record in enumerate(records)]
        timed("reading them from PNG, one thread", lambda: [load(item) for item in items] and None)
        timed("reading them from the files, one thread", lambda: [decoded(item) for item in items] and None)


if __name__ == "__main__":
    main()
