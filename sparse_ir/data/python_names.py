"""Which modules of the standard library are public, and under which name people know them.

Much of the library lives in private modules that a public one re-exports, and where it lives
changes between versions: ``pathlib`` was a file and became a package, ``datetime`` moved to
``_pydatetime``. The names given here are those of the manual, the same on Python 3.10 to 3.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparse_ir.data.python_source import Source

# No part of what a program uses, or tables without text.
_NOT_FOR_PROGRAMS = """
__main__ __phello__ __hello__ antigravity dist-packages encodings ensurepip idlelib lib-dynload
pydoc_data site-packages test tests this turtledemo
"""

# Systems often pack these apart.
_OPTIONAL = "curses tkinter turtle"

# What other modules of the library are made of; the manual says little or nothing about it.
_INNER = """
NodeFilter base64mime bdb domreg expatbuilder expatreader forkserver format_helpers heap log
macholib minicompat mixins ntpath nturl2path opcode proactor_events pyclbr quoprimime readers
reduction resource_sharer resource_tracker selector_events simple spawn sslproto staggered
stringprep symtable trsock windows_events windows_utils xmlbuilder zipimport
"""

# Removed from Python by 3.13: left out everywhere, so that all versions hold nearly the same.
_REMOVED = """
aifc asynchat asyncore binhex cgi cgitb chunk crypt distutils imghdr imp lib2to3 mailcap msilib
nntplib pipes smtpd sndhdr sre_compile sre_constants sre_parse sunau telnetlib uu xdrlib
"""

_LEFT_OUT = frozenset(
    [*_NOT_FOR_PROGRAMS.split(), *_OPTIONAL.split(), *_INNER.split(), *_REMOVED.split()]
)
"""Files and folders that are not read."""

_STANDS_FOR = {
    "_collections_abc": "collections.abc",
    "_py_abc": "abc",
    "_pydatetime": "datetime",
    "_pydecimal": "decimal",
    "_pyio": "io",
    "_py_warnings": "warnings",
    "_threading_local": "threading",
    "_weakrefset": "weakref",
    "concurrent.futures._base": "concurrent.futures",
    "concurrent.futures.process": "concurrent.futures",
    "concurrent.futures.thread": "concurrent.futures",
    "multiprocessing.process": "multiprocessing",
    "pathlib._local": "pathlib",
    "pathlib._abc": "pathlib",
    "posixpath": "os.path",
    "genericpath": "os.path",
    "unittest.async_case": "unittest",
    "zoneinfo._zoneinfo": "zoneinfo",
}

_KNOWN_AS = {
    "argparse._ActionsContainer": "argparse.ArgumentParser",
    "asyncio.BaseEventLoop": "asyncio.AbstractEventLoop",
    "multiprocessing.BaseProcess": "multiprocessing.Process",
    "os.path._splitext": "os.path.splitext",
    "pathlib.PathBase": "pathlib.Path",
    "pathlib.PurePathBase": "pathlib.PurePath",
    "pickle._Pickler": "pickle.Pickler",
    "pickle._Unpickler": "pickle.Unpickler",
}
"""What holds the text -> what people use."""

_METHODS_KNOWN_AS = {
    "multiprocessing.context.BaseContext": "multiprocessing",
    "random.Random": "random",
}
"""A class whose methods a module offers as functions -> that module."""

# The class answers what a person asks; its methods are many, alike and short. Without them the
# corpus has about 3,000 documents.
_WITHOUT_METHODS = """
asyncio.BaseProtocol asyncio.BufferedProtocol asyncio.DatagramProtocol asyncio.Protocol
asyncio.SubprocessProtocol bz2 calendar code codecs collections.abc decimal.Context dis
email.charset email.contentmanager email.feedparser email.generator email.header
email.headerregistry email.policy http.cookiejar imaplib importlib.abc importlib.machinery
importlib.resources io.BufferedIOBase io.FileIO io.RawIOBase logging.config logging.handlers lzma
mailbox modulefinder multiprocessing.managers numbers optparse poplib rlcompleter selectors
socketserver ssl tarfile.TarInfo trace unittest.TestResult urllib.request.FancyURLopener
urllib.request.URLopener venv wsgiref xml.dom xml.sax xmlrpc
"""
_METHODS_LEFT_OUT = frozenset(_WITHOUT_METHODS.split())


def is_private(name: str) -> bool:
    """Whether a part of a dotted name begins with an underscore; ``__future__`` is public."""
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def is_left_out(module: str) -> bool:
    """Whether a file or folder need not be read: no part of it is public."""
    parts = module.split(".")
    hidden = is_private(parts[0]) and module not in _STANDS_FOR
    return hidden or not _LEFT_OUT.isdisjoint(parts)


def order(module: str) -> int:
    """Sorts the file that speaks for a name before those that stand in for it."""
    return list(_STANDS_FOR).index(module) + 1 if module in _STANDS_FOR else 0


class PublicNames:
    """Finds the public name of whatever a source file defines."""

    def __init__(self, sources: Iterable[Source]) -> None:
        """Read who re-exports what."""
        sources = list(sources)
        self._declared = {source.module: source.declared for source in sources}
        self._exporter: dict[tuple[str, str], str] = {}
        self._opened: set[str] = set()
        for source in sources:
            if not is_private(source.module):
                self._read_exports(source)

    def module(self, module: str) -> str | None:
        """The name a module is known by, None for a private one.

        A submodule from which its package imports names is private: what is public of it, the
        package holds.
        """
        public = _STANDS_FOR.get(module, module)
        return None if is_private(public) or public in self._opened else public

    def member(self, module: str, name: str) -> str | None:
        """The qualified name that people use for ``name`` of ``module``, None if it is private."""
        exporter = self._exporter.get((module, name))
        owner = exporter or self.module(module)
        public = f"{owner}.{name}"
        if public in _KNOWN_AS:
            return _KNOWN_AS[public]
        declared = self._declared.get(module), self._declared.get(owner or "")
        hidden = any(names is not None and name not in names for names in declared)
        if owner is None or name.startswith("_"):
            return None
        return None if hidden and not exporter and public not in _METHODS_KNOWN_AS else public

    def _read_exports(self, source: Source) -> None:
        for statement in source.imports:
            origin = statement.origin
            if origin not in self._declared or not _re_exports(source, origin):
                continue
            if statement.relative and source.module == source.package:
                self._opened.add(origin)
            every = (self._declared[origin] or ()) if statement.names == ("*",) else statement.names
            for name in every:
                if name in (source.declared or {name}):
                    self._exporter.setdefault((origin, name), source.module)


def method_owner(class_name: str) -> str | None:
    """What stands before the names of a class's methods: ``random.choice``, not Random.choice.

    Args:
        class_name: Qualified name of a class.

    Returns:
        The name, None where methods are left out.
    """
    parts = class_name.split(".")
    if any(".".join(parts[:n]) in _METHODS_LEFT_OUT for n in range(1, len(parts) + 1)):
        return None
    return _METHODS_KNOWN_AS.get(class_name, class_name)


def _re_exports(source: Source, origin: str) -> bool:
    """Whether an import offers names to others: from one's own package, or a private sibling."""
    inside = origin.startswith(f"{source.module}.")
    sibling = origin.rpartition(".")[0] == source.package and is_private(origin)
    return inside or (sibling and bool(source.package))
