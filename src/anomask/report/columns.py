"""The columns of the paper's tables: how each is read from a result record. Knows no torch."""

from collections.abc import Callable
from typing import Any, NamedTuple

from anomask.report.text import number

Record = dict[str, Any]
ANOMALY_MAP = "anomaly map"


class Column(NamedTuple):
    """One column of a table."""

    title: str
    read: Callable[[Record], float | None]
    interval: Callable[[Record], dict[str, Any]] | None = None  # low and high, None where not defined
    best: bool = False  # whether the highest value is set in bold
    show: Callable[[float | None], str] = number


def image(figure: str) -> Callable[[Record], float | None]:
    """Read a figure of all diseases together."""
    return lambda record: _all(record)[figure]


def image_interval(figure: str) -> Callable[[Record], dict[str, Any]]:
    """Read the interval of a figure of all diseases together."""
    return lambda record: _all(record)["intervals"][figure]


def _all(record: Record) -> dict[str, Any]:
    return next(row for row in record["image"] if row["group"] == "all")


def pixel(figure: str, region: str) -> Callable[[Record], float | None]:
    """Read a figure of the anomaly map on abnormal slices with masks; None where the data set has none."""
    return lambda record: _pixel(record, region).get(figure)


def pixel_interval(figure: str, region: str) -> Callable[[Record], dict[str, Any]]:
    """Read the interval of a figure of the anomaly map."""
    return lambda record: _pixel(record, region).get("intervals", {}).get(figure, {})


def _pixel(record: Record, region: str) -> dict[str, Any]:
    wanted = {"group": "all", "region": region, "map": ANOMALY_MAP}
    return next((row for row in record["pixel"] if wanted.items() <= row.items()), {})


def pixel_floor(region: str) -> Callable[[Record], float | None]:
    """Read the best AP of the maps without a model."""
    return lambda record: (_pixel(record, region).get("floor") or {}).get("ap")


def minutes(record: Record) -> float:
    """Return what training took, with the codebook that the method stands on."""
    cost = record["cost"]
    return (cost["seconds"] + cost.get("codebook", {}).get("seconds", 0.0)) / 60


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _tenths(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


COLUMNS: dict[str, Column] = {
    "auroc": Column("AUROC", image("auroc"), image_interval("auroc"), True),
    "floor": Column("trivial floor", image("floor")),
    "within_patient": Column("AUROC within patient", image("within_patient_auroc"), None, True),
    "ap": Column("AP", image("ap"), image_interval("ap"), True),
    "f1": Column("F1", image("f1"), None, True),
    "sensitivity": Column("sensitivity", image("sensitivity"), image_interval("sensitivity")),
    "specificity": Column("specificity", image("specificity"), image_interval("specificity")),
    "accuracy": Column("accuracy", image("accuracy"), None, True),
    "budget": Column("slices seen", lambda record: record["cost"]["slices_seen"], show=_whole),
    "size": Column("parameters (M)", lambda record: record["cost"]["parameters"] / 1e6, show=_tenths),
    "training": Column("training (min)", minutes, show=_tenths),
    "detection": Column("detection (ms a slice)", lambda record: record["cost"]["detect_ms_per_slice"], show=_tenths),
}

for _prefix, _region, _where in (("pixel", "slice", ""), ("lung", "lung", " in the lung")):
    COLUMNS |= {
        f"{_prefix}_auroc": Column(
            f"pixel AUROC{_where}", pixel("auroc", _region), pixel_interval("auroc", _region), True
        ),
        f"{_prefix}_ap": Column(f"pixel AP{_where}", pixel("ap", _region), pixel_interval("ap", _region), True),
        f"{_prefix}_floor": Column(f"floor AP{_where}", pixel_floor(_region)),
        f"{_prefix}_aupro": Column(
            f"AUPRO(0.3){_where}", pixel("aupro", _region), pixel_interval("aupro", _region), True
        ),
        f"{_prefix}_dice": Column(f"Dice{_where}", pixel("dice", _region), None, True),
        f"{_prefix}_iou": Column(f"IoU{_where}", pixel("iou", _region), None, True),
    }
