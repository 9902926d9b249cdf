"""The figures of README's results are those of the records in results/."""

import json
import re
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import yaml

from anomask.data.transplants.lesions import half_of
from anomask.report.record.saved import read_clusters

ROOT = Path(__file__).parents[2]
METHODS = yaml.safe_load((ROOT / "conf/methods/default.yaml").read_text())
OURS = "anomask_tokens"  # the row that README quotes
OTHERS = [row for row, about in METHODS.items() if not row.startswith("anomask") and not about.get("pending")]
QUOTED = ("covidseg256", "transplants_test", "sarscov2ct224")  # the sets of README's rows
README = (ROOT / "README.md").read_text()


def row_of(text):
    """Return the figures of README's row that begins with `text`: ours, the best other's, the floor."""
    line = next(line for line in README.splitlines() if line.startswith(f"| {text}"))
    return [cell.strip().replace("*", "") for cell in line.strip("|").split("|")][2:]


def folders(data, row):
    found = sorted((ROOT / "results" / data / row).glob("seed*"))
    assert len(found) == 3, (data, row)
    return found


def spread(values):
    return f"{fmean(values):.3f} ± {stdev(values):.3f}"


def record_figure(part, group, figure):
    def read(folder):
        rows = json.loads((folder / "record.json").read_text())[part]
        return next(row for row in rows if row["group"] == group)[figure]

    return read


def lung_ap(folder, *halves):
    clusters = read_clusters(folder, "lung")
    names = sorted(clusters.held)
    counted = set().union(*(half_of(names, half) for half in halves))
    return float(clusters.figures(np.array([[name in counted for name in names]], float))["ap"][0])


def untouched_half(folder):
    """Pixel AP in the lung over the patients none of whose lesions chose a setting."""
    return lung_ap(folder, "test")


@pytest.mark.parametrize(
    ("text", "data", "figure"),
    [
        ("COVID-19, 5 patients", "covidseg256", untouched_half),
        ("Transplants", "transplants_test", record_figure("image", "all", "auroc")),
        ("COVID-19 slices", "sarscov2ct224", record_figure("image", "covid19", "auroc")),
    ],
)
def test_a_row_of_readme_is_what_the_records_say(text, data, figure):
    ours = [figure(folder) for folder in folders(data, OURS)]
    others = {row: [figure(folder) for folder in folders(data, row)] for row in OTHERS}
    best = max(others.values(), key=fmean)
    assert row_of(text)[:2] == [spread(ours), spread(best)]
    bold = re.findall(r"\*\*([^*]+)\*\*", next(line for line in README.splitlines() if line.startswith(f"| {text}")))
    assert bold == [spread(max(ours, best, key=fmean))]


def test_the_new_default_has_the_records_that_readme_quotes():
    seeds = {data: list((ROOT / "results" / data / "anomask").glob("seed*")) for data in QUOTED}
    assert {data: len(found) for data, found in seeds.items()} == dict.fromkeys(QUOTED, 1)
    figures = [
        untouched_half(seeds["covidseg256"][0]),
        record_figure("image", "all", "auroc")(seeds["transplants_test"][0]),
        record_figure("image", "covid19", "auroc")(seeds["sarscov2ct224"][0]),
    ]
    said = "{:.3f}, {:.3f} and {:.3f}".format(*figures)
    assert f"one training each, has {said} in these rows." in README
    page = " ".join((ROOT / "docs/evidence/headline.md").read_text().split())
    assert f"a record for each row: {said}." in page


def test_the_control_is_quoted_where_it_has_a_record():
    covid, slices = (ROOT / "results" / data / "painted_unet/seed0" for data in ("covidseg256", "sarscov2ct224"))
    first, third = untouched_half(covid), record_figure("image", "covid19", "auroc")(slices)
    assert f"it has {first:.3f} and {third:.3f} in the first and third." in " ".join(README.split())
    page = " ".join((ROOT / "docs/evidence/headline.md").read_text().split())
    assert f"seed 0: {first:.3f} in the first row and {third:.3f} in the third" in page


def test_the_floors_are_those_of_the_records():
    pixel = json.loads((folders("covidseg256", OURS)[0] / "record.json").read_text())["pixel"]
    lung = next(row for row in pixel if (row["group"], row["region"], row["map"]) == ("all", "lung", "anomaly map"))
    transplants = record_figure("image", "all", "floor")(folders("transplants_test", OURS)[0])
    slices = record_figure("image", "covid19", "floor")(folders("sarscov2ct224", OURS)[0])
    found = [row_of(text)[2] for text in ("COVID-19, 5 patients", "Transplants", "COVID-19 slices")]
    assert found == [f"{lung['floor']['ap']:.3f} (of 10)", f"{transplants:.3f}", f"{slices:.3f}"]


def test_what_readme_says_beside_the_rows():
    assert f"Best other of {len(OTHERS)}" in README
    figure = record_figure("image", "covid19", "auroc")
    winner = max(OTHERS, key=lambda row: fmean(figure(folder) for folder in folders("sarscov2ct224", row)))
    for folder in folders("sarscov2ct224", winner):  # "the winner's pixel AP there is below chance"
        rows = json.loads((folder / "record.json").read_text())["pixel"]
        whole = next(row for row in rows if (row["group"], row["map"]) == ("all", "anomaly map"))
        assert whole["ap"] < whole["prevalence"]


@pytest.mark.parametrize(
    ("text", "halves"),
    [
        ("all ten patients", ("development", "test")),
        ("the five whose lesions chose settings", ("development",)),
        ("**the five others**", ("test",)),
    ],
)
def test_the_halves_of_the_headline_page(text, halves):
    page = (ROOT / "docs/evidence/headline.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith(f"| {text} |"))
    ours, *others = ([lung_ap(folder, *halves) for folder in folders("covidseg256", row)] for row in (OURS, *OTHERS))
    assert re.findall(r"\d\.\d{3} ± \d\.\d{3}", line) == [spread(ours), spread(max(others, key=fmean))]
