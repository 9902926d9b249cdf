"""The import contracts of pyproject.toml hold."""

import subprocess
import sys
from pathlib import Path


def test_import_contracts_hold():
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([tool], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "6 kept, 0 broken" in result.stdout
