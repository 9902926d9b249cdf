"""What makes two runs the same job: every setting counts but a named few that change no weight and no threshold."""

import hashlib
import json
from typing import Any

# What changes neither weights nor threshold of a run: where things are, what is logged and shown.
UNKEYED = ("run", "resume", "sweep", "verify", "paths", "logger", "callbacks", "progress", "quiet")
# What stage 1 does not read: a codebook stays the same whatever is set for stage 2, and is shared.
OF_STAGE_2 = ("synthesiser", "scoring", "model.classifier", "model.refiner", "model.classifier_input")
OF_STAGE_2 += ("loss.detector", "loss.pixel")


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
