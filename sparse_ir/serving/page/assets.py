"""The files of the search page, as the server sends them.

Only what lies beside this file and has a known ending is an asset: a name is looked up in the list
of files, it is never joined to a path.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_INDEX = "index.html"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def asset(name: str) -> tuple[bytes, str] | None:
    """The content and media type of a file of the page; None where there is no such file.

    Args:
        name: Its bare name, as in ``/page/<name>``.
    """
    return _assets().get(name)


@cache
def index_html() -> bytes:
    """The page itself, UTF-8."""
    return (_FOLDER / _INDEX).read_bytes()


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    return {
        path.name: (path.read_bytes(), _MEDIA_TYPES[path.suffix])
        for path in sorted(_FOLDER.iterdir())
        if path.suffix in _MEDIA_TYPES
    }
