"""A query and its hits: scores, bars, words, pages, and what is said when something is wrong."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect
from serving.page.collection import LONG_TEXT

from sparse_ir.searching.explain import explain_hit
from sparse_ir.types import Query


def hit(page, doc_id):
    """The card of a document, by a text that only it shows."""
    return page.locator("article.hit").filter(has=page.locator("h3", has_text=doc_id))


def shown(value):
    """A number above 0.1 as the page writes it."""
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def test_hits_come_with_rank_score_title_and_text(visit, searchers):
    page = visit.open(q="sweet apple")
    (result,) = searchers["mini"].search([Query("1", "sweet apple")])
    cards = page.locator("article.hit")
    expect(cards).to_have_count(len(result.hits))
    for i, found in enumerate(result.hits):
        card = cards.nth(i)
        expect(card.locator(".rank")).to_have_text(f"{i + 1}.")
        expect(card.locator("h3")).to_contain_text(found.document.title[:20])
        expect(card.locator(".score")).to_contain_text(shown(found.score))
    expect(hit(page, "Apple").locator(".passage")).to_contain_text("grows on trees")
    expect(page.get_by_role("status")).to_contain_text(re.compile(r"^\d+ hits? in [\d.]+ m?s"))
    assert page.title() == "sweet apple – sparse-ir"


def test_bars_are_the_terms_that_make_the_score(visit, searchers):
    page = visit.open(q="sweet apple")
    searcher = searchers["mini"]
    (result,) = searcher.search([Query("1", "sweet apple")], vectors=True)
    query = searcher.encoder.explain("sweet apple", query=True)
    first = result.hits[0]
    shared = explain_hit(result.terms, query, first, searcher.encoder)
    card = page.locator("article.hit").first
    rows = card.locator(".bars li")
    expect(rows).to_have_count(len(shared))
    for i, term in enumerate(shared[:6]):
        expect(rows.nth(i).locator(".bar-term")).to_have_text(term.term)
        expect(rows.nth(i).locator(".bar-value")).to_have_text(shown(term.contribution))
        expect(rows.nth(i).locator(".bar-why")).to_contain_text(
            f"{shown(term.query_weight)} × {shown(term.document_weight)}"
        )
    widths = [rows.nth(i).locator(".fill").bounding_box()["width"] for i in range(2)]
    tracks = rows.first.locator(".track").bounding_box()["width"]
    assert widths[0] == pytest.approx(tracks, abs=2)
    assert widths[1] / widths[0] == pytest.approx(
        shared[1].contribution / shared[0].contribution, abs=0.05
    )


def test_a_term_names_the_words_it_came_from_on_both_sides(visit):
    page = visit.open(q="teachers", index="words")  # a stem: the words differ from it
    row = page.locator("article.hit").first.locator(".bars li").first
    expect(row.locator(".bar-term")).to_have_text("teacher")
    expect(page.locator("article.hit").first.locator("mark")).to_have_text("teacher")
    page = visit.open(q="automobile", index="words")
    row = page.locator("article.hit").first.locator(".bars li").first
    expect(row.locator(".bar-why")).to_contain_text("Automobiles")


def test_words_are_marked_where_they_stand_after_letters_beyond_sixteen_bits(visit):
    page = visit.open(q="apple cinnamon", index="words")
    card = hit(page, "Pie 🍎")
    assert sorted(card.locator(".passage mark").all_inner_texts()) == ["apple", "cinnamon"]


def test_a_bar_under_the_pointer_lights_its_words(visit):
    page = visit.open(q="apple cinnamon", index="words")
    card = hit(page, "Pie 🍎")
    row = card.locator(".bars li").filter(has_text="cinnamon")
    row.hover()
    expect(card.locator("mark.lit")).to_have_text("cinnamon")


def test_a_long_text_is_cut_around_its_matches_and_opens(visit):
    page = visit.open(q="volcano lava", index="words")
    card = hit(page, "Minutes")
    passage = card.locator(".passage")
    expect(passage).to_contain_text("A volcano erupted with lava")
    assert len(passage.inner_text()) < 500
    button = card.get_by_role("button", name="Whole text")
    expect(button).to_have_attribute("aria-expanded", "false")
    button.click()
    assert passage.inner_text().strip() == LONG_TEXT.strip()
    card.get_by_role("button", name="Less text").click()
    assert len(passage.inner_text()) < 500


def test_pages_go_on_and_back(visit):
    page = visit.open(q="grammar lesson", index="words")
    expect(page.locator("article.hit")).to_have_count(10)
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    seen = []
    for _ in range(2):
        seen += page.locator("article.hit h3").all_inner_texts()
        before = page.locator("article.hit .rank").first.inner_text()
        page.get_by_role("button", name="Next").click()
        expect(page.locator("article.hit .rank").first).not_to_have_text(before)
    seen += page.locator("article.hit h3").all_inner_texts()
    assert sorted(seen) == sorted(f"Lesson {i}" for i in range(23))
    assert "offset=20" in page.url
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("article.hit .rank").first).to_have_text("11.")
    visit.open(q="grammar", index="words", offset=500)
    expect(page.locator("#results")).to_contain_text("There are no more hits.")


def test_the_address_is_the_state(visit):
    page = visit.open()
    page.get_by_label("Query", exact=True).fill("sweet apple")
    page.keyboard.press("Enter")
    expect(page.locator("article.hit").first).to_be_visible()
    assert page.url == f"{visit.url}/?q=sweet+apple"
    page.get_by_label("Own words only").check()
    page.wait_for_url("**/?q=sweet+apple&lexical=1")
    page.get_by_label("Query", exact=True).fill("green pear")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url("**/?q=green+pear&lexical=1")
    expect(page.locator("article.hit h3").first).to_have_text("Pear")
    page.go_back()
    page.go_back()
    page.wait_for_url("**/?q=sweet+apple")
    expect(page.locator("article.hit h3").first).to_have_text("Apple")
    expect(page.get_by_label("Query", exact=True)).to_have_value("sweet apple")
    expect(page.get_by_label("Own words only")).not_to_be_checked()
    page.go_forward()
    expect(page.get_by_label("Own words only")).to_be_checked()
    page.reload()
    visit.ready()
    expect(page.get_by_label("Own words only")).to_be_checked()
    expect(page.get_by_label("Query", exact=True)).to_have_value("sweet apple")


@pytest.mark.parametrize("query", ["", "   \n "])
def test_an_empty_query_is_not_asked(visit, query):
    page = visit.open(q=query)
    expect(page.locator("#results")).to_contain_text("Write a query to search 29 documents.")
    assert not [url for url in visit.requests if "/search?" in url]


def test_a_query_without_a_hit_says_so(visit):
    page = visit.open(q="zzqx", index="words")
    expect(page.locator("#results")).to_contain_text("no term of this query is left")
    visit.open(q="apple", index="words", filter="kind=lesson")
    expect(page.locator("#results")).to_contain_text("No document matches. Remove a filter")


def test_a_query_of_ten_thousand_characters_is_answered(visit):
    page = visit.open(index="words")
    long = ("apple pear volcano " * 600)[:10_000]
    page.get_by_label("Query", exact=True).fill(long)
    page.keyboard.press("Enter")
    expect(page.locator("article.hit").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1200
    page.reload()
    visit.ready()
    expect(page.get_by_label("Query", exact=True)).to_have_value(long)


def test_a_text_too_long_for_the_server_is_said(visit):
    page = visit.open(index="words")
    page.get_by_label("Query", exact=True).fill("漢字" * 10_000)  # 180 kB once it is an address
    page.keyboard.press("Enter")
    expect(page.locator("#results")).to_contain_text("too long for")
    expect(page.get_by_role("status")).to_contain_text("too long for")
    page.get_by_label("Query", exact=True).fill("apple")
    page.keyboard.press("Enter")
    expect(page.locator("article.hit").first).to_be_visible()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"filter": "nonsense"}, "Write field=value"),
        ({"index": "nowhere"}, "nowhere"),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words(visit, state, words):
    page = visit.open(q="apple", **state)
    expect(page.locator(".notice.error")).to_contain_text(words)
    expect(page.get_by_role("status")).to_contain_text(words)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, "too many requests"),
        (500, "failed (500)"),
        (503, "busy or shutting down"),
        (504, "took too long"),
    ],
)
def test_a_server_in_trouble_can_be_asked_again(visit, status, words):
    refuse = lambda route: route.fulfill(status=status, json={"error": "queue is full"})  # noqa: E731
    visit.page.route("**/search?*", refuse)
    page = visit.open(q="apple")
    expect(page.locator(".notice.error")).to_contain_text(words)
    expect(page.locator(".notice.error")).to_contain_text("queue is full")
    page.unroute("**/search?*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("article.hit").first).to_be_visible()


def test_hits_that_no_term_found_are_shown(visit):
    hit = {"rank": 1, "doc_id": "d7", "score": 0.02, "title": "Near", "text": "x", "metadata": {}}
    found = {"index": "mini", "query": "apple", "terms": [], "dropped": [], "k": 5, "hits": [hit]}
    asked = []

    def answer(route):
        asked.append(route.request.url)
        route.fulfill(status=200, json=found | {"took_ms": {"total": 1}})

    visit.page.route("**/search?*", answer)
    page = visit.open(q="apple", hybrid="rrf:dense")
    expect(page.locator("article.hit h3")).to_have_text("Near")
    expect(page.locator("#results")).not_to_contain_text("Nothing was searched")
    assert all("hybrid=rrf" in url and "k=" not in url for url in asked)
    found |= {"hits": [hit] * 5}
    visit.open(q="apple", hybrid="rrf:dense", offset=5)
    expect(page.locator("nav.pages")).to_contain_text("Hits 6 to 10")
    expect(page.get_by_role("button", name="Next")).to_be_enabled()


def test_an_answer_of_something_else_is_no_result(visit):
    visit.page.route("**/search?*", lambda route: route.fulfill(status=200, body="<b>Welcome</b>"))
    page = visit.open(q="apple")
    expect(page.locator(".notice.error")).to_contain_text("Is it a sparse-ir server?")


def test_a_server_that_is_gone_is_said_and_found_again(visits, serve):
    with serve() as url:
        visit = visits(url)
        page = visit.open(q="apple")
        visit.page.context.set_offline(True)
        page.get_by_label("Query", exact=True).fill("pear")
        page.keyboard.press("Enter")
        expect(page.locator(".notice.error")).to_contain_text("The server does not answer.")
        visit.page.context.set_offline(False)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("article.hit h3").first).to_have_text("Pear")


def test_the_key_is_asked_once_and_kept_for_the_tab(visits, serve):
    with serve(key="open-sesame-once-more") as url:
        visit = visits(url)
        page = visit.page
        page.goto(f"{url}/?q=apple")
        dialog = page.get_by_role("dialog", name="API key")
        dialog.get_by_label("Key").fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("The server refused this key.")
        dialog.get_by_label("Key").fill("open-sesame-once-more")
        page.keyboard.press("Enter")
        expect(page.locator("article.hit").first).to_be_visible()
        page.reload()
        expect(page.locator("article.hit").first).to_be_visible()
        expect(dialog).to_be_hidden()
        assert "open-sesame-once-more" not in page.url
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        page.get_by_role("button", name="Forget the API key").click()
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(".notice.error")).to_contain_text("needs an API key")
