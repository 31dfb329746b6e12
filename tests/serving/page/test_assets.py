"""What the page is made of: files of its own, no markup from data, nothing inline."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sparse_ir.serving.page import assets
from sparse_ir.serving.page.assets import asset, index_html

HTML = index_html().decode()
FILES = sorted(p.name for p in Path(assets.__file__).parent.iterdir() if asset(p.name) is not None)
SCRIPTS = [name for name in FILES if name.endswith(".js")]


def text_of(name):
    content, _ = asset(name)
    return content.decode()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("main.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_an_asset_has_its_content_and_media_type(name, kind):
    content, media_type = asset(name)
    assert content
    assert media_type == kind


@pytest.mark.parametrize(
    "name",
    [
        "",
        "assets.py",
        "index.html",
        "../app.py",
        "./main.js",
        "/etc/passwd",
        "main.js\0",
        "MAIN.JS",
    ],
)
def test_nothing_else_is_an_asset(name):
    assert asset(name) is None


def test_all_that_the_page_loads_is_there():
    linked = re.findall(r'(?:src|href)="([^"]+)"', HTML)
    files = [link.removeprefix("page/") for link in linked if link.startswith("page/")]
    assert sorted(files) == ["icon.svg", "main.js", "style.css"]
    assert {link for link in linked if not link.startswith("page/")} == {
        "./", "#results", "?view=texts",
    }  # fmt: skip
    for name in SCRIPTS:
        for module in re.findall(r'^import .* from "([^"]+)";$', text_of(name), re.M):
            assert asset(module.removeprefix("./")) is not None, (name, module)


def test_the_page_has_nothing_inline():
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", HTML)
    assert re.findall(r"<script([^>]*)>(.*?)</script>", HTML) == [
        (' type="module" src="page/main.js"', "")
    ]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_makes_no_markup_of_text(name):
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
    )
    assert not re.search(sinks, text_of(name))


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name):
    names = re.findall(r"https?://[^\s\"']+", text_of(name))
    assert set(names) <= {"http://www.w3.org/2000/svg"}
