"""The figures of a sweep's page: which settings differ, what they are called, where they stand; damage is a note."""

import json
import math
import re

import pytest
from hydra import compose, initialize_config_dir

from anomask.errors import RunError
from anomask.report.sweep.axes import axis
from anomask.report.sweep.jobs import FAILED, FINISHED, GONE, NOT_BEGUN, UNFINISHED, linked_jobs, read_job
from anomask.report.sweep.page import best, page, page_data, relative, summary
from anomask.report.sweep.settings import ABSENT, compare, leading, shortest, show
from anomask.runs.folder import Run
from anomask.settings.compose import CONF_FOLDER, register
from anomask.sweeps.summarise import NO_SETTINGS, summarise
from tests.report.sweep_folders import make_job, make_sweep, record, write_json

LR = "stage.optimisation.optimiser.lr"


def jobs_of(sweep):
    return [read_job(*found, NO_SETTINGS) for found in linked_jobs(sweep)]


def data_of(sweep):
    """The page's data, with the columns' labels beside the cells they head."""
    data = page_data(jobs_of(sweep), sweep)
    json.dumps(data, allow_nan=False)
    heads = [column["label"] for group in data["groups"] for column in group["columns"]]
    return data, {job["name"]: dict(zip(heads, job["cells"], strict=True)) for job in data["jobs"]}


def settings(folder, *overrides):
    register()
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        return compose("sweep", [f"runs={folder}", *overrides])


def test_a_failed_job_says_why_until_it_is_finished(tmp_path):
    folder = make_job(tmp_path, "shares", "g", (0.2, 1e-4, 1), finished=False)
    write_json(folder / "failure.json", {"error": "DataError", "message": "n000.png is cut off."})
    job = read_job("toy_g", folder, [])
    assert (job.state, job.notes) == (FAILED, ["failed: n000.png is cut off."])
    assert "1 job: 1 failed." in summary([job])
    (folder / "failure.json").write_text("{")
    (note,) = read_job("toy_g", folder, []).notes
    assert note.startswith("failure.json cannot be used: is damaged (JSONDecodeError: ")
    write_json(folder / "cost.json", {"seconds": 1.0})
    assert read_job("toy_g", folder, []).state == FINISHED


def test_the_table_holds_what_the_run_folders_say(tmp_path):
    data, rows = data_of(make_sweep(tmp_path))
    assert [group["label"] for group in data["groups"]] == [
        "Job",
        "For choosing",
        "Settings that differ",
        "Cost",
        "Test figures on toy: not for choosing",
    ]
    assert {name: row["state"][0] for name, row in rows.items()} == {
        **dict.fromkeys(("toy_a", "toy_b", "toy_c", "toy_d"), FINISHED),
        "toy_e": UNFINISHED,
        "toy_f": NOT_BEGUN,
    }
    assert rows["toy_c"] == {
        "state": ("finished", "finished"),
        "val/synthetic_ap": ("0.93", 0.93),
        "seed": ("1", 1),
        "codebook_run": ("toy_codebook_seed1",) * 2,
        "synthesiser.share": ("0.05", 0.05),
        "lr": ("0.0001", 1e-4),
        "training (min)": ("1.5", 1.5),
        "slice AUROC": ("–", None),
        "slice AP": ("–", None),
        "pixel AP": ("–", None),
    }
    assert rows["toy_a"]["slice AUROC"] == ("0.700", 0.7) and rows["toy_a"]["pixel AP"] == ("0.300", 0.3)
    assert rows["toy_e"]["val/synthetic_ap"] == ("–", None)
    assert data["jobs"][data["best"]]["name"] == "toy_c"  # by the validation score, not by the test figures


def test_full_names_what_follows_and_what_is_constant_are_told(tmp_path):
    data, _ = data_of(make_sweep(tmp_path))
    titles = {column["label"]: column["title"] for group in data["groups"] for column in group["columns"]}
    assert titles["seed"] == "seed (and data.seed)" and titles["lr"] == LR
    axes = {axis["label"]: axis for axis in data["axes"]}
    assert list(axes) == ["seed +1", "synthesiser.share", "lr"]  # the codebook merely moves with the seed
    assert axes["seed +1"]["title"].endswith("with it move codebook_run")
    assert axes["lr"]["kind"] == "log" and axes["synthesiser.share"]["kind"] == "linear"
    assert dict(data["constant"]) == {
        "data.folder": "toy",
        "synthesiser.location._target_": "blobs",
        "scoring.image_score.share": "0.01",
        "stage.name": "detector",
        "trainer.max_steps": "500",
    }


