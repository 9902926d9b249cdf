"""The page of a prediction in a real browser: opened from a file, by keyboard, and as a screen reader meets it."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from anomask.report.prediction import viewer
from anomask.report.prediction.candidates import boxes_on_slice, find_candidates
from anomask.scoring.colour import overlay
from tests.report.conftest import press, requested

SCORES = (0.02, 0.31, 0.05, 0.44, 0.01, 0.12)
NAMES = ("a.png", "<b>&'.png", "c/c.png", "d/[[FULL]].png", "e.png", "f.png")


def write_pages(folder):
    pages = viewer.Viewer(folder, "toy <scan>, by a run", 0.1, 0.3, 0.2)
    rng = np.random.default_rng(0)
    for name, score in zip(NAMES, SCORES, strict=True):
        values = np.zeros((40, 30), np.float32)
        if score > 0.1:
            values[5:9, 10:20], values[30:33, 2:5] = score, 0.35
        candidates, labels = find_candidates(values, 0.3, 2)
        found = [(candidates[number - 1], box) for number, box in boxes_on_slice(labels).items()]
        pages.add(name, rng.integers(0, 255, values.shape, np.uint8), values, score, 100 * score, found)
    pages.close()
    return folder / "index.html"


@pytest.fixture
def page(browser, tmp_path):
    browser.get(write_pages(tmp_path).as_uri())
    return browser


def status(page):
    return page.find_element(By.ID, "status").text


def shown(page, which="map"):
    return page.find_element(By.ID, which).is_displayed()


def listed(page):
    return [
        button.find_element(By.TAG_NAME, "span").text for button in page.find_elements(By.CSS_SELECTOR, "li button")
    ]


def test_it_opens_from_a_file_and_asks_for_nothing_else(page):
    assert listed(page) == list(NAMES)
    assert status(page).startswith("1 of 6: a.png, score 0.02000, not above the limit") and "2 % of" in status(page)
    assert page.find_element(By.ID, "slice").get_property("naturalWidth") == 30
    assert "research use only" in page.find_element(By.TAG_NAME, "header").text
    assert page.get_log("browser") == []
    assert requested(page) <= {"file", "data", "blob", "chrome"}


def test_the_keyboard_steps_and_stops_at_both_ends(page):
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert status(page).startswith("3 of 6: c/c.png")
    press(page, Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.ARROW_UP)
    assert status(page).startswith("1 of 6")
    press(page, Keys.END, Keys.ARROW_RIGHT)
    assert status(page).startswith("6 of 6: f.png, score 0.1200, above the limit")
    press(page, Keys.HOME)
    assert status(page).startswith("1 of 6")
    ActionChains(page).key_down(Keys.CONTROL).send_keys(Keys.ARROW_RIGHT).key_up(
        Keys.CONTROL
    ).perform()  # the browser's
    assert status(page).startswith("1 of 6")


def test_sorting_by_score_and_back_keeps_the_slice(page):
    press(page, "s")
    order = sorted(range(6), key=lambda row: -SCORES[row])
    assert listed(page) == [NAMES[row] for row in order]
    assert status(page).startswith("1 of 6: d/[[FULL]].png, score 0.4400, above the limit")
    assert "2 lesion candidates" in status(page)
    press(page, Keys.ARROW_RIGHT)
    assert status(page).startswith("2 of 6: <b>&'.png")
    page.find_element(By.ID, "sort").click()
    assert listed(page) == list(NAMES) and status(page).startswith("2 of 6: <b>&'.png")


def test_the_overlay_can_be_switched_and_boxes_lie_on_the_candidates(page):
    button = page.find_element(By.ID, "overlay")
    press(page, Keys.ARROW_RIGHT)
    assert shown(page) and button.get_attribute("aria-pressed") == "true"
    boxes = page.execute_script(
        "const all = document.querySelector('.stage').getBoundingClientRect();"
        "return [...document.querySelectorAll('rect')].map(r => { const b = r.getBoundingClientRect();"
        "return [(b.x - all.x) / all.width * 30, (b.y - all.y) / all.height * 40]; });"
    )
    np.testing.assert_allclose(boxes, [[2, 30], [10, 5]], atol=0.15)  # the highest peak first: 0.35, then 0.31
    press(page, "o")
    assert not shown(page) and shown(page, "slice") and button.get_attribute("aria-pressed") == "false"
    assert not page.find_element(By.TAG_NAME, "svg").is_displayed()
    button.click()
    assert shown(page)


def test_every_control_has_a_name_and_the_list_is_one_stop(page):
    stops = []
    for _ in range(5):
        press(page, Keys.TAB)
        focused = page.switch_to.active_element
        stops.append(focused.get_attribute("id") or focused.accessible_name)
        outline = focused.value_of_css_property("outline-style"), focused.value_of_css_property("outline-width")
        assert outline == ("solid", "3px")
    assert stops[:4] == ["previous", "next", "overlay", "sort"] and stops[4] == "a.png, score 0.02000"
    press(page, Keys.ARROW_DOWN)
    assert page.switch_to.active_element.accessible_name == "<b>&'.png, score 0.3100, above the limit"
    press(page, "s")  # the row moves and keeps the focus of the list
    assert page.switch_to.active_element.accessible_name.startswith("d/[[FULL]].png")
    for button in page.find_elements(By.TAG_NAME, "button"):
        assert button.accessible_name and button.aria_role == "button"
    current = page.find_elements(By.CSS_SELECTOR, "[aria-current=true]")
    assert [button.accessible_name.split(",")[0] for button in current] == ["d/[[FULL]].png"]


def test_a_screen_reader_hears_each_step(page):
    region = page.find_element(By.ID, "status")
    assert region.get_attribute("aria-live") == "polite" and region.aria_role == "status"
    page.execute_script(
        "window.heard = []; const region = document.getElementById('status');"
        "new MutationObserver(() => window.heard.push(region.textContent)).observe(region, {childList: true});"
    )
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    heard = page.execute_script("return window.heard")
    assert [re.match(r"(\d) of 6: (.*?), score", text).groups() for text in heard] == [("2", NAMES[1]), ("3", NAMES[2])]
    assert page.find_element(By.ID, "slice").accessible_name == "CT slice c/c.png"
    assert page.find_element(By.ID, "map").accessible_name == "Anomaly map of c/c.png"


def test_more_slices_than_a_page_holds_are_split_and_linked(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "SLICES_A_PAGE", 4)
    browser.get(write_pages(tmp_path).as_uri())
    assert listed(browser) == list(NAMES[:4])
    assert "Page 1: slices 1 to 4" in browser.find_element(By.TAG_NAME, "nav").text
    browser.find_element(By.LINK_TEXT, "Later slices").click()
    assert listed(browser) == list(NAMES[4:]) and browser.current_url.endswith("index_2.html")
    assert [link.text for link in browser.find_elements(By.CSS_SELECTOR, "nav a")] == ["Earlier slices"]
    monkeypatch.setattr(viewer, "SLICES_A_PAGE", 6)
    assert "<nav" not in write_pages(tmp_path).read_text()


def test_the_layer_over_the_slice_is_the_overlay():
    rng = np.random.default_rng(0)
    image, values = rng.random((9, 7), np.float32), 0.4 * rng.random((9, 7), np.float32)
    below = Image.fromarray((image * 255).round().astype(np.uint8)).convert("RGBA")
    composed = np.asarray(Image.alpha_composite(below, viewer.map_layer(values, 0.3, (7, 9))).convert("RGB"))
    wanted = overlay(torch.from_numpy(image), torch.from_numpy(values), 0.3).permute(1, 2, 0).numpy() * 255
    np.testing.assert_allclose(composed, wanted, atol=2.5)
