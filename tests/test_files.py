"""A folder is replaced as a whole or not at all."""

import pytest

from anomask.errors import ConfigError
from anomask.files import whole_folder


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
