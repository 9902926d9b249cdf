"""Files that may be damaged: what fits a shape is read, everything else is one error that says what is wrong where."""

import json
from pathlib import Path

import numpy as np
import pytest

from anomask.errors import RunError
from anomask.reading import fault, read_arrays, read_csv, read_json, read_yaml
from anomask.report.record.saved import read_scores
from anomask.report.record.shapes import RECORD, SCORES

SHAPE = {"value": float, "count?": int, "rows": [{"name": str}], "note?": (str, None)}
RESULTS = Path(__file__).parents[1] / "results"


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"value": 1, "rows": []}, None),
        ({"value": 0.5, "rows": [{"name": "a", "more": 1}], "note": None, "count": 3}, None),
        ([], "it is [], wanted is a mapping"),
        ({"rows": []}, "it lacks value"),
        ({"value": True, "rows": []}, "value is True, wanted is a finite number"),
        ({"value": 1e999, "rows": []}, "value is inf, wanted is a finite number"),
        ({"value": "1", "rows": []}, "value is '1', wanted is a finite number"),
        ({"value": 1, "count": 1.5, "rows": []}, "count is 1.5, wanted is a whole number"),
        ({"value": 1, "rows": [{"name": "a"}, {"name": 2}]}, "rows[1].name is 2, wanted is a text"),
        ({"value": 1, "rows": {}}, "rows is {}, wanted is a list"),
        ({"value": 1, "rows": [], "note": 3}, "note is 3, wanted is a text"),
        ({"value": 10**400, "rows": []}, f"value is 1{'0' * 59}..., wanted is a finite number"),
    ],
)
def test_a_fault_says_what_and_where(value, wrong):
    assert fault(value, SHAPE) == wrong


def test_a_number_stands_for_itself():
    assert fault({"schema": 2}, {"schema?": 2}) is None and fault({}, {"schema?": 2}) is None
    assert fault({"schema": 3}, {"schema?": 2}) == "schema is 3, wanted is 2"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b""),
        ("a.json", b'{"value": 1, "rows"'),
        ("a.json", b'{"value": NaN, "rows": []}'),
        ("a.json", b"[" * 100_000),
        ("a.json", b"\xff\xfe\x00"),
        ("a.yaml", b"value: 2001-99-99\nrows: []"),
        ("a.yaml", b"? [a, {b: c}]\n: 1"),
        ("a.yaml", b"value: !!python/object/apply:os.system [true]"),
        ("a.yaml", b"\x00"),
        ("a.yaml", b"[" * 100_000),
        ("a.yaml", b"- " * 100_000),
        ("a.yaml", b"a: &a [1]\nb: [" + b"*a," * 60 + b"]"),
    ],
)
def test_damaged_files_are_one_error_with_a_remedy(name, content, tmp_path):
    file = tmp_path / name
    file.write_bytes(content)
    read = read_yaml if name.endswith("yaml") else read_json
    with pytest.raises(RunError, match=rf"{name} is damaged .*Do this\.") as error:
        read(file, SHAPE, "Do this.")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lacks the column path, patient, disease, score"),
        ("path,patient,disease\n", "lacks the column score"),
        ("path,patient,disease,score\na,b,c\n", "line 2 has 3 cells, the header 4"),
        ("path,patient,disease,score\na,b,c,high\n", "could not convert string to float"),
        ("path,patient,disease,score\na,b,c,nan\n", "line 2 has score nan"),
        ('path,patient,disease,score\n"a,b,c,1\n', "unexpected end of data"),
    ],
)
def test_damaged_tables_name_the_line(content, said, tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text(content)
    with pytest.raises(RunError, match=f"{said}.*Do this"):
        read_csv(file, SCORES, "Do this.")


@pytest.mark.parametrize(("rows", "said"), [("", "it has no slices"), ("a,b,c,1\na,b,c,2\n", "it has a slice twice")])
def test_scores_of_no_slice_or_of_one_twice_are_damaged(rows, said, tmp_path):
    (tmp_path / "scores.csv").write_text(f"path,patient,disease,score\n{rows}")
    with pytest.raises(RunError, match=f"{said}. Evaluate the run again"):
        read_scores(tmp_path)


def test_damaged_arrays_are_one_error(tmp_path):
    file = tmp_path / "a.npz"
    np.savez_compressed(file, a=np.arange(5000))
    whole = file.read_bytes()
    assert read_arrays(file, lambda arrays: arrays["a"][-1], "") == 4999
    for content in (b"", whole[:100], whole[:300] + b"\0" * 9 + whole[309:], b"PK\x03\x04" + b"\xff" * 50):
        file.write_bytes(content)
        with pytest.raises(RunError, match="is damaged .*Do this"):
            read_arrays(file, lambda arrays: arrays["a"][-1], "Do this.")
    file.write_bytes(whole)
    with pytest.raises(RunError, match="KeyError"):
        read_arrays(file, lambda arrays: arrays["b"], "Do this.")


def test_every_record_that_a_table_is_built_from_has_the_shape():
    files = sorted(RESULTS.glob("*/*/*/record.json"))
    assert len(files) > 200
    for file in files:
        assert fault(json.loads(file.read_text()), RECORD) is None, file
