"""The columns of the paper's tables: how each is read from a result record. Knows no torch."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from anomask.errors import ConfigError
from anomask.report.record.names import ANOMALY_MAP
from anomask.report.text import number

Record = dict[str, Any]


class Column(NamedTuple):
    """One column of a table."""

    title: str
    read: Callable[[Record], float | None]
    interval: tuple[str, str, str] | None = None  # figure, disease or 'all', and region ('' for slices) to resample
    best: bool = False  # whether the highest value is set in bold
    show: Callable[[float | None], str] = number
    paired: tuple[str, str] | None = None  # figure and region ('' for slices) that is tested against the reference row


def image(figure: str, group: str = "all") -> Callable[[Record], float | None]:
    """Read a figure of one disease against all normal slices, or of all diseases together."""
    return lambda record: _image(record, group).get(figure)


def _image(record: Record, group: str) -> dict[str, Any]:
    return next(row for row in record["image"] if row["group"] == group)


def pixel(figure: str, region: str, group: str = "all") -> Callable[[Record], float | None]:
    """Read a figure of the anomaly map on abnormal slices with masks; None where the data set has none."""
    return lambda record: _pixel(record, region, group).get(figure)


def _pixel(record: Record, region: str, group: str = "all") -> dict[str, Any]:
    wanted = {"group": group, "region": region, "map": ANOMALY_MAP}
    return next((row for row in record["pixel"] if wanted.items() <= row.items()), {})


def _within(region: str, part: str, figure: str) -> Callable[[Record], float | None]:
    return lambda record: (_pixel(record, region).get(part) or {}).get(figure)


def pixel_floor(region: str) -> Callable[[Record], float | None]:
    """Read the best AP of the maps without a model."""
    return lambda record: (_pixel(record, region).get("floor") or {}).get("ap")


def minutes(record: Record) -> float:
    """Return what training took, with the codebook that the method stands on."""
    cost = record["cost"]
    return (cost["seconds"] + cost.get("codebook", {}).get("seconds", 0.0)) / 60


def _step_ms(record: Record) -> float | None:
    cost = record["cost"]
    return 1e3 * cost["seconds"] / cost["steps"] if cost["steps"] else None


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _nothing(record: Record) -> None:
    return None


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _tenths(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


COLUMNS: dict[str, Column] = {
    "auroc": Column("AUROC", image("auroc"), ("auroc", "all", ""), True),
    "against": Column("AUROC less reference", _nothing, show=_signed, paired=("auroc", "")),
    "floor": Column("trivial floor", image("floor")),
    "within_patient": Column("AUROC within patient", image("within_patient_auroc"), None, True),
    # Records of before November 2026 lack it.
    "within_patient_floor": Column(
        "floor within patient", lambda record: _image(record, "all").get("within_patient_floor")
    ),
    "ap": Column("AP", image("ap"), ("ap", "all", ""), True),
    "sensitivity_at_90": Column("sensitivity at 90 %", image("sensitivity_at_90"), None, True),
    "sensitivity_at_95": Column("sensitivity at 95 %", image("sensitivity_at_95"), None, True),
    "ece": Column("calibration error", image("ece")),
    "host_wins": Column("above own host", image("host_wins"), None, True),
    "f1": Column("F1", image("f1"), None, True),
    "sensitivity": Column("sensitivity", image("sensitivity"), ("sensitivity", "all", "")),
    "specificity": Column("specificity", image("specificity"), ("specificity", "all", "")),
    "accuracy": Column("accuracy", image("accuracy"), None, True),
    "budget": Column("slices seen", lambda record: record["cost"]["slices_seen"], show=_whole),
    "step": Column("step (ms)", _step_ms, show=_whole),
    "synthesis": Column("synthesis (ms a slice)", lambda record: record["cost"].get("synthesis_ms_per_slice")),
    "memory": Column("peak memory (MB)", lambda record: record["cost"].get("peak_memory_mb"), show=_whole),
    "trained_size": Column("trained (M)", lambda record: record["cost"]["trained_parameters"] / 1e6, show=_tenths),
    "size": Column("parameters (M)", lambda record: record["cost"]["parameters"] / 1e6, show=_tenths),
    "training": Column("training (min)", minutes, show=_tenths),
    "detection": Column("detection (ms a slice)", lambda record: record["cost"]["detect_ms_per_slice"], show=_tenths),
}

for _prefix, _region, _where in (("pixel", "slice", ""), ("lung", "lung", " in the lung")):
    COLUMNS |= {
        f"{_prefix}_auroc": Column(f"pixel AUROC{_where}", pixel("auroc", _region), ("auroc", "all", _region), True),
        f"{_prefix}_ap": Column(f"pixel AP{_where}", pixel("ap", _region), ("ap", "all", _region), True),
        f"{_prefix}_against": Column(
            f"pixel AP{_where} less reference", _nothing, show=_signed, paired=("ap", _region)
        ),
        f"{_prefix}_floor": Column(f"floor AP{_where}", pixel_floor(_region)),
        f"{_prefix}_aupro": Column(f"AUPRO(0.3){_where}", pixel("aupro", _region), ("aupro", "all", _region), True),
        f"{_prefix}_ap_normals": Column(
            f"pixel AP with normal slices{_where}", _within(_region, "with_normals", "ap"), None, True
        ),
        f"{_prefix}_aupro_005": Column(f"AUPRO(0.05){_where}", pixel("aupro_005", _region), None, True),
        f"{_prefix}_ece": Column(f"calibration error of pixels{_where}", _within(_region, "with_normals", "ece")),
        f"{_prefix}_patient_dice": Column(
            f"Dice a patient{_where}", _within(_region, "patient_dice", "mean"), None, True
        ),
        f"{_prefix}_patient_dice_sd": Column(f"its sd over patients{_where}", _within(_region, "patient_dice", "sd")),
        f"{_prefix}_surface_dice": Column(f"surface Dice, 3 px{_where}", pixel("surface_dice", _region), None, True),
        f"{_prefix}_dice": Column(f"Dice{_where}", pixel("dice", _region), None, True),
        f"{_prefix}_iou": Column(f"IoU{_where}", pixel("iou", _region), None, True),
    }


def _of_disease(name: str, disease: str, record: Record) -> Column:
    row = _image(record, disease)
    return {
        "disease_auroc": Column(
            f"{disease} (n = {row['n_abnormal']})", image("auroc", disease), ("auroc", disease, ""), True
        ),
        "disease_floor": Column(f"floor, {disease}", image("floor", disease)),
        "disease_pixel_ap": Column(f"pixel AP, {disease}", pixel("ap", "slice", disease), None, True),
    }[name]


BY_DISEASE = ("disease_auroc", "disease_floor", "disease_pixel_ap")  # one column for each disease of the data set


def choose(names: Sequence[str], record: Record) -> dict[str, Column]:
    """Return the named columns; those by disease once for each disease that the record knows.

    Args:
        names: of `COLUMNS` and `BY_DISEASE`.
        record: any record of the data set.

    Raises:
        ConfigError: a name that is neither.
    """
    unknown = [name for name in names if name not in COLUMNS and name not in BY_DISEASE]
    if unknown:
        known = ", ".join([*COLUMNS, *BY_DISEASE])
        raise ConfigError(f"table column {', '.join(unknown)} is unknown; use some of {known}.")
    diseases = [row["group"] for row in record["image"] if row["group"] != "all"]
    masked = [disease for disease in diseases if _pixel(record, "slice", disease)]
    chosen = {}
    for name in names:
        if name in COLUMNS:
            chosen[name] = COLUMNS[name]
            continue
        for disease in masked if name == "disease_pixel_ap" else diseases:
            chosen[f"{name}_{disease}"] = _of_disease(name, disease, record)
    return chosen
