"""Two indexes side by side, filters, and two texts compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from sparse_ir.searching.explain import explain_pair

BOTH = ["mini", "words"]


def test_two_indexes_stand_beside_one_another(visit, searchers):
    page = visit.open(q="apple fruit", index=BOTH)
    columns = page.locator(".column")
    expect(columns).to_have_count(2)
    for i, name in enumerate(BOTH):
        expect(columns.nth(i).locator("h2")).to_have_text(name)
        expect(columns.nth(i).locator(".about")).to_contain_text("embedded")
        expect(columns.nth(i).locator(".about")).to_contain_text("29 documents")
        expect(columns.nth(i).locator(".about")).to_contain_text(
            Path(searchers[name].stamp.model).name
        )
    left, right = (columns.nth(i).bounding_box() for i in (0, 1))
    assert left["x"] + left["width"] <= right["x"]
    expect(page.get_by_role("status")).to_contain_text("in both")


def test_a_hit_of_both_leads_to_its_twin(visit):
    page = visit.open(q="apple fruit", index=BOTH)
    left, right = page.locator(".column").nth(0), page.locator(".column").nth(1)
    apple = left.locator("article.hit").filter(has=page.locator("h3", has_text="Apple"))
    twin = right.locator("article.hit").filter(has=page.locator("h3", has_text="Apple"))
    rank = twin.locator(".rank").inner_text()
    button = apple.get_by_role("button", name="also")
    expect(button).to_have_text(f"also {rank} in words")
    button.click()
    expect(twin).to_be_focused()
    ids = [
        {card.get_attribute("data-key").split(" ", 2)[2] for card in c.locator("article.hit").all()}
        for c in (left, right)
    ]
    assert left.locator(".hit.both").count() == len(ids[0] & ids[1]) > 0
    assert left.get_by_text("only here").count() == len(ids[0] - ids[1])


def test_the_second_index_is_chosen_and_put_away(visit):
    page = visit.open(q="apple")
    beside = page.get_by_role("search").get_by_label("Beside it")
    beside.select_option("words")
    expect(page.locator(".column")).to_have_count(2)
    assert page.url.endswith("index=mini&index=words")
    beside.select_option("nothing")
    expect(page.locator(".column")).to_have_count(1)
    page.get_by_label("Index", exact=True).select_option("words")
    expect(page.locator("h2").first).to_have_text("words")
    assert page.url.endswith("?q=apple&index=words")


def test_one_index_may_fail_beside_the_other(visit):
    page = visit.open(q="apple", index=["words", "nowhere"])
    columns = page.locator(".column")
    expect(columns.nth(0).locator("article.hit").first).to_be_visible()
    expect(columns.nth(1).locator(".notice.error")).to_contain_text("nowhere")


def test_filters_are_offered_added_and_removed(visit):
    page = visit.open(q="fruit apple", index="words")
    page.get_by_text("Add a filter").click()
    assert page.get_by_label("Field").locator("option").all_inner_texts() == ["kind", "year"]
    page.get_by_label("Value").fill("recipe")
    page.keyboard.press("Enter")
    expect(page.locator("article.hit")).to_have_count(1)
    assert "filter=kind%3Drecipe" in page.url
    page.get_by_role("button", name="Remove filter kind=recipe").click()
    expect(page.locator("article.hit")).to_have_count(3)
    page.get_by_label("Field").select_option("year")
    page.get_by_label("Is", exact=True).select_option("at least")
    page.get_by_label("Value").fill("2002")
    page.get_by_role("button", name="Add", exact=True).first.click()
    expect(page.locator("article.hit")).to_have_count(2)
    assert "filter=year%3E%3D2002" in page.url


def test_a_bar_within_a_value_is_no_alternative(visit):
    page = visit.open(q="motor", index="words")
    page.get_by_text("Add a filter").click()
    page.get_by_label("Value").fill("a|b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove filter")).to_be_visible()
    expect(page.locator("article.hit h3")).to_have_text(["Cars"])


def test_two_texts_are_compared(visit, searchers):
    first, second = "sweet apples", "An apple pie for the automobile 🍎 and one more apple."
    page = visit.open()
    page.get_by_role("link", name="Two texts").click()
    expect(page.locator("#results")).to_contain_text("Write two texts")
    page.get_by_label("Text A").fill(first)
    page.get_by_label("Text B").fill(second)
    page.get_by_label("Model of index").select_option("words")
    pair = explain_pair(first, second, searchers["words"].encoder)
    expect(page.locator(".pair-score strong")).to_have_text(f"{pair.dot:.2f}")
    expect(page.locator(".bars .bar-term")).to_have_text([t.term for t in pair.shared])
    assert page.locator(".passage").nth(0).locator("mark").all_inner_texts() == ["apples"]
    assert page.locator(".passage").nth(1).inner_text() == second
    assert set(page.locator(".passage").nth(1).locator("mark").all_inner_texts()) == {"apple"}
    page.get_by_text("Only in A: 1 term").click()
    expect(page.get_by_text("sweet", exact=True)).to_be_visible()
    page.reload()
    visit.ready()
    expect(page.get_by_label("Text A")).to_have_value(first)
    expect(page.locator(".pair-score strong")).to_have_text(f"{pair.dot:.2f}")


def test_texts_that_share_nothing_have_the_score_0(visit):
    page = visit.open(view="texts", a="apple", b="road", index="words")
    expect(page.locator(".pair-score strong")).to_have_text("0")
    expect(page.locator("#results")).to_contain_text("The texts share no term")


def test_two_models_read_two_texts(visit, searchers):
    page = visit.open(view="texts", a="apple pie", b="An apple a day", index=BOTH)
    expect(page.locator(".column")).to_have_count(2)
    for i, name in enumerate(BOTH):
        dot = explain_pair("apple pie", "An apple a day", searchers[name].encoder).dot
        told = float(page.locator(".column").nth(i).locator(".pair-score strong").inner_text())
        assert told == pytest.approx(dot, rel=0.01)
