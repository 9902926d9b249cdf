"""What makes two runs the same job: every setting counts but a named few that change no weight and no threshold."""

import hashlib
import json
from typing import Any

from anomask.settings.targets import renamed

# Where things are, how they are read, what is logged and shown.
HARMLESS = (
    *("run", "resume", "sweep", "verify", "progress", "quiet", "paths", "logger"),
    *("callbacks.progress", "callbacks.pictures", "callbacks.learning_rate"),
    *("callbacks.best.dirpath", "callbacks.last.dirpath"),  # of older runs
    *("trainer.enable_progress_bar", "trainer.enable_model_summary", "trainer.log_every_n_steps"),
    *("data.progress", "data.cache", "data.cache_folder", "data.cache_rate", "data.num_workers"),
)
# What stage 1 does not read: a codebook stays the same whatever is set for stage 2, and is shared.
OF_STAGE_2 = ("synthesiser", "scoring", "model.network", "model.view", "model.classifier", "model.refiner")
OF_STAGE_2 += ("model.classifier_input", "loss.detector", "loss.pixel")


def settings_key(settings: dict[str, Any]) -> str:
    """Name resolved settings by 12 hex digits; equal names train the same weights and threshold.

    Args:
        settings: of a whole run, see `plain`; what is in `HARMLESS` does not count, nor for a codebook `OF_STAGE_2`.
    """
    return hashlib.sha256(json.dumps(counted(settings), sort_keys=True).encode()).hexdigest()[:12]


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the names of the settings that make two runs different jobs, as on the command line."""
    one, other = (dict(_leaves(counted(settings))) for settings in (first, second))
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def counted(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that count, with the names that classes have today, wherever the run's folder is."""
    ignored = set(HARMLESS)
    if settings.get("stage", {}).get("name") == "codebook":
        ignored.update(OF_STAGE_2)
    kept = {name: value for name, value in renamed(settings).items() if value is not None}
    return moved(_without(kept, ignored), str(settings.get("run") or ""), "")


def moved(node: Any, before: str, after: str) -> Any:
    """Return settings in which every path below the folder `before` is below `after`."""
    if isinstance(node, dict):
        return {key: moved(value, before, after) for key, value in node.items()}
    if isinstance(node, list):
        return [moved(value, before, after) for value in node]
    inside = isinstance(node, str) and before and f"{node}/".startswith(f"{before.rstrip('/')}/")
    return after + node[len(before.rstrip("/")) :] if inside else node


def _without(node: dict[str, Any], ignored: set[str], above: str = "") -> dict[str, Any]:
    return {
        key: _without(value, ignored, f"{above}{key}.") if isinstance(value, dict) else value
        for key, value in node.items()
        if f"{above}{key}" not in ignored
    }


def _leaves(node: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in node.items():
        nested = isinstance(value, dict) and value
        found += _leaves(value, f"{above}{key}.") if nested else [(f"{above}{key}", value)]
    return found
