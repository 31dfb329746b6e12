"""An index in a cluster that other code made: read, never written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.engines.fields import RANK_FEATURES, SPARSE_VECTOR
from sparse_ir.engines.lifecycle import knows_pruning, path
from sparse_ir.engines.requests import COMPLETE, require_complete
from sparse_ir.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sparse_ir.engines.connecting import Server
    from sparse_ir.engines.connection import Connection
    from sparse_ir.types import SparseVector

RIGHT, DEFAULT, WRONG = "right", "default", "wrong"
"""Forms of a query: the dot product, what a server makes of it unasked, the common mistake."""

_TOGETHER = 64


class VectorField(NamedTuple):
    """A field of weighted terms.

    Attributes:
        name: Its path in the mapping.
        kind: "rank_features" or "sparse_vector".
        prunes: Whether the server drops query tokens of this field unless told not to.
        said: What the mapping says about that, for people to read.
    """

    name: str
    kind: str
    prunes: bool
    said: str


class ForeignIndex:
    """An index, or an alias of one, with whatever mapping it has."""

    def __init__(self, connection: Connection, server: Server, index: str) -> None:
        """Nothing is sent until something is asked."""
        self._connection = connection
        self._server = server
        self.index = index

    @property
    def server(self) -> str:
        """Flavour and version."""
        return f"{self._server.flavour} {self._server.version_text}"

    def close(self) -> None:
        """Let go of the connections."""
        self._connection.close()

    def count(self) -> int:
        """How many documents a search sees."""
        answer = self._connection.call("GET", path(self.index, "_count"))
        require_complete(answer, f"counting {self.index!r}")
        return int(answer["count"])

    def fields(self) -> list[VectorField]:
        """Every field of weighted terms in the mapping."""
        answer = self._connection.call("GET", path(self.index, "_mapping"))
        found = {}
        for one in answer.values():
            for name, field in _leaves(one["mappings"].get("properties", {})):
                if field.get("type") in (RANK_FEATURES, SPARSE_VECTOR):
                    found[name] = self._field(name, field)
        return list(found.values())

    def sample(self, size: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
        """Some documents with their ``_source``, vectors included where it has them."""
        scored = {"random_score": {"seed": seed, "field": "_seq_no"}}
        body: dict[str, Any] = {
            "size": size,
            "query": {"function_score": {"query": {"match_all": {}}, **scored}},
        }
        if self._server.flavour == "elasticsearch" and self._server.version >= (9, 2):
            body["_source"] = {"exclude_vectors": False}
        answer = self._connection.call("POST", path(self.index, "_search"), body, params=COMPLETE)
        require_complete(answer, f"reading {self.index!r}")
        return [(hit["_id"], hit.get("_source") or {}) for hit in answer["hits"]["hits"]]

    def search(
        self,
        field: VectorField,
        queries: Sequence[SparseVector],
        *,
        form: str = RIGHT,
        size: int = 10,
        doc_ids: Sequence[str] = (),
    ) -> list[list[tuple[str, float]]]:
        """Search by weighted features; hits by score, then id.

        Args:
            field: The field.
            queries: Feature -> weight, named as the index names them.
            form: RIGHT, DEFAULT or WRONG.
            size: Hits.
            doc_ids: Among these documents only; all where there are none.
        """
        found: list[list[tuple[str, float]]] = []
        for start in range(0, len(queries), _TOGETHER):
            lines: list[dict[str, Any]] = []
            for query in queries[start : start + _TOGETHER]:
                lines.append({"index": self.index, "allow_partial_search_results": False})
                lines.append(_body(clauses(field, query, form), size, doc_ids))
            for answer in self._connection.call("POST", "/_msearch", lines)["responses"]:
                if "error" in answer:
                    raise EngineError(f"{self.index!r} could not be searched: {answer['error']}")
                require_complete(answer, f"searching {self.index!r}")
                hits = [(hit["_id"], float(hit["_score"])) for hit in answer["hits"]["hits"]]
                found.append(sorted(hits, key=lambda hit: (-hit[1], hit[0])))
        return found

    def _field(self, name: str, field: Mapping[str, Any]) -> VectorField:
        if field["type"] == RANK_FEATURES:
            return VectorField(name, RANK_FEATURES, False, "none (rank_features)")
        said = (field.get("index_options") or {}).get("prune")
        if said is not None:
            return VectorField(name, SPARSE_VECTOR, bool(said), f"index_options.prune: {said}")
        prunes = knows_pruning(self._server.version)
        why = "the server's default" if prunes else "none in this version unless asked for"
        return VectorField(name, SPARSE_VECTOR, prunes, why)


def clauses(field: VectorField, query: Mapping[str, float], form: str) -> dict[str, Any]:
    """A query in one of its forms; ``rank_feature`` without a function means saturation."""
    if field.kind == SPARSE_VECTOR:
        body: dict[str, Any] = {"field": field.name, "query_vector": dict(query)}
        if form != DEFAULT:
            body["prune"] = form == WRONG
        return {"sparse_vector": body}
    function: dict[str, Any] = {"linear": {}} if form == RIGHT else {}
    should = [
        {"rank_feature": {"field": f"{field.name}.{name}", "boost": weight, **function}}
        for name, weight in query.items()
    ]
    return {"bool": {"should": should}}


def _body(query: dict[str, Any], size: int, doc_ids: Sequence[str]) -> dict[str, Any]:
    if doc_ids:
        query = {"bool": {"must": [query], "filter": [{"ids": {"values": list(doc_ids)}}]}}
    return {"size": size, "_source": False, "track_total_hits": False, "query": query}


def _leaves(
    properties: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, field in properties.items():
        yield f"{prefix}{name}", field
        yield from _leaves(field.get("properties", {}), f"{prefix}{name}.")
        yield from _leaves(field.get("fields", {}), f"{prefix}{name}.")
