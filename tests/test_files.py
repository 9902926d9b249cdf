"""A folder is replaced as a whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from anomask.errors import ConfigError
from anomask.files import NEW, _exchange, sweep, whole_folder


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_appears_whole_and_replaces_its_predecessor(tmp_path):
    for names in (("marker.json", "old/a.txt"), ("marker.json", "b.txt")):
        with whole_folder(tmp_path / "out", "marker.json") as folder:
            for name in names:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(name)
            assert not (tmp_path / "out").exists() or "b.txt" not in files_in(tmp_path / "out")
        assert files_in(tmp_path) == sorted(f"out/{name}" for name in names)


def test_an_error_leaves_what_was_there(tmp_path):
    with whole_folder(tmp_path / "out", "marker.json") as folder:
        (folder / "marker.json").write_text("first")
    with pytest.raises(OSError, match="disk full"), whole_folder(tmp_path / "out", "marker.json") as folder:
        (folder / "marker.json").write_text("half")
        raise OSError("disk full")
    assert (tmp_path / "out/marker.json").read_text() == "first" and files_in(tmp_path) == ["out/marker.json"]


@pytest.mark.parametrize("taken", ["out/thesis.tex", "out"])
def test_someone_elses_files_are_never_replaced(tmp_path, taken):
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("mine")
    refused = pytest.raises(ConfigError, match=r"holds other files \(no marker\.json\)")
    with refused, whole_folder(tmp_path / "out", "marker.json"):
        raise AssertionError("nothing is begun")
    assert files_in(tmp_path) == [taken]


WRITER = """
import sys
from pathlib import Path
from anomask.files import whole_folder
with whole_folder(Path(sys.argv[1]), None) as folder:
    (folder / "half.txt").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def begin(path):
    """Start a process that is in the middle of writing a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    return process


def write(path, text="whole"):
    with whole_folder(path, None) as folder:
        (folder / "whole.txt").write_text(text)


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path):
    with begin(tmp_path / "a") as dead, begin(tmp_path / "b") as alive:
        dead.kill()
        dead.wait()
        assert len(list(tmp_path.iterdir())) == 2 and files_in(tmp_path / "a") == []
        write(tmp_path / "c")
        (left,) = tmp_path.glob(".*.part")
        assert left.name.startswith(".b.")
        alive.communicate("", timeout=20)
    assert files_in(tmp_path) == ["b/half.txt", "c/whole.txt"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_kill_between_renames_costs_nothing(at_once, tmp_path, monkeypatch):
    """Where two folders cannot be exchanged at once, the earlier one comes back at the next start."""
    write(tmp_path / "out", "first")
    if not at_once:
        monkeypatch.setattr("anomask.files._exchange", lambda *_: False)
        renamed = Path.rename

        def killed(self, target):
            if self.name == NEW:
                raise KeyboardInterrupt
            return renamed(self, target)

        monkeypatch.setattr("anomask.files.shutil.rmtree", lambda *_, **__: None)  # a kill cleans nothing up
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "rename", killed)
            write(tmp_path / "out", "second")
        assert not (tmp_path / "out").exists()
        sweep(tmp_path)
        assert (tmp_path / "out/whole.txt").read_text() == "first"
        monkeypatch.undo()
    write(tmp_path / "out", "second")
    assert (tmp_path / "out/whole.txt").read_text() == "second" and files_in(tmp_path) == ["out/whole.txt"]


def test_two_folders_change_places_at_once(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, name)
    if not _exchange(tmp_path / "a", tmp_path / "b"):
        pytest.skip("not on this file system")
    assert [(tmp_path / name / "whole.txt").read_text() for name in "ab"] == ["b", "a"]
    assert not _exchange(tmp_path / "a", tmp_path / "nothing")
