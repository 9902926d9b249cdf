"""The commit of a record: what the code was, whatever else has changed in the folder."""

import shutil
import subprocess

import pytest

from anomask.runs import commit as commits


def git(folder, *arguments):
    name = ["-c", "user.name=n", "-c", "user.email=e@e"]
    done = subprocess.run(["git", *name, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_the_commit_is_dirty_where_code_or_conf_differ_and_nowhere_else(tmp_path, monkeypatch):
    module = tmp_path / "src/anomask/runs/commit.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/train.yaml").write_text("")
    (tmp_path / "results.md").write_text("")
    monkeypatch.setattr(commits, "__file__", str(module))
    assert commits.current_commit() is None
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "--short=12", "HEAD")
    assert commits.current_commit() == commit
    (tmp_path / "results.md").unlink()
    assert commits.current_commit() == commit
    (tmp_path / "conf/train.yaml").write_text("seed: 1")
    assert commits.current_commit() == f"{commit}-dirty"
