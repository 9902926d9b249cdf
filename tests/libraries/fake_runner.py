"""The other side in miniature: the map is the distance from the training normals' mean slice."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image

os.chdir(sys.argv[1])
manifest = json.loads(Path("manifest.json").read_text())
options = manifest["model"]["options"]
if options.get("fails"):
    sys.exit("a first line\nthe weights could not be had\n")


def grey(name):
    return np.asarray(Image.open(name)).astype(np.float32) / 255


normal = np.mean([grey(name) for name in manifest["slices"]["train"]], axis=0)
for split in ("validation", "test"):
    for name in manifest["slices"][split]:
        file = Path("maps", name).with_suffix(".npy")
        file.parent.mkdir(parents=True, exist_ok=True)
        distance = np.abs(grey(name) - normal) + np.float32(options.get("shift", 0))
        np.save(file, distance * np.float32("nan" if options.get("diverges") else 1))
last = Path("maps/test/00003.npy")
if options.get("leaves_out"):
    last.unlink()
if options.get("truncates"):
    last.write_bytes(last.read_bytes()[:200])
if options.get("resizes"):
    np.save(last, np.zeros((8, 8), np.float32))
bill = dict.fromkeys(("seconds", "steps", "slices_seen", "parameters", "trained_parameters", "detect_ms_per_slice"), 7)
if options.get("stops"):
    del bill["steps"]
Path("cost.json").write_text(json.dumps(bill | {"versions": {"numpy": np.__version__}}))
