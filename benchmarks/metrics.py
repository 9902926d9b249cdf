"""Time and memory of the pixel metrics, beside torchmetrics' exact AUROC on a part of the slices.

python benchmarks/metrics.py [--slices 10000] [--size 256] [--exact 300]
"""

import argparse
import resource
import time

import torch
from torchmetrics.functional.classification import binary_auroc

from anomask.metrics.pixel import PixelMetrics


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def batches(slices, size, generator):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for _ in range(slices // 10):
        maps = torch.rand(10, 1, size, size, generator=generator).square() * 0.2
        mask = torch.zeros_like(maps, dtype=torch.bool)
        for image in range(5):
            centre = torch.rand(2, generator=generator) * size
            mask[image, 0] = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < (size / 12) ** 2
        yield maps + 0.1 * mask, mask


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("slices", 10000), ("size", 256), ("exact", 300)):
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    list(batches(10, a.size, generator))
    before, spent, metric = peak_mb(), 0.0, PixelMetrics(0.1)
    for maps, mask in batches(a.slices, a.size, generator):
        start = time.perf_counter()
        metric.update(maps, mask, torch.ones_like(mask))
        spent += time.perf_counter() - start
    start = time.perf_counter()
    found = metric.compute()
    spent += time.perf_counter() - start
    used = peak_mb() - before
    print(
        f"ours: {a.slices} slices of {a.size}^2: {spent:.1f} s ({1e3 * spent / a.slices:.2f} ms each), +{used:.0f} MB"
    )
    print({name: value if value is None else round(value, 5) for name, value in found.items()})
    held = list(batches(a.exact, a.size, torch.Generator().manual_seed(0)))
    maps, mask = (torch.cat(parts).flatten() for parts in zip(*held, strict=True))
    before, start = peak_mb(), time.perf_counter()
    exact = float(binary_auroc(maps, mask.long()))
    print(
        f"torchmetrics exact AUROC, {a.exact} slices: {time.perf_counter() - start:.1f} s, +{peak_mb() - before:.0f} MB"
    )
    small = PixelMetrics()
    start = time.perf_counter()
    for part in held:
        small.update(*part)
    ours = small.compute()["auroc"]
    print(f"ours on the same slices: {time.perf_counter() - start:.1f} s, difference {abs(ours - exact):.1e}")


if __name__ == "__main__":
    main()
