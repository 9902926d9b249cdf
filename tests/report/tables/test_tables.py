"""Tables of the paper from records: hand-worked means, spreads and intervals; what is missing stops with a command."""

import csv
import json

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import open_dict

from anomask.errors import ConfigError, RunError
from anomask.metrics.pixel_clusters import N_COARSE, PixelClusters
from anomask.report.record.saved import read_clusters
from anomask.report.tables.columns import BY_DISEASE, COLUMNS, choose
from anomask.report.tables.formats import Filled, latex
from anomask.report.tables.paired import auroc_difference, pixel_difference
from anomask.report.tables.rows import Resampling, Row, cells, read_rows
from anomask.settings.compose import CONF_FOLDER, register
from anomask.settings.schema import RowConfig, TableConfig
from anomask.sweeps.table import build, remedy

REMEDY = "make reproduce TABLE=1 DATA=toy"


def record(auroc, **changes):
    interval = {"low": None, "high": None, "unit": "patient", "n_clusters": 7}
    image = {name: 0.5 for name in ("ap", "floor", "f1", "sensitivity", "specificity", "accuracy")}
    names = ("auroc", "ap", "sensitivity", "specificity")
    row = {"group": "all", "n_abnormal": 3, "n_normal": 4, "auroc": auroc, "within_patient_auroc": None, **image}
    row["intervals"] = dict.fromkeys(names, interval)
    covid = {**row, "group": "covid", "n_abnormal": 2, "auroc": auroc - 0.1}
    cost = {
        "slices_seen": 16000,
        "parameters": 2_500_000,
        "trained_parameters": 1_000_000,
        "seconds": 90.0,
        "steps": 100,
    }
    cost |= {
        "devices": "1 x 1 cpu",
        "cpu_threads": 2,
        "detect_ms_per_slice": 4.25,
        "peak_memory_mb": 800,
        "trained_parameters": 7,
    }
    pixel = [{"group": "covid", "region": "slice", "map": "anomaly map", "ap": 0.25, "intervals": {}}]
    about = {"method": {"name": "M_1", "family": "feature"}, "data": "toy", "commit": "abc", "pixel": pixel}
    return {
        **about,
        "image": [row, covid],
        "cost": cost,
        "bootstrap": {"unit": "patient"},
        "threshold": {"threshold": 0.3},
        **changes,
    }


def scores(*values, patients=None):
    """Write scores.csv's text: the first half of the slices is normal."""
    half = len(values) // 2
    patients = patients or [f"p{index}" for index in range(len(values))]
    rows = [f"s{i},{patients[i]},{'covid' if i >= half else ''},{value}" for i, value in enumerate(values)]
    return "\n".join(["path,patient,disease,score", *rows]) + "\n"


def save(folder, key, *records, values=(0.1, 0.2, 0.3, 0.15, 0.4, 0.5)):
    for seed, content in enumerate(records):
        file = folder / key / f"seed{seed}" / "record.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(content))
        file.with_name("scores.csv").write_text(scores(*values))


def row(key, *records, **about):
    return Row(key, dict(enumerate(records)), **about)


def settings(folder, *overrides):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        config = compose("tables", [f"records={folder}/toy", "paper_table.against=one", *overrides])
    with open_dict(config):
        config.paper_table.rows = {key: RowConfig(run="x") for key in ("one", "two")}
    return config


def test_mean_and_spread_over_seeds_and_the_best_in_bold():
    rows = [row("one", record(0.6), record(0.8)), row("two", record(0.65))]
    (first,), (second,) = cells(rows, [COLUMNS["auroc"]])
    assert first.mean == pytest.approx(0.7) and first.spread == pytest.approx(0.2 / 2**0.5) and first.bold
    assert second == (0.65, None, None, None, False, None)


def test_the_interval_of_a_mean_resamples_patients_and_seeds_together(tmp_path):
    """Two seeds that are perfect and blind: over patients alone, with ends averaged, it would end far above 0.5."""
    perfect = tuple(range(40))
    save(tmp_path, "one", record(1.0), record(0.5))
    (tmp_path / "one/seed0/scores.csv").write_text(scores(*perfect))
    (tmp_path / "one/seed1/scores.csv").write_text(scores(*[0.5] * 40))
    (one,) = read_rows(tmp_path, {"one": None}, REMEDY)
    ((auroc, specificity),) = cells([one], [COLUMNS["auroc"], COLUMNS["specificity"]], Resampling(one, 400, 0))
    assert auroc.low < 0.5 and auroc.high > 1.0  # seeds that differ so much leave the mean open
    assert specificity.low < 0.0 and specificity.mean == 0.5  # the records' own mean
    for file in tmp_path.glob("one/*/scores.csv"):
        file.write_text(scores(*perfect, patients=["a", "b", "c", "d"] * 10))
    ((few,),) = cells([one], [COLUMNS["auroc"]], Resampling(one, 400, 0))
    assert few.mean == 0.75 and few.low is None
    file.unlink()
    ((unknown,),) = cells([one], [COLUMNS["auroc"]], Resampling(one, 400, 0))
    assert unknown.low is None


