"""Do the labels that the settings name occur in the masks? Asked before anything is written."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from anomask.data.volumes.images import is_image, labels_of_image
from anomask.errors import ConfigError, DataError
from anomask.preparation.units import Unit
from anomask.preparation.volume_masks import labels_of_volume

log = logging.getLogger(__name__)


def check_labels(units: Sequence[Unit]) -> None:
    """Raise a ConfigError where a label that is to count occurs in no mask of its group, and others do.

    Lesions under another label than the one that is named would make their slices normal ones. Masks are read until
    all labels have been seen, mostly one or two; those that cannot be read are reported when their turn comes.
    """
    masks: dict[tuple[str, str, tuple[int, ...]], list[Path]] = defaultdict(list)
    for item in (item for unit in units for item in unit.items):
        group = item.group
        for option, pattern, labels, path in (
            ("mask_labels", group.mask, group.mask_labels, item.mask),
            ("lung_labels", group.lung_mask, group.lung_labels, item.lung_mask),
        ):
            if labels is not None and path is not None:
                masks[option, pattern, tuple(labels)].append(path)
    for (option, pattern, labels), paths in masks.items():
        seen = _labels_in(paths, labels)
        missing = sorted(set(labels) - seen)
        if not missing or not seen:
            continue
        text = f"{option} names {missing}, which occurs in none of the {len(paths)} masks {pattern!r}; they hold "
        text += f"{sorted(seen)[:20]}."
        if seen - set(labels):
            raise ConfigError(f"{text} Name the labels that count, and those alone.")
        log.warning(text)


def _labels_in(paths: Sequence[Path], wanted: tuple[int, ...]) -> set[int]:
    seen: set[int] = set()
    for path in paths:
        if set(wanted) <= seen:
            break
        try:
            seen |= (labels_of_image if is_image(path) else labels_of_volume)(path, wanted)
        except DataError:
            continue
    return seen
