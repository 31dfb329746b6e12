"""How the OpenAPI description tells of answers that are errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

_WORDS = {
    400: "A parameter is wrong.",
    401: "The key is missing or wrong.",
    404: "There is no such index, document or page.",
    413: "A text is too long, or the request has a body.",
    414: "The URL is too long.",
    421: "The server does not go by this name.",
    431: "The headers are too long.",
    500: "The server failed; its log says how.",
    502: "The engine failed.",
    503: "Too busy, or stopping; try again after Retry-After seconds.",
    504: "It took too long.",
}
_SCHEMA = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {"application/json": {"schema": _SCHEMA}}}
    for status, words in _WORDS.items()
}
"""For ``FastAPI(responses=…)``: status -> what it means, and the object that comes with it."""


def describe_as_it_is(app: FastAPI) -> None:
    """Take FastAPI's own 422 out of the description: a wrong parameter is answered by 400 here."""
    described = app.openapi()
    for methods in described["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
    schemas = described.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
