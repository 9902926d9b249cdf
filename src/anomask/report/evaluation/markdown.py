"""A result record as Markdown tables, for the terminal and for notes."""

from collections.abc import Callable, Sequence
from typing import Any

from anomask.metrics.lesions import RATES, STRATA
from anomask.report.record.names import ANOMALY_MAP
from anomask.report.text import FEW, RESEARCH_USE, inline, not_defined, number, table_of

SYNTHETIC = "Synthetic phantom: these scores say nothing about patients."


def spread(row: dict[str, Any], figure: str) -> str:
    """Format a figure's 95 % interval."""
    found = row["intervals"][figure]
    return not_defined(found) if found["low"] is None else f"{number(found['low'])} to {number(found['high'])}"


def below(row: dict[str, Any]) -> str:
    """Return the mark of a figure that does not beat its floor."""
    return " (below floor)" if row["beats_floor"] is False else ""


def detection_table(record: dict[str, Any]) -> str:
    """Slice-level detection by disease; a figure that does not beat its trivial floor is marked."""
    columns = {
        "disease": lambda row: row["group"],
        "abnormal / normal": lambda row: f"{row['n_abnormal']} / {row['n_normal']}",
        "patients": lambda row: str(row["n_patients"] or "–"),
        "AUROC": lambda row: number(row["auroc"]) + below(row),
        "95 % interval": lambda row: spread(row, "auroc"),
        "trivial floor": lambda row: number(row["floor"]),
        "within patient": lambda row: f"{number(row['within_patient_auroc'])} (n {row['within_patient_n']})",
        "floor within patient": lambda row: number(row["within_patient_floor"]),
        "AP": lambda row: number(row["ap"]),
        "sensitivity": lambda row: number(row["sensitivity"]),
        "specificity": lambda row: number(row["specificity"]),
        "F1": lambda row: number(row["f1"]),
        "balanced accuracy": lambda row: number(row["balanced_accuracy"]),
        "MCC": lambda row: number(row["mcc"]),
    }
    return table_of(columns, distinct(record["image"]))


def operating_table(record: dict[str, Any]) -> str:
    """What scores are worth beside their ranking: operating points, calibration, transplants against their hosts."""
    columns = {
        "disease": lambda row: row["group"],
        "sensitivity at 90 % specificity": lambda row: number(row["sensitivity_at_90"]),
        "at 95 %": lambda row: number(row["sensitivity_at_95"]),
        "calibration error": lambda row: number(row["ece"]),
        "above own host": lambda row: f"{number(row['host_wins'])} (n {row['host_wins_n']})",
    }
    return table_of(columns, distinct(record["image"]))


def volume_table(record: dict[str, Any]) -> str:
    """The anomaly map with normal slices, by patient, by surface, and as a probability."""

    def normals(figure: str) -> Callable[[dict[str, Any]], str]:
        return lambda row: number(row["with_normals"][figure])

    columns = {
        "disease": lambda row: row["group"],
        "within": lambda row: row["region"],
        "normal slices": lambda row: str(row["with_normals"]["n_normals"]),
        "AP with them": normals("ap"),
        "AUPRO(0.3) with them": normals("aupro"),
        "calibration error with them": normals("ece"),
        "AUPRO(0.05)": lambda row: number(row["aupro_005"]),
        "surface Dice, 3 px": lambda row: number(row["surface_dice"]),
        "Dice a patient": lambda row: _mean_and_sd(row["patient_dice"]),
    }
    return table_of(columns, [row for row in distinct(record["pixel"]) if "with_normals" in row])


def _mean_and_sd(found: dict[str, Any]) -> str:
    spread = "" if found["sd"] is None else f" ± {number(found['sd'])}"
    return f"{number(found['mean'])}{spread} (n {found['n_patients']})"


def localisation_table(record: dict[str, Any], maps: str | None = None) -> str:
    """Pixel-level localisation on abnormal slices with masks: one map, or all beside maps without a model."""
    columns = {
        "disease": lambda row: row["group"],
        "within": lambda row: row["region"],
        "map": lambda row: row["map"],
        "slices": lambda row: str(row["n_slices"]),
        "pixel AUROC": lambda row: number(row["auroc"]),
        "AP": lambda row: number(row["ap"]) + (below(row) if "beats_floor" in row else ""),
        "AP, 95 %": lambda row: spread(row, "ap") if "intervals" in row else "",
        "chance AP": lambda row: number(row["prevalence"]),
        "AUPRO(0.3)": lambda row: number(row["aupro"]),
        "AUPRO, 95 %": lambda row: spread(row, "aupro") if "intervals" in row else "",
        "Dice at threshold": lambda row: number(row.get("dice")),
        "oracle Dice": lambda row: number(row["oracle_dice"]),
    }
    return table_of(columns, [row for row in distinct(record["pixel"]) if maps in (None, row["map"])])


