"""What bounds detection: slice AUROC by lesion size and by rule of the slice score, and how large lesions are.

    python benchmarks/limits.py --run lungwin256_steps_1000_seed0 --folder data/transplants_development_lungwin256

Transplants against their untouched hosts, each contrast a lesion of its own. Prints Markdown tables.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from anomask.build import build_data, open_stage
from anomask.data.loading.datamodule import SliceDataModule
from anomask.evaluation.seen import detect, open_slices
from anomask.metrics.image import auroc
from anomask.report.record.names import ANOMALY_MAP
from anomask.runs import find_run
from anomask.scoring.image_score import top_share
from anomask.stages.detector import DetectorStage

SIZES = {"under 50 px": (1, 50), "50 to 149 px": (50, 150), "150 px and more": (150, np.inf)}
SHARES = (0.002, 0.01, 0.03, 0.1)
POWERS = (1, 3, 10)
SETS = ("covidseg256", "sarscov2ct224", "lungwin256")  # beside the training's: their masks are read, nothing is scored


def rules() -> dict[str, Callable[[Tensor], Tensor]]:
    """Return slice scores [B] of maps [B, 1, H, W] by name."""
    found = {
        f"mean of the highest {share:.1%}": lambda m, share=share: top_share(m, m >= 0, share=share) for share in SHARES
    }
    return found | {
        f"power mean, exponent {power}": lambda m, power=power: m.pow(power).mean((1, 2, 3)) for power in POWERS
    }


def by_size(area: np.ndarray, scores: np.ndarray) -> dict[str, str]:
    """Return the AUROC of lesions of each size against all hosts (area 0)."""
    found = {}
    for name, (low, high) in (SIZES | {"all": (1, np.inf)}).items():
        chosen = (area >= low) & (area < high)
        kept = chosen | (area == 0)
        found[name] = f"{auroc(scores[kept], chosen[kept]):.3f} (n {chosen.sum()})"
    return found


def score_transplants(stage: DetectorStage, folder: Path) -> dict[str, dict[str, str]]:
    """Return, for every rule, the AUROC by lesion size."""
    data = open_slices(stage.settings, str(folder), progress=False, augment=None)
    areas, scores = [], {name: [] for name in rules()}
    for batch, seen in zip(*(part.test_dataloader() for part in data), strict=True):
        areas.append(batch.mask.sum((1, 2, 3)))
        anomaly_map = detect(stage, seen)[1][ANOMALY_MAP]
        for name, rule in rules().items():
            scores[name].append(rule(anomaly_map))
    area = torch.cat(areas).numpy()
    return {name: by_size(area, torch.cat(values).numpy()) for name, values in scores.items()}


def lesion_areas(data: SliceDataModule) -> np.ndarray:
    """Return the area in pixels of every connected lesion (8 neighbours) of the test slices."""
    found = []
    for batch in data.test_dataloader():
        for mask in batch.mask[:, 0].numpy():
            found.append(np.bincount(ndimage.label(mask, np.ones((3, 3)))[0].ravel())[1:])
    return np.concatenate(found)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="lungwin256_steps_1000_seed0", help="a detector run")
    parser.add_argument("--folder", type=Path, nargs="+", required=True, help="folders of transplants")
    given = parser.parse_args()
    stage = open_stage(find_run(given.run, "runs", "detector"), "best")
    for folder in given.folder:
        found = score_transplants(stage, folder)
        columns = list(next(iter(found.values())))
        print(f"\n| slice AUROC, {folder.name} | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
        for name, row in found.items():
            print(f"| {name} | {' | '.join(row.values())} |")
    build = partial(build_data, stage.settings, progress=False, augment=None, on_mixed_size="pad")
    size = stage.settings["data"]["size"]
    print(f"\n| lesions of, at {size} px | number | under 15 px | under 50 px |\n|---|---|---|---|")
    for name in SETS:
        data = build(folder=str(Path(stage.settings["data"]["folder"]).with_name(name)))
        data.setup("test")
        area = lesion_areas(data)
        print(f"| {name} | {len(area)} | {(area < 15).mean():.2f} | {(area < 50).mean():.2f} |")


if __name__ == "__main__":
    main()
