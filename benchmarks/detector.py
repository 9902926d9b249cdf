"""Where the time of a stage-2 step and of a detection goes, against the multiply-adds of each part.

    python benchmarks/detector.py [--experiment detector] [--repeats 10] [--threads 2]

Prints, part by part, milliseconds for a batch (best and median of --repeats), multiply-adds, the floor they set at this
run's own speed of a matrix product, and how many times that floor the part takes. Slices are those of
$ANOMASK_DATA/lungwin256, or made ones where it is absent. Weights are fresh: no part's time depends on them.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from scaling import multiply_adds, print_table, settings_of
from synthesiser import timed
from torch.utils.data import default_collate
from verify import write_folder

from anomask.batches import SliceBatch
from anomask.build import build_data, build_stage
from anomask.stages.seeding import slice_draws


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", default="detector_tokens")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(os.environ.get("ANOMASK_DATA", "../shared/data")) / "lungwin256"
        if not folder.is_dir():
            folder = Path(place) / "made"
            write_folder(folder, 100, 256)
        settings = settings_of(f"experiment={a.experiment}", "data=folder", f"data.folder={folder}")
        data = build_data(settings)
        data.setup("fit")
    rows = list(range(settings["data"]["batch_size"]))

    def load():
        return default_collate([data.train_set[row] for row in rows])

    batch = SliceBatch(*load())
    stage = build_stage(settings)
    stage.log_dict = lambda *_, **__: None
    vqvae = stage.detector.vqvae
    vqvae.quantiser.initialise(vqvae.encode(batch.image).detach(), torch.Generator().manual_seed(0))
    optimiser = stage.optimisation.configure(stage.detector.train(), 1000)["optimizer"]
    corrupter = stage.corrupter

    def corrupt():
        return corrupter(batch, stage.features, slice_draws(batch.index, 0, 0))

    corrupted = corrupt()

    def answer():
        return stage._answer(corrupted)

    def step():
        optimiser.zero_grad()
        stage.training_step(batch, 0).backward()
        optimiser.step()

    def look():
        with torch.no_grad():
            return stage._look(batch.image)

    def whole():
        with torch.no_grad():
            return stage._detect(batch, with_crops=False)

    parts = {"decoded slices, augmented": load, "corruption (paint, encode, replace codes)": corrupt}
    if corrupter.painter is not None:
        parts["  painting alone"] = lambda: corrupter.painter(
            batch.image, batch.lung_mask, slice_draws(batch.index, 0, 0)
        )
    parts |= {
        "  frozen features, if of all slices": lambda: stage.features(batch),
        "restoration and classification, forward": answer,
        "whole training step": step,
        "one look at the slices": look,
        "detection, whole slice" + (" and mirror image" if stage.scorer.mirror else ""): whole,
    }
    if stage.scorer.crops is not None:
        parts["detection with crops"] = lambda: stage.detect(batch)
    square = torch.randn(1024, 1024)
    speed = 2 * 1024**3 / (timed(lambda: square @ square, 10)[0] / 1e3) / 1e9
    table = []
    for name, call in parts.items():
        best, median = timed(call, a.repeats)
        adds = multiply_adds(call)
        floor = 2 * adds / speed / 1e6
        against = f"{best / floor:.1f}" if floor > 0.1 else "–"
        table.append((name, f"{best:.0f}", f"{median:.0f}", f"{adds / 1e9:.2f}", f"{floor:.0f}", against))
    print(
        f"experiment={a.experiment}, {len(rows)} slices of {folder.name} at {settings['data']['size']} px, "
        f"{a.threads} threads, {speed:.0f} GFLOP/s on a 1024 x 1024 matrix product, "
        f"load average {os.getloadavg()[0]:.1f}\n"
    )
    print_table(("part", "ms, best", "median", "10^9 multiply-adds", "floor, ms", "times the floor"), table)


if __name__ == "__main__":
    main()
