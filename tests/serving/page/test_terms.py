"""Terms of the query: switched off, boosted, pinned, required, added, and back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

QUERY = "apple pear"


@pytest.fixture
def page(visit):
    return visit.open(q=QUERY, index="words")


def chip(page, term):
    named = page.locator(".name", has_text=re.compile(f"^{re.escape(term)}$"))
    return page.locator(".terms .chip").filter(has=named)


def weight(page, term):
    return float(chip(page, term).locator(".weight").inner_text())


def titles(page):
    return page.locator("article.hit h3").all_inner_texts()


def change(page, term):
    chip(page, term).get_by_role("button", name="Change").click()
    return page.get_by_role("dialog", name=f"The term {term}")


def test_a_click_switches_a_term_off_and_on(page):
    assert set(titles(page)) == {"Apple", "Pie 🍎", "Pear"}
    before = weight(page, "pear")
    chip(page, "pear").locator(".toggle").click()
    expect(page.locator("article.hit")).to_have_count(2)
    assert "ban=pear" in page.url
    assert set(titles(page)) == {"Apple", "Pie 🍎"}
    expect(chip(page, "pear").locator(".toggle")).to_have_attribute("aria-pressed", "false")
    expect(chip(page, "pear")).to_contain_text("off")
    assert page.evaluate("document.activeElement.innerText").startswith("pear")
    chip(page, "pear").locator(".toggle").click()
    expect(page.locator("article.hit")).to_have_count(3)
    assert "ban" not in page.url
    assert weight(page, "pear") == before


def test_a_boost_multiplies_the_weight(page):
    before = weight(page, "pear")
    dialog = change(page, "pear")
    expect(dialog.get_by_label("as the model weighs it")).to_be_checked()
    dialog.get_by_label("Factor").fill("4")
    expect(dialog.get_by_role("radio", name="boosted")).to_be_checked()
    dialog.get_by_role("button", name="Apply").click()
    expect(chip(page, "pear")).to_contain_text("× 4.00")
    assert weight(page, "pear") == pytest.approx(4 * before, rel=0.01)
    assert "boost=pear%3D4" in page.url
    assert titles(page)[0] == "Pear"


def test_a_pinned_term_has_the_weight_it_is_given(page):
    dialog = change(page, "pear")
    dialog.get_by_label("Weight", exact=True).fill("7.5")
    dialog.get_by_role("button", name="Apply").click()
    expect(chip(page, "pear")).to_contain_text("pinned")
    assert weight(page, "pear") == 7.5
    assert "pin=pear%3D7.5" in page.url


def test_every_hit_has_a_required_term(page):
    dialog = change(page, "pear")
    dialog.get_by_label("A hit must contain it").check()
    dialog.get_by_role("button", name="Apply").click()
    expect(chip(page, "pear")).to_contain_text("required")
    expect(page.locator("article.hit")).to_have_count(1)
    assert titles(page) == ["Pear"]
    assert "require=pear" in page.url


def test_a_term_goes_back_to_what_the_model_says(visit):
    page = visit.open(q=QUERY, index="words", boost="pear=4", require="pear")
    expect(page.locator("article.hit")).to_have_count(1)
    dialog = change(page, "pear")
    expect(dialog.get_by_label("Factor")).to_have_value("4")
    dialog.get_by_label("as the model weighs it").check()
    dialog.get_by_label("A hit must contain it").uncheck()
    dialog.get_by_role("button", name="Apply").click()
    expect(page.locator("article.hit")).to_have_count(3)
    assert page.url == f"{visit.url}/?q=apple+pear&index=words"


def test_all_terms_go_back_together(visit):
    page = visit.open(q=QUERY, index="words", ban="apple", boost="pear=4")
    expect(page.locator(".set-terms")).to_contain_text("2 terms changed by hand.")
    page.get_by_role("button", name="Set all back").click()
    expect(page.locator("article.hit")).to_have_count(3)
    assert page.url == f"{visit.url}/?q=apple+pear&index=words"


def test_a_term_can_be_added_by_hand_and_taken_away(page):
    page.get_by_label("Add a term").fill("volcano")
    page.keyboard.press("Enter")
    expect(chip(page, "volcano")).to_contain_text("pinned")
    expect(page.locator("article.hit h3").filter(has_text="Minutes")).to_be_visible()
    assert "pin=volcano%3D1" in page.url
    dialog = change(page, "volcano")
    dialog.get_by_label("switched off").check()
    dialog.get_by_role("button", name="Apply").click()
    expect(page.locator("article.hit")).to_have_count(3)


def test_a_term_that_the_server_refuses_is_told_and_can_be_taken_back(page):
    words = {"error": "pin 'qwxyz': the model has no such term."}
    page.route("**/search?*pin=*", lambda route: route.fulfill(status=400, json=words))
    page.get_by_label("Add a term").fill("qwxyz")
    page.keyboard.press("Enter")
    expect(page.locator(".notice.error")).to_contain_text("the model has no such term")
    chip(page, "qwxyz").locator(".toggle").click()
    expect(page.locator("article.hit")).to_have_count(3)
    expect(chip(page, "qwxyz")).to_have_count(0)


@pytest.mark.parametrize("written", ["", "0", "-2"])
def test_a_factor_that_is_no_number_above_0_is_not_taken(page, written):
    dialog = change(page, "pear")
    dialog.get_by_label("Factor").fill(written)
    dialog.get_by_role("button", name="Apply").click()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert "boost" not in page.url


def test_own_words_only_leaves_out_what_the_model_added(visit):
    page = visit.open(q="automobile", index="mini")
    names = page.locator(".terms .chip:not(.off) .name")
    expect(names.first).to_be_visible()
    assert names.count() > 1
    assert page.locator(".terms .chip.added").count() > 0
    page.get_by_label("Own words only").check()
    expect(names).to_have_count(1)
    assert names.all_inner_texts() == ["automobile"]
    expect(page.locator(".terms .chip.off").first).to_contain_text("left out")
    assert page.url.endswith("&lexical=1")
    left_out = page.locator(".terms .chip.off").first
    name = left_out.locator(".name").inner_text()
    left_out.locator(".toggle").click()
    expect(chip(page, name)).to_contain_text("pinned")
    expect(names).to_have_count(2)


def test_a_term_with_an_equals_sign_keeps_it(visit):
    """`pin===2` pins the term "=" with the weight 2."""
    page = visit.open(q="apple", index="mini", pin="==2.5")
    expect(chip(page, "=")).to_contain_text("2.50")


def test_a_half_written_query_goes_along_with_a_change(page):
    page.get_by_label("Query", exact=True).fill("apple road")
    chip(page, "pear").locator(".toggle").click()
    expect(page.locator("article.hit h3").filter(has_text="Cars")).to_be_visible()
    assert page.url.endswith("?q=apple+road&index=words&ban=pear")
