"""Reading what an evaluation wrote: scores by slice, pixel histograms by patient. Knows no torch."""

from collections.abc import Sequence
from pathlib import Path

from anomask.errors import RunError
from anomask.metrics.bootstrap import cluster_names
from anomask.metrics.pixel_clusters import PixelClusters
from anomask.reading import read_arrays, read_csv
from anomask.report.record.shapes import SCORES

AGAIN = "Evaluate the run again."


def clusters_file(folder: Path, region: str) -> Path:
    """Name the file of the pixel histograms by patient or slice, which paired comparisons resample."""
    return folder / f"pixels_{region}.npz"


def read_clusters(folder: Path, region: str) -> PixelClusters | None:
    """Read pixel histograms, or return None where the evaluation has none.

    Raises:
        RunError: the file is damaged.
    """
    file = clusters_file(folder, region)
    if not file.is_file():
        return None
    return read_arrays(file, PixelClusters.from_arrays, AGAIN)


def clusters_in(tables: Sequence[dict[str, dict[str, str]]], paths: Sequence[str]) -> tuple[list[str], str]:
    """Return what intervals resample as a whole, and its unit.

    Args:
        tables: lines of the scores.csv of several evaluations on the same slices, by path; older ones know no donors of
            lesions, so those of any are taken.
        paths: of the slices.
    """
    knows = [table for table in tables if any(row.get("lesion_donor") for row in table.values())]
    rows = [(knows or tables)[0][path] for path in paths]
    return cluster_names([row["patient"] for row in rows], [row.get("lesion_donor") or "" for row in rows])


def read_scores(folder: Path) -> list[dict[str, str]]:
    """Read scores.csv.

    Raises:
        RunError: the folder has none, or a damaged one.
    """
    file = folder / "scores.csv"
    if not file.is_file():
        raise RunError(f"no scores.csv in {folder}. Wanted: the results of anomask evaluate.")
    rows = read_csv(file, SCORES, AGAIN)
    if not rows or len({row["path"] for row in rows}) < len(rows):
        raise RunError(f"{file} is damaged: it has {'a slice twice' if rows else 'no slices'}. {AGAIN}")
    return rows
