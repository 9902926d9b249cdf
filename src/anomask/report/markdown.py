"""A result record as Markdown tables, for the terminal and for notes."""

from collections.abc import Sequence
from typing import Any

SYNTHETIC = "Synthetic phantom: these scores say nothing about patients."


def number(value: float | None) -> str:
    """Format a figure with three decimals; '–' where it is not defined."""
    return "–" if value is None else f"{value:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table with aligned columns."""
    widths = [max(len(str(row[column])) for row in (header, *rows)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def detection_table(record: dict[str, Any]) -> str:
    """Slice-level detection by disease; a figure that does not beat its trivial floor is marked."""
    rows = []
    for row in record["image"]:
        found = row.get("auroc_interval") or {"low": None, "high": None}
        mark = " (below floor)" if row["beats_floor"] is False else ""
        rows.append(
            [
                row["group"],
                f"{row['n_abnormal']} / {row['n_normal']}",
                number(row["auroc"]) + mark,
                f"{number(found['low'])} to {number(found['high'])}",
                number(row["floor"]),
                number(row["within_patient_auroc"]),
                number(row["ap"]),
                number(row["sensitivity"]),
                number(row["specificity"]),
            ]
        )
    header = [
        "disease",
        "abnormal / normal",
        "AUROC",
        "95 % interval",
        "trivial floor",
        "within patient",
        "AP",
        "sensitivity",
        "specificity",
    ]
    return table(header, rows)


def localisation_table(record: dict[str, Any]) -> str:
    """Pixel-level localisation on abnormal slices with masks, beside the map's factors and smoothed intensity."""
    rows = [
        [
            row["group"],
            row["region"],
            row["map"],
            str(row["n_slices"]),
            number(row["auroc"]),
            number(row["ap"]),
            number(row["prevalence"]),
            number(row["aupro"]),
            number(row["oracle_dice"]),
        ]
        for row in record["pixel"]
    ]
    header = ["disease", "within", "map", "slices", "pixel AUROC", "AP", "chance AP", "AUPRO(0.3)", "oracle Dice"]
    return table(header, rows)


def summary(record: dict[str, Any]) -> str:
    """The whole record as a short Markdown text."""
    parts = [f"# {record['run']} on {record['data']}"]
    if record["synthetic"]:
        parts.append(f"**{SYNTHETIC}**")
    threshold = record["threshold"]
    parts += [
        "## Detection (slices)",
        detection_table(record),
        f"Sensitivity and specificity at the threshold {threshold['threshold']:.4g}, fixed on {threshold['n_normals']} "
        f"validation normals for specificity {threshold['specificity']}. Trivial floor: the best AUROC that mean, "
        "standard deviation, Laplacian standard deviation or the distance to the nearest training normal in these "
        "three reaches, in either direction.",
        "## Localisation (pixels, abnormal slices with masks)",
        localisation_table(record) if record["pixel"] else "No lesion masks in this data set.",
    ]
    if record["patients"]:
        header = ["patient", "diseases", "abnormal / normal", "highest score", "mean score", "called abnormal", "AUROC"]
        rows = [
            [
                row["patient"],
                ", ".join(row["diseases"]) or "–",
                f"{row['n_abnormal']} / {row['n_normal']}",
                number(row["highest_score"]),
                number(row["mean_score"]),
                number(row["called_abnormal"]),
                number(row["auroc"]),
            ]
            for row in record["patients"]
        ]
        parts += ["## Patients", table(header, rows)]
    return "\n\n".join(parts) + "\n"
