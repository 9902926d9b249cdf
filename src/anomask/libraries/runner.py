"""Inside the other environment: train an anomalib model on exported slices, and write its maps of the others.

``python -I runner.py <exchange folder>``; `anomask.libraries.exchange` says what the folder holds. Nothing of anomask
is imported here. What cannot be done ends with one line on stderr and exit code 1.
"""

import importlib.metadata
import inspect
import json
import os
import resource
import sys
import time
from pathlib import Path

import anomalib.models
import numpy as np
import timm
import torch
import torch.nn.functional as F
from anomalib.data.dataclasses.torch import ImageBatch, ImageItem
from anomalib.engine import Engine
from lightning import Callback, LightningDataModule, seed_everything
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import Normalize

REPORTED = ("anomalib", "torch", "torchvision", "timm", "lightning")


class Slices(Dataset):
    """Exported slices as anomalib's items: three equal channels in [0, 1], and the label normal for training."""

    def __init__(self, names, label=None):
        self.names, self.label = names, label

    def __len__(self):
        """Return how many slices there are."""
        return len(self.names)

    def __getitem__(self, row):
        """Return one slice."""
        grey = torch.from_numpy(np.array(Image.open(self.names[row]))).float() / 255
        return ImageItem(image=grey.expand(3, -1, -1).clone(), gt_label=self.label, image_path=self.names[row])


class SliceData(LightningDataModule):
    """What anomalib's engine and models ask a data module for."""

    name, category = "slices", ""

    def __init__(self, slices, batch_size):
        super().__init__()
        self.slices, self.train_batch_size, self.eval_batch_size = slices, batch_size, batch_size

    def train_dataloader(self):
        """Return training normals in random order."""
        rows = Slices(self.slices["train"], torch.tensor(0))
        alone = len(rows) % self.train_batch_size == 1  # batch norm cannot learn from a last batch of one slice
        return DataLoader(rows, self.train_batch_size, shuffle=True, drop_last=alone, collate_fn=ImageBatch.collate)

    def val_dataloader(self):
        """Return validation normals."""
        return self.ordered("validation", torch.tensor(0))

    def ordered(self, split, label=None):
        """Return a set in order."""
        rows = Slices(self.slices[split], label)
        return DataLoader(rows, self.eval_batch_size, collate_fn=ImageBatch.collate)


class Bookkeeper(Callback):
    """Counts training slices, times detection, and writes each map."""

    def __init__(self, size):
        self.size, self.seen, self.asked, self.seconds, self.start = size, 0, 0, 0.0, 0.0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Count."""
        self.seen += len(batch.image)

    def on_predict_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        """Start the clock."""
        self.start = time.perf_counter()

    def on_predict_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        """Stop the clock and write the batch's maps at the slices' size."""
        if outputs.anomaly_map is None:
            sys.exit(f"{type(pl_module).__name__} gives scores but no anomaly maps; choose a model that localises.")
        maps = outputs.anomaly_map.detach().float().cpu()
        self.seconds += time.perf_counter() - self.start
        self.asked += len(maps)
        maps = maps.reshape(len(maps), 1, *maps.shape[-2:])
        if maps.shape[-1] != self.size:
            maps = F.interpolate(maps, (self.size, self.size), mode="bilinear")
        for name, values in zip(outputs.image_path, maps, strict=True):
            write_whole(Path("maps", name).with_suffix(".npy"), lambda file, v=values: np.save(file, v[0].numpy()))


def write_whole(path, write):
    """Let `write` fill a temporary file that becomes `path` once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        write(file)
    os.replace(temporary, path)


def build(recipe, size):
    """Build the model with slices of `size` pixels in mind, on real pretrained weights if on any."""
    kind = getattr(anomalib.models, recipe["model"], None)
    if kind is None:
        sys.exit(f"anomalib has no model {recipe['model']!r}; it has {', '.join(sorted(anomalib.models.__all__))}.")
    options = recipe["options"]
    if options.get("pre_trained") is False:
        sys.exit("options.pre_trained=false: features at random are no comparison. Name weights (baseline.weights).")
    takes = inspect.signature(kind.__init__).parameters
    parts = {"post_processor": False, "evaluator": False, "visualizer": False}
    if "pre_processor" in takes:
        side = recipe["image_size"] or size
        parts["pre_processor"] = kind.configure_pre_processor(image_size=(side, side))
        normalise(parts["pre_processor"].transform, recipe["normalise"])
    loaded = use_weights(recipe["weights"])
    try:
        model = kind(**options, **{name: part for name, part in parts.items() if name in takes})
    except Exception as error:
        sys.exit(
            f"{recipe['model']} could not be built with {options}: {type(error).__name__}: {error}. If these are its "
            "pretrained weights, give them as a file (baseline.weights); its arguments go into baseline.options."
        )
    if recipe["weights"] and not loaded:
        sys.exit(f"{recipe['model']} never asked for pretrained weights; leave baseline.weights empty.")
    check_layers(model, options)
    return model


