"""The page of a sweep in a real browser: sorting, marking by mouse and keyboard, names, narrow width."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from anomask.report.sweep.jobs import linked_jobs, read_job
from anomask.report.sweep.page import page as sweep_page
from anomask.sweeps.summarise import NO_SETTINGS
from tests.report.conftest import press, requested
from tests.report.sweep_folders import make_job, make_sweep

NAME = "<b onclick=alert(1)>&[[DATA]]"


def write_page(sweep):
    jobs = [read_job(*found, NO_SETTINGS) for found in linked_jobs(sweep)]
    (sweep / "index.html").write_text(sweep_page("Sweep <i>", jobs, sweep))
    return (sweep / "index.html").as_uri()


@pytest.fixture
def page(browser, tmp_path):
    sweep = make_sweep(tmp_path)
    (sweep / "toy_b").rename(sweep / NAME)
    (sweep / "toy_d/validation.json").write_text('{"monitor"')
    (sweep / "toy_d/config.yaml").write_text("a: [")
    browser.get(write_page(sweep))
    return browser


def all_of(page, selector):
    return page.find_elements(By.CSS_SELECTOR, selector)


def one(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def listed(page):
    return [button.text for button in all_of(page, "tbody th button")]


def marked(page):
    return [button.text for button in all_of(page, "tr.on th button")]


def status(page):
    return one(page, "#status").text


def head(page, text):
    (found,) = [th for th in all_of(page, "thead tr:last-child th") if th.text.split(" ")[0] == text.split(" ")[0]]
    return found


def over(page, plot):
    return [element.get_attribute("class") for element in all_of(page, f"#{plot} .over > *")]


def test_it_opens_from_a_file_best_job_first_and_asks_for_nothing(page):
    assert listed(page) == ["toy_c", NAME, "toy_a", "toy_d", "toy_e", "toy_f"]  # without a score: as they are linked
    assert page.get_log("browser") == [] and requested(page) <= {"file", "data", "blob", "chrome"}
    assert "0.93 ★ best" in one(page, "tbody tr").text and "6 jobs: 4 finished" in one(page, "header").text
    assert one(page, "h1").text == "Sweep <i>" and all_of(page, "td i, th b, h1 i") == []
    assert len(all_of(page, "#lines .job")) == len(all_of(page, "#dots .job")) == 3
    one(page, "tbody tr:nth-child(3) a").click()
    assert page.title == "report"


def test_a_damaged_job_is_a_row_with_a_note(page):
    (row,) = [row for row in all_of(page, "tbody tr") if "toy_d" in row.text]
    notes = [note.text for note in row.find_elements(By.CLASS_NAME, "fault")]
    assert [note.split(" cannot")[0] for note in notes] == ["⚠ config.yaml", "⚠ validation.json"]


def test_the_heads_sort_and_say_so(page):
    assert head(page, "val/synthetic_ap").get_attribute("aria-sort") == "descending"
    share = head(page, "synthesiser.share")
    share.find_element(By.TAG_NAME, "button").click()
    assert listed(page) == ["toy_a", "toy_c", NAME, "toy_e", "toy_f", "toy_d"]  # what is not known comes last
    assert status(page) == "Sorted by synthesiser.share, ascending: toy_a is first."
    press(page, Keys.ENTER)
    assert listed(page) == ["toy_e", "toy_f", NAME, "toy_a", "toy_c", "toy_d"]
    assert share.get_attribute("aria-sort") == "descending" and "descending: toy_e" in status(page)
    assert head(page, "val/synthetic_ap").get_attribute("aria-sort") is None
    assert page.switch_to.active_element == share.find_element(By.TAG_NAME, "button")


def test_pointing_at_a_line_a_dot_or_a_row_marks_all_three(page):
    row = all_of(page, "tbody tr")[1]
    line = one(page, f'#lines .job[aria-label*="{NAME}"] .reach')
    dot = one(page, f'#dots .job[aria-label*="{NAME}"] .reach')
    for target in (row.find_element(By.CSS_SELECTOR, "td"), dot):
        ActionChains(page).move_to_element(one(page, "h1")).perform()
        assert marked(page) == [] and over(page, "lines") == [] and status(page) == ""
        ActionChains(page).move_to_element(target).perform()
        assert marked(page) == [NAME] and over(page, "lines") == over(page, "dots") == ["seen"]
        assert status(page).startswith(f"2 of 3: {NAME}, finished, val/synthetic_ap 0.72, seed 0,")
    assert one(page, "#lines .over path").get_attribute("d") == line.get_attribute("d")


def test_the_keyboard_steps_from_the_best_job_to_the_worst_and_keeps_one(page):
    stops = []
    for _ in range(4):
        press(page, Keys.TAB)
        stops.append(page.switch_to.active_element.accessible_name)
    assert stops[0].startswith("1 of 3: toy_c, finished, val/synthetic_ap 0.93")  # one stop a plot
    assert stops[1] == "Setting" and stops[2].startswith("1 of 3: toy_c") and stops[3] == "Table of the jobs"
    page.execute_script("document.querySelector('#lines .job[tabindex=\"0\"]').focus()")
    press(page, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert marked(page) == ["toy_a"] and status(page).startswith("3 of 3: toy_a")
    press(page, Keys.ARROW_UP, Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("aria-pressed") == "true"
    press(page, Keys.TAB)  # elsewhere: the mark stays
    assert page.switch_to.active_element.get_attribute("id") == "setting" and marked(page) == [NAME]
    press(page, Keys.ESCAPE)
    assert marked(page) == [] and all_of(page, "[aria-pressed=true]") == []


def test_a_marked_row_stays_until_it_is_let_go(page):
    button = all_of(page, "tbody th button")[2]
    button.click()
    ActionChains(page).move_to_element(one(page, "h1")).perform()
    assert marked(page) == ["toy_a"] and button.get_attribute("aria-pressed") == "true"
    head(page, "job").find_element(By.TAG_NAME, "button").click()
    assert listed(page)[0] == NAME and marked(page) == ["toy_a"]
    press(page, Keys.ESCAPE)
    assert button.get_attribute("aria-pressed") == "false"


def test_another_setting_moves_the_dots_and_names_its_axis(page):
    chosen = Select(one(page, "#setting"))
    assert [option.text for option in chosen.options] == ["seed +1", "synthesiser.share", "lr"]
    chosen.select_by_visible_text("lr")
    assert one(page, "#dots svg").accessible_name == "Jobs by lr and val/synthetic_ap, the best one first"
    places = {dot.get_attribute("cx") for dot in all_of(page, "#dots .seen")}
    assert len(places) == 2 and "0.0001" in one(page, "#dots svg").text


def test_every_control_has_a_name_and_test_figures_say_what_they_are_not_for(page):
    for control in all_of(page, "button, a, select, .job, summary, [role=region]"):
        assert control.accessible_name, control.get_attribute("outerHTML")
    assert len(set(link.accessible_name for link in all_of(page, "a"))) == len(all_of(page, "a"))
    (group,) = all_of(page, "th.group.test")
    assert group.text == "Test figures on toy: not for choosing" and group.get_attribute("colSpan") == "3"
    assert one(page, "#status").get_attribute("aria-live") == "polite"


def test_at_narrow_width_nothing_but_the_table_and_plots_scrolls(page):
    page.set_window_size(500, 800)
    try:
        page.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 700, "deviceScaleFactor": 1, "mobile": False}
        )
        page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        assert page.execute_script("return document.getElementById('lines').scrollWidth") == 420  # four axes
        assert page.execute_script("return document.getElementById('dots').scrollWidth") <= 360
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.set_window_size(1200, 900)


def test_without_a_score_there_is_a_table_and_a_word_instead_of_plots(browser, tmp_path):
    make_job(tmp_path, "early", "a", (0.05, 1e-3, 0), finished=False)
    make_job(tmp_path, "early", "b", None, finished=False, begun=False)
    browser.get(write_page(tmp_path / "sweeps/early"))
    assert listed(browser) == ["toy_a", "toy_b"] and one(browser, "#none").is_displayed()
    assert not one(browser, "#plots").is_displayed() and browser.get_log("browser") == []
