"""From conf/ and the command line to settings: where conf/ is, what Hydra must know before, plain values afterwards."""

from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from anomask.settings import schema
from anomask.settings.key import HARMLESS, settings_key

SHIPPED = Path(__file__).parents[1] / "conf"  # inside the wheel; in a checkout a link to conf/ at its top
CONF_FOLDER = SHIPPED.resolve() if SHIPPED.is_dir() else Path(__file__).parents[3] / "conf"  # no links on some systems

SCHEMAS = {
    "schema": schema.Config,
    "fit_schema": schema.FitConfig,
    "external_schema": schema.ExternalConfig,
    "evaluate_schema": schema.EvaluateConfig,
    "predict_schema": schema.PredictConfig,
    "export_schema": schema.ExportConfig,
    "describe_schema": schema.DescribeConfig,
    "compare_schema": schema.CompareConfig,
    "transplant_schema": schema.TransplantConfig,
    "tables_schema": schema.TablesConfig,
    "reproduce_schema": schema.ReproduceConfig,
    "sweep_schema": schema.SweepConfig,
    "prepare_schema": schema.PrepareConfig,
    "pool_schema": schema.PoolConfig,
    "verify_schema": schema.VerifyConfig,
}


def schema_of(verb: str) -> type:
    """Return the schema of a command."""
    return SCHEMAS["schema" if verb == "train" else f"{verb}_schema"]


# Commands without config groups, which know conf/<verb>.yaml alone: no key of theirs (`device`) is taken for a group.
ALONE = ("evaluate", "predict")
SUFFIX = "_alone"  # of their names: Hydra takes a file and a stored config of one name for settings and their schema


def known_as(verb: str) -> str:
    """Return what the settings of a command are called where Hydra composes them."""
    return f"{verb}{SUFFIX}" if verb in ALONE else verb


def register() -> None:
    """Make the schemas known to Hydra, and the commands that are composed without conf/'s groups."""
    store = ConfigStore.instance()
    for name, node in SCHEMAS.items():
        store.store(name=name, node=node)
    for verb in ALONE:
        store.store(name=known_as(verb), node=OmegaConf.load(CONF_FOLDER / f"{verb}.yaml"), package="_global_")


def _key_of_root(_root_: DictConfig) -> str:
    values = {name: _root_[name] for name in _root_ if name == "run" or name not in ("hydra", *HARMLESS)}
    return settings_key({name: plain(v) if OmegaConf.is_config(v) else v for name, v in values.items()})


def plain(config: Any) -> dict[str, Any]:
    """Return settings as plain dicts, lists and numbers, every interpolation resolved."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


# At import and not in `register`: a launcher's worker process imports this module without running an entry point.
OmegaConf.register_new_resolver("first_set", lambda *values: next(v for v in values if v), replace=True)
OmegaConf.register_new_resolver("basename", lambda path: Path(path).name, replace=True)
OmegaConf.register_new_resolver("settings_key", _key_of_root, replace=True)
