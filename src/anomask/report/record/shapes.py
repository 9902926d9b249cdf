"""What the files of a run and of an evaluation must hold for us to read them, see `anomask.reading`. Knows no torch."""

FIGURE = (float, None)  # not defined where there is nothing to count

SETTINGS = {
    "name?": str,
    "run?": str,
    "seed?": int,
    "stage": {"name": str},
    "data?": dict,
    "paths?": dict,
    "trainer?": dict,
    "scoring?": dict,
    "logger?": dict,
    "callbacks?": dict,
}
THRESHOLD = {
    "threshold": float,
    "specificity": float,
    "n_normals": int,
    "best_sha256?": str,
    "pixel?": {"threshold": float},
}
NORMAL_SCORES = [float]
VALIDATION = {"monitor": str, "mode": str, "value": float}
COST = {
    **{"seconds?": float, "steps?": int, "best_sha256?": str, "commit?": (str, None)},
    "codebook?": {"run?": str, "seconds?": float, "best_sha256?": str},
}
BILL = {**COST, "seconds": float}
FINGERPRINT = {
    "sha256": (str, None),
    "parts?": [{"split": str}],
    "preparation?": ({"common?": ({"window?": object}, None)}, None),
}
WANDB = {"id": str, "step?": int}
FAILURE = {"error": str, "message": str}
OVERRIDES = ([str], None)

SCHEMA = 3  # of record.json; 1 was before the first release
SCHEMAS = (SCHEMA, 2)  # that are read: 2 lacks figures with normal slices, of patients, surfaces and calibration

_INTERVAL = {"low": FIGURE, "high": FIGURE}
_IMAGE = {
    **{"group": str, "n_abnormal": int, "n_normal": int},
    **dict.fromkeys(("auroc", "ap", "f1", "sensitivity", "specificity", "accuracy", "floor"), FIGURE),
    **{"within_patient_auroc": FIGURE, "within_patient_floor?": FIGURE},
    **dict.fromkeys(("sensitivity_at_90?", "sensitivity_at_95?", "ece?", "host_wins?"), FIGURE),
    "intervals": dict.fromkeys(("auroc", "ap", "sensitivity", "specificity"), _INTERVAL),
}
_PIXEL = {
    **{"group": str, "region": str, "map": str},
    **dict.fromkeys(("auroc?", "ap?", "aupro?", "aupro_005?", "dice?", "iou?", "surface_dice?"), FIGURE),
    "with_normals?": {"ap": FIGURE, "auroc": FIGURE, "ece": FIGURE},
    "patient_dice?": {"mean": FIGURE, "sd": FIGURE},
    "floor?": ({"ap": FIGURE}, None),
    "intervals?": dict.fromkeys(("auroc?", "ap?", "aupro?"), _INTERVAL),
}
_COST = {
    **dict.fromkeys(("seconds", "slices_seen", "steps", "parameters", "trained_parameters"), float),
    **{"detect_ms_per_slice": float, "synthesis_ms_per_slice?": float, "peak_memory_mb?": float},
    **{"devices": str, "cpu_threads": int, "codebook?": {"seconds?": float}},
}
# What tables read of a record, what finds and compares evaluations, and what the page of a sweep shows.
RECORD = {
    **{"schema?": SCHEMAS, "data": str, "commit": (str, None)},
    "method": {"name": str, "family": str},
    "bootstrap": {"unit": str},
    "threshold": {"threshold": float},
    "cost": _COST,
    "image": [_IMAGE],
    "pixel": [_PIXEL],
}
EVALUATION = {"schema?": SCHEMAS, "run?": str, "fingerprint": str, "checkpoint": str}
SUMMARY = {
    "schema?": SCHEMAS,
    "image": [{"group": str, "auroc": FIGURE, "ap": FIGURE}],
    "pixel": [{"group": str, "region": str, "map": str, "ap": FIGURE}],
}
SCORES = {"path": str, "patient": str, "disease": str, "score": float}
