"""Quality and time of the lung estimate and of the box around it, against masks that came with a data set.

python benchmarks/lungs.py [--folder ../shared/data/covidseg256]

Dice is between estimate and mask, slice by slice; lesion coverage is the share of all lesion pixels inside the estimate
(consolidated lung is as bright as the tissue around it, so a threshold loses it). The box is what data.crop=lungs shows
to a detector: lesions outside of it cannot be found. On covidseg256 the estimate's lengths were tuned on every third
slice; both parts are printed. Sets without lung masks have no Dice.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from anomask.data.folder.manifest import read_folder
from anomask.data.loading.frame import cut
from anomask.data.loading.slices import framed_slice, read_mask, read_slice, to_square
from anomask.data.lungs import estimate_lungs

SIZE = 128  # of the default, whose box is found at this size


def main():
    data = Path(os.environ.get("ANOMASK_DATA", "../shared/data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=data / "covidseg256")
    folder = parser.parse_args().folder
    records = [record for record in read_folder(folder) if record.mask]
    for name, part in (("tuned on", records[::3]), ("others", [r for i, r in enumerate(records) if i % 3])):
        dice, seconds, lesion, covered, outside = [], 0.0, 0, 0, []
        for record in part:
            image = read_slice(record.path)
            mask = read_mask(record.mask, image.shape)
            start = time.perf_counter()
            found = estimate_lungs(image / 255.0)
            seconds += time.perf_counter() - start
            if record.lung_mask:
                lung = read_mask(record.lung_mask, image.shape)
                dice.append(2 * (found & lung).sum() / max(1, found.sum() + lung.sum()))
            lesion, covered = lesion + mask.sum(), covered + (mask & found).sum()
            square = to_square(mask, False)
            frame = framed_slice(image, SIZE, "lungs", True)[2]
            outside.append(square.sum() - cut(square, frame).sum())
        print(f"{name}: {len(part)} slices, {1000 * seconds / len(part):.1f} ms each")
        if dice:
            tenth, median = np.quantile(dice, [0.1, 0.5])
            print(f"  Dice: mean {np.mean(dice):.3f}, median {median:.3f}, worst tenth below {tenth:.3f}")
        print(f"  lesion pixels inside: {covered / lesion:.3f}")
        print(f"  lesion pixels outside the box: {sum(outside) / lesion:.4f}, in {sum(map(bool, outside))} slices")


if __name__ == "__main__":
    main()
