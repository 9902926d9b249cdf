"""Prepare slices for training: volumes (DICOM series, NIfTI, MetaImage) or images in, a data folder out."""

import logging
import multiprocessing
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm.contrib.logging import logging_redirect_tqdm

from anomask import __version__
from anomask.data.volumes.account import USED, Account, table_of
from anomask.data.volumes.window import window_of
from anomask.errors import AnomaskError, ConfigError, DataError
from anomask.preparation.groups import Group, build_groups
from anomask.preparation.named_labels import check_labels
from anomask.preparation.output import Output
from anomask.preparation.plan import plan
from anomask.preparation.pseudonyms import Pseudonyms, read_key
from anomask.preparation.slices import Options, Outcome, prepare_unit, told
from anomask.preparation.units import Unit
from anomask.progress import bar

log = logging.getLogger(__name__)

LUNG_MASKS = ("given", "estimate")
IDENTITIES = 2  # how volumes are told from one another; folders that were prepared otherwise are not added to
LIBRARIES = ("numpy", "scipy", "pillow", "pydicom", "nibabel")


@dataclass
class Tally:
    """What a call did."""

    strict: bool
    written: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # slices by the reason for which they were left out
    kept: int = 0
    skipped: int = 0
    soft: list[str] = field(default_factory=list)  # masks with grey edges
    faults: list[AnomaskError] = field(default_factory=list)

    def told(self, output: str) -> str:
        """Return what was done, in words: of what there was none, nothing is said."""
        counted = {
            f"slices left out ({told(self.dropped)})": self.dropped.total(),
            "volumes or images that an earlier call had finished": self.kept,
            "series left out: no axial CT": self.skipped,
            "faults, each with its line above": len(self.faults),
        }
        parts = [f"{count} {what}" for what, count in counted.items() if count]
        return "; ".join([f"{self.written} slices written to {output}", *parts])

    def fault(self, error: AnomaskError) -> None:
        """Log a fault in one line and go on, or raise it where `strict`."""
        if self.strict:
            raise error
        log.error("%s: %s", type(error).__name__, error)
        self.faults.append(error)

    def add(self, unit: Unit, outcome: Outcome, account: Account) -> None:
        """Count a unit's outcome, and say in the account what became of its files."""
        self.written += len(outcome.rows)
        self.dropped += outcome.dropped
        self.soft += outcome.soft
        if outcome.skipped:
            self.skipped += 1
            log.info("left out: %s", account.relative(outcome.skipped))
        faults = iter(outcome.faults)
        for item in unit.items:
            entry = outcome.became.get(item.path)
            if entry is None:
                account.fault(next(faults), item.files)
            elif entry.status == USED:
                account.use(item.files, entry.why)
            else:
                account.leave(item.files, account.relative(entry.why))
        account.leave_slices(outcome.left_out)


def prepare(settings: dict[str, Any]) -> Tally:
    """Prepare an input folder or file.

    Args:
        settings: see `conf/prepare.yaml`.

    Raises:
        AnomaskError: settings or input that cannot be used at all; the first fault of a file where `strict`.
    """
    groups = build_groups(settings, settings["groups"])
    options = _options(settings)
    place, folder = Path(settings["input"]), Path(settings["output"])
    if folder.resolve().is_relative_to(place.resolve()) or place.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"output {folder} and input {place} lie in one another. Choose another output.")
    names = Pseudonyms(read_key(Path(settings["key_file"]), folder), plain=not settings["pseudonymise"])
    output = Output(folder)
    tally = Tally(settings["strict"])
    account = Account(place, tally.fault)
    planned = plan(place, groups, options.dataset, names, account)
    check_labels(planned)
    common = {
        "window": list(options.window),
        "bits": options.bits,
        "pseudonymised": settings["pseudonymise"],
        "key_check": names.digest("check", "key"),  # says whether the key is the same, and nothing else of it
        "identities": IDENTITIES,
    }
    output.begin(common)
    waiting = _waiting(planned, output, tally, account)
    try:
        outcomes = _run(waiting, folder, options, names, settings["workers"])
        with logging_redirect_tqdm():
            for unit, outcome in bar(outcomes, "prepare", "volume or image", len(waiting), settings["progress"]):
                tally.add(unit, outcome, account)
        account.report_missed()
    finally:
        rows = output.write_manifest()
        account.tell(table_of(folder))
    output.write_about(_about(common, settings, groups, rows))
    if tally.soft:
        text = "%d masks have grey edges (such as %s): what reaches half of the highest value counts as marked"
        log.warning(text, len(tally.soft), account.relative(tally.soft[0]))
    return tally


def _options(settings: dict[str, Any]) -> Options:
    if settings["lung_masks"] not in LUNG_MASKS:
        raise ConfigError(f"lung_masks is {settings['lung_masks']!r}; use one of {', '.join(LUNG_MASKS)}.")
    for key in ("min_lung_share", "test_share"):
        if not 0 <= settings[key] < 1:
            raise ConfigError(f"{key} is {settings[key]}; a share from 0 to below 1 is wanted.")
    if settings["bits"] not in (8, 16) or settings["workers"] < 1:
        raise ConfigError(f"bits is {settings['bits']} (8 or 16), workers {settings['workers']} (1 or more).")
    return Options(
        dataset=settings["source"],
        window=window_of(settings["window"]),
        **{key: settings[key] for key in ("bits", "min_lung_share", "lung_masks", "allow_gaps", "test_share")},
    )


def _waiting(units: list[Unit], output: Output, tally: Tally, account: Account) -> list[Unit]:
    waiting = []
    for unit in units:
        try:
            if output.is_finished(unit):
                tally.kept += 1
                for item in unit.items:
                    account.use(item.files, "prepared before")
            else:
                waiting.append(unit)
        except DataError as error:
            account.fault(error, (path for item in unit.items for path in item.files))
    for unit in waiting:  # all of them before the first is written: an image's new name may be another's old one
        output.forget(unit)
    return waiting


def _run(
    units: list[Unit], folder: Path, options: Options, names: Pseudonyms, workers: int
) -> Iterator[tuple[Unit, Outcome]]:
    if workers == 1 or len(units) < 2:
        for unit in units:
            yield unit, prepare_unit(unit, folder, options, names)
        return
    # spawn: a forked copy of a process with threads may hang.
    with ProcessPoolExecutor(min(workers, len(units)), multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(prepare_unit, unit, folder, options, names): unit for unit in units}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BrokenProcessPool as error:
            raise ConfigError(
                "a worker was killed, most likely for want of memory: each holds one volume. Start again with "
                "workers=1; what is finished is kept."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _about(common: dict[str, Any], settings: dict[str, Any], groups: list[Group], rows: list[Any]) -> dict[str, Any]:
    """Say how the folder came to be, without a path or a name of the input."""
    told = ("split", "disease", "values", "lesion_free", "mask_labels", "lung_labels")
    return {
        "common": common,
        "finished": True,
        "last_call": {
            **{key: settings[key] for key in ("source", "min_lung_share", "lung_masks", "allow_gaps", "test_share")},
            "groups": [{key: asdict(group)[key] for key in told} for group in groups],
        },
        "slices": len(rows),
        "patients": len({row["patient"] for row in rows if row["patient"]}),
        "versions": {"anomask": __version__, **{name: version(name) for name in LIBRARIES}},
    }