def test_p_values_of_a_table_are_corrected_together(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    for key, strength in (("one", 1.2), ("two", 1.0), ("three", 0.0)):
        save(tmp_path, key, record(0.5), record(0.5))
        for file in (tmp_path / key).glob("*/scores.csv"):
            file.write_text(scores(*(rng.standard_normal(40) + strength * labels)))
    rows = read_rows(tmp_path, dict.fromkeys(("one", "two", "three")), REMEDY)
    alone = [cells([one], [COLUMNS["against"]], Resampling(rows[0], 400, 0))[0][0].p.value for one in rows[1:]]
    together = [cell.p and cell.p.value for (cell,) in cells(rows, [COLUMNS["against"]], Resampling(rows[0], 400, 0))]
    low, high = min(alone), max(alone)
    assert together == [None, *(2 * low if p == low else max(high, 2 * low) for p in alone)] and low < high


def test_all_three_formats_say_the_same(tmp_path, capsys):
    save(tmp_path / "toy", "one", record(0.6), record(0.8))
    codebook = record(0.9)
    codebook["cost"]["codebook"] = {"seconds": 30.0}
    save(tmp_path / "toy", "two", codebook)
    file = build(settings(tmp_path))
    text = file.read_text()
    assert capsys.readouterr().out == text
    lines = {line.split("|")[3].strip(): [cell.strip() for cell in line.split("|")] for line in text.splitlines()[4:6]}
    assert lines["2"][4] == "0.700 ± 0.141" and lines["1"][4] == "**0.900**"
    assert lines["1"][-3] == "2.0" and lines["2"][-3] == "1.5" and lines["2"][-5] == "16,000"  # minutes, slices
    assert "3 abnormal and 4 normal" in text and "abc" in text
    with file.with_suffix(".csv").open() as stream:
        found = list(csv.DictReader(stream))
    assert float(found[0]["auroc_mean"]) == pytest.approx(0.7) and found[1]["auroc_spread"] == ""
    tex = file.with_suffix(".tex").read_text()
    assert r"\textbf{0.900}" in tex and r"M\_1" in tex and "\\toprule" in tex and "–" not in tex.split("\n", 1)[1]


def test_columns_without_a_figure_are_left_out(tmp_path):
    save(tmp_path / "toy", "one", record(0.6))
    save(tmp_path / "toy", "two", record(0.6))
    header = build(settings(tmp_path, "paper_table.columns=[auroc,lung_ap,within_patient]")).read_text().splitlines()[2]
    assert "AUROC" in header and "lung" not in header and "patient" not in header


def test_a_row_may_have_a_title_of_its_own(tmp_path):
    save(tmp_path / "toy", "one", record(0.6))
    save(tmp_path / "toy", "two", record(0.6))
    config = settings(tmp_path)
    config.paper_table.rows.two.title = "r 0.1"
    text = build(config).read_text()
    assert "| r 0.1 " in text and "| M_1 " in text


def test_every_line_of_the_latex_has_as_many_cells_as_the_header():
    columns = choose([*COLUMNS, *BY_DISEASE], record(0.6))
    rows = [row("one", record(0.6))]
    filled = Filled("T", columns, rows, cells(rows, list(columns.values())), "about")
    body = latex(filled).split("\\toprule")[1].split("\\bottomrule")[0]
    assert {line.count(" & ") for line in body.splitlines() if "&" in line} == {len(columns) + 2}


def test_columns_by_disease_are_one_for_each_disease_of_the_records():
    columns = choose(["disease_auroc", "auroc", "disease_pixel_ap"], record(0.6))
    assert list(columns) == ["disease_auroc_covid", "auroc", "disease_pixel_ap_covid"]
    assert columns["disease_auroc_covid"].title == "covid (n = 2)"
    ((found, _, pixel),) = cells([row("one", record(0.6))], list(columns.values()))
    assert found.mean == pytest.approx(0.5) and pixel.mean == 0.25


@pytest.mark.parametrize("number", range(1, 10))
def test_every_table_of_the_paper_composes_and_its_columns_are_known(number):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        table = compose("tables", [f"paper_table=t{number}", "records=x"]).paper_table
    assert table.number == number and table.against in table.rows and len(table.rows) >= 7
    assert choose(table.columns, record(0.6))


def test_the_paired_difference_is_that_of_the_seeds_means(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    folders = {}
    for side, strength in (("one", 0.5), ("two", 2.5)):
        for seed in range(2):
            folder = tmp_path / side / f"seed{seed}"
            folder.mkdir(parents=True)
            (folder / "scores.csv").write_text(scores(*(rng.standard_normal(40) + strength * labels)))
            folders.setdefault(side, []).append(folder)

    def auroc(folder):
        values = np.array([float(line.split(",")[-1]) for line in (folder / "scores.csv").read_text().split()[1:]])
        return (values[20:, None] > values[None, :20]).mean()

    found = auroc_difference(folders["one"], folders["two"], 500, 0)
    means = [np.mean([auroc(folder) for folder in folders[side]]) for side in ("one", "two")]
    assert found.mean == pytest.approx(means[0] - means[1])
    assert found.low < found.mean < found.high < 0 and found.p.value < 0.05
    same = auroc_difference(folders["one"], folders["one"], 500, 0)
    assert (same.mean, same.low, same.high, same.p.value) == (0.0, 0.0, 0.0, 1.0)


def test_donors_of_lesions_are_resampled_where_any_evaluation_knows_them(tmp_path):
    """Hosts of one patient allow no interval; an earlier evaluation, which knew no donors, is paired all the same."""
    rng = np.random.default_rng(0)
    labels = np.repeat(["", "faint"], 20)
    for name, strength in (("old", 0.0), ("new", 3.0)):
        (tmp_path / name).mkdir()
        values = rng.standard_normal(40) + strength * (labels == "faint")
        lines = [
            f"{row},host,{f'd{row % 10},' if name == 'new' else ''}{label},{value}"
            for row, (label, value) in enumerate(zip(labels, values, strict=True))
        ]
        header = "path,patient,lesion_donor,disease,score" if name == "new" else "path,patient,disease,score"
        (tmp_path / name / "scores.csv").write_text("\n".join([header, *lines]))
    old, new = [tmp_path / "old"] * 2, [tmp_path / "new"] * 2
    first, second = auroc_difference(old, new, 200, 0), auroc_difference(new, old, 200, 0)
    assert first.high < 0 < second.low and first.p == second.p and first.p.value < 0.05
    assert auroc_difference(old, old, 200, 0).low is None


def test_pixels_of_patients_and_of_donors_are_compared_without_an_interval(tmp_path):
    rng = np.random.default_rng(0)
    write_clusters(tmp_path / "old", rng, 5)
    write_clusters(tmp_path / "new", rng, 5, names="mnopqrstuvwx", unit="lesion donor")
    found = pixel_difference([tmp_path / "old"], [tmp_path / "new"], "slice", "ap", 100, 0)
    assert abs(found.mean) < 0.2 and found.low is None and found.p is None


def test_one_training_each_has_no_p_value_and_seeds_must_pair(tmp_path):
    values = np.random.default_rng(0).random(40)
    save(tmp_path, "one", record(0.6), values=values + np.repeat([0, 1], 20))
    save(tmp_path, "two", record(0.6), record(0.6), values=values)
    one, two = ([tmp_path / key / f"seed{seed}" for seed in seeds] for key, seeds in (("one", [0]), ("two", [0, 1])))
    found = auroc_difference(one, two[:1], 200, 0)
    assert found.low > 0 and found.p is None
    with pytest.raises(RunError, match="1 evaluations cannot be paired with 2: the same seeds of both are wanted"):
        auroc_difference(one, two, 200, 0)


def test_other_slices_cannot_be_paired(tmp_path):
    save(tmp_path, "one", record(0.6))
    save(tmp_path, "two", record(0.6), values=(0.1, 0.2, 0.3, 0.4))
    with pytest.raises(RunError, match="hold scores of different slices"):
        auroc_difference([tmp_path / "one/seed0"], [tmp_path / "two/seed0"], 10, 0)


def write_clusters(folder, rng, shift, names="abcdefghijkl", unit="patient"):
    clusters = PixelClusters(unit)
    for name in names:
        held = np.zeros((4, N_COARSE))
        bins = rng.integers(0, 40, 50)
        held[1] += np.bincount(bins, minlength=N_COARSE)
        held[0] += np.bincount(bins + shift, minlength=N_COARSE)
        held[2], held[3, 0] = held[0] / 50, 1
        clusters.held[name] = held
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "pixels_slice.npz", **clusters.arrays())


def test_pixel_figures_are_paired_by_patient(tmp_path):
    rng = np.random.default_rng(0)
    write_clusters(tmp_path / "one", rng, 5)
    write_clusters(tmp_path / "two", rng, 30)
    found = pixel_difference([tmp_path / "one"] * 2, [tmp_path / "two"] * 2, "slice", "ap", 200, 0)
    assert found.low < found.mean < found.high < 0 and found.p.value < 0.05
    assert pixel_difference([tmp_path / "one"], [tmp_path / "two"], "lung", "ap", 200, 0) is None
    write_clusters(tmp_path / "three", rng, 5, names="abc")
    few = pixel_difference([tmp_path / "three"], [tmp_path / "three"], "slice", "ap", 200, 0)
    assert few == (0.0, None, None, None)
    with pytest.raises(RunError, match="hold pixels of different patients or slices"):
        pixel_difference([tmp_path / "one"], [tmp_path / "three"], "slice", "ap", 200, 0)


def test_damaged_pixel_histograms_are_one_error(tmp_path):
    write_clusters(tmp_path, np.random.default_rng(0), 5)
    file = tmp_path / "pixels_slice.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(RunError, match=r"pixels_slice\.npz is damaged .*Evaluate the run again"):
        read_clusters(tmp_path, "slice")


def test_the_reference_has_no_difference_from_itself(tmp_path):
    values = np.random.default_rng(0).random(40)
    save(tmp_path, "one", record(0.6), record(0.6), values=values + np.repeat([0, 1], 20))
    save(tmp_path, "two", record(0.6), record(0.6), values=values)
    rows = read_rows(tmp_path, {"one": None, "two": None}, REMEDY)
    (first,), (second,) = cells(rows, [COLUMNS["against"]], Resampling(rows[0], 50, 0))
    assert (
        first.mean is None and second.mean == 0.0 and second.low < 0 and second.p is not None
    )  # the records' own mean


def test_missing_records_stop_with_the_command_that_makes_them(tmp_path):
    save(tmp_path / "toy", "two", record(0.9))
    with pytest.raises(
        RunError,
        match=r"no records of one in .*toy\. Make them first: make .*TABLE=1 DATA=<trained on> FOLDER=<\.\.\./toy>",
    ):
        build(settings(tmp_path))
    assert not list(tmp_path.rglob("table*"))


def test_a_table_of_some_rows_needs_no_records_of_the_others(tmp_path):
    save(tmp_path / "toy", "one", record(0.9))
    made = build(settings(tmp_path, "rows=[one]"))
    assert made.name == "table1_some.md" and len(made.with_suffix(".csv").read_text().splitlines()) == 2
    with pytest.raises(ConfigError, match=r"rows names unet, table 1 has: one, two\."):
        build(settings(tmp_path, "rows=[one,unet]"))
    with pytest.raises(ConfigError, match="the reference against=one is no row; use one of two"):
        build(settings(tmp_path, "rows=[two]"))


def test_a_pending_row_without_records_is_named_below_the_table_unless_it_is_asked_for(tmp_path):
    save(tmp_path / "toy", "one", record(0.9))
    config = settings(tmp_path)
    with open_dict(config):
        config.paper_table.rows["two"].pending = True
    made = build(config)
    assert made.name == "table1.md" and made.read_text().rstrip().endswith("No records yet: two.")
    assert len(made.with_suffix(".csv").read_text().splitlines()) == 2
    save(tmp_path / "toy", "two", record(0.8))
    text = build(config).read_text()
    assert "No records yet" not in text and len(made.with_suffix(".csv").read_text().splitlines()) == 3
    with open_dict(config):
        config.rows = ["one", "two"]
    (tmp_path / "toy/two/seed0/record.json").unlink()
    with pytest.raises(RunError, match="no records of two"):
        build(config)


def test_damaged_and_old_records_are_errors(tmp_path):
    save(tmp_path, "one", record(0.9))
    file = tmp_path / "one/seed0/record.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(RunError, match=f"is damaged .* make it again: {REMEDY}"):
        read_rows(tmp_path, {"one": None}, REMEDY)
    file.write_text("{}")
    with pytest.raises(
        RunError, match="of another version: it lacks data, commit, method, bootstrap, threshold, cost, image, pixel"
    ):
        read_rows(tmp_path, {"one": None}, REMEDY)


def test_unknown_columns_and_references_are_errors(tmp_path):
    save(tmp_path / "toy", "one", record(0.9))
    save(tmp_path / "toy", "two", record(0.9))
    with pytest.raises(ConfigError, match="table column nonsense is unknown; use some of auroc"):
        build(settings(tmp_path, "paper_table.columns=[nonsense]"))
    with pytest.raises(ConfigError, match="the reference against=three is no row; use one of one, two"):
        build(settings(tmp_path, "paper_table.against=three"))


def test_a_missing_record_names_the_command_for_its_data():
    plain, own = TableConfig(number=3), TableConfig(number=9, target="study9")
    assert remedy(plain, "covidseg256") == "make reproduce TABLE=3 DATA=covidseg256"
    assert remedy(own, "transplants_development") == "make study9"
