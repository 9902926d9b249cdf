"""Run files, records, tables and override strings changed at random: what is read, or our own error in one line."""

import json
import shutil
import time
from contextlib import suppress
from copy import deepcopy
from types import SimpleNamespace

import pytest
import yaml
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st

from anomask.cells import csv_text
from anomask.console.known import Known
from anomask.console.typed import read
from anomask.errors import AnomaskError
from anomask.evaluation.compare import compare
from anomask.evaluation.floors import read_floors
from anomask.prediction.predict import choose_window, decision_of
from anomask.prediction.run_model import card_of
from anomask.report.record.saved import read_clusters, read_scores
from anomask.report.sweep.jobs import read_job
from anomask.report.sweep.page import page
from anomask.report.tables.columns import COLUMNS, choose
from anomask.report.tables.rows import Resampling, cells, read_rows
from anomask.runs import Run, find_run
from anomask.runs.evaluations import find_evaluation
from anomask.runs.unfinished import remedy, require_finished
from anomask.settings.compose import register
from anomask.settings.resume import parse
from anomask.settings.schema import CompareConfig
from anomask.tracking.training import wandb_note
from anomask.training.resume import resumption
from tests.promises.fuzzing import thorough

LONGEST_S = 20.0
JSON = ("threshold.json", "normal_scores.json", "validation.json", "cost.json", "fingerprint.json", "wandb.json")
YAML = ("config.yaml", ".hydra/overrides.yaml")
RECORD, SCORES, PIXELS = (f"evaluation/toy/{name}" for name in ("record.json", "scores.csv", "pixels_slice.npz"))
FILES = (*JSON, *YAML, "failure.json", "floors.npz", RECORD, SCORES, PIXELS)
pytestmark = pytest.mark.slow
cases = thorough(400)

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from((1e999, -1e999, float("nan"), 10**400, "", "x", "=1", "${a}", "../..", [], {}, [[]], {"": None})),
    st.text(max_size=4),
)
places = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)  # a way down into a nested value
byte_changes = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=5), st.integers(0, 9)), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def home(evaluated_once, toy_folder, tmp_path_factory):
    """A run with everything, and a table's results."""
    home = tmp_path_factory.mktemp("fuzzed")
    shutil.copytree(evaluated_once / "runs/detector", home / "whole", symlinks=True)
    (home / "whole/evaluation" / toy_folder.name).rename(home / "whole/evaluation/toy")
    (home / "whole/.hydra").mkdir(exist_ok=True)
    (home / "whole/.hydra/overrides.yaml").write_text(yaml.safe_dump(["stage=detector"]))
    (home / "whole/wandb.json").write_text(json.dumps({"id": "abc", "step": 3}))
    (home / "whole/failure.json").write_text(json.dumps({"error": "DataError", "message": "no slices"}))
    register()
    return home


def changed(value, way, new):
    """Return a nested value with another one, or nothing, at some place."""
    whole = deepcopy(value)
    node = whole
    for depth, step in enumerate(way):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return whole
        key = keys[step % len(keys)]
        below = node[key]
        if depth == len(way) - 1 or not isinstance(below, dict | list) or not below:
            if new == "":
                del node[key]
            else:
                node[key] = new
            return whole
        node = below
    return whole


def use(run, home):
    """Use a run in every way that reads its files; only our own errors are kept to ourselves."""
    other = Run(home / "whole")
    opened = SimpleNamespace(settings=other.read_settings())
    evaluation = run.folder / "evaluation/toy"
    uses = [
        lambda: require_finished(run),
        lambda: remedy(run),
        lambda: find_run(str(run.folder), str(home), "detector"),
        lambda: decision_of(card_of(run, opened, "best")).percentile(0.5),
        lambda: choose_window(None, card_of(run, opened, "best")),
        run.read_validation,
        lambda: wandb_note(run),
        lambda: read_floors(run.floors_file),
        lambda: find_evaluation(run, "0"),
        lambda: read_scores(evaluation),
        lambda: read_clusters(evaluation, "slice"),
        lambda: compare(run, other, CompareConfig(first="", second="", name="toy", bootstrap=5, seed=0)),
        lambda: resumption(str(run.folder), str(home), parse(["trainer.max_steps=9"])),
        lambda: page("x", [read_job("x", run.folder, [])], home),
        lambda: _table(run, home),
    ]
    for one in uses:
        try:
            one()
        except AnomaskError as error:
            assert "\n" not in str(error), error


