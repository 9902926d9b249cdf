"""Made sweeps: run folders with the files that a sweep's page reads, and their links."""

import json

import yaml


def settings_of_job(folder, share, lr, seed, location="blobs"):
    """Settings as a detector's, in small: what differs, what follows from it, places, and constants."""
    return {
        "name": f"toy_seed{seed}",
        "seed": seed,
        "codebook_run": f"toy_codebook_seed{seed}",
        "run": str(folder),
        "sweep": "shares",
        "data": {"folder": "toy", "seed": seed},
        "synthesiser": {"share": share, "location": {"_target_": f"anomask.synthesis.location.{location}"}},
        "scoring": {"image_score": {"share": 0.01}},
        "stage": {"optimisation": {"optimiser": {"lr": lr}}, "name": "detector"},
        "callbacks": {"best": {"dirpath": f"{folder}/checkpoints"}, "progress": {"refresh_rate": seed}},
        "trainer": {"max_steps": 500, "enable_progress_bar": seed == 0},
        "paths": {"runs": str(folder.parent)},
        "logger": {"save_dir": str(folder)},
    }


def record(auroc, ap=0.5, pixel_ap=None):
    found = {"group": "all", "region": "slice", "map": "anomaly map", "ap": pixel_ap}
    return {"image": [{"group": "all", "auroc": auroc, "ap": ap}], "pixel": [] if pixel_ap is None else [found]}


def write_json(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def make_job(runs, label, key, settings=None, score=None, finished=True, begun=True, test=None, mode="max"):
    """Write one run folder and link it; `settings` are the arguments of `settings_of_job`, or settings themselves."""
    name = f"toy_{key}"
    folder = runs / "toy" / key
    folder.mkdir(parents=True)
    if settings is not None:
        whole = settings if isinstance(settings, dict) else settings_of_job(folder, *settings)
        (folder / "config.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
    if score is not None:
        write_json(folder / "validation.json", {"monitor": "val/synthetic_ap", "mode": mode, "value": score})
    if begun:
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.ckpt").touch()
    if finished:
        write_json(folder / "cost.json", {"seconds": 90.0})
        (folder / "pictures").mkdir()
    if test is not None:
        write_json(folder / "evaluation/toy/record.json", record(*test))
        (folder / "evaluation/toy/report.html").write_text("<!doctype html><title>report</title>a report")
    sweep = runs / "sweeps" / label
    sweep.mkdir(parents=True, exist_ok=True)
    (sweep / name).symlink_to(f"../../toy/{key}")
    return folder


def make_sweep(runs, label="shares"):
    """Write six jobs: four finished, of which two are evaluated, one unfinished, one not begun."""
    make_job(runs, label, "a", (0.05, 1e-3, 0), 0.61, test=(0.7, 0.6, 0.3))
    make_job(runs, label, "b", (0.1, 1e-3, 0), 0.72, test=(0.65, 0.55, 0.2))
    make_job(runs, label, "c", (0.05, 1e-4, 1), 0.93)
    make_job(runs, label, "d", (0.1, 1e-5, 1), 0.48)
    make_job(runs, label, "e", (0.2, 1e-3, 1), finished=False)
    make_job(runs, label, "f", (0.2, 1e-4, 1), finished=False, begun=False)
    return runs / "sweeps" / label