def normalise(transform, wanted):
    """Put another [mean, deviation] of the grey values into a model's transform; None keeps what it has."""
    steps = [step for step in transform.transforms if isinstance(step, Normalize)] if wanted else []
    if wanted and not steps:
        sys.exit("this model does not normalise its slices; leave baseline.normalise empty.")
    for step in steps:
        step.mean, step.std = [wanted[0]] * 3, [wanted[1]] * 3


def use_weights(file):
    """Let timm take pretrained weights from `file`, and make sure that the network has them; None leaves timm alone."""
    create, loaded = timm.create_model, []
    if not file:
        return loaded
    held = {plain(name): value for name, value in timm.models.load_state_dict(file).items()}

    def create_from_file(name, *arguments, pretrained=False, **more):
        if not pretrained:
            return create(name, *arguments, **more)
        network = create(name, *arguments, pretrained=True, pretrained_cfg_overlay={"file": file}, **more)
        state = {plain(key): value for key, value in network.state_dict().items() if "num_batches" not in key}
        wrong = [key for key, value in state.items() if key not in held or not torch.equal(value, held[key])]
        if wrong:
            sys.exit(
                f"{file} is not the weights of {name}: {len(wrong)} of {len(state)} tensors differ ({wrong[0]} ...)."
            )
        loaded.append(name)
        return network

    timm.create_model = create_from_file
    return loaded


def plain(name):
    """Return a tensor's name as timm's networks and feature extractors share it."""
    return name.replace(".", "_")


def check_layers(model, options):
    """Stop where anomalib left out a layer that the network does not have, which it only warns of."""
    for module in model.modules():
        if type(module).__name__ == "TimmFeatureExtractor" and len(module.layers) < len(options.get("layers", [])):
            sys.exit(f"{module.backbone} has not all layers {options['layers']}, only {module.layers}.")


def run(manifest):
    """Train, write the maps of both other sets, and return the bill."""
    recipe, size = manifest["model"], manifest["size"]
    seed_everything(manifest["seed"], verbose=False)
    model, data = build(recipe, size), SliceData(manifest["slices"], manifest["batch_size"])
    book = Bookkeeper(size)
    engine = Engine(
        callbacks=[book], default_root_dir="work", enable_progress_bar=False, enable_model_summary=False,
        **recipe["trainer"],
    )  # fmt: skip
    start = time.perf_counter()
    engine.fit(model, datamodule=data)
    seconds, trainer = time.perf_counter() - start, engine.trainer
    trained = {id(p): p.numel() for o in trainer.optimizers for group in o.param_groups for p in group["params"]}
    bill = {
        "seconds": round(seconds, 1),
        "steps": trainer.global_step if trained else 0,  # Lightning counts batches where there is no optimiser
        "slices_seen": book.seen,
        "devices": f"{trainer.num_nodes} x {trainer.num_devices} {trainer.strategy.root_device.type}",
        "parameters": sum(p.numel() for p in model.parameters()),
        "trained_parameters": sum(trained.values()),
    }
    for split in ("validation", "test"):
        engine.predict(model, dataloaders=data.ordered(split), return_predictions=False)
    return bill | {
        "detect_ms_per_slice": round(1e3 * book.seconds / book.asked, 3),
        "cpu_threads": torch.get_num_threads(),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "versions": {name: importlib.metadata.version(name) for name in REPORTED} | {"python": sys.version.split()[0]},
    }


if __name__ == "__main__":
    os.chdir(sys.argv[1])  # stray files of the library stay in the exchange folder
    bill = run(json.loads(Path("manifest.json").read_text(encoding="utf-8")))
    write_whole(Path("cost.json"), lambda file: file.write(json.dumps(bill, indent=2).encode()))
