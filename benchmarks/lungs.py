"""Quality and time of the lung estimate, against the lung masks that came with covidseg256.

python benchmarks/lungs.py [--folder ../shared/data/covidseg256]

Dice is between estimate and mask, slice by slice; lesion coverage is the share of all lesion pixels inside the estimate
(consolidated lung is as bright as the tissue around it, so a threshold loses it). The estimate's lengths were tuned on
every third slice; both parts are printed.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from anomask.data.folder.manifest import read_folder
from anomask.data.loading.slices import read_mask, read_slice
from anomask.data.lungs import estimate_lungs


def main():
    data = Path(os.environ.get("ANOMASK_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=data / "covidseg256")
    folder = parser.parse_args().folder
    records = [record for record in read_folder(folder) if record.lung_mask and record.mask]
    for name, part in (("tuned on", records[::3]), ("others", [r for i, r in enumerate(records) if i % 3])):
        dice, seconds, lesion, covered = [], 0.0, 0, 0
        for record in part:
            image = read_slice(record.path)
            lung, mask = (read_mask(path, image.shape) for path in (record.lung_mask, record.mask))
            start = time.perf_counter()
            found = estimate_lungs(image / 255.0)
            seconds += time.perf_counter() - start
            dice.append(2 * (found & lung).sum() / max(1, found.sum() + lung.sum()))
            lesion, covered = lesion + mask.sum(), covered + (mask & found).sum()
        tenth, median = np.quantile(dice, [0.1, 0.5])
        print(f"{name}: {len(dice)} slices, {1000 * seconds / len(dice):.1f} ms each")
        print(f"  Dice: mean {np.mean(dice):.3f}, median {median:.3f}, worst tenth below {tenth:.3f}")
        print(f"  lesion pixels inside: {covered / lesion:.3f}")


if __name__ == "__main__":
    main()
