"""Tables of the paper from records: hand-worked means, spreads and intervals; what is missing stops with a command."""

import csv
import json

import pytest
from hydra import compose, initialize_config_dir

from anomask.config import CONF_FOLDER, register
from anomask.errors import ConfigError, RunError
from anomask.report.columns import COLUMNS
from anomask.report.paper_table import Row, cells, read_rows
from anomask.report.table_formats import latex
from anomask.tables import build


def record(auroc, low=None, high=None, **changes):
    interval = {"low": low, "high": high, "unit": "patient", "n_clusters": 7}
    image = {name: 0.5 for name in ("ap", "floor", "f1", "sensitivity", "specificity", "accuracy")}
    names = ("auroc", "ap", "sensitivity", "specificity")
    row = {"group": "all", "n_abnormal": 3, "n_normal": 4, "auroc": auroc, "within_patient_auroc": None, **image}
    row["intervals"] = dict.fromkeys(names, interval)
    cost = {"slices_seen": 16000, "parameters": 2_500_000, "seconds": 90.0, "detect_ms_per_slice": 4.25}
    cost |= {"devices": "1 x 1 cpu", "cpu_threads": 2}
    about = {"method": {"name": "M_1", "family": "feature"}, "data": "toy", "commit": "abc", "pixel": []}
    return {**about, "image": [row], "cost": cost, "bootstrap": {"unit": "patient"}, **changes}


def save(folder, key, *records):
    for seed, content in enumerate(records):
        file = folder / key / f"seed{seed}" / "record.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))


def settings(folder, *overrides):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return compose("tables", [f"records={folder}/toy", "methods=[one,two]", *overrides])


def test_mean_spread_and_interval_over_seeds_and_the_best_in_bold():
    rows = [Row("one", [record(0.6, 0.5, 0.7), record(0.8, 0.6, 0.9)]), Row("two", [record(0.65)])]
    (first,), (second,) = cells(rows, [COLUMNS["auroc"]])
    assert first.mean == pytest.approx(0.7) and first.spread == pytest.approx(0.2 / 2**0.5)
    assert (first.low, first.high) == pytest.approx((0.55, 0.8)) and first.bold
    assert second == (0.65, None, None, None, False)


def test_all_three_formats_say_the_same(tmp_path, capsys):
    save(tmp_path / "toy", "one", record(0.6, 0.5, 0.7), record(0.8, 0.6, 0.9))
    codebook = record(0.9)
    codebook["cost"]["codebook"] = {"seconds": 30.0}
    save(tmp_path / "toy", "two", codebook)
    file = build(settings(tmp_path))
    text = file.read_text()
    assert capsys.readouterr().out == text
    lines = {line.split("|")[3].strip(): [cell.strip() for cell in line.split("|")] for line in text.splitlines()[4:6]}
    assert lines["2"][4] == "0.700 ± 0.141 [0.550, 0.800]" and lines["1"][4] == "**0.900**"
    assert lines["1"][-3] == "2.0" and lines["2"][-3] == "1.5" and lines["2"][-5] == "16,000"  # minutes, slices
    assert "3 abnormal and 4 normal" in text and "abc" in text
    with file.with_suffix(".csv").open() as stream:
        found = list(csv.DictReader(stream))
    assert float(found[0]["auroc_mean"]) == pytest.approx(0.7) and found[1]["auroc_spread"] == ""
    tex = file.with_suffix(".tex").read_text()
    assert r"\textbf{0.900}" in tex and r"M\_1" in tex and "\\toprule" in tex and "–" not in tex.split("\n", 1)[1]


def test_every_line_of_the_latex_has_as_many_cells_as_the_header(tmp_path):
    rows = [Row("one", [record(0.6)])]
    body = latex("T", rows, list(COLUMNS), "about").split("\\toprule")[1].split("\\bottomrule")[0]
    assert {line.count(" & ") for line in body.splitlines() if "&" in line} == {len(COLUMNS) + 2}


def test_missing_records_stop_with_the_commands_that_make_them(tmp_path):
    save(tmp_path / "toy", "two", record(0.9))
    with pytest.raises(
        RunError, match=r"no records of one in .*toy\. Make them first: make .*toy/one/seed0/record.json"
    ):
        build(settings(tmp_path))
    assert not list(tmp_path.rglob("table*"))


def test_damaged_and_old_records_are_errors(tmp_path):
    save(tmp_path, "one", record(0.9))
    file = tmp_path / "one/seed0/record.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(RunError, match="is no JSON .* make -B"):
        read_rows(tmp_path, ["one"])
    file.write_text("{}")
    with pytest.raises(RunError, match="lacks bootstrap, commit, cost.*an older version wrote it"):
        read_rows(tmp_path, ["one"])


def test_an_unknown_column_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="table column auroq is unknown; use some of auroc"):
        build(settings(tmp_path, "paper_table.columns=[auroq]"))


@pytest.mark.parametrize("table", sorted(path.stem for path in (CONF_FOLDER / "paper_table").glob("*.yaml")))
def test_every_table_names_known_columns_and_methods_that_have_experiments(table):
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        config = compose("tables", [f"paper_table={table}", "records=results/toy"])
    assert set(config.paper_table.columns) <= COLUMNS.keys()
    experiments = {path.stem for path in (CONF_FOLDER / "experiment").glob("*.yaml")}
    named = {row: row.replace("anomask", "detector") for row in config.paper_table.rows}
    assert all(experiments & {f"baseline_{row}", other} for row, other in named.items())
