"""What a Python source file says about itself: docstrings, signatures, what it imports and exports.

A file is parsed, never imported, and its syntax tree is dropped at once: keeping the trees of a
whole library costs three times as long, for the garbage collector walks them again and again.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"

_PARAMETERS = 8
_DEFAULT_CHARACTERS = 20


class Definition(NamedTuple):
    """A function, method or class.

    Attributes:
        name: Its own name, without the module.
        call: The signature, as ``signature`` writes it.
        text: The docstring; may be empty.
        methods: Of a class, its methods; None for a function.
    """

    name: str
    call: str
    text: str
    methods: tuple[Definition, ...] | None = None


class Import(NamedTuple):
    """A ``from … import …``.

    Attributes:
        origin: Absolute name of the module imported from.
        names: What is imported, under its new names; ``*`` for all.
        relative: Whether it is written with leading dots.
    """

    origin: str
    names: tuple[str, ...]
    relative: bool


class Source(NamedTuple):
    """A source file.

    Attributes:
        module: Dotted name, as in ``json.decoder``; a package without ``__init__``.
        package: The package it lies in; of a package itself, its own name.
        text: The docstring; may be empty.
        declared: What ``__all__`` lists, None where there is none or it is computed.
        imports: In order.
        definitions: In order.
    """

    module: str
    package: str
    text: str
    declared: frozenset[str] | None
    imports: tuple[Import, ...]
    definitions: tuple[Definition, ...]


def read_source(path: Path, module: str) -> Source:
    """Parse a source file.

    Args:
        path: The file.
        module: Its dotted name.

    Raises:
        OSError: the file cannot be read.
        SyntaxError: it is no Python of this version.
        ValueError: it holds null bytes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that are deprecated
        tree = ast.parse(path.read_bytes())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    body = list(_statements(tree.body))
    return Source(
        module=module,
        package=package,
        text=ast.get_docstring(tree) or _assigned_docstring(body),
        declared=_declared(body),
        imports=tuple(_import(s, package) for s in body if isinstance(s, ast.ImportFrom)),
        definitions=(*_definitions(body), *_aliases(body)),
    )


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a block and of every branch of its ``if`` and ``try``, in order."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements(statement.body + statement.orelse)
        elif isinstance(statement, ast.Try):
            handlers = [s for handler in statement.handlers for s in handler.body]
            yield from _statements(statement.body + handlers + statement.orelse)


def _assigned_docstring(body: list[ast.stmt]) -> str:
    """The text of ``__doc__ = "…"``, as ``hashlib`` writes it."""
    for statement in body:
        target = _changed(statement)
        if isinstance(target, ast.Name) and target.id == "__doc__":
            value = getattr(statement, "value", None)
            return str(value.value) if isinstance(value, ast.Constant) else ""
    return ""


def _declared(body: list[ast.stmt]) -> frozenset[str] | None:
    names: list[str] | None = None
    for statement in body:
        target = _changed(statement)
        if isinstance(target, ast.Name) and target.id == "__all__":
            try:
                names = [*(names or ()), *ast.literal_eval(statement.value)]  # type: ignore[attr-defined]
            except (ValueError, TypeError):
                return None
    return None if names is None else frozenset(names)


def _changed(statement: ast.stmt) -> ast.expr | None:
    """What ``x = …``, ``x += …`` or ``x.append(…)`` changes."""
    if isinstance(statement, ast.Assign):
        return statement.targets[0]
    if isinstance(statement, ast.AugAssign):
        return statement.target
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        function = statement.value.func
        return function.value if isinstance(function, ast.Attribute) else None
    return None


def _import(statement: ast.ImportFrom, package: str) -> Import:
    origin = statement.module or ""
    if statement.level:
        parts = package.split(".")
        parts = parts[: len(parts) - statement.level + 1]
        origin = ".".join([*parts, origin] if origin else parts)
    names = tuple(alias.asname or alias.name for alias in statement.names)
    return Import(origin, names, relative=statement.level > 0)


def _definitions(body: list[ast.stmt], *, method: bool = False) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node) or ""
            yield Definition(node.name, signature(node, method=method), text)
        elif isinstance(node, ast.ClassDef) and not method:
            yield _class(node)


def _aliases(body: list[ast.stmt]) -> Iterator[Definition]:
    """Second names of functions, as in ``insort = insort_right``."""
    known = {d.name: d for d in _definitions(body) if d.methods is None}
    found: dict[str, Definition] = {}
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            meant = known.get(statement.value.id)
            for target in statement.targets:
                if meant is not None and isinstance(target, ast.Name):
                    found[target.id] = meant._replace(name=target.id)  # the last is for Unix
    yield from found.values()


def _class(node: ast.ClassDef) -> Definition:
    methods = tuple(_definitions(list(_statements(node.body)), method=True))
    makers = {m.name: m for m in methods if m.name in {"__init__", "__new__"}}
    maker = makers.get("__init__") or makers.get("__new__") or Definition("", "", "")
    return Definition(node.name, maker.call, ast.get_docstring(node) or maker.text, methods)


def signature(node: _Function, *, method: bool = False) -> str:
    """Write a function's parameters as a caller sees them: no ``self``, no annotations.

    Args:
        node: The function.
        method: Whether it is defined in a class.

    Returns:
        ``(path, mode='r', *, encoding=None)``; nothing for a property. Long and private defaults
        and the parameters after the eighth become an ellipsis.
    """
    decorators = {ast.unparse(d).rpartition(".")[2] for d in node.decorator_list}
    written = list(_parameters(node.args))
    if any("property" in d.lower() for d in decorators):
        return ""
    if not method and written[:1] == ["self"]:
        return ""  # its decorator makes an object of it, as of typing.Optional
    if method and "staticmethod" not in decorators and written and written[0][0] != "*":
        del written[: 2 if written[1:2] == ["/"] else 1]
    if len(written) > _PARAMETERS:
        written = [*written[:_PARAMETERS], "…"]
    return f"({', '.join(written)})"


def _parameters(args: ast.arguments) -> Iterator[str]:
    positional = args.posonlyargs + args.args
    defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
    for place, (arg, default) in enumerate(zip(positional, defaults, strict=True), start=1):
        yield _parameter(arg, default)
        if place == len(args.posonlyargs):
            yield "/"
    if args.vararg or args.kwonlyargs:
        yield f"*{args.vararg.arg if args.vararg else ''}"
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        yield _parameter(arg, default)
    if args.kwarg:
        yield f"**{args.kwarg.arg}"


def _parameter(arg: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return arg.arg
    written = ast.unparse(default)
    if written.startswith("_") or len(written) > _DEFAULT_CHARACTERS:
        written = "…"
    return f"{arg.arg}={written}"
