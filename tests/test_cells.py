"""No cell of a table is a formula to a spreadsheet, and every text comes back as it was."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomask.cells import csv_text, neutral, restored
from anomask.reading import read_csv


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@x"])
def test_formulas_get_a_quote_that_is_taken_away_again(text):
    assert neutral(text) == f"'{text}" and restored(neutral(text)) == text


@pytest.mark.parametrize("cell", ["-0.5", "+1e-3", "-7", "a=b", "", "'quoted'", 3, None])
def test_numbers_and_harmless_texts_stay(cell):
    assert neutral(cell) == cell and (not isinstance(cell, str) or restored(cell) == cell)


@given(st.lists(st.text("=+-@'\t\r\n,\"a1 ", max_size=6), min_size=1, max_size=4))
def test_any_text_is_read_as_it_was_written(tmp_path_factory, cells):
    file = tmp_path_factory.getbasetemp() / "cells.csv"
    header = [f"c{index}" for index in range(len(cells))]
    text = csv_text(header, [cells])
    file.write_bytes(text.encode())
    assert list(read_csv(file, dict.fromkeys(header, str), "Write it again.")[0].values()) == cells
    raw = list(csv.reader(io.StringIO(text, newline="")))[1]
    assert not any(cell[:1] in ("=", "@", "\t", "\r") for cell in raw)
