"""Compare two evaluated runs on the same slices: paired bootstrap differences with p-values."""

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anomask.errors import RunError
from anomask.files import write_json, write_text
from anomask.metrics.curves import defined
from anomask.metrics.image import weighted_auroc, weighted_average_precision
from anomask.metrics.significance import less, paired_difference
from anomask.reading import read_json
from anomask.report.record.difference import comparison, corrected, pixel_differences
from anomask.report.record.saved import clusters_in, read_clusters, read_scores
from anomask.report.record.shapes import EVALUATION
from anomask.runs.evaluations import evaluated_with
from anomask.runs.folder import Run
from anomask.settings.schema import CompareConfig

log = logging.getLogger(__name__)

IMAGE_FIGURES = {"AUROC": weighted_auroc, "AP": weighted_average_precision}


def evaluations_of(runs: tuple[Run, Run], name: str | None) -> list[Path]:
    """Find the evaluation of each of two runs: those named, or those on the one test set that both were evaluated on.

    Raises:
        RunError: there is none, several, or they are of different data.
    """
    known = [
        {
            folder: about[0]
            for folder in sorted(run.evaluation_folder("").glob("*"))
            if (about := evaluated_with(folder))
        }
        for run in runs
    ]
    found = [{folder: data for folder, data in held.items() if name in (None, folder.name)} for held in known]
    shared = {*found[0].values()} & {*found[1].values()}
    chosen = [[folder for folder, data in held.items() if len(shared) != 1 or data in shared] for held in found]
    for run, held, folders in zip(runs, known, chosen, strict=True):
        if len(folders) != 1:
            raise RunError(
                f"{len(folders)} evaluations {'' if name is None else f'named {name} '}in {run.folder} (found: "
                f"{', '.join(folder.name for folder in held) or 'none'}); one is wanted. Evaluate the run, or "
                "choose with name=<data set>."
            )
    folders = [folder for (folder,) in chosen]
    if not shared:
        raise RunError(
            f"{folders[0]} and {folders[1]} were evaluated on different data (fingerprints differ). Evaluate both "
            "on the same folder: anomask evaluate run=... folder=..."
        )
    return folders


def compare(first: Run, second: Run, config: CompareConfig) -> Path:
    """Compare two runs and write the result into the first one's evaluation folder.

    Raises:
        RunError: the runs were not evaluated on the same slices.
    """
    folders = evaluations_of((first, second), config.name)
    records = [
        read_json(folder / "record.json", EVALUATION | {"run": str}, "Evaluate the run again.") for folder in folders
    ]
    rows = image_differences(folders, config.bootstrap, config.seed)
    for region in ("slice", "lung"):
        clusters = [read_clusters(folder, region) for folder in folders]
        if None not in clusters:
            rows += pixel_differences(*clusters, region, config.bootstrap, config.seed)
    rows = corrected(rows)
    names = [f"{record['run']} ({run.folder.name})" for record, run in zip(records, (first, second), strict=True)]
    text = comparison(*names, rows)
    target = folders[0] / f"against_{second.folder.parent.name}_{second.folder.name}"
    write_json(target.with_suffix(".json"), {"first": names[0], "second": names[1], "rows": rows})
    write_text(target.with_suffix(".md"), text)
    sys.stdout.write(text)
    return target.with_suffix(".json")


def image_differences(folders: list[Path], n_resamples: int, seed: int) -> list[dict[str, Any]]:
    """Return slice-level differences, all diseases together and each against all normals.

    Raises:
        RunError: a table of scores that is damaged.
    """
    tables = [{row["path"]: row for row in read_scores(folder)} for folder in folders]
    if tables[0].keys() != tables[1].keys():
        raise RunError(f"scores.csv in {folders[0]} and {folders[1]} name different slices. Evaluate both again.")
    paths = sorted(tables[0])
    about = [tables[0][path] for path in paths]
    names, unit = clusters_in(tables, paths)
    rows = []
    diseases = sorted({row["disease"] for row in about} - {""})
    for group in ["all", *(diseases if len(diseases) > 1 else [])]:  # of one disease both are the same
        kept = [index for index, row in enumerate(about) if group in ("all", row["disease"]) or not row["disease"]]
        labels = np.array([bool(about[index]["disease"]) for index in kept])
        own = [names[index] for index in kept]
        scores = [np.array([float(table[paths[index]]["score"]) for index in kept]) for table in tables]
        for name, metric in IMAGE_FIGURES.items():
            figures = [partial(metric, values, labels) for values in scores]
            values = [defined(figure(np.ones((1, len(kept))))[0]) for figure in figures]
            rng = np.random.default_rng(seed)
            found, p_value = paired_difference(less(*figures), own, n_resamples, rng, unit, [labels, ~labels])
            rows.append({"figure": f"slice {name}", "group": group, "values": values, **found._asdict(), "p": p_value})
    return rows
