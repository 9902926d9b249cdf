"""The schemas of the entries beside training; `config.py` has that of a training run and registers all."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING


@dataclass
class PathsConfig:
    """Where things are; `conf/paths`."""

    data: str = MISSING
    runs: str = MISSING
    cache: str = MISSING


@dataclass
class EvaluateConfig:
    """One evaluation; `conf/evaluate.yaml`."""

    run: str = MISSING
    checkpoint: str = MISSING
    runs: str = MISSING
    folder: str | None = None
    name: str | None = None
    batch_size: int = MISSING
    pictures: int = MISSING
    bootstrap: int = MISSING
    seed: int = MISSING
    maps: bool = MISSING
    wandb: str = MISSING
    wandb_project: str = MISSING
    device: str = MISSING
    progress: bool = MISSING


@dataclass
class PredictConfig:
    """One prediction; `conf/predict.yaml`."""

    run: str = MISSING
    input: str = MISSING
    output: str | None = None
    checkpoint: str = MISSING
    runs: str = MISSING
    window: Any = None
    batch_size: int = MISSING
    min_pixels: int = MISSING
    maps: str = MISSING
    overlays: bool = MISSING
    limit: int | None = None
    strict: bool = MISSING
    device: str = MISSING
    progress: bool = MISSING


@dataclass
class CompareConfig:
    """One comparison of two evaluations; `conf/compare.yaml`."""

    first: str = MISSING
    second: str = MISSING
    runs: str = MISSING
    name: str | None = None
    bootstrap: int = MISSING
    seed: int = MISSING


@dataclass
class TransplantConfig:
    """One folder of transplants; `conf/transplant.yaml`."""

    hosts: str = MISSING
    donors: list[str] = MISSING
    half: str = MISSING
    validation_share: float = MISSING
    scales: list[float] = MISSING
    strengths: dict[str, float] = MISSING
    seed: int = MISSING
    output: str = MISSING
    progress: bool = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class RowConfig:
    """A row of a table: what makes its record, and what it is called."""

    run: str = MISSING  # overrides of anomask.train
    codebook: str = ""  # overrides of the stage 1 that it stands on, beside experiment=codebook
    title: str | None = None  # None: the record's own


@dataclass
class TableConfig:
    """What a table shows; `conf/paper_table`."""

    number: int = MISSING
    title: str = MISSING
    columns: list[str] = MISSING
    against: str = MISSING
    rows: dict[str, RowConfig] = MISSING
    target: str | None = None  # of make, where the table has one of its own that makes its records; None: reproduce


@dataclass
class TablesConfig:
    """One table; `conf/tables.yaml`."""

    paper_table: TableConfig = field(default_factory=TableConfig)
    records: str = MISSING
    rows: list[str] | None = None
    methods: dict[str, RowConfig] = MISSING
    output: str = MISSING
    bootstrap: int = MISSING
    seed: int = MISSING


@dataclass
class ReproduceConfig:
    """The missing records of one table; `conf/reproduce.yaml`."""

    paper_table: TableConfig = field(default_factory=TableConfig)
    methods: dict[str, RowConfig] = MISSING
    dataset: str = MISSING
    seeds: int = MISSING
    rows: list[str] | None = None
    folder: str | None = None
    results: str = MISSING
    sweep: str = MISSING
    launch: str = MISSING
    dry: bool = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class SweepConfig:
    """One page of a sweep; `conf/sweep.yaml`."""

    sweep: str | None = None
    runs_of: str | None = None
    runs: str = MISSING


@dataclass
class PrepareConfig:
    """One preparation; `conf/prepare.yaml`."""

    input: str = MISSING
    output: str = MISSING
    source: str = MISSING
    groups: list[dict[str, Any]] = MISSING
    pattern: str = MISSING
    split: str = MISSING
    test_share: float = MISSING
    disease: str = MISSING
    patient: str = MISSING
    mask: str = MISSING
    mask_labels: list[int] | None = None
    mask_optional: bool = MISSING
    lung_mask: str = MISSING
    lung_labels: list[int] | None = None
    lesion_free: str = MISSING
    nodules: str = MISSING
    values: str = MISSING
    table: str = MISSING
    window: Any = MISSING
    bits: int = MISSING
    min_lung_share: float = MISSING
    lung_masks: str = MISSING
    allow_gaps: bool = MISSING
    pseudonymise: bool = MISSING
    key_file: str = MISSING
    workers: int = MISSING
    strict: bool = MISSING
    progress: bool = MISSING


@dataclass
class VerifyConfig:
    """One check of a data folder; `conf/verify.yaml`."""

    folder: str | None = None
    seed: int = MISSING
    all: bool = MISSING
    progress: bool = MISSING
    data: dict[str, Any] = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)
