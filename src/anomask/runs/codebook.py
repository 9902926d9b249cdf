"""Taking the codebook of a trained stage 1."""

import logging
from typing import Any

from anomask.errors import CodebookError, ConfigError
from anomask.models.vqvae import VQVAE
from anomask.runs.folder import Run

log = logging.getLogger(__name__)

Settings = dict[str, Any]

# What must agree between a codebook run and the detector built on it, as paths into the settings.
SHARED_SETTINGS = (
    "data.size",
    "data.crop",
    "model.width",
    "model.encoder",
    "model.decoder",
    "model.quantiser.n_codes",
    "model.quantiser.depth",
    "model.quantiser.shared",
)


def load_codebook(vqvae: VQVAE, settings: Settings, run: Run) -> None:
    """Give a VQ-VAE the best weights of a codebook run.

    Args:
        vqvae: as the settings build it.
        settings: of the run that stands on it.
        run: the trained stage 1.

    Raises:
        ConfigError: the two runs' models or slice sizes differ.
        CodebookError: the codebook has collapsed.
        RunError: there is no whole checkpoint to take.
    """
    checkpoint = run.load_checkpoint("best")
    for path in SHARED_SETTINGS:
        theirs, ours = _at(checkpoint["settings"], path), _at(settings, path)
        if theirs != ours:
            raise ConfigError(
                f"the codebook of {run.folder} has {path} = {theirs}, this run wants {ours}. Use the codebook run's "
                "model and data size, or train a codebook with these."
            )
    state = checkpoint["state_dict"]
    vqvae.load_state_dict({name.removeprefix("vqvae."): value for name, value in state.items() if "vqvae." in name})
    perplexity, least = float(vqvae.quantiser.perplexity()), settings["stage"]["min_perplexity"]
    if perplexity < least:
        raise CodebookError(
            f"the codebook of {run.folder} has collapsed: {perplexity:.1f} effective codes of "
            f"{vqvae.quantiser.n_codes}, at least {least} are wanted (stage.min_perplexity). Train it "
            "longer or with more restarts."
        )
    log.info("codebook of %s: %.0f effective codes of %d", run.folder, perplexity, vqvae.quantiser.n_codes)


def _at(settings: Settings, path: str) -> Any:
    if path == "data.crop":
        return settings["data"].get("crop", "none")  # runs of before it have none
    for key in path.split("."):
        settings = settings[key]
    return {k: v for k, v in settings.items() if k != "weights"} if isinstance(settings, dict) else settings
