"""A real server in a thread of this process, on a tiny index, asked over real HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest

from sparse_ir.indexing.index import IndexSettings, index_corpus
from sparse_ir.serving.app import make_app
from sparse_ir.serving.draining import DrainingServer, configuration
from sparse_ir.serving.service import Service
from sparse_ir.serving.settings import ServeSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "token-of-this-machine"
FRUIT = (
    {"_id": "d1", "title": "Apple", "text": "An apple is a sweet red fruit.", "year": 2001},
    {"_id": "d2", "title": "Pear", "text": "A pear is a sweet green fruit.", "year": 2002},
    {"_id": "d 3", "title": "Plum", "text": "A plum is a blue stone fruit.", "year": 2003},
    {"_id": "dé4", "title": "Car", "text": "Cars and trucks drive on roads.", "year": 2004},
)


class Answer(NamedTuple):
    """What came back."""

    status: int
    json: Any
    text: str
    headers: dict[str, str]


class Running:
    """A server that answers; stop it."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.service = Service(settings)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        answers = threading.Event()
        config = configuration(make_app(self.service, TOKEN), self.service)
        self.server = DrainingServer(config, self.service, answers.set)
        self._thread = threading.Thread(target=self.server.run, args=([self._socket],))
        self._thread.start()
        assert answers.wait(60)

    def get(self, path: str, *, headers: dict[str, str] | None = None, **query: Any) -> Answer:
        """Ask: ``get("/search", q="pear", filter=["a=1"])``."""
        target = path + ("?" + urlencode(query, doseq=True) if query else "")
        return self.request("GET", target, headers=headers)

    def request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send any request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        heads = {name.lower(): value for name, value in answer.getheaders()}
        is_json = heads.get("content-type", "").startswith("application/json")
        return Answer(answer.status, json.loads(text) if is_json else None, text, heads)

    def figure(self, name: str) -> float:
        """Read one figure of /metrics: its name with its labels."""
        for line in self.service.metrics.text().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def stop(self) -> None:
        """Drain, and let go of everything."""
        self.server.drain()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.service.close()
        self._socket.close()


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an embedded engine with the index "fruit", weighed by BM25."""
    folder = tmp_path_factory.mktemp("served")
    corpus = folder / "fruit.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in FRUIT), encoding="utf-8")
    address = f"embedded:{folder / 'indexes'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARSE_IR_HOME", str(folder))
        for name in ("fruit", "more"):
            index_corpus(
                IndexSettings(corpus=str(corpus), index=name, model="bm25", engine=address)
            )
    return address


@pytest.fixture
def start(engine: str) -> Iterator[Callable[..., Running]]:
    """Start servers of one's own: ``start(key=...)``."""
    running: list[Running] = []

    def begin(**settings: Any) -> Running:
        given = {"index": ("fruit",), "engine": engine} | settings
        running.append(Running(ServeSettings(**given)))
        return running[-1]

    yield begin
    for server in running:
        server.stop()


@pytest.fixture(scope="package")
def server(engine: str) -> Iterator[Running]:
    """One server for the tests that leave it as it is."""
    running = Running(ServeSettings(index=("fruit", "more"), engine=engine))
    yield running
    running.stop()
