"""The schemas of all commands. Hydra checks every key against them, so a typo is an error and not a silent default.

Groups that name a class with `_target_` are plain mappings here: the class's constructor is their schema.
"""

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
class ModelConfig:
    """Networks of both stages; `conf/model`."""

    network: dict[str, Any] | None = None  # of a detector of pixels; null: one of tokens, all that follows
    view: dict[str, Any] | None = None  # of a codebook, beside the slice
    width: int | None = None
    encoder: dict[str, Any] | None = None
    quantiser: dict[str, Any] | None = None
    decoder: dict[str, Any] | None = None
    classifier: dict[str, Any] | None = None
    refiner: dict[str, Any] | None = None
    classifier_input: str | None = None


@dataclass
class SynthesiserConfig:
    """Stage 2's synthetic anomalies; `conf/synthesiser`."""

    share: float = MISSING
    bound_by_lung: bool = MISSING
    token_share: float = MISSING
    salience: dict[str, Any] = MISSING
    location: dict[str, Any] = MISSING
    draw: dict[str, Any] = MISSING
    feature_space: dict[str, Any] = MISSING
    painter: dict[str, Any] | None = None


@dataclass
class LossConfig:
    """Losses of both stages; `conf/loss`."""

    codebook: dict[str, Any] = MISSING
    detector: dict[str, Any] = MISSING
    pixel: dict[str, Any] = MISSING


@dataclass
class ScoringConfig:
    """From probability and residual to map, score and threshold; `conf/scoring`."""

    anomaly_map: dict[str, Any] = MISSING
    image_score: dict[str, Any] = MISSING
    within_lung: bool = MISSING
    repair_rounds: int = MISSING
    mirror: bool = MISSING
    crops: dict[str, Any] | None = None
    specificity: float = MISSING
    pixel_specificity: float = MISSING


@dataclass
class StageConfig:
    """What is trained, and how; `conf/stage`."""

    name: str = MISSING
    optimisation: dict[str, Any] = MISSING
    monitor: str = MISSING
    monitor_mode: str = MISSING
    min_perplexity: float = MISSING
    cache: str = MISSING


@dataclass
class ConsoleConfig:
    """What every command says while it works, see `anomask.progress.show`."""

    progress: bool = MISSING
    quiet: bool = MISSING


@dataclass
class Config(ConsoleConfig):
    """One training run."""

    name: str = MISSING
    title: str = MISSING
    seed: int = MISSING
    codebook_run: str | None = None
    weights_run: str | None = None
    resume: str | None = None
    sweep: str | None = None
    run: str = MISSING
    verify: bool = MISSING
    data: dict[str, Any] = MISSING
    model: ModelConfig = field(default_factory=ModelConfig)
    synthesiser: SynthesiserConfig = field(default_factory=SynthesiserConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    baseline: dict[str, Any] | None = None
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    stage: StageConfig = field(default_factory=StageConfig)
    trainer: dict[str, Any] = MISSING
    logger: dict[str, Any] = MISSING
    callbacks: dict[str, dict[str, Any]] = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class FitConfig(Config):
    """Both stages and the evaluation; `conf/fit.yaml`."""

    # Merged after conf/train.yaml: without these, its parts that may be null would be set back to null.
    model: Any = MISSING
    synthesiser: Any = MISSING
    scoring: Any = MISSING
    folder: str | None = None
    dry: bool = MISSING


@dataclass
class ExternalConfig(ConsoleConfig):
    """One run of a model of another library; `conf/external.yaml`."""

    name: str = MISSING
    seed: int = MISSING
    run: str = MISSING
    python: str = MISSING
    runner: str | None = None
    keep: bool = MISSING
    data: dict[str, Any] = MISSING
    baseline: dict[str, Any] = MISSING
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    stage: StageConfig = field(default_factory=StageConfig)
    trainer: dict[str, Any] = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class EvaluateConfig(ConsoleConfig):
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


@dataclass
class ExportConfig(ConsoleConfig):
    """One export; `conf/export.yaml`."""

    run: str = MISSING
    output: str | None = None
    checkpoint: str = MISSING
    runs: str = MISSING


@dataclass
class DescribeConfig(ConsoleConfig):
    """What a detector is; `conf/describe.yaml`."""

    run: str = MISSING
    runs: str = MISSING


@dataclass
class PredictConfig(ConsoleConfig):
    """One prediction; `conf/predict.yaml`."""

    run: str = MISSING
    input: str = MISSING
    output: str | None = None
    checkpoint: str = MISSING
    runs: str = MISSING
    window: Any = None
    values: str = MISSING
    allow_gaps: bool = MISSING
    batch_size: int = MISSING
    min_pixels: int = MISSING
    names: str = MISSING
    maps: str = MISSING
    overlays: bool = MISSING
    limit: int | None = None
    strict: bool = MISSING
    device: str = MISSING


@dataclass
class CompareConfig(ConsoleConfig):
    """One comparison of two evaluations; `conf/compare.yaml`."""

    first: str = MISSING
    second: str = MISSING
    runs: str = MISSING
    name: str | None = None
    bootstrap: int = MISSING
    seed: int = MISSING


@dataclass
class PoolConfig(ConsoleConfig):
    """Several data folders as one; `conf/pool.yaml`."""

    folders: list[str] = MISSING
    output: str = MISSING


@dataclass
class TransplantConfig(ConsoleConfig):
    """One folder of transplants; `conf/transplant.yaml`."""

    hosts: str = MISSING
    donors: list[str] = MISSING
    half: str = MISSING
    validation_share: float = MISSING
    scales: list[float] = MISSING
    strengths: dict[str, float] = MISSING
    seed: int = MISSING
    output: str = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class RowConfig:
    """A row of a table: what makes its record, and what it is called."""

    run: str = MISSING  # overrides of anomask train
    codebook: str = ""  # overrides of the stage 1 that it stands on, beside experiment=codebook
    title: str | None = None  # None: the record's own
    pending: bool = False  # not measured on every set yet: where it has no record, the table names it below, as missing


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
class TablesConfig(ConsoleConfig):
    """One table; `conf/tables.yaml`."""

    paper_table: TableConfig = field(default_factory=TableConfig)
    records: str = MISSING
    rows: list[str] | None = None
    methods: dict[str, RowConfig] = MISSING
    output: str = MISSING
    bootstrap: int = MISSING
    seed: int = MISSING


@dataclass
class ReproduceConfig(ConsoleConfig):
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
class SweepConfig(ConsoleConfig):
    """One page of a sweep; `conf/sweep.yaml`."""

    sweep: str | None = None
    runs_of: str | None = None
    runs: str = MISSING


@dataclass
class PrepareConfig(ConsoleConfig):
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


@dataclass
class VerifyConfig(ConsoleConfig):
    """One check of a data folder; `conf/verify.yaml`."""

    folder: str | None = None
    seed: int = MISSING
    all: bool = MISSING
    data: dict[str, Any] = MISSING
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