def test_links_lead_from_the_page_to_files_that_are_there(tmp_path):
    sweep = make_sweep(tmp_path)
    data, _ = data_of(sweep)
    links = {job["name"]: dict(job["links"]) for job in data["jobs"]}
    assert links["toy_a"] == {
        "report toy": "toy_a/evaluation/toy/report.html",
        "pictures": "toy_a/pictures/",
        "config": "toy_a/config.yaml",
        "folder": "toy_a/",
    }
    assert list(links["toy_e"]) == ["config", "folder"]
    assert all((sweep / href).exists() for of_job in links.values() for href in of_job.values())
    assert relative(tmp_path / "x/a #?%:b", tmp_path / "x") == "a%20%23%3F%25%3Ab"


def test_the_files_read_are_those_that_a_run_writes(tmp_path):
    run = Run(make_job(tmp_path, "shares", "a", (0.05, 1e-3, 0), 0.5, test=(0.7,)))
    files = [
        run.settings_file,
        run.cost_file,
        run.checkpoint_file("last"),
        run.evaluation_folder("toy") / "record.json",
    ]
    assert all(file.is_file() for file in files)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("validation.json", '{"monitor": "val/synth'),
        ("validation.json", '{"monitor": "m", "mode": "upwards", "value": 1}'),
        ("validation.json", '{"monitor": "m", "mode": "max", "value": NaN}'),
        ("validation.json", "[]"),
        ("config.yaml", "a: [1\nb: {"),
        ("config.yaml", ""),
        ("config.yaml", b"\xff\xfe\x00"),
        ("cost.json", "{}"),
        ("cost.json", '{"seconds": "long"}'),
        ("evaluation/toy/record.json", "{}"),
        ("evaluation/toy/record.json", '{"image": [], "pixel": []}'),
        ("evaluation/toy/record.json", json.dumps(record("high"))),
    ],
)
def test_a_damaged_file_is_a_note_on_its_job_alone(tmp_path, name, content):
    sweep = make_sweep(tmp_path)
    (sweep / "toy_a" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    data, rows = data_of(sweep)
    (note,) = data["jobs"][0]["notes"]
    assert note.startswith(f"{name} cannot be used: ") and str(tmp_path) not in note
    assert not any(job["notes"] for job in data["jobs"][1:]) and len(rows) == 6
    assert rows["toy_a"]["state"][0] == FINISHED and rows["toy_b"]["slice AUROC"][1] == 0.65
    if name == "config.yaml":
        assert rows["toy_a"]["lr"] == ("–", None) and rows["toy_a"]["val/synthetic_ap"][1] == 0.61
        assert [axis["at"][0] for axis in data["axes"]] == [None] * 3 and data["axes"][1]["at"][2] == 0


def test_a_run_folder_that_is_gone_is_a_row(tmp_path):
    sweep = make_sweep(tmp_path)
    (sweep / "gone").symlink_to("../../toy/nowhere")
    (sweep / "multirun.yaml").write_text("hydra: {}")
    (sweep / "log").symlink_to("multirun.yaml")
    data, rows = data_of(sweep)
    assert list(rows) == ["gone", *(f"toy_{key}" for key in "abcdef")]
    assert rows["gone"]["state"][0] == GONE and data["jobs"][0]["links"] == []
    assert data["jobs"][0]["notes"] == ["its run folder is gone"]
    assert "7 jobs: 4 finished, 1 unfinished, 1 not begun, 1 gone." in summary(jobs_of(sweep))


def test_scores_of_another_monitor_are_not_compared(tmp_path):
    sweep = make_sweep(tmp_path)
    write_json(sweep / "toy_c/validation.json", {"monitor": "val/loss", "mode": "min", "value": 0.2})
    data, rows = data_of(sweep)
    assert rows["toy_c"]["val/synthetic_ap"] == ("–", None) and data["score"]["at"][2] is None
    assert data["jobs"][2]["notes"] == ["chosen by val/loss (min): 0.2, not comparable with val/synthetic_ap"]
    assert data["jobs"][data["best"]]["name"] == "toy_b"


def test_where_lower_is_better_the_lowest_is_best_and_an_unfinished_job_is_not(tmp_path):
    for key, value in (("a", 0.02), ("b", 0.9), ("c", 0.5)):
        make_job(tmp_path, "losses", key, (0.05, 1e-3, ord(key)), value, mode="min")
    make_job(tmp_path, "losses", "d", (0.05, 1e-3, 1), 0.01, mode="min", finished=False)
    jobs = jobs_of(tmp_path / "sweeps/losses")
    assert best(jobs) == 0 and "lower is better. Best: toy_a, 0.02." in summary(jobs)
    data, rows = data_of(tmp_path / "sweeps/losses")
    assert data["score"]["kind"] == "log" and data["score"]["at"][3] is None and rows["toy_d"]["val/synthetic_ap"][1]
    at = (math.log(0.5) - math.log(0.02)) / (math.log(0.9) - math.log(0.02))
    assert data["score"]["at"][:3] == pytest.approx([0, 1, at])


def test_a_sweep_without_scores_or_of_one_job_has_a_page(tmp_path):
    make_job(tmp_path, "one", "a", (0.05, 1e-3, 0))
    jobs = jobs_of(tmp_path / "sweeps/one")
    data = page_data(jobs, tmp_path)
    assert data["score"] is data["best"] is None and data["axes"] == []
    assert [group["label"] for group in data["groups"]] == ["Job", "Cost"]
    assert "1 job: 1 finished. None has a validation score yet." in page("One", jobs, tmp_path)


def test_labels_are_the_shortest_ending_that_no_other_setting_has():
    names = ["seed", "data.seed", "a.b.share", "a.c.share", "share", "x.location._target_", "x.location.size", "lr"]
    labels = [shortest(name, names) for name in names]
    assert labels == ["seed", "data.seed", "b.share", "c.share", "share", "location", "size", "lr"]


def test_settings_are_told_apart_by_value():
    differing, constant = compare([{"a": 1, "b": True, "c": None, "d": 1}, {"a": 1.0, "b": 1, "d": 2}, {}])
    assert {setting.name: setting.values for setting in differing} == {
        "b": [True, 1, ABSENT],
        "c": [None, ABSENT, ABSENT],
        "d": [1, 2, ABSENT],
    }
    assert constant == {"a": 1}  # 1 and 1.0 are one value, a job without settings says nothing
    assert [show("x", value) for value in (ABSENT, None, True, 1, 1e-5, 0.1 + 0.2, "s", [1, "b"])] == [
        *("–", "null", "true", "1", "1e-05", "0.3", "s", '[1, "b"]')
    ]
    assert show("a._target_", "torch.optim.Adam") == "Adam"


def test_settings_that_move_with_another_have_no_axis_unless_they_are_numbers():
    jobs = [
        {"loc._target_": "m.blobs", "loc.size": 3, "lr": 0.1, "width": 1, "run": "p"},
        {"loc._target_": "m.all", "lr": 0.2, "width": 2, "run": "q"},
        {"loc._target_": "m.blobs", "loc.size": 3, "lr": 0.3, "width": 3, "run": "r"},
    ]
    found = leading(compare(jobs)[0], [True] * 3)
    assert [(leader.name, [one.name for one in followers]) for leader, followers in found] == [
        ("loc._target_", ["loc.size"]),
        ("lr", ["run"]),
        ("width", []),  # as in a random search: all different, yet nothing follows
    ]


def test_axes_are_linear_logarithmic_or_by_rank():
    all_known = [True] * 3
    assert axis([0, 5, 20], all_known, str) == ("linear", [0, 0.25, 1], [(0, "0"), (0.25, "5"), (1, "20")])
    assert axis([2, 20, 10], all_known, str).kind == "linear"  # a decade, not more
    kind, at, _ = axis([0.001, 0.1, 0.01], all_known, str)
    assert kind == "log" and at == pytest.approx([0, 1, 0.5])
    assert axis([0.001, 0.1, 0.01], all_known, str, log=False).kind == "linear"
    assert axis([-1, 0, 100], all_known, str).kind == "linear"
    assert axis(["b", "a", None], all_known, str) == ("category", [0.5, 0, 1], [(0, "a"), (0.5, "b"), (1, "None")])
    assert axis([1, 2, None], all_known, str).at == [0, 0.5, 1] and axis([4, 4, 4], all_known, str).at == [0.5] * 3
    assert axis([7, 8, 1e9], [True, True, False], str).at == [0, 1, None]
    assert axis([math.inf, 1, 2], all_known, str).kind == "category"
    assert axis([1, 2, 3], [False] * 3, str) == ("category", [None] * 3, [])


def test_ticks_are_the_values_or_round_numbers_and_never_overlap():
    texts = [text for _, text in axis([index / 7 for index in range(8)], [True] * 8, "{:.6g}".format).ticks]
    assert texts == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    decades = axis([10.0**-power for power in range(1, 9)], [True] * 8, "{:.6g}".format).ticks
    assert [text for _, text in decades] == ["1e-08", "1e-07", "1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert [text for _, text in axis([1, 1.01, 2], [True] * 3, str).ticks] == ["1", "2"]
    assert [text for _, text in axis([1, 1.99, 2], [True] * 3, str).ticks] == ["1", "2"]


def test_the_page_is_written_into_the_sweeps_folder_and_names_are_escaped(tmp_path):
    sweep = make_sweep(tmp_path, "a<b>&c")
    make_job(tmp_path, "a<b>&c", "<script>", (0.1, 1e-3, "</script>[[DATA]]"), 0.5)
    file = summarise(settings(tmp_path, "sweep='a<b>&c'"))
    text = file.read_text()
    assert file == sweep / "index.html" and "<title>Sweep a&lt;b&gt;&amp;c</title>" in text
    assert text.count("</script>") == 2 and not re.search(r"\[\[(?!DATA)[A-Z]+\]\]", text)
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert [path.name for path in sweep.iterdir() if path.name.startswith(".")] == []
    assert summarise(settings(tmp_path, f"sweep='{sweep}'")).read_text() == text  # by its folder; the same bytes again


def test_any_runs_by_name_are_as_good_as_a_sweep(tmp_path):
    for key, score in (("x1", 0.5), ("x2", 0.6)):
        make_job(tmp_path, "away", key, (0.05, 1e-3, int(key[1])), score)
        (tmp_path / key).mkdir()
        (tmp_path / "toy" / key).rename(tmp_path / key / "run")
        (tmp_path / key / "latest").symlink_to("run")
    (tmp_path / "xempty").mkdir()
    text = summarise(settings(tmp_path, "sweep=mine", "runs_of='x*'")).read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert [job["name"] for job in data["jobs"]] == ["x1", "x2"]
    assert dict(data["jobs"][0]["links"])["config"] == "../../x1/run/config.yaml"
    with pytest.raises(RunError, match=r"no run in .* is called 'y\*'"):
        summarise(settings(tmp_path, "sweep=mine", "runs_of='y*'"))


def test_an_unknown_or_empty_sweep_is_an_error_that_names_the_known_ones(tmp_path):
    with pytest.raises(RunError, match=r"no sweep is named; .*Known sweeps: none\. Start one: anomask train -m"):
        summarise(settings(tmp_path))
    make_sweep(tmp_path)
    (tmp_path / "sweeps/empty").mkdir()
    known = f"Known sweeps: {tmp_path}/sweeps/shares."
    for wanted, says in (("shars", "no sweep 'shars': did you mean shares? (looked for"), ("empty", "has no jobs")):
        with pytest.raises(RunError) as error:
            summarise(settings(tmp_path, f"sweep={wanted}"))
        assert says in str(error.value) and known in str(error.value)
    assert list(tmp_path.rglob("index.html")) == []
    for number in range(30):
        (tmp_path / f"sweeps/s{number:02d}").mkdir()
        (tmp_path / f"sweeps/s{number:02d}/toy_a").symlink_to("../../toy/a")
    with pytest.raises(RunError, match=r"s19 and 11 more\. Start one"):
        summarise(settings(tmp_path))
