"""Which code wrote a run or a record."""

import subprocess
from pathlib import Path


def current_commit() -> str | None:
    """Return the commit of the code that runs, ``-dirty`` behind it where code or conf differ, or None outside git."""
    package, folder = Path(__file__).parents[1], Path(__file__).parents[3]
    if package != folder / "src" / package.name:
        return None  # installed: a repository around it is somebody else's
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src", "conf"], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("-dirty" if changed else "")
