"""The page that says what can be asked: the OpenAPI description as plain HTML, nothing loaded."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def reference_page(description: Mapping[str, Any]) -> str:
    """Write every route with its parameters.

    Args:
        description: As OpenAPI has it.
    """
    info = description["info"]
    title = escape(f"{info['title']} {info['version']}")
    routes = "".join(
        _route(path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"></head><body>'
        f"<h1>{title}</h1><p>{escape(info.get('description', ''))} "
        'For programs: <a href="/openapi.json">openapi.json</a>. With a key, send '
        "<code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>. An error is "
        '<code>{"error": "…"}</code>.</p>'
        f"{routes}</body></html>"
    )


def _route(path: str, method: str, operation: Mapping[str, Any]) -> str:
    rows = "".join(_parameter(p) for p in operation.get("parameters", ()))
    table = (
        "<table><thead><tr><th scope='col'>parameter</th><th scope='col'>type</th>"
        f"<th scope='col'>default</th><th scope='col'>meaning</th></tr></thead><tbody>{rows}"
        "</tbody></table>"
    )
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}</p>{table if rows else ''}"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    kind = schema.get("type") or next((s["type"] for s in schema.get("anyOf", ())), "")
    default = schema.get("default", "")
    shown = "" if default in ("", [], None) else str(default).lower()
    meaning = parameter.get("description") or schema.get("pattern", "")
    cells = (parameter["name"], kind, shown, meaning)
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
