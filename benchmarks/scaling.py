"""What training costs: step times, multiply-adds and bytes measured here, and from them a table on paper for GPUs.

    python benchmarks/scaling.py [--repeats 2] [--read 100] [--stages small paper] [--assume tflops=60 network=25 ...]

Prints Markdown, the tables of docs/evidence/scaling.md. Counts (multiply-adds, kernels, bytes) are exact and
repeatable; times are the best of --repeats on this machine. Everything after "On paper" is arithmetic on them and on
ASSUMED. Slices are those of $ANOMASK_DATA/lungwin256, or made ones where it is absent.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from verify import write_folder

from anomask.batches import SliceBatch
from anomask.build import build_stage
from anomask.data.folder.manifest import read_folder
from anomask.data.loading.cache import DecodedSlices
from anomask.data.loading.frame import WHOLE
from anomask.data.loading.slices import LoadSlice, SliceDataset
from anomask.settings.compose import CONF_FOLDER, plain, register
from anomask.stages.features import FeatureCache

STAGES = {  # name: experiment, further settings, batch that is timed
    "small codebook, 128 px": ("codebook", ["data.size=128"], 16),
    "small detector, 128 px": ("detector_tokens", ["data.size=128"], 16),
    "paper codebook, 256 px": ("paper_codebook", ["data.size=256"], 2),
    "paper detector, 256 px": ("paper_detector", ["data.size=256"], 2),
}
ASSUMED = {
    "tflops": 60.0,  # sustained by a GPU in bf16-mixed, TFLOP/s; an A100's peak is 312
    "launch_us": 10.0,  # host time a kernel launch
    "nvlink": 200.0,  # all-reduce bandwidth inside a node, GB/s
    "network": 20.0,  # between nodes, GB/s a node
    "latency_us": 30.0,  # of one collective inside a node; twice that between nodes
    "node": 8.0,  # GPUs a node
    "cores": 8.0,  # CPU cores a GPU, all loading (data.num_workers)
    "disk": 1.0,  # GB/s of the shared file system, all nodes together
    "memory": 512.0,  # GB a node; a decoded cache that fits is read from disk once
    "val": 0.2,  # data.validation_share, scored once an epoch
}
EPOCHS = {"codebook": 100, "detector": 200}  # the release's
BUCKET = 25e6  # bytes of gradients that DDP reduces at once


class Kernels(TorchDispatchMode):
    """Counts operations that compute something."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def settings_of(*overrides):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return plain(compose("train", [*overrides, "run=unused"]))


def batch_of(size, count):
    image = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0))
    lung, known = torch.ones_like(image, dtype=torch.bool), torch.ones(count, dtype=torch.bool)
    return SliceBatch(image, torch.arange(count), ~lung, lung, known, known, torch.tensor([WHOLE] * count))


def best(call, repeats):
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return min(spent)


def multiply_adds(call):
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # the counter knows products alone
        call()
    return counter.get_total_flops() / 2


