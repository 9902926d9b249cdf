"""Run folders: what is in one, how to find one, and which code wrote it."""

from anomask.runs.finding import find_run
from anomask.runs.folder import Run

__all__ = ["Run", "find_run"]
