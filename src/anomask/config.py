"""The schema of a run's settings. Hydra checks every key against it, so a typo is an error and not a silent default.

Groups that name a class with `_target_` are plain mappings here: the class's constructor is their schema.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from anomask import schemas
from anomask.schemas import PathsConfig

CONF_FOLDER = Path(__file__).parents[2] / "conf"

# What changes neither weights nor threshold of a run: where things are, what is logged and shown.
UNKEYED = ("run", "resume", "sweep", "verify", "paths", "logger", "callbacks")
# What stage 1 does not read: a codebook stays the same whatever is set for stage 2, and is shared.
OF_STAGE_2 = ("synthesiser", "scoring", "model.network", "model.view", "model.classifier", "model.refiner", "model.classifier_input")
OF_STAGE_2 += ("loss.detector", "loss.pixel")


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
class Config:
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
    callbacks: dict[str, Any] = MISSING
    paths: PathsConfig = field(default_factory=PathsConfig)


@dataclass
class ExternalConfig:
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


def register() -> None:
    """Make the schemas known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="schema", node=Config)
    store.store(name="external_schema", node=ExternalConfig)
    store.store(name="evaluate_schema", node=schemas.EvaluateConfig)
    store.store(name="predict_schema", node=schemas.PredictConfig)
    store.store(name="compare_schema", node=schemas.CompareConfig)
    store.store(name="transplant_schema", node=schemas.TransplantConfig)
    store.store(name="tables_schema", node=schemas.TablesConfig)
    store.store(name="reproduce_schema", node=schemas.ReproduceConfig)
    store.store(name="sweep_schema", node=schemas.SweepConfig)
    store.store(name="prepare_schema", node=schemas.PrepareConfig)
    store.store(name="verify_schema", node=schemas.VerifyConfig)


def settings_key(settings: dict[str, Any]) -> str:
    """Name resolved settings by 12 hex digits; equal names train the same weights and threshold.

    Args:
        settings: of a whole run, see `plain`; what is in `UNKEYED`, the progress bar and, for a codebook, what is in
            `OF_STAGE_2` do not count.
    """
    ignored = {*UNKEYED, "trainer.enable_progress_bar"}
    if settings.get("stage", {}).get("name") == "codebook":
        ignored.update(OF_STAGE_2)
    kept = {
        name: {key: part for key, part in value.items() if f"{name}.{key}" not in ignored}
        if isinstance(value, dict)
        else value
        for name, value in settings.items()
        if value is not None and name not in ignored
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def _key_of_root(_root_: DictConfig) -> str:
    values = {name: _root_[name] for name in _root_ if name not in ("hydra", *UNKEYED)}
    return settings_key({name: plain(v) if OmegaConf.is_config(v) else v for name, v in values.items()})


def plain(config: Any) -> dict[str, Any]:
    """Return settings as plain dicts, lists and numbers, every interpolation resolved."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


# At import and not in `register`: a launcher's worker process imports this module without running an entry point.
OmegaConf.register_new_resolver("first_set", lambda *values: next(v for v in values if v), replace=True)
OmegaConf.register_new_resolver("basename", lambda path: Path(path).name, replace=True)
OmegaConf.register_new_resolver("settings_key", _key_of_root, replace=True)
