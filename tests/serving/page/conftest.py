"""A server with two real indexes, and a browser on its page."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from clusters.servers import required
from serving.conftest import Running
from serving.page import browser
from serving.page.collection import DOCUMENTS

from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.searching.search import Searcher, SearchSettings
from sparse_ir.serving.settings import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("mini", "words")


@pytest.fixture(scope="session")
def engine(tmp_path_factory) -> Iterator[str]:
    """The address of an engine with two indexes: the bundled model's, and BM25's."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSE_IR_HOME", str(folder / "home"))
        corpus = folder / "documents.jsonl"
        corpus.write_text("".join(json.dumps(row) + "\n" for row in DOCUMENTS), encoding="utf-8")
        address = f"embedded:{folder / 'indexes'}"
        for name, model in zip(NAMES, (None, "bm25"), strict=True):
            index_corpus(IndexSettings(corpus=str(corpus), index=name, engine=address, model=model))
        yield address


@pytest.fixture(scope="session")
def searchers(engine) -> Iterator[dict[str, Searcher]]:
    """Both indexes, open: what is right is asked here."""
    opened = {name: Searcher(SearchSettings(index=name, engine=engine)) for name in NAMES}
    yield opened
    for searcher in opened.values():
        searcher.close()


@pytest.fixture(scope="session")
def serve(engine, tmp_path_factory):
    """Start a server on both indexes: ``with serve(key=None) as url``."""

    @contextmanager
    def start(*, key: str | None = None) -> Iterator[str]:
        own = tmp_path_factory.mktemp("serve") / "indexes"  # one process holds an index alone
        shutil.copytree(engine.partition(":")[2], own)
        running = Running(ServeSettings(index=NAMES, engine=f"embedded:{own}", key=key or ""))
        try:
            yield running.url
        finally:
            running.stop()

    return start


@pytest.fixture(scope="session")
def url(serve) -> Iterator[str]:
    """A server without a key that all tests share."""
    with serve() as address:
        yield address


@pytest.fixture(scope="module")
def chromium():
    """A browser for one file of tests; a longer one would hold asyncio's loop from other tests."""
    path = browser.executable()
    if path is None:
        reason = "no Chromium: .ci/browser installs it"
        if required():
            pytest.fail(reason)
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from playwright.sync_api import expect, sync_playwright
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=browser.arguments())
        yield started
        started.close()


@pytest.fixture
def visits(chromium):
    """Open pages, each in a context of its own; in the end nothing must have gone wrong on any."""
    opened = []

    def visit(url, **how):
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 900}, **how})
        opened.append((context, browser.Visit(context, url)))
        return opened[-1][1]

    yield visit
    wrong = [each for _, visited in opened for each in visited.found_wrong()]
    for context, _ in opened:
        context.close()
    assert wrong == []


@pytest.fixture
def visit(visits, url) -> browser.Visit:
    """A page of the shared server."""
    return visits(url)