def measure_stage(experiment, overrides, count, repeats):
    """Return what one training step of a stage computes, keeps, sends and writes."""
    settings = settings_of(f"experiment={experiment}", *overrides)
    torch.manual_seed(0)
    stage = build_stage(settings)
    stage.log_dict = lambda *_, **__: None
    batch = batch_of(settings["data"]["size"], count)
    trained = stage.vqvae if hasattr(stage, "vqvae") else stage.detector
    vqvae = stage.vqvae if hasattr(stage, "vqvae") else stage.detector.vqvae
    vqvae.quantiser.initialise(vqvae.encode(batch.image).detach(), torch.Generator().manual_seed(0))
    vqvae.quantiser.updates += 1
    optimiser = stage.optimisation.configure(trained.train(), 1000)["optimizer"]
    saved = {}

    def step():
        optimiser.zero_grad()
        stage.training_step(batch, 0).backward()
        optimiser.step()

    def keep(tensor):
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = stage.training_step(batch, 0)
    weights = {parameter.untyped_storage().data_ptr() for parameter in stage.parameters()}
    loss.backward()
    facts = {"macs": multiply_adds(step) / count}
    with Kernels() as kernels:
        step()
    facts |= {"kernels": kernels.count, "seconds": best(step, repeats) / count}
    facts["kept"] = sum(size for place, size in saved.items() if place not in weights) / count
    facts["gradients"] = 4 * sum(p.numel() for p in trained.parameters() if p.requires_grad)
    facts["norms"] = sum(isinstance(m, nn.BatchNorm2d) and m.training for m in trained.modules())
    facts["buffers"] = sum(b.numel() * b.element_size() for b in stage.buffers())
    facts["statistics"] = 4 * vqvae.quantiser.codebook.numel() if trained is vqvae else 0
    facts["file"] = io.BytesIO()
    torch.save({"state_dict": stage.state_dict(), "optimizer": optimiser.state_dict()}, facts["file"])
    facts["file"] = facts["file"].tell()
    stage.eval()
    with torch.no_grad():
        facts["val_macs"] = multiply_adds(lambda: stage.validation_step(batch, 0)) / count
        if trained is not vqvae:
            facts["frozen_macs"] = multiply_adds(lambda: stage.features(batch)) / count
            n_tokens = (vqvae.size // vqvae.stride) ** 2
            facts["frozen"] = FeatureCache(stage.features, 1, n_tokens, None, "").size_bytes
    return facts


def measure_data(read, repeats, place):
    """Return bytes a slice and slices a second on one core, for each side."""
    torch.set_num_threads(1)
    folder = Path(os.environ.get("ANOMASK_DATA", "../shared/data")) / "lungwin256"
    if not folder.is_dir():
        folder = place / "made"
        write_folder(folder, read, 256)
    records = [record for record in read_folder(folder) if record.split == "train"][:read]
    items = [{"row": row, "record": record} for row, record in enumerate(records)]
    augment = instantiate(settings_of("augment=ct")["data"]["augment"])
    facts = {"slices": f"{len(records)} of {folder.name}"}
    facts["png"] = sum(record.path.stat().st_size for record in records) / len(records)
    for size in (128, 256):
        load = LoadSlice(size, "estimate")
        decoded = DecodedSlices(place / "cache", records, load, False)
        decoded.build()
        own = {"bytes": sum(file.stat().st_size for file in decoded.place.iterdir()) / len(records)}
        rows = SliceDataset(records, decoded, augment, 0.0, False, 0)
        given = LoadSlice(size, "given")
        own |= {
            name: len(records) / best(call, repeats)
            for name, call in {
                "decode": lambda given=given: [given(item) for item in items],
                "decode and lungs": lambda load=load: [load(item) for item in items],
                "read": lambda decoded=decoded: [decoded(item) for item in items],
                "read and augment": lambda rows=rows: [rows[row] for row in range(len(rows))],
            }.items()
        }
        facts[size] = own
    return facts


def on_paper(facts, per_gpu, gpus, a):
    """Return seconds of one step: computing, launching, all-reducing, of which nothing is taken to overlap."""
    inside, nodes = min(gpus, a["node"]), -(-gpus // a["node"])
    sent = facts["gradients"] + facts["statistics"] + facts["buffers"]
    reduce = 2 * sent * ((inside - 1) / inside / a["nvlink"] + (nodes - 1) / nodes / a["network"]) / 1e9
    collectives = -(-facts["gradients"] // BUCKET) + 2 * facts["norms"] + 8  # 8: buffers, statistics, counts, losses
    latency = 0.0 if gpus == 1 else collectives * a["latency_us"] * (2 if nodes > 1 else 1) / 1e6
    return {
        "compute": 2 * facts["macs"] * per_gpu / a["tflops"] / 1e12,
        "launch": facts["kernels"] * a["launch_us"] / 1e6,
        "all-reduce": reduce + latency,
    }


def training(facts, data, epochs, n_slices, gpus, per_gpu, a):
    """Return step and epoch times, and which part of a step is the longest."""
    parts = on_paper(facts, per_gpu, gpus, a)
    rate = data[256]["decode and lungs" if a.get("png") else "read"]
    parts["loading"] = per_gpu / (rate * a["cores"])
    fits = n_slices * data[256]["bytes"] < 1e9 * a["memory"]
    parts["storage"] = 0.0 if fits else per_gpu * gpus * data[256]["bytes"] / a["disk"] / 1e9
    step = max(value for name, value in parts.items() if name != "all-reduce") + parts["all-reduce"]
    steps = int(n_slices * (1 - a["val"])) // (per_gpu * gpus)
    validation = n_slices * a["val"] * 2 * facts["val_macs"] / gpus / a["tflops"] / 1e12
    epoch = steps * step + validation
    longest = max(parts, key=parts.get)
    return parts | {"step": step, "steps": steps, "epoch": epoch, "hours": epochs * epoch / 3600, "longest": longest}


def print_table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def print_measured(stages, data):
    head = ("stage", "10^9 multiply-adds a slice", "of it frozen features", "a validation slice", "s a slice here")
    head += ("kernels a step", "MB kept a slice", "MB gradients", "MB codebook sums", "MB buffers", "MB checkpoint")
    rows = []
    for name, f in stages.items():
        big = [f"{f.get(key, 0) / 1e9:.2f}" for key in ("macs", "frozen_macs", "val_macs")]
        small = [f"{f[key] / 1e6:.1f}" for key in ("kept", "gradients", "statistics", "buffers", "file")]
        rows.append((name, *big, f"{f['seconds']:.3g}", f["kernels"], *small))
    print_table(head, rows)
    frozen = ", ".join(f"{name} {f['frozen'] / 1e6:.2f} MB" for name, f in stages.items() if "frozen" in f)
    print(f"Frozen features a slice: {frozen}. PNG files: {data['png'] / 1e3:.0f} kB a slice ({data['slices']}).\n")
    rates = [name for name in data[256] if name != "bytes"]
    rows = [
        (f"{size} px", f"{data[size]['bytes'] / 1e3:.0f}", *(f"{data[size][name]:.0f}" for name in rates))
        for size in (128, 256)
    ]
    print_table(("side", "kB in the decoded cache", *(f"{name}, slices/s" for name in rates)), rows)


def print_paper(stages, data, a, sizes, fixed, each):
    for stage, epochs in EPOCHS.items():
        facts = next((f for name, f in stages.items() if name.startswith(f"paper {stage}")), None)
        if facts is None:
            continue
        print(f"Paper {stage}, 256 px, {epochs} epochs:\n")
        rows = []
        for n_slices, (gpus, per_gpu) in product(sizes, [(1, fixed), (8, fixed // 8), (8, each), (64, each)]):
            t = training(facts, data, epochs, n_slices, gpus, per_gpu, a)
            names = ("compute", "launch", "all-reduce", "loading", "storage", "step")
            cost = (t["steps"], f"{t['epoch'] / 60:.1f}", f"{t['hours']:.1f}", f"{t['hours'] * gpus:.0f}", t["longest"])
            rows.append((f"{n_slices:,}", gpus, per_gpu * gpus, *(f"{1e3 * t[name]:.1f}" for name in names), *cost))
        head = ("slices", "GPUs", "batch", "compute ms", "launch", "all-reduce", "loading", "storage", "step ms")
        print_table((*head, "steps", "epoch min", "hours", "GPU hours", "longest"), rows)
    rows = []
    for n_slices in sizes:
        held = [n_slices * size / 1e9 for size in (data["png"], data[256]["bytes"])]
        frozen = [n_slices * (1 - a["val"]) * f["frozen"] / 1e9 for f in stages.values() if "frozen" in f]
        once = n_slices / data[256]["decode and lungs"] / 8 / 60  # by one process with 8 threads, anomask.parallel
        seconds = held[1] / a["disk"]
        cells = (*held, frozen[-1] if frozen else 0.0)
        rows.append((f"{n_slices:,}", *(f"{value:,.1f}" for value in cells), f"{once:.0f}", f"{seconds:.0f}"))
    head = ("slices", "GB of PNG", "GB decoded, 256 px", "GB frozen features", "min to decode, once", "s to read once")
    print_table(head, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--read", type=int, default=100, help="slices that are read to measure loading")
    parser.add_argument("--stages", nargs="+", default=["small", "paper"], help="first words of the stages to measure")
    parser.add_argument("--fixed", type=int, default=16, help="joint batch that stays the same on any number of GPUs")
    parser.add_argument("--each", type=int, default=16, help="batch of each GPU where the joint batch grows")
    parser.add_argument("--slices", type=int, nargs="+", default=[63610, 1000000])
    parser.add_argument("--assume", nargs="*", default=[], help=f"of {', '.join(ASSUMED)}, and png=1 for no cache")
    a = parser.parse_args()
    torch.set_num_threads(2)
    assumed = ASSUMED | {name: float(value) for name, value in (pair.split("=") for pair in a.assume)}
    stages = {}
    for name, (experiment, overrides, count) in STAGES.items():
        if name.split()[0] in a.stages:
            print(f"measuring {name}", file=sys.stderr)
            stages[name] = measure_stage(experiment, overrides, count, a.repeats)
    with tempfile.TemporaryDirectory() as place:
        data = measure_data(a.read, a.repeats, Path(place))
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"## Measured\n\n2 threads, batches of {STAGES['small codebook, 128 px'][2]} and 2, load average {load}.\n")
    print_measured(stages, data)
    print("## On paper\n\nAssumed: " + ", ".join(f"{name} {value:g}" for name, value in assumed.items()) + ".\n")
    print_paper(stages, data, assumed, a.slices, a.fixed, a.each)


if __name__ == "__main__":
    main()
