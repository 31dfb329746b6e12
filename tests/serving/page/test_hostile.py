"""Whatever documents, queries and addresses hold, the page shows it and does nothing else.

Every test of the page fails on a violation of the content security policy, an error of a script and
a request to another host; here are the texts that would cause them.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Error, expect
from serving.page.browser import Visit
from serving.page.collection import HOSTILE_ID, HOSTILE_TITLE

ATTACKS = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror=\"window.ran = 2\">",
    "<svg><animate onbegin=\"window.ran = 3\" attributeName=x dur=1s>",
    "\"><svg onload=window.ran=4>",
    "</textarea><script>window.ran = 5</script>",
    "javascript:window.ran=6",
    "\u202e\u2066evil\u2069\u202c",
)  # fmt: skip


def test_a_hostile_document_is_text(visit):
    page = visit.open(q="quince marmalade", index="words")
    card = page.locator("article.hit").first
    expect(card.locator("h3")).to_have_text(HOSTILE_TITLE)
    expect(card.locator(".passage")).to_contain_text("<img src=x onerror=\"window.ran = 'img'\">")
    expect(card.locator(".facts")).to_contain_text(HOSTILE_ID)
    expect(card.locator(".facts")).to_contain_text("<b onclick=alert(1)>bold</b>")
    assert page.locator("#results").locator("script, img, svg, a, b, [onerror]").count() == 0
    assert set(card.locator("mark").all_inner_texts()) >= {"quince", "marmalade"}


def test_characters_that_turn_text_around_are_shown_as_codes(visit):
    page = visit.open(q="marmalade", index="words")
    passage = page.locator("article.hit").first.locator(".passage")
    codes = ["U+202E", "U+202C", "U+2066", "U+2069", "U+0007"]
    assert passage.locator(".control").all_inner_texts() == codes
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u0007]", passage.inner_text())
    expect(passage).to_contain_text("moc.elpmaxe")


def test_a_hostile_document_beside_itself(visit):
    page = visit.open(q="quince", index=["words", "mini"])
    twin = page.locator(".column").nth(0).get_by_role("button", name="also")
    expect(twin.first).to_be_visible()
    twin.first.click()
    assert page.evaluate("document.activeElement.dataset.key").endswith(HOSTILE_ID)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_query_is_text(visit, attack):
    page = visit.open(q=f"{attack} apple", index="words")
    expect(page.get_by_label("Query", exact=True)).to_have_value(f"{attack} apple")
    expect(page.locator("article.hit").first).to_be_visible()
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.title())
    page = visit.open(view="texts", a=f"{attack} apple", b=f"apple {attack}", index="words")
    expect(page.locator(".passage").nth(1)).to_be_visible()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_address_is_text(visit, attack):
    page = visit.open(
        q="apple", index=[attack, "words"], filter=attack, ban=attack, boost=f"{attack}=2",
        pin=attack, require=attack, hybrid=attack, offset=attack, k=attack, view=attack,
    )  # fmt: skip
    expect(page.locator(".notice.error").first).to_be_visible()
    assert page.locator("#results").locator("script, img, svg, a").count() == 0
    page.locator(".terms").first.get_by_role("button", name="Change the term").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_hostile_error_is_text(visit):
    refuse = lambda route: route.fulfill(status=400, json={"error": "".join(ATTACKS)})  # noqa: E731
    visit.page.route("**/search?*", refuse)
    page = visit.open(q="apple")
    expect(page.locator(".notice.error")).to_contain_text("<script>window.ran = 1</script>")


def test_the_policy_and_these_tests_notice_markup_made_of_text(chromium, url):
    visit = Visit(chromium.new_context(), url)
    page = visit.open()
    assert visit.found_wrong() == []
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.getElementById('results').innerHTML = '<b>x</b>'")
    assert any("require-trusted-types-for" in each for each in visit.found_wrong())
    page.context.close()
