"""The documentation of Python's own standard library as a corpus: real text that every machine has.

The library's source files are parsed, never imported. What is written in C (``math``, ``time``,
``itertools``, most of ``os``) has no source file and is missing; of the language and the built-in
types, the chapters of the manual that Python ships for ``help()`` are read instead.
"""

from __future__ import annotations

import inspect
import logging
import re
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sparse_ir.data.python_names import PublicNames, is_left_out, method_owner, order
from sparse_ir.data.python_source import read_source
from sparse_ir.data.python_topics import read_topics
from sparse_ir.errors import InputError
from sparse_ir.types import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparse_ir.data.python_source import Definition, Source

_WORD_PIECES = 110
"""Length of title and text together, in pieces as ``_pieces`` counts them. A WordPiece tokenizer
makes 128 tokens or fewer of 98 in 100 of them."""

_log = logging.getLogger(__name__)


def read_python_docs(root: Path | None = None) -> Iterator[Document]:
    """Read every documented public module, class, function and method, ordered by ``doc_id``.

    Args:
        root: The folder of the standard library; the running interpreter's own by default.

    Yields:
        One document a name: ``doc_id`` the qualified name (``subprocess.run``), ``title`` the
        name with its signature, ``text`` the docstring cut to fit 128 tokens with the title,
        metadata ``kind`` (module, class, function, method or topic) and ``module``.

    Raises:
        InputError: there are no source files below ``root``.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    documents: dict[str, Document] = {}
    titles: dict[str, str] = {}  # a method may have its signature here and its text in a base
    for document in _documents(root):
        titles.setdefault(document.doc_id, document.title)
        if document.text:
            documents.setdefault(document.doc_id, document)
    if not documents:
        raise InputError(
            "there are no source files of the standard library here. Use a Python that keeps them"
            " as .py files (from python.org, uv, pyenv or your system), or give a corpus of your"
            " own.",
            path=root,
        )
    for doc_id in sorted(documents):
        title = titles[doc_id]
        yield documents[doc_id]._replace(title=title, text=cut(title, documents[doc_id].text))


@cache
def python_docs() -> tuple[Document, ...]:
    """The running interpreter's documents, parsed once a process (1 to 3 s, 4 MB)."""
    return tuple(read_python_docs())


def _documents(root: Path) -> Iterator[Document]:
    sources = list(_read_sources(root, ""))
    names = PublicNames(sources)
    stand_ins = []
    for source in sorted(sources, key=lambda source: order(source.module)):
        module = names.module(source.module)
        if module:
            yield Document(module, source.text, module, {"kind": "module", "module": module})
        for definition in source.definitions:
            name = names.member(source.module, definition.name)
            if name and name.endswith(f".{definition.name}"):
                yield from _describe(name, definition)
            elif name:
                stand_ins.append((name, definition))
    for name, definition in stand_ins:
        yield from _describe(name, definition)
    yield from read_topics(root / "pydoc_data" / "topics.py")


def _read_sources(folder: Path, package: str) -> Iterator[Source]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        module = f"{package}.{path.stem}".strip(".")
        if is_left_out(module):
            continue
        if path.suffix == ".py":
            name = package if path.stem == "__init__" else module
            try:
                yield read_source(path, name)
            except (OSError, SyntaxError, ValueError, RecursionError) as error:
                _log.debug("left out %s: %s", path, error)
        elif path.stem == path.name and path.is_dir():
            yield from _read_sources(path, module)


def _describe(name: str, definition: Definition) -> Iterator[Document]:
    module = name.rpartition(".")[0]
    kind = "function" if definition.methods is None else "class"
    metadata = {"kind": kind, "module": module}
    yield Document(name, definition.text, name + definition.call, metadata)
    owner = method_owner(name)
    if owner is None:
        return
    metadata = {"kind": "method", "module": module}
    if owner != name:  # the methods of a hidden instance are the functions of a module
        metadata = {"kind": "function", "module": owner}
    for method in definition.methods or ():
        if not method.name.startswith("_"):
            qualified = f"{owner}.{method.name}"
            yield Document(qualified, method.text, qualified + method.call, metadata)


def cut(title: str, text: str) -> str:
    """Shorten a text at a word, so that title and text have about 128 tokens or fewer."""
    left = _WORD_PIECES - _pieces(title)
    text = inspect.cleandoc(text)
    for word in re.finditer(r"\S+", text):
        left -= _pieces(word.group())
        if left < 0:
            return text[: word.start()].rstrip() + " …"
    return text


def _pieces(text: str) -> int:
    """Estimate tokens: every sign is one, and a run of letters one for each eight."""
    return sum((len(piece) + 7) // 8 for piece in re.findall(r"[^\W_]+|[^\s\w]|_", text))
