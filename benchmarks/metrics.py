"""Time and memory of the pixel and lesion metrics, beside torchmetrics' exact AUROC on a part of the slices.

python benchmarks/metrics.py [--slices 10000] [--size 256] [--exact 300]
"""

import argparse
import resource
import time

import torch
from torchmetrics.functional.classification import binary_auroc

from anomask.metrics.lesions import LesionMetrics
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
    before = peak_mb()
    metrics = {"pixels": PixelMetrics(0.1), "lesions (FROC)": LesionMetrics()}
    spent = dict.fromkeys(metrics, 0.0)
    for maps, mask in batches(a.slices, a.size, generator):
        for name, metric in metrics.items():
            start = time.perf_counter()
            metric.update(maps, mask)
            spent[name] += time.perf_counter() - start
    for name, metric in metrics.items():
        start = time.perf_counter()
        found = metric.compute()
        spent[name] += time.perf_counter() - start
        print(f"{name}: {a.slices} slices of {a.size}^2 in {spent[name]:.1f} s")
        print({key: value if value is None else round(value, 5) for key, value in list(found.items())[:6]})
    print(f"together {sum(spent.values()):.1f} s, +{peak_mb() - before:.0f} MB")
    read = a.slices * a.size**2 * 5 / 1e9  # float32 map and mask
    flat = torch.rand(50_000_000)
    start = time.perf_counter()
    flat.sum()
    rate = 0.2 / (time.perf_counter() - start)
    print(f"floor: reading {read:.1f} GB once, {read / rate:.1f} s at this run's {rate:.1f} GB/s")
    del flat
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
