"""Names from outside in everything that is written to be read: no formula, no command, no markup, no script."""

import re

import numpy as np
import pytest

from anomask.report.evaluation.files import scores_csv
from anomask.report.evaluation.markdown import summary
from anomask.report.evaluation.page import _to_html, page
from anomask.report.record.figures import Evaluation, ScoredSlice, build_record
from anomask.report.record.localisation import PixelTally
from anomask.report.sweep.jobs import read_job
from anomask.report.sweep.page import page as sweep_page
from anomask.report.tables.columns import COLUMNS
from anomask.report.tables.formats import Filled, as_csv, latex, markdown
from anomask.report.tables.rows import Cell, Row
from anomask.report.template import FOLDER, fill, policy
from anomask.report.text import RESEARCH_USE, inline

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b",
    "[x](javascript:alert(1))",
    "![x](http://example.org/x.png)",
    "# title\n\n| a |\n|---|",
    "&lt;b&gt;",
)


def evaluation_of(name):
    slices = [ScoredSlice(f"n{i}", "p", "", 0.1 * i, (0.1, 0.2, 0.3)) for i in range(3)]
    slices += [ScoredSlice(f"{name}{i}", name, name, 0.2 * i, (0.2, 0.2, 0.3)) for i in range(3)]
    threshold = {"threshold": 0.3, "specificity": 0.95, "n_normals": 20}
    found = Evaluation(slices, np.zeros((2, 3)), PixelTally(None, "patient"), threshold)
    return found, build_record(found, {"run": name, "data": name, "synthetic": False, "floors_from": name}, 5, 0)


@pytest.mark.parametrize("name", HOSTILE)
def test_summaries_and_pages_show_a_name_as_it_is(name):
    _, record = evaluation_of(name)
    text = summary(record)
    assert "<script" not in text and "<img" not in text and "](" not in text
    html = page(record, [])
    assert "<script" not in html and "<img" not in html and "onerror=" not in re.sub(r">[^<]*<", "><", html)
    shown = " ".join(name.split())
    cells = re.findall(r"<td>([^<]*)</td>", html)
    assert shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in cells
    assert len(re.findall("<table>", html)) == len(re.findall("<table>", page(evaluation_of("plain")[1], [])))


def test_a_line_of_markdown_comes_back_in_html_as_it_was():
    for name in HOSTILE:
        assert "<script" not in _to_html(inline(name)) and "&amp;lt;" not in _to_html(inline("<b>"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        (r"\write18{rm}", r"\textbackslash{}write18\{rm\}"),
        ("$x^2_i$", r"\$x\textasciicircum{}2\_i\$"),
        ("a & b % c # d ~ e", r"a \& b \% c \# d \textasciitilde{} e"),
        ("[4cm]", "{}[4cm]"),
        ("a\n\\end{document}", r"a \textbackslash{}end\{document\}"),
    ],
)
def test_latex_sets_signs_and_runs_no_command(name, written):
    text = latex(table_of(name))
    assert f"\n{written} & {written} & 1" in text and f"\\caption{{{written}}}" in text
    assert [line for line in text.splitlines() if line.startswith("%")] == [f"% {' '.join(name.split())}"]


def table_of(name):
    record = {"method": {"name": name, "family": name}}
    return Filled(name, {"auroc": COLUMNS["auroc"]}, [Row("one", {0: record})], [[Cell(0.5, 0.1, bold=True)]], name)


def test_bold_type_and_signs_of_our_own_stay():
    assert r"\textbf{0.500 $\pm$ 0.100}" in latex(table_of("plain"))
    assert "**0.500 ± 0.100**" in markdown(table_of("plain"))


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-a"])
def test_no_table_has_a_formula(name):
    evaluation, _ = evaluation_of(name)
    for text in (scores_csv(evaluation), as_csv(table_of(name))):
        assert not re.search(r'(^|,|\n)"?[=+@]', text) and f"'{name}" in text.replace('""', '"')


def test_a_page_runs_its_own_script_alone(tmp_path):
    assert policy().endswith("script-src 'none'")
    (tmp_path / "run").mkdir()
    pages = [sweep_page("x", [read_job("x", tmp_path / "run", [])], tmp_path)]
    names = re.findall(r"\[\[([A-Z]+)\]\]", (FOLDER / "prediction/viewer.html").read_text())
    pages.append(fill("prediction/viewer.html", dict.fromkeys({*names} - {"STYLE", "POLICY"}, "[]")))
    for text in pages:
        (allowed,) = re.findall(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', text)
        (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        assert allowed == policy(script) and "default-src 'none'" in allowed and "unsafe-inline" not in allowed[-60:]
        assert " on" + "click=" not in text and "javascript:" not in text


def test_the_notice_is_wherever_a_score_leaves_the_program(tmp_path):
    evaluation, record = evaluation_of("plain")
    (tmp_path / "run").mkdir()
    texts = [scores_csv(evaluation), summary(record), page(record, []), record["note"]]
    texts.append(sweep_page("x", [read_job("x", tmp_path / "run", [])], tmp_path))
    texts.append((FOLDER / "prediction/viewer.html").read_text())
    assert all(RESEARCH_USE.removesuffix(".").lower() in text.lower() for text in texts)
