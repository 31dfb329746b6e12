"""Documents as a search server stores them: by id, by filter, all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparse_ir.engines.dense_fields import DENSE, read_dense
from sparse_ir.engines.documents import HASH, document_of, filter_clauses, hash_of
from sparse_ir.engines.fields import VECTOR
from sparse_ir.engines.lifecycle import path
from sparse_ir.engines.requests import COMPLETE, STORED, read_vector, require_complete
from sparse_ir.errors import EngineError
from sparse_ir.types import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparse_ir.engines.connection import Connection
    from sparse_ir.engines.filters import Filter
    from sparse_ir.types import Document

_PAGE = 500


class StoredDocuments:
    """Reads the documents of physical indexes."""

    def __init__(self, connection: Connection) -> None:
        """Nothing is sent until something is asked."""
        self._connection = connection

    def get(self, physical: str, doc_ids: Sequence[str], *, vectors: bool) -> list[Entry | None]:
        """Read documents by id, those not refreshed yet too; None where there is none."""
        found: dict[str, Entry] = {}
        for row in self._by_id(physical, list(dict.fromkeys(doc_ids)), _fields(vectors=vectors)):
            found[row["_id"]] = _entry(row["_source"])
        return [found.get(doc_id) for doc_id in doc_ids]

    def scan(self, physical: str, *, vectors: bool) -> Iterator[Entry]:
        """Read everything, by doc_id."""
        for hit in self._all(physical, {"match_all": {}}, _fields(vectors=vectors)):
            yield _entry(hit["_source"])

    def unchanged(self, physical: str, documents: Sequence[Document]) -> set[str]:
        """The ids of those documents that are stored so, and were written whole.

        A partial update by another program leaves the hash as it was and changes the document, or
        the other way round: either is no longer what was written with its vector.
        """
        wanted = dict(filter(None, map(hash_of, documents)))
        ours = {document.doc_id: document for document in documents}
        rows = self._by_id(physical, list(wanted), [*STORED, HASH])
        return {
            row["_id"]
            for row in rows
            if row["_source"].get(HASH) == wanted[row["_id"]]
            and document_of(row["_source"]) == ours[row["_id"]]
        }

    def seen(self, physical: str, doc_ids: Sequence[str]) -> list[Document | None]:
        """Read documents by id as a search sees them now."""
        found: dict[str, Document] = {}
        for start in range(0, len(doc_ids), _PAGE):
            query = {"ids": {"values": list(doc_ids[start : start + _PAGE])}}
            for hit in self._all(physical, query, _fields(vectors=False)):
                found[hit["_id"]] = document_of(hit["_source"])
        return [found.get(doc_id) for doc_id in doc_ids]

    def matching(self, physical: str, conditions: Filter) -> list[str]:
        """The ids of the documents that satisfy every condition."""
        query = {"bool": {"filter": filter_clauses(conditions)}}
        return [hit["_id"] for hit in self._all(physical, query, False)]

    def _by_id(
        self, physical: str, doc_ids: Sequence[str], fields: Sequence[str]
    ) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(doc_ids), _PAGE):
            answer = self._connection.call(
                "POST",
                path(physical, "_mget"),
                {"ids": doc_ids[start : start + _PAGE]},
                params={"_source_includes": ",".join(fields)},
            )
            for row in answer["docs"]:
                if "error" in row:
                    raise EngineError(f"{self._connection.address}: {row['_id']!r}: {row['error']}")
                if row.get("found"):
                    yield row

    def _all(
        self, physical: str, query: Mapping[str, Any], source: Any
    ) -> Iterator[Mapping[str, Any]]:
        """Every hit of a query, by doc_id, page after page."""
        body = {"query": query, "_source": source, "size": _PAGE, "sort": [{"doc_id": "asc"}]}
        body["track_total_hits"] = False
        while True:
            answer = self._connection.call("POST", path(physical, "_search"), body, params=COMPLETE)
            require_complete(answer, f"{self._connection.address}: reading {physical!r}")
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < _PAGE:
                return
            body["search_after"] = hits[-1]["sort"]


def _fields(*, vectors: bool) -> list[str]:
    return [*STORED, VECTOR, DENSE] if vectors else STORED


def _entry(source: Mapping[str, Any]) -> Entry:
    return Entry(document_of(source), read_vector(source), read_dense(source))
