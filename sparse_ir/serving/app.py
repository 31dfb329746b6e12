"""The routes: what is asked in a URL, answered in JSON."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from sparse_ir import __version__
from sparse_ir.errors import (
    ConfigError,
    EngineError,
    IndexLockedError,
    IndexNotFoundError,
    InputError,
    ModelError,
    ModelMismatchError,
    NoVectorsError,
    SparseIRError,
    StorageError,
)
from sparse_ir.serving.batching import BusyError
from sparse_ir.serving.controls import read_controls
from sparse_ir.serving.guard import FAILED, INTERNAL, Guard
from sparse_ir.serving.metrics import MEDIA_TYPE
from sparse_ir.serving.page.assets import asset, index_html
from sparse_ir.serving.problems import PROBLEMS, describe_as_it_is
from sparse_ir.serving.reference import reference_page
from sparse_ir.serving.service import (
    Asked,
    CannotExplainError,
    DocumentNotFoundError,
    TooLongError,
    UnknownIndexError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sparse_ir.serving.service import Service

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (TooLongError, 413),
    (ConfigError, 400),
    (InputError, 400),
    (ModelError, 400),
    (IndexNotFoundError, 404),
    (IndexLockedError, 503),
    (BusyError, 503),
    (EngineError, 502),
    (SparseIRError, 500),
)

_log = logging.getLogger(__name__)

# What is below the server says of itself is for its log: it names folders of this machine.
_OWN = (BusyError, CannotExplainError, DocumentNotFoundError, TooLongError, UnknownIndexError)
_SAID: tuple[tuple[type[Exception], str], ...] = (
    (
        ModelMismatchError,
        "the index was replaced by one of another model, or one that was read otherwise. The "
        "server must be started again; its log says more.",
    ),
    (NoVectorsError, "the index keeps no vectors, and this needs them."),
    (IndexLockedError, "another process holds the index. Try again later."),
    (IndexNotFoundError, "the index is not there any more; the server's log says more."),
    (EngineError, "the engine failed; the server's log says how."),
    (ModelError, "the model cannot be used; the server's log says why."),
    (StorageError, "a file of the server cannot be used; its log says why."),
)

Text = Annotated[str, Query(description="The query.")]
Index = Annotated[str, Query(description="Which index; the first one served by default.")]
Terms = Annotated[list[str], Query()]


def make_app(service: Service, token: str) -> Guard:
    """Put the routes together, with the guard around them.

    Args:
        service: What answers.
        token: What other processes of this machine must send.
    """
    app = FastAPI(
        title="sparse-ir",
        version=__version__,
        description="Learned sparse retrieval over HTTP.",
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
    )
    _add_errors(app)
    _add_search(app, service)
    _add_state(app, service)
    _add_internal(app, service)
    _add_pages(app)
    describe_as_it_is(app)
    return Guard(app, service, token)


def _add_search(app: FastAPI, service: Service) -> None:
    @app.get("/search", summary="Search an index")
    async def search(
        q: Text = "",
        k: Annotated[
            int | None, Query(ge=1, description="Hits wanted; 10, or --max-k if that is less.")
        ] = None,
        offset: Annotated[int, Query(ge=0, description="Hits to pass over first.")] = 0,
        index: Index = "",
        filter: Annotated[  # noqa: A002 - the name in the URL
            list[str], Query(description="field=value, field=a|b, field>=number; repeatable.")
        ] = [],  # noqa: B006 - FastAPI copies it
        ban: Annotated[list[str], Query(description="Take a term away; repeatable.")] = [],  # noqa: B006
        boost: Annotated[list[str], Query(description="TERM=FACTOR; repeatable.")] = [],  # noqa: B006
        pin: Annotated[list[str], Query(description="TERM=WEIGHT; repeatable.")] = [],  # noqa: B006
        require: Annotated[list[str], Query(description="A hit must have it.")] = [],  # noqa: B006
        lexical: Annotated[bool, Query(description="Only terms of the query's words.")] = False,
        explain: Annotated[bool, Query(description="Say which terms matched.")] = False,
        hybrid: Annotated[str, Query(description="As --hybrid takes it: rrf:sparse,dense …")] = "",
    ) -> Response:
        controls = read_controls(ban=ban, boost=boost, pin=pin, require=require, lexical=lexical)
        asked = Asked(q, index, k, offset, tuple(filter), controls, explain, hybrid)
        return _json(await service.search(asked))

    @app.get("/encode", summary="A text's terms")
    async def encode(
        text: Annotated[str, Query(description="The text.")] = "",
        side: Annotated[str, Query(pattern="^(query|document)$")] = "query",
        index: Index = "",
    ) -> Response:
        return _json(await service.encode(text, query=side == "query", index=index))

    @app.get("/explain", summary="Why a document, or any text, matches a query")
    async def explain_one(
        q: Text = "",
        doc_id: Annotated[str | None, Query(description="A document of the index.")] = None,
        text: Annotated[str | None, Query(description="Or a text.")] = None,
        index: Index = "",
        ban: Terms = [],  # noqa: B006
        boost: Terms = [],  # noqa: B006
        pin: Terms = [],  # noqa: B006
        lexical: bool = False,
    ) -> Response:
        controls = read_controls(ban=ban, boost=boost, pin=pin, lexical=lexical)
        asked = Asked(q, index, controls=controls)
        if doc_id is not None and text is None:
            return _json(await service.explain_document(asked, doc_id))
        if text is not None and doc_id is None:
            return _json(await service.explain_text(asked, text))
        raise ConfigError("explain needs doc_id or text, and not both.")


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/indexes", summary="What is served")
    async def indexes() -> Response:
        return _json(await service.facts())

    @app.get("/health", summary="Whether the server takes requests")
    async def health() -> Response:
        if service.draining:
            return _json({"status": "draining"}, status=503)
        return _json({"status": "ok"})

    @app.get("/metrics", summary="Figures for Prometheus")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=MEDIA_TYPE)


def _add_internal(app: FastAPI, service: Service) -> None:
    @app.post(INTERNAL + "engine/{what}", include_in_schema=False)
    async def engine(what: str, request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            raise ConfigError("the body is no JSON.") from None
        return _json({"result": await service.answer_process(what, body)})


def _add_pages(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        return Response(reference_page(app.openapi()), media_type="text/html")

    @app.get("/", include_in_schema=False)
    async def start() -> Response:
        return Response(index_html(), media_type="text/html")

    @app.get("/page/{name:path}", include_in_schema=False)
    async def part(name: str) -> Response:
        found = asset(name)
        if found is None:
            raise HTTPException(404, f"there is no {name!r} here.")
        content, media_type = found
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})


def _add_errors(app: FastAPI) -> None:
    async def failed(request: Request, error: Exception) -> Response:
        inside = request.url.path.startswith(INTERNAL)  # a process of the same user
        words = str(error) if inside else _for_clients(error)
        if words != str(error):
            _log.error("%s: %s", request.url.path, error)
        return _json({"error": words}, status=_status_of(error))

    def answer(status: Callable[[Any], int], words: Callable[[Any], str]) -> Any:
        async def handle(request: Request, error: Exception) -> Response:
            del request
            return _json({"error": words(error)}, status=status(error))

        handler: Callable[[Request, Exception], Awaitable[Response]] = handle
        return handler

    app.add_exception_handler(Exception, answer(lambda _: 500, lambda _: FAILED))
    app.add_exception_handler(SparseIRError, failed)
    app.add_exception_handler(RequestValidationError, answer(lambda _: 400, _first_problem))
    app.add_exception_handler(HTTPException, answer(lambda e: e.status_code, lambda e: e.detail))


def _for_clients(error: Exception) -> str:
    """What is wrong, without anything of the machine that answers."""
    if isinstance(error, _OWN):
        return str(error)
    return next((line for kind, line in _SAID if isinstance(error, kind)), str(error))


def _status_of(error: Exception) -> int:
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def _first_problem(error: RequestValidationError) -> str:
    first = error.errors()[0]
    return f"{first['loc'][-1]} is {first.get('input')!r}. {first['msg']}."


def _json(value: Any, *, status: int = 200) -> Response:
    # only ASCII: documents may hold halves of surrogate pairs, which have no UTF-8
    headers = {"Retry-After": "1"} if status == 503 else {}
    body = json.dumps(value, separators=(",", ":"))
    return Response(body, status, headers, "application/json")