def _table(run, home):
    place = home / "results/row/seed0"
    shutil.rmtree(home / "results", ignore_errors=True)
    shutil.copytree(run.folder / "evaluation/toy", place)
    rows = read_rows(home / "results", {"row": None}, "Make it.")
    columns = [*choose(list(COLUMNS), rows[0].records[0]).values()]
    cells([rows[0], rows[0]._replace(key="other")], columns, Resampling(rows[0], 5, 0))


def fresh(home):
    """Return a copy of the run without its heavy files, which are linked."""
    place = home / "changed"
    shutil.rmtree(place, ignore_errors=True)
    heavy = shutil.ignore_patterns("checkpoints", "pictures", "overlays", "predictions")
    shutil.copytree(home / "whole", place, ignore=heavy)
    (place / "checkpoints").symlink_to(home / "whole/checkpoints")
    return Run(place)


@cases
@given(st.sampled_from((*JSON, *YAML, RECORD, "failure.json")), places, odd)
def test_a_value_that_is_not_what_it_should_be(home, name, way, new):
    run, start = fresh(home), time.monotonic()
    file = run.folder / name
    is_yaml = name in YAML
    value = yaml.safe_load(file.read_text()) if is_yaml else json.loads(file.read_text())
    with suppress(ValueError):  # a number of too many digits
        value = changed(value, way, new)
        file.write_text(yaml.safe_dump(value) if is_yaml else json.dumps(value))
    use(run, home)
    assert time.monotonic() - start < LONGEST_S


@cases
@given(st.sampled_from(FILES), byte_changes, st.floats(0, 1))
def test_bytes_at_random(home, name, changes, end):
    run, start = fresh(home), time.monotonic()
    file = run.folder / name
    content = bytearray(file.read_bytes())
    for share, new, removed in changes:
        place = int(share * len(content))
        content[place : place + removed] = new
    file.write_bytes(bytes(content[: int(len(content) * min(1, 2 * end))]))
    use(run, home)
    assert time.monotonic() - start < LONGEST_S


COLUMNS_OF_SCORES = ("path", "patient", "disease", "score", "lesion_donor", "note", "")
headers = st.lists(st.sampled_from(COLUMNS_OF_SCORES), max_size=7)
cells_of_scores = st.one_of(st.sampled_from(("a", "=1", "", "0.5", "nan", "1e999", "\n", '"')), st.text(max_size=4))


@cases
@given(
    st.lists(st.sampled_from(COLUMNS_OF_SCORES), max_size=7),
    st.lists(st.lists(cells_of_scores, max_size=7), max_size=5),
)
def test_tables_of_any_cells(home, header, rows):
    folder = home / "scores"
    folder.mkdir(exist_ok=True)
    (folder / "scores.csv").write_bytes(csv_text(header, rows).encode("utf-8", "surrogatepass"))
    with suppress(AnomaskError):
        assert [row["path"] for row in read_scores(folder)] == [row[header.index("path")] for row in rows]


SIGNS = "abc_.=+~[]{}()'\"$,: \\@!|-0123456789\t\n*"
WORDS = ("train", "data", "seed", "=", "trainer.max_steps", "1", "null", "${", "}", "folder", "[", "]", "'", "resume")
overrides = st.lists(
    st.one_of(st.text(SIGNS, max_size=12), st.lists(st.sampled_from(WORDS), max_size=5).map("".join)), max_size=3
)


@cases
@given(st.sampled_from(("train", "evaluate", "predict", "compare")), overrides)
def test_override_strings(verb, texts):
    """Our own errors, and Hydra's, which the command line puts into one line."""
    start = time.monotonic()
    with suppress(AnomaskError, SystemExit):
        parse(texts)
    with suppress(AnomaskError, HydraException, SystemExit):
        typed = read(verb, list(texts))
        Known(verb, typed.overrides, typed.flags.config_dir)
    assert time.monotonic() - start < LONGEST_S