def lesion_table(record: dict[str, Any]) -> str:
    """FROC: how many lesions are hit at how many false positives a slice, and the mean by lesion size."""
    rates = {f"at {rate:g}": lambda row, rate=rate: number(row[f"all_at_{rate:g}"]) for rate in RATES}
    sizes = {
        name: lambda row, name=name: f"{number(row[f'{name}_mean'])} (n {row[f'n_{name}']})"
        for name in ("all", *STRATA)
    }
    about = {"disease": lambda row: row["group"], "within": lambda row: row["region"]}
    return table_of(about | rates | sizes, distinct(record["lesions"]))


def patient_table(record: dict[str, Any]) -> str:
    """Summary of each known patient."""
    columns = {
        "patient": lambda row: row["patient"],
        "diseases": lambda row: ", ".join(row["diseases"]) or "–",
        "abnormal / normal": lambda row: f"{row['n_abnormal']} / {row['n_normal']}",
        "highest score": lambda row: number(row["highest_score"]),
        "mean of top tenth": lambda row: number(row["top_score"]),
        "called abnormal": lambda row: number(row["called_abnormal"]),
        "AUROC": lambda row: number(row["auroc"]),
    }
    return table_of(columns, record["patients"])


def distinct(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the rows of a disease that is the only one: they repeat those of all diseases."""
    alone = len({row["group"] for row in rows}) == 2
    return [row for row in rows if not alone or row["group"] == "all"]


def _title(record: dict[str, Any]) -> str:
    return inline(f"# Run {record['run']}, test slices of {record['data']}")


def brief(record: dict[str, Any]) -> str:
    """What fits a terminal: detection, and localisation by the anomaly map."""
    parts = [_title(record), detection_table(record)]
    if record["pixel"]:
        parts.append(localisation_table(record, ANOMALY_MAP))
    return "\n\n".join(parts) + "\n"


def _of(record: dict[str, Any]) -> str:
    # Of the evaluated folder; where that has none, of what the run learned from.
    source = record.get("floors_from", record["data"])
    return "" if source == record["data"] else f" of {inline(source)}"


def summary(record: dict[str, Any]) -> str:
    """The whole record as a short Markdown text."""
    parts = [_title(record), RESEARCH_USE]
    if record["synthetic"]:
        parts.append(f"**{SYNTHETIC}**")
    threshold = record["threshold"]
    pixel = threshold.get("pixel")
    parts += [
        "## Detection (slices)",
        detection_table(record),
        f"Sensitivity and what follows it at the threshold {threshold['threshold']:.4g}, fixed on "
        f"{threshold['n_normals']} validation normals for specificity {threshold['specificity']}. Trivial floor: the "
        "best AUROC that mean, standard deviation, Laplacian standard deviation or the distance to the nearest "
        f"training normal{_of(record)} in these three reaches, in either direction; within patient, it pairs slices of "
        "one patient, as the AUROC there does. Intervals: bootstrap of whole "
        f"{record['bootstrap']['unit']}s. {FEW}",
        operating_table(record),
        "Sensitivity at a specificity is a point of these slices' own ROC curve: no threshold fixed beforehand "
        "reaches it. Calibration error: how far scores, read as probabilities, lie from the share of abnormal slices "
        "(ten bins); – where they exceed 1. Above own host: the share of transplants that score above the slice that "
        "they lie in.",
        "## Localisation (pixels, abnormal slices with masks)",
    ]
    if record["pixel"]:
        dice = f"{pixel['threshold']:.4g}, fixed on validation normals" if pixel else "not saved with this run"
        parts += [
            localisation_table(record),
            f"Dice at the pixel threshold ({dice}); an oracle Dice takes the best threshold for these very slices. The "
            "map's own parts and three maps without a model stand below it; below floor: under the best of the "
            "latter in AP.",
            volume_table(record),
            "Normal slices have no lesion to find: with them only false positives are added. In the lung they count "
            "where their lung mask is known. Surface Dice: the share of both surfaces within 3 px of the other, mean "
            "over slices. Dice a patient: over all pixels of a patient, mean ± standard deviation over patients with "
            "lesions.",
            "## Lesions (FROC, candidates are the map's peaks)",
            lesion_table(record),
            "Share of lesions hit at 1/8 to 8 false positives a slice, and its mean over these rates for all lesions "
            "and by size: equivalent diameter below 5 % of the slice's side, below 15 %, above.",
        ]
    else:
        parts.append("No lesion masks in this data set.")
    if record["patients"]:
        level = record["patient_level"]
        parts += [
            "## Patients",
            patient_table(record),
            f"AUROC of patients ({level['n_abnormal']} abnormal, {level['n_normal']} normal): by the highest slice "
            f"{number(level['auroc_highest'])}, by the mean of the top tenth of slices {number(level['auroc_top'])}.",
        ]
    return "\n\n".join(parts) + "\n"
