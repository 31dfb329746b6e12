"""Collections by their ir_datasets id; the package is optional (https://ir-datasets.com)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.config import nearest
from sparse_ir.errors import InputError, MissingExtraError, brief

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparse_ir.data.rows import Row
    from sparse_ir.types import Qrels


def irds_rows(name: str, kind: str) -> Iterator[Row]:
    """Read the documents (kind "corpus") or the queries of a collection.

    Raises:
        MissingExtraError: ir_datasets is not installed.
        InputError: there is no such collection, or it has no documents or queries.
    """
    records = _part(_load(name), "docs" if kind == "corpus" else "queries", name)
    for number, record in enumerate(records, start=1):
        row = dict(record._asdict())
        if "text" not in row and "body" not in row:
            row["text"] = record.default_text()
        yield number, row


def irds_qrels(name: str) -> Qrels:
    """Read the judgements of a collection.

    Raises:
        MissingExtraError: ir_datasets is not installed.
        InputError: there is no such collection, or it has no judgements.
    """
    qrels: Qrels = {}
    for judged in _part(_load(name), "qrels", name):
        qrels.setdefault(judged.query_id, {})[judged.doc_id] = int(judged.relevance)
    return qrels


def _load(name: str) -> Any:
    try:
        import ir_datasets
    except ImportError:
        raise MissingExtraError("ir_datasets", extra="ir-datasets") from None
    try:
        return ir_datasets.load(name)
    except KeyError:
        known = list(ir_datasets.registry)
        raise InputError(
            f"ir_datasets knows no such collection.{nearest(name, known)}", path=f"irds:{name}"
        ) from None


def _part(dataset: Any, what: str, name: str) -> Iterator[Any]:
    if not getattr(dataset, f"has_{what}")():
        raise InputError(f"this collection has no {what}.", path=f"irds:{name}")
    try:
        yield from getattr(dataset, f"{what}_iter")()
    except Exception as error:  # noqa: BLE001  downloads fail in many ways, each with its own class
        raise InputError(f"cannot be read ({brief(error)}).", path=f"irds:{name}") from None
