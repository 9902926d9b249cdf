"""What a run stands on: a trained codebook, or the weights of another run."""

from typing import Any

from anomask.build import needs_codebook
from anomask.errors import ConfigError
from anomask.runs import Run, find_run


def codebook_of(settings: dict[str, Any]) -> Run | None:
    """Return the run whose codebook a run stands on, or None where it stands on none.

    Raises:
        ConfigError: none is named, or one that would not be used.
        RunError: there is no such run.
    """
    if settings.get("weights_run"):
        return None
    if not needs_codebook(settings):
        if settings["stage"]["name"] == "detector" and settings["codebook_run"]:
            raise ConfigError(
                f"codebook_run={settings['codebook_run']} is given, and this detector has no codebook (model.view is "
                "null). Leave codebook_run out, or use model=unet_codebook (its view beside the slice) or "
                "experiment=detector_tokens or detector_paper."
            )
        return None
    if not settings["codebook_run"]:
        what = settings["baseline"]["_target_"] if settings["baseline"] else "stage=detector"
        raise ConfigError(f"{what} needs codebook_run=<run folder or run name> of a trained codebook.")
    return find_run(settings["codebook_run"], settings["paths"]["runs"], "codebook")


def weights_of(settings: dict[str, Any]) -> Run:
    """Return the detector run whose weights a run takes.

    Raises:
        RunError: there is no such run.
    """
    return find_run(settings["weights_run"], settings["paths"]["runs"], "detector")


def inherited_cost(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of what the run stands on: its codebook's, or the training of the run whose weights it takes."""
    if settings.get("weights_run"):
        bill = weights_of(settings).read_cost() or {}
        return {name: bill[name] for name in ("seconds", "steps", "slices_seen", "epochs", "codebook") if name in bill}
    run = codebook_of(settings)
    return {} if run is None else {"codebook": {"run": run.label, **(run.read_cost() or {})}}
