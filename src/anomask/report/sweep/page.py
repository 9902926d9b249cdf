"""The self-contained page of a sweep: what differs between its jobs, against the score they are chosen by."""

import html
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anomask.report.sweep.axes import axis
from anomask.report.sweep.jobs import FAILED, FIGURES, FINISHED, GONE, NOT_BEGUN, UNFINISHED, Job
from anomask.report.sweep.settings import ABSENT, Setting, compare, is_number, leading, show
from anomask.report.template import fill, read, script_json
from anomask.report.text import number

STATE = "failed: its note says why; unfinished: has a checkpoint to go on from; not begun: has none"
SCORE = "of the best checkpoint, on validation data"

Cell = tuple[str, float | str | None]  # as read, as sorted; None comes last


def page(title: str, jobs: Sequence[Job], folder: Path) -> str:
    """Return the page.

    Args:
        title: what is shown.
        jobs: at least one.
        folder: where the page will be; links are relative to it.
    """
    fields = {
        "TITLE": html.escape(title),
        "SUMMARY": html.escape(summary(jobs)),
        "SCRIPT": read("sweep/sweep.js"),
        "DATA": script_json(page_data(jobs, folder)),
    }
    return fill("sweep/sweep.html", fields)


def page_data(jobs: Sequence[Job], folder: Path) -> dict[str, Any]:
    """Return what the page's script draws: groups of columns, jobs with a cell a column, axes, constant settings."""
    differing, constant = compare([job.settings for job in jobs])
    known = [bool(job.settings) for job in jobs]
    kind = chosen_by(jobs)
    groups = _groups(jobs, differing, kind)
    columns = [cells for group in groups for cells in group.pop("cells")]
    axes = [_setting_axis(setting, followers, known) for setting, followers in leading(differing, known)]
    scores = _score_axis(jobs, kind)
    return {
        "groups": groups,
        "jobs": [
            {
                "name": job.name,
                "notes": job.notes + _other_score(job, kind),
                "links": [[text, relative(path, folder)] for text, path in job.links],
                "cells": [cells[index] for cells in columns],
            }
            for index, job in enumerate(jobs)
        ],
        "axes": axes,
        "score": scores,
        "mode": kind[1] if kind else None,
        "best": best(jobs),
        "constant": [[name, show(name, value)] for name, value in constant.items()],
    }


def summary(jobs: Sequence[Job]) -> str:
    """Say in a few sentences how far the sweep is, what its score is, and which job has the best one."""
    states = Counter(job.state for job in jobs)
    counts = ", ".join(f"{states[s]} {s}" for s in (FINISHED, FAILED, UNFINISHED, NOT_BEGUN, GONE) if states[s])
    text = f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}: {counts}."
    kind = chosen_by(jobs)
    if kind is None:
        return f"{text} None has a validation score yet."
    better = "higher" if kind[1] == "max" else "lower"
    text += f" Score: {kind[0]} of each job's best checkpoint, on validation data; {better} is better."
    chosen = best(jobs)
    return text if chosen is None else f"{text} Best: {jobs[chosen].name}, {jobs[chosen].score.value:.4g}."


def chosen_by(jobs: Sequence[Job]) -> tuple[str, str] | None:
    """Return monitor and mode of the score that most jobs have; scores of another kind cannot be compared with it."""
    kinds = Counter((job.score.monitor, job.score.mode) for job in jobs if job.score)
    return kinds.most_common(1)[0][0] if kinds else None


def best(jobs: Sequence[Job]) -> int | None:
    """Return the row of the finished job of the best score, or None."""
    kind = chosen_by(jobs)
    rows = [row for row, job in enumerate(jobs) if job.state == FINISHED and _comparable(job, kind)]
    if not rows:
        return None
    choose = max if kind[1] == "max" else min
    return choose(rows, key=lambda row: jobs[row].score.value)


def relative(path: Path, folder: Path) -> str:
    """Return the address of a file or folder on a page in `folder`."""
    return quote(Path(os.path.relpath(path.absolute(), folder.absolute())).as_posix()) + "/" * path.is_dir()


def _comparable(job: Job, kind: tuple[str, str] | None) -> bool:
    return job.score is not None and (job.score.monitor, job.score.mode) == kind


def _other_score(job: Job, kind: tuple[str, str] | None) -> list[str]:
    if job.score is None or _comparable(job, kind):
        return []
    return [f"chosen by {job.score.monitor} ({job.score.mode}): {job.score.value:.4g}, not comparable with {kind[0]}"]


def _groups(jobs: Sequence[Job], differing: Sequence[Setting], kind: tuple[str, str] | None) -> list[dict[str, Any]]:
    states = [(job.state, job.state) for job in jobs]
    scores = [_cell(job.score.value if _comparable(job, kind) else None, "{:.4g}") for job in jobs]
    minutes = [_cell(job.minutes, "{:.1f}") for job in jobs]
    groups = [
        _group("Job", "", [("state", STATE, states)]),
        _group("For choosing", "score", [(kind[0], SCORE, scores)] if kind else []),
        _group("Settings that differ", "setting", [_setting_column(setting) for setting in differing]),
        _group("Cost", "", [("training (min)", "without the codebook", minutes)]),
    ]
    for data in sorted({data for job in jobs for data in job.evaluations}):
        columns = []
        for figure in FIGURES:
            values = [job.evaluations.get(data, {}).get(figure) for job in jobs]
            if any(value is not None for value in values):
                columns.append((figure, f"on the test slices of {data}", [(number(v), v) for v in values]))
        groups.append(_group(f"Test figures on {data}: not for choosing", "test", columns))
    return [group for group in groups if group["columns"]]


def _group(label: str, kind: str, columns: Sequence[tuple[str, str, list[Cell]]]) -> dict[str, Any]:
    heads = [{"label": name, "title": title} for name, title, _ in columns]
    return {"label": label, "kind": kind, "columns": heads, "cells": [cells for _, _, cells in columns]}


def _setting_column(setting: Setting) -> tuple[str, str, list[Cell]]:
    texts = [show(setting.name, value) for value in setting.values]
    return setting.label, _full_name(setting), [(t, _order(v, t)) for t, v in zip(texts, setting.values, strict=True)]


def _order(value: Any, text: str) -> float | str | None:
    """Return what a value is sorted by: numbers by size, anything else as it is read."""
    if value is ABSENT:
        return None
    return value if is_number(value) and math.isfinite(value) else text


def _full_name(setting: Setting) -> str:
    return f"{setting.name} (and {', '.join(setting.also)})" if setting.also else setting.name


def _cell(value: float | None, shape: str) -> Cell:
    return ("–" if value is None else shape.format(value)), value


def _setting_axis(setting: Setting, followers: Sequence[Setting], known: Sequence[bool]) -> dict[str, Any]:
    laid = axis(setting.values, known, lambda value: show(setting.name, value))
    title = _full_name(setting)
    if followers:
        title += "; with it move " + ", ".join(follower.name for follower in followers)
    label = setting.label + (f" +{len(followers)}" if followers else "")
    return {"name": setting.name, "label": label, "title": title, **laid._asdict()}


def _score_axis(jobs: Sequence[Job], kind: tuple[str, str] | None) -> dict[str, Any] | None:
    known = [job.state == FINISHED and _comparable(job, kind) for job in jobs]
    if not any(known):
        return None
    values = [job.score.value if job.score else None for job in jobs]
    # A loss may span decades; a share such as AP is read on its own scale.
    laid = axis(values, known, "{:.4g}".format, log=kind[1] == "min")
    return {"label": kind[0], "title": "higher is better" if kind[1] == "max" else "lower is better", **laid._asdict()}
