"""Write constraints-hashed.txt: the digest of each file that pip would install. Run by `make hashes`.

Of Linux on x86-64 with Python 3.11, and without torch, whose build a machine chooses (docs/start/install.md).
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = """# constraints.txt with digests of the files, for Linux on x86-64 and Python 3.11; written by `make hashes`.
# torch comes first and is not among them: pip install torch==<its version in constraints.txt>, of the build you want.
#   pip install --require-hashes --no-deps -r constraints-hashed.txt
#   pip install --no-deps -e .
"""


def main() -> None:
    """Ask pip, and write the file."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if not line.startswith(("#", "torch=="))]
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder) / "wanted.txt", Path(folder) / "report.json"
        wanted.write_text("\n".join(pinned), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed"]
        subprocess.run([*pip, "--report", str(report), "-r", str(wanted)], check=True)
        (ROOT / "constraints-hashed.txt").write_text(HEAD + lines_of(report), encoding="utf-8")


def lines_of(report: Path) -> str:
    """Return a line for each package of pip's report."""
    lines = []
    for one in json.loads(report.read_text(encoding="utf-8"))["install"]:
        about, digest = one["metadata"], one["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{about['name']}=={about['version']} --hash=sha256:{digest}\n")
    return "".join(sorted(lines, key=str.lower))


if __name__ == "__main__":
    main()
