"""The chapters of the language manual that Python ships for ``help()``, as documents.

``pydoc_data/topics.py`` holds them as text: statements, operators, special methods, and the
methods of the built-in types, which are written in C and have no other source.
"""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from typing import TYPE_CHECKING

from sparse_ir.types import Document

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

_TWICE = frozenset({"else"})
"""Topics whose text is that of another one."""

_OWNERS = {"class": "type", "sequence": "list"}
"""What the manual writes before a method's name -> the type that people look for."""

_BUILT_IN = frozenset({"dict", "frame", "list", "object", "pdb", "slice", "str", "type"})
_OPERATIONS = frozenset({"iter", "len", "list", "reversed"})

_SECTION = re.compile(r"(?m)^(?P<title>\S.*)\n(?P<rule>[*=~-])(?P=rule){2,}\n")
_STATEMENT = re.compile(r'^The (".*") (?:statement|clause)$')
_ENTRY = re.compile(
    r"(?m)^(?P<indent> *)(?P<prefix>(?:class |static |classmethod |async )*)"
    r"(?P<name>[\w.]+)(?P<call>\(.*\))\n(?:(?P=indent)\S.*\n)*\n"
    r"(?P<body>(?:(?P=indent)   .*\n|\n)+)"
)
_ROW = re.compile(r'"s\.(?P<name>\w+)(?P<call>\(.*?\))"')
_GRAMMAR = re.compile(r"\s*\w+ *(::=|: .*\")")


def read_topics(path: Path) -> Iterator[Document]:
    """Read the manual's chapters: sections, built-in methods and special methods.

    Chapters repeat parts of each other, and versions cut them differently, so a section is known
    by its own name.

    Args:
        path: ``topics.py``; nothing is read where it is missing or cannot be parsed.

    Yields:
        ``topics.for`` for a chapter, ``topics.match`` or ``topics.or-patterns`` for a section,
        ``str.split`` and ``object.__init__`` for the methods described there.
    """
    topics = _load(path)
    seen: set[str] = set(_TWICE)
    for key in sorted(topics, key=lambda key: (len(topics[key]), key)):
        for document in _chapter(key, topics[key] + "\n", chapters=topics):
            names = {document.doc_id, document.title.rpartition(": ")[2]}
            if key not in _TWICE and not names & seen:
                seen |= names
                yield document


def _load(path: Path) -> dict[str, str]:
    try:
        tree = ast.parse(path.read_bytes())
        topics = ast.literal_eval(tree.body[-1].value)  # type: ignore[attr-defined]
    except (OSError, SyntaxError, ValueError, IndexError, AttributeError):
        return {}
    return topics if isinstance(topics, dict) else {}


def _chapter(key: str, text: str, *, chapters: Container[str]) -> Iterator[Document]:
    headings = list(_SECTION.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    chapter = _plain(headings[0]["title"]) if headings else key
    for heading, end in zip(headings, ends, strict=True):
        name, title = key, chapter
        if heading is not headings[0]:
            title = f"{chapter}: {_plain(heading['title'])}"
            name = _slug(_STATEMENT.sub(r"\1", heading["title"]))
            name = f"{key}.{name}" if name in chapters else name
        body = text[heading.end() : end]
        entries = list(_ENTRY.finditer(body))
        opening = _prose(body[: entries[0].start()] if entries else body)
        if opening:
            yield _document(f"topics.{name}", title, opening, kind="topic", module="topics")
        yield from _entries(entries, owner="")
        yield from _rows(body)


def _entries(entries: list[re.Match[str]], *, owner: str) -> Iterator[Document]:
    for entry in entries:
        inner = textwrap.dedent(entry["body"])
        is_class = "class " in entry["prefix"]
        name = _qualified(entry["name"], owner)
        within = list(_ENTRY.finditer(inner)) if is_class else []
        if name:
            text = inner[: within[0].start()] if within else inner
            module = "pdb" if name.startswith("pdb.") else "builtins"
            kind = "function" if module == "pdb" else "method"
            kind = "class" if is_class else kind
            call = entry["call"].replace("- 1", "-1")
            yield _document(name, name + call, _prose(text), kind=kind, module=module)
        yield from _entries(within, owner=name)


def _qualified(name: str, owner: str) -> str:
    """``get`` of class ``dict`` is ``dict.get``; empty for what is no method of a built-in type."""
    first, dot, rest = name.partition(".")
    if dot:
        first = _OWNERS.get(first, first)
        return f"{first}.{rest}" if first in _BUILT_IN else ""
    if not owner:
        return name if name in _BUILT_IN | {"tuple", "range"} else ""
    return "" if name in _OPERATIONS else f"{owner}.{name}"


def _rows(text: str) -> Iterator[Document]:
    """The methods of a list, which some versions of the manual give as rows of a table."""
    for row in re.split(r"(?m)^\+[-=+]+\+\n|^\|[=|]+\|\n", text):
        lines = [line.split("|") for line in row.splitlines() if line.startswith("|")]
        columns = [
            " ".join(" ".join(c).split()) for c in itertools.zip_longest(*lines, fillvalue="")
        ]
        found = _ROW.match(columns[1]) if len(columns) > 3 else None
        if found:
            name = f"list.{found['name']}"
            yield _document(
                name, name + found["call"], columns[2], kind="method", module="builtins"
            )


def _document(name: str, title: str, text: str, *, kind: str, module: str) -> Document:
    return Document(name, text, title, {"kind": kind, "module": module})


def _prose(text: str) -> str:
    """Leave out grammar and the lines that draw tables."""
    text = re.sub(r"(?m)^ *[+|][-=+]{3,}[+|]$\n?|^ *\||\|$", "", text)
    paragraphs = re.split(r"\n\s*\n", text.strip("\n"))
    return "\n\n".join(p for p in paragraphs if p.strip() and not _GRAMMAR.match(p))


def _plain(title: str) -> str:
    return re.sub(r"[\"*]", "", title).strip()


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
