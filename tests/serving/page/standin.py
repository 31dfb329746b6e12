"""A small server that answers the page's requests from real indexes, with `http.server` alone.

It keeps to the HTTP API of `sparse-ir serve`. What it cannot do is what the page does not see:
batching, limits, metrics.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

from sparse_ir.engines.filters import parse_filter
from sparse_ir.errors import IndexNotFoundError, SparseIRError
from sparse_ir.searching.explain import explain_hit, explain_pair
from sparse_ir.searching.query import build_request
from sparse_ir.serving.page.assets import asset, index_html

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparse_ir.searching.search import Searcher

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
ALL = 10_000


class Refused(Exception):  # noqa: N818 - it is an answer
    """An answer other than 200."""

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


class Standin(ThreadingHTTPServer):
    """Serves the page and indexes.

    Args:
        searchers: Name -> open index; the first is the default.
        filters: The metadata fields that /indexes offers, with their values.
        key: The API key that requests need; none by default.
    """

    daemon_threads = True

    def __init__(
        self,
        searchers: Mapping[str, Searcher],
        filters: Mapping[str, list[str]],
        *,
        key: str | None = None,
    ) -> None:
        self.searchers, self.filters, self.key = searchers, filters, key
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def stop(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a browser that goes away in the middle of an answer

    def indexes(self, _):
        found = []
        for name, searcher in self.searchers.items():
            found.append(
                {
                    "name": name,
                    "engine": searcher.engine.address.partition(":")[0],
                    "model": searcher.stamp.model,
                    "documents": searcher.engine.stats(name).documents,
                    "filters": [{"field": f, "values": v} for f, v in self.filters.items()],
                    "query_encoder": "model",
                }
            )
        return {"indexes": found, "default": next(iter(self.searchers))}

    def search(self, asked):
        name, searcher = self.opened(asked)
        text, took = asked.text("q"), {}
        started = time.perf_counter()
        query = searcher.encoder.explain(text, query=True)
        terms = searched(query, asked)
        took["encode"] = since(started)
        required = set(asked.all("require"))
        k, offset = int(asked.text("k", "10")), int(asked.text("offset", "0"))
        middle = time.perf_counter()
        request = build_request(
            terms,
            k=ALL if required else k,
            offset=0 if required else offset,
            conditions=parse_filter(asked.all("filter")),
            vectors=True,
        )
        (hits,) = searcher.engine.search(name, [request]) if terms else ([],)
        if required:
            hits = [hit for hit in hits if required <= set(hit.vector)][offset : offset + k]
        took["search"] = since(middle)
        middle = time.perf_counter()
        explained = query._replace(terms=(*query.terms, *pinned(query, terms, searcher)))
        answer = {
            "index": name,
            "query": text,
            "terms": [
                {**origins(explained)[term], "weight": weight}
                for term, weight in sorted(terms.items(), key=lambda pair: (-pair[1], pair[0]))
            ],
            "dropped": [
                {"term": t.term, "weight": t.weight} for t in query.terms if t.term not in terms
            ],
            "hits": [
                {
                    "rank": offset + i + 1,
                    "doc_id": hit.doc_id,
                    "score": hit.score,
                    "title": hit.document.title,
                    "text": hit.document.text,
                    "metadata": hit.document.metadata,
                    **(
                        {"matches": matches(terms, explained, hit, searcher.encoder)}
                        if asked.text("explain") == "1"
                        else {}
                    ),
                }
                for i, hit in enumerate(hits)
            ],
        }
        took["explain"] = since(middle)
        return {**answer, "took_ms": {**took, "total": since(started)}}

    def explain(self, asked):
        _, searcher = self.opened(asked)
        pair = explain_pair(asked.text("q"), asked.text("text"), searcher.encoder)
        return {
            "score": pair.dot,
            "query": {"terms": [t._asdict() for t in pair.query.terms], "cut": pair.query.cut},
            "document": {
                "terms": [t._asdict() for t in pair.document.terms],
                "cut": pair.document.cut,
            },
            "matches": [shared(term, []) for term in pair.shared],
        }

    def opened(self, asked):
        name = asked.text("index") or next(iter(self.searchers))
        if name not in self.searchers:
            raise IndexNotFoundError(f"there is no index {name!r}.")
        return name, self.searchers[name]


def searched(query, asked):
    """The query's terms after the person's changes."""
    terms = {t.term: t.weight for t in query.terms}
    if asked.text("lexical") == "1":
        terms = {t.term: t.weight for t in query.terms if t.word.lower() == t.term}
    for term, factor in map(number_of, asked.all("boost")):
        if term in terms:
            terms[term] *= factor
    for term, weight in map(number_of, asked.all("pin")):
        terms[term] = weight
    return {term: weight for term, weight in terms.items() if term not in asked.all("ban")}


def number_of(text):
    term, _, value = text.rpartition("=")
    return term, float(value)


def pinned(query, terms, searcher):
    """Origins of the terms that the model did not give."""
    like = searcher.encoder.explain("x", query=True).terms
    known = {t.term for t in query.terms}
    make = type((query.terms or like)[0])
    return [make(term, terms[term], "", -1, -1) for term in terms if term not in known]


def origins(query):
    return {t.term: t._asdict() for t in query.terms}


def matches(terms, query, hit, encoder):
    document = hit.document
    places = {t.term: t for t in encoder.explain(document.content).terms}
    before = len(document.title) + 1 if document.title else 0
    found = []
    for term in explain_hit(terms, query, hit, encoder):
        at = places.get(term.term)
        words = []
        if at is not None and at.start >= before:
            words = [{"field": "text", "start": at.start - before, "end": at.end - before}]
        elif at is not None and at.start >= 0:
            words = [{"field": "title", "start": at.start, "end": at.end}]
        found.append(shared(term, words))
    return found


def shared(term, words):
    return {
        "term": term.term,
        "query_weight": term.query_weight,
        "document_weight": term.document_weight,
        "contribution": term.contribution,
        "words": words,
    }


def since(start):
    return (time.perf_counter() - start) * 1000


class _Asked(dict):
    def text(self, name, otherwise=""):
        return self.get(name, [otherwise])[0]

    def all(self, name):
        return self.get(name, [])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    server: Standin

    def do_GET(self):
        parts = urlsplit(self.path)
        asked = _Asked(parse_qs(parts.query, keep_blank_values=True))
        name = unquote(parts.path).removeprefix("/page/")
        if parts.path == "/":
            self.reply(200, index_html(), "text/html; charset=utf-8")
        elif parts.path.startswith("/page/") and (found := asset(name)):
            self.reply(200, *found)
        else:
            self.answer(parts.path, asked)

    def answer(self, path, asked):
        routes = {
            "/search": self.server.search,
            "/explain": self.server.explain,
            "/indexes": self.server.indexes,
        }
        try:
            if path not in routes:
                raise Refused(404, f"there is no {path}.")
            key = self.server.key
            if key is not None and self.headers["Authorization"] != f"Bearer {key}":
                raise Refused(401, "the API key is missing or wrong.")
            with self.server.lock:
                status, body = 200, routes[path](asked)
        except Refused as refusal:
            status, body = refusal.status, {"error": str(refusal)}
        except IndexNotFoundError as error:
            status, body = 404, {"error": str(error)}
        except SparseIRError as error:
            status, body = 400, {"error": str(error)}
        self.reply(status, json.dumps(body).encode(), "application/json")

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass
