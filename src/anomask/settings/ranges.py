"""What settings may be beside their types: numbers with which something can be learned, names that name a folder."""

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from anomask.errors import ConfigError

SWEEPS, CHECKPOINT = "sweeps", ".ckpt"  # what else lies below runs/, and what is looked for as a file
# Least and most of each setting, the ends included; a * stands for any names.
COUNT, NUMBER = (1, math.inf), (0, math.inf)
ABOVE_0, SHARE = (math.nextafter(0, 1), math.inf), (math.nextafter(0, 1), 1)
RANGES = {
    "seed": (0, 2**32 - 1),  # what numpy takes
    "data.size": (1, 4096),  # the largest slices that are read
    "data.num_workers": NUMBER,
    "trainer.max_steps": (-1, math.inf),  # -1: no limit
    "trainer.max_epochs": (-1, math.inf),
    "trainer.val_check_interval": ABOVE_0,
    "trainer.log_every_n_steps": NUMBER,
    "trainer.gradient_clip_val": NUMBER,
    "stage.optimisation.warmup_steps": NUMBER,
    "stage.optimisation.optimiser.lr": ABOVE_0,
    "stage.min_perplexity": NUMBER,
    "synthesiser.share": SHARE,
    "synthesiser.token_share": SHARE,
    "scoring.image_score.share": SHARE,
    "scoring.anomaly_map.*_sigma": NUMBER,
    "scoring.anomaly_map.residual_limit": ABOVE_0,
    "scoring.repair_rounds": NUMBER,
    "pictures": NUMBER,
    "bootstrap": NUMBER,
    "model.*.blocks": NUMBER,
}
PAINTER = "synthesiser.painter."
SHARES = ("image_share", "nodule_share", "coverage", "strength", "target", "least_rise", "blur", "noise")
RANGES |= dict.fromkeys((f"{PAINTER}{name}" for name in SHARES), (0, 1))
RANGES |= dict.fromkeys((f"{PAINTER}{name}" for name in ("scales_px", "radius_px", "edge")), ABOVE_0)
RANGES |= {f"{PAINTER}most_nodules": COUNT, f"{PAINTER}texture": NUMBER}
RANGES |= dict.fromkeys(("trainer.devices", "trainer.num_nodes", "trainer.accumulate_grad_batches"), COUNT)
RANGES |= dict.fromkeys(("batch_size", "data.batch_size", "seeds", "limit", "min_pixels", "workers"), COUNT)
RANGES |= dict.fromkeys((f"model.*{name}" for name in ("width", "n_codes", "depth", "heads", "channels")), COUNT)


def check_ranges(settings: Mapping[str, Any]) -> None:
    """Compare the numbers of a command's settings with `RANGES`, and see that its name stays in its folder.

    Args:
        settings: plain and resolved.

    Raises:
        ConfigError: the first one that cannot be meant.
    """
    name = settings.get("name")
    if name is not None and not _names_a_folder(name):
        raise ConfigError(f"name: got {name!r}, wanted the name of a folder, such as ours: no '..', not '{SWEEPS}'.")
    numbers = list(_numbers(settings, ""))
    for pattern, (least, most) in RANGES.items():
        for key, value in numbers:
            if fnmatchcase(key, pattern) and not least <= value <= most:
                raise ConfigError(f"{key}: got {value}, wanted {_told(least, most)}.")


def _names_a_folder(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and not {"/", ".."} & set(parts) and parts[0] != SWEEPS and not name.endswith(CHECKPOINT)


def _numbers(node: Any, key: str) -> Iterator[tuple[str, float]]:
    """Yield every number with its key; those of a list have the list's."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _numbers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list):
        for value in node:
            yield from _numbers(value, key)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield key, node


def _told(least: float, most: float) -> str:
    above = "more than 0" if 0 < least < 1 else f"{least} or more"
    if most == math.inf:
        return above
    return f"{above}, {most} at most"
