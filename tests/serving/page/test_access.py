"""The page for everyone: by keyboard alone, on a phone, in the dark, for a screen reader."""

from __future__ import annotations

import time
import warnings

import pytest
from playwright.sync_api import expect

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from axe_playwright_python.sync_playwright import Axe

SCHEMES = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}},
}
VIEWS = {
    "nothing asked": {},
    "search": {
        "q": "sweet apple", "ban": "sweet", "boost": "apple=2", "pin": "tree=1.5",
        "filter": "year>=2000",
    },
    "side by side": {"q": "apple fruit", "index": ["mini", "words"]},
    "error": {"q": "apple", "filter": "nonsense"},
    "texts": {"view": "texts", "a": "sweet apples", "b": "apple pie", "index": ["mini", "words"]},
}  # fmt: skip


def findings(page):
    options = {"resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        (each["id"], each["impact"], [node["target"] for node in each["nodes"]])
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious(visits, url, scheme, view):
    # axe makes elements of its own in ways that the page's policy forbids to pages.
    visit = visits(url, bypass_csp=True, reduced_motion="reduce", **SCHEMES[scheme])
    page = visit.open(**VIEWS[view])
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_serious_in_the_dialog(visits, url, scheme):
    visit = visits(url, bypass_csp=True, **SCHEMES[scheme])
    page = visit.open(q="apple")
    page.get_by_role("button", name="Change the term apple", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert findings(page) == []


def test_everything_goes_by_keyboard(visit):
    page = visit.open(index="words")
    press = page.keyboard.press

    def focused():
        return page.evaluate("document.activeElement.id || document.activeElement.dataset.key")

    def comes_to(key):
        """The focus is put back once the answer is drawn."""
        ended = time.monotonic() + 30
        while focused() != key:
            assert time.monotonic() < ended, focused()
            time.sleep(0.02)

    press("Tab")
    expect(page.get_by_role("link", name="Skip to the results")).to_be_focused()
    press("/")
    expect(page.get_by_label("Query", exact=True)).to_be_focused()
    page.keyboard.type("apple pear/plum")
    press("Enter")
    expect(page.locator("article.hit")).to_have_count(3)
    expect(page.get_by_label("Query", exact=True)).to_have_value("apple pear/plum")
    press("ArrowDown")
    expect(page.locator("article.hit").nth(0)).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    press("ArrowDown")
    expect(page.locator("article.hit").nth(1)).to_be_focused()
    press("ArrowUp")
    press("ArrowUp")
    expect(page.get_by_label("Query", exact=True)).to_be_focused()
    # Tab comes to a term; Space switches it off; the focus stays on it.
    for _ in range(20):
        press("Tab")
        if focused() == "chip 0 pear":
            break
    assert focused() == "chip 0 pear"
    press("Space")
    expect(page.locator("article.hit")).to_have_count(2)
    comes_to("chip 0 pear")
    # The dialog beside it: choose, apply, and the focus is back.
    press("Tab")
    press("Enter")
    dialog = page.get_by_role("dialog", name="The term pear")
    expect(dialog.get_by_role("radio", name="switched off")).to_be_checked()
    expect(dialog.get_by_role("radio", name="switched off")).to_be_focused()
    press("ArrowUp")
    press("Enter")
    expect(page.locator("article.hit")).to_have_count(3)
    comes_to("change 0 pear")
    press("/")
    press("ArrowRight")
    press("ArrowDown")
    expect(page.locator("article.hit").nth(0)).to_be_focused()
    press("Escape")
    expect(page.get_by_label("Query", exact=True)).to_be_focused()


def test_enter_opens_the_whole_of_a_hit(visit):
    page = visit.open(q="volcano lava", index="words")
    page.get_by_label("Query", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Less text")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Whole text")).to_be_visible()


def test_arrows_go_between_two_indexes(visit):
    page = visit.open(q="apple fruit", index=["mini", "words"])
    page.get_by_label("Query", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".column").nth(1).locator("article.hit").first).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".column").nth(0).locator("article.hit").first).to_be_focused()


def test_the_skip_link_leads_to_the_results(visit):
    page = visit.open(q="apple", index="words")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_be_focused()
    expect(page.locator("article.hit").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator("article.hit").first).to_be_focused()


def test_a_page_of_hits_begins_at_its_top(visit):
    page = visit.open(q="grammar lesson", index="words")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("article.hit .rank").first).to_have_text("11.")
    expect(page.locator("#results")).to_be_focused()
    expect(page.get_by_role("status")).to_be_in_viewport()


def test_bars_can_be_told_apart_without_colour(visits, url):
    visit = visits(url, color_scheme="light")
    page = visit.open(q="automobile")
    styles = page.evaluate(
        "[...document.querySelectorAll('.fill')].map((bar) =>"
        " [bar.classList.contains('added'), getComputedStyle(bar).backgroundImage])"
    )
    assert {added for added, _ in styles} == {True, False}
    assert all(("repeating" in image) == added for added, image in styles)
