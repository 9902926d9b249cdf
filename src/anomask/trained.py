"""What a trained run decides with: its thresholds, those of the checkpoint that is asked."""

from typing import Any

from anomask.build import Stage, build_data
from anomask.errors import DataError, RunError
from anomask.report.record.threshold import thresholds
from anomask.runs.folder import Run
from anomask.stages.normals import score_normals


def decision(run: Run, stage: Stage, checkpoint: str) -> tuple[dict[str, Any], list[float] | None]:
    """Return the thresholds of a checkpoint, and the scores of the validation normals that they were fixed on.

    The best checkpoint's are in the run folder. Another's are fixed here, on the same normals.

    Args:
        run: its folder.
        stage: with the checkpoint's weights.
        checkpoint: `best` or `last`.

    Raises:
        RunError: there are none; or the data that the run learned from, which they are fixed on, are not to be had.
    """
    if checkpoint == "best":
        return run.read_threshold(), run.read_normal_scores()
    try:
        data = build_data(stage.settings, augment=None)
        data.prepare_data()
        data.setup("fit")
        known = run.read_fingerprint()
        if known is not None and known["sha256"] != data.fingerprint():
            raise DataError(f"{data.folder} has changed since")
    except DataError as error:
        raise RunError(
            f"checkpoint={checkpoint} of {run.folder} has no threshold, and none can be fixed without the data that it "
            f"learned from ({error}). Use checkpoint=best."
        ) from error
    normals, scoring = score_normals(stage, data.val_dataloader()), stage.settings["scoring"]
    scores = normals.scores.tolist()
    fixed = thresholds(scores, scoring["specificity"], normals.pixels, scoring["pixel_specificity"])
    return fixed, sorted(scores)
