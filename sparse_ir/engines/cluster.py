"""The engine in an Elasticsearch or OpenSearch cluster."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import orjson

from sparse_ir.engines.base import Failure, IndexStats, require_request
from sparse_ir.engines.bulk import Action, BulkSettings, Done, Gate, write
from sparse_ir.engines.cluster_search import ClusterSearch
from sparse_ir.engines.connection import Connection, waits
from sparse_ir.engines.dense_fields import require_dense
from sparse_ir.engines.entries import Names, actions, ids_of, names_of
from sparse_ir.engines.fields import (
    NEURAL_SPARSE,
    SEISMIC,
    default_field,
    find_choice,
    truncate,
    truncate_vector,
)
from sparse_ir.engines.lifecycle import Facts, Lifecycle, name_of, path
from sparse_ir.engines.options import ClusterOptions
from sparse_ir.engines.requests import is_complete, require_complete
from sparse_ir.engines.stored import StoredDocuments
from sparse_ir.errors import EngineError, NoVectorsError
from sparse_ir.vectors import SparseBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sparse_ir.engines.addresses import ClusterAddress
    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.engines.connecting import Server
    from sparse_ir.engines.filters import Filter
    from sparse_ir.engines.stamp import Stamp
    from sparse_ir.engines.transport import Transport
    from sparse_ir.types import Document, Entry, ScoredDoc, SparseVector

_log = logging.getLogger(__name__)

_LAST_PATIENCE = 10.0  # seconds for a cluster that the run has given up, or a person who waits
_LONGEST_MERGE = 24 * 3600.0  # seconds; a merge says nothing until it is done


class ClusterEngine:
    """Indexes in a cluster, searched there.

    Args:
        address: The cluster's.
        transport: Reaches it.
        server: Its flavour and version.
        options: How indexes are laid out and written to.
    """

    keeps_previous = True

    def __init__(
        self,
        address: ClusterAddress,
        transport: Transport,
        server: Server,
        options: ClusterOptions | None = None,
    ) -> None:
        self._address = address
        self.server = server
        self.options = options or ClusterOptions()
        self.connection = Connection(transport, str(address))
        self.lifecycle = Lifecycle(self.connection)
        self._writing = self.connection.with_patience(self.options.patience)
        self._builder = Lifecycle(self._writing)
        self._search = ClusterSearch(self.connection, self.lifecycle, server.flavour)
        self._stored = StoredDocuments(self.connection)
        self._gate = Gate(self.options.in_flight)
        self._names: dict[str, Names] = {}
        self._loading: dict[str, Facts] = {}

    @property
    def address(self) -> str:
        """What ``open_engine`` takes to open this engine again."""
        return str(self._address)

    @property
    def writers(self) -> int:
        """How many threads may add at a time: the server does the work."""
        return self.options.in_flight

    def details(self, index: str) -> dict[str, Any]:
        """The server, the physical index, its field type and copies; see ``Engine``."""
        physical = self.resolve(index)
        facts = self.lifecycle.facts(physical)
        settings = self.connection.call("GET", path(physical, "_settings"))
        own = next(iter(settings.values()))["settings"]["index"]
        return {
            "server": f"{self.server.flavour} {self.server.version_text}",
            "physical": physical,
            "field": facts.field,
            "vectors_in_source": facts.vectors,
            "shards": int(own["number_of_shards"]),
            "replicas": int(own["number_of_replicas"]),
            "previous": facts.previous,
        }

    def interrupt(self) -> None:
        """End waiting for a busy server in every thread; what they wait for fails."""
        self.connection.interrupted.set()

    @property
    def field(self) -> str:
        """The field type of new indexes."""
        return self.options.field or default_field(self.server.flavour, self.server.version)

    def indexes(self) -> list[str]:
        """Names of the published indexes, ascending."""
        return self.lifecycle.names()

    def builds(self, index: str) -> list[str]:
        """Every build of a name, published or not, oldest first."""
        return self.lifecycle.builds(index)

    def exists(self, index: str) -> bool:
        """Whether there is a published index, or a build, of that name."""
        if "@" in index:
            return index in self.lifecycle.builds(name_of(index))
        return bool(self.lifecycle.targets(index))

    def resolve(self, index: str) -> str:
        """The physical name that a published index's name stands for."""
        return (self._builder if index in self._loading else self.lifecycle).resolve(index)

    def create(self, index: str, stamp: Stamp, vocabulary: Sequence[str]) -> str:
        """Start a build; see ``Engine``."""
        choice = find_choice(self.server.flavour, self.server.version, self.field)
        if choice.field in (NEURAL_SPARSE, SEISMIC):
            self.lifecycle.require_plugin(choice.field)
        if stamp.dense is not None:
            require_dense(self.server, stamp.dense)
            if self.server.flavour == "opensearch":
                self.lifecycle.require_knn()
        facts = self._builder.create(
            index, stamp, vocabulary, choice=choice, options=self.options, server=self.server
        )
        named = ids_of if choice.field == SEISMIC else names_of
        self._names[facts.physical] = named(vocabulary)
        return facts.physical

    def publish(self, index: str, physical: str, *, drop_previous: bool = True) -> None:
        """Move the alias to a build in one call; see ``Engine``."""
        facts = self._settle(physical)
        before = self._builder.publish(index, facts)
        if before and drop_previous:
            self._builder.drop(before)

    def settle(self, index: str) -> None:
        """Merge if asked for, put the settings back, refresh, and write down that it is whole."""
        self._settle(index)

    def settled(self, index: str) -> bool:
        """Whether a build says that it is whole."""
        return self.lifecycle.facts(self.resolve(index)).whole

    def previous(self, index: str) -> str:
        """The build that the published one took the place of; empty where it is gone."""
        before = self.lifecycle.facts(self.resolve(index)).previous
        return before if before and self.exists(before) else ""

    def add(self, index: str, entries: Iterable[Entry]) -> Iterator[Failure]:
        """Stream entries in and yield each refused for good; see ``Engine``."""
        physical = self.resolve(index)
        facts = self._search.facts_of(physical)
        self._start_loading(facts)
        refused: list[Failure] = []
        lines = actions(
            entries,
            self._names_of(facts),
            keep_weights=facts.vectors,
            refuse=refused.append,
            space=facts.stamp.dense,
        )
        for done in self._write(physical, lines):
            yield from done.failures
            yield from refused
            refused.clear()
        yield from refused

    def delete(self, index: str, doc_ids: Iterable[str]) -> int:
        """Delete documents by id; returns how many were there."""
        physical = self.resolve(index)
        lines = (
            Action(doc_id, orjson.dumps({"delete": {"_id": doc_id}}) + b"\n") for doc_id in doc_ids
        )
        deleted = 0
        for done in self._write(physical, lines):
            if done.failures:
                first = done.failures[0]
                raise EngineError(f"{first.doc_id!r} could not be deleted: {first.reason}")
            deleted += done.results.count("deleted")
        self.refresh(physical)
        return deleted

    def delete_matching(self, index: str, conditions: Filter) -> int:
        """Delete the documents that satisfy every condition; returns how many."""
        physical = self.resolve(index)
        self.refresh(physical)
        return self.delete(physical, self._stored.matching(physical, conditions))

    def flush(self, index: str) -> None:
        """Nothing to do: what a cluster acknowledged is in its translog."""

    def refresh(self, index: str) -> None:
        """Make everything added so far searchable."""
        physical = self.resolve(index)
        self._talk(physical).call("POST", path(physical, "_refresh"))

    def search(self, index: str, requests: Sequence[SearchRequest]) -> list[list[ScoredDoc]]:
        """Answer each request completely, or raise; see ``Engine``."""
        return self._search.search(index, [require_request(request) for request in requests])

    def get(
        self, index: str, doc_ids: Sequence[str], *, vectors: bool = True
    ) -> list[Entry | None]:
        """Read stored documents; None for an id that is not there; see ``Engine``."""
        physical = self._readable(index, vectors=vectors)
        return self._stored.get(physical, doc_ids, vectors=vectors)

    def scan(self, index: str, *, vectors: bool = True) -> Iterator[Entry]:
        """Read everything, by doc_id; see ``Engine``."""
        yield from self._stored.scan(self._readable(index, vectors=vectors), vectors=vectors)

    def unchanged(self, index: str, documents: Sequence[Document]) -> set[str]:
        """Which documents are stored exactly so, by their content hashes."""
        return self._stored.unchanged(self.resolve(index), documents)

    def seen(self, index: str, doc_ids: Sequence[str]) -> list[Document | None]:
        """Read documents as a search sees them now; ``get`` knows those not refreshed too."""
        return self._stored.seen(self.resolve(index), doc_ids)

    def scores_of(
        self, index: str, doc_ids: Sequence[str], queries: Sequence[SparseVector]
    ) -> list[dict[str, float]]:
        """Score given documents; see ``Engine``."""
        return self._search.scores_of(self.resolve(index), doc_ids, queries)

    def rounded(self, index: str, batch: SparseBatch) -> SparseBatch:
        """Vectors with their weights cut as Lucene cuts them, unless ``_source`` keeps them."""
        if self._search.facts_of(self.resolve(index)).vectors:
            return batch
        weights = batch.weights.copy()
        weights.data = truncate(weights.data)
        return SparseBatch(batch.ids, weights)

    def kept(self, vector: SparseVector) -> SparseVector:
        """A vector with its weights cut as Lucene cuts them."""
        return truncate_vector(vector)

    def stats(self, index: str) -> IndexStats:
        """Count searchable documents, and bytes of the primary shards on disk."""
        physical = self.resolve(index)
        count = self._count(physical)
        require_complete(count, f"{self.address}: counting {index!r}")
        stats = self._talk(physical).call("GET", path(physical, "_stats", "store"))
        return IndexStats(count["count"], stats["_all"]["primaries"]["store"]["size_in_bytes"])

    def describe(self, index: str) -> Stamp:
        """Read the stamp."""
        return self.lifecycle.facts(self.resolve(index)).stamp

    def restamp(self, index: str, stamp: Stamp) -> None:
        """Write another stamp into the mapping; see ``Engine``."""
        facts = self.lifecycle.facts(self.resolve(index))
        self.lifecycle.restamp(facts._replace(stamp=stamp))
        self._search.forget()

    def drop(self, index: str) -> None:
        """Remove an index with all its builds, or one build."""
        if "@" in index:
            self._drop(self.resolve(index))
            return
        self.resolve(index)
        for physical in self.lifecycle.builds(index):
            self._drop(physical)

    def close(self) -> None:
        """Leave unfinished builds as a searching index is set up; asked again, it opens again."""
        self.connection.interrupted.clear()
        loading, self._loading = self._loading, {}
        patience = min(self.options.patience, _LAST_PATIENCE)
        lifecycle = Lifecycle(self.connection.with_patience(patience))
        for facts in loading.values():
            try:
                lifecycle.serve(facts)
            except EngineError as error:
                _log.warning("the settings of %s could not be restored: %s", facts.physical, error)
        self._search.forget()

    def __enter__(self) -> ClusterEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, physical: str, lines: Iterator[Action]) -> Iterator[Done]:
        o = self.options
        settings = BulkSettings(o.bulk_documents, o.bulk_bytes, o.in_flight, o.patience)
        return write(self.connection, path(physical, "_bulk"), lines, settings, self._gate)

    def _talk(self, physical: str) -> Connection:
        """While an index is loaded, the cluster is waited for as long as for a write."""
        return self._writing if physical in self._loading else self.connection

    def _count(self, physical: str) -> dict[str, Any]:
        """Count; while an index is loaded, wait for shards whose node is down."""
        connection = self._talk(physical)
        end = time.monotonic() + (self.options.patience if physical in self._loading else 0)
        for pause in waits():
            count: dict[str, Any] = connection.call("GET", path(physical, "_count"))
            if is_complete(count) or time.monotonic() + pause > end:
                return count
            if connection.interrupted.wait(pause):
                return count
        raise AssertionError  # pragma: no cover - waits never end

    def _drop(self, physical: str) -> None:
        self.lifecycle.drop(physical)
        self._loading.pop(physical, None)

    def _names_of(self, facts: Facts) -> Names:
        if facts.physical not in self._names:
            terms = facts.vocabulary()
            self._names[facts.physical] = ids_of(terms) if terms else names_of(None)
        return self._names[facts.physical]

    def _start_loading(self, facts: Facts) -> None:
        """An index in sight keeps its settings: its readers come first."""
        if facts.physical in self._loading or facts.physical in self._builder.targets(
            name_of(facts.physical)
        ):
            return
        self._builder.load(facts.physical)
        self._loading[facts.physical] = facts

    def _settle(self, index: str) -> Facts:
        facts = self._builder.facts(self._builder.resolve(index))
        self._finish_loading(facts)
        self._writing.call("POST", path(facts.physical, "_refresh"))
        return self._builder.settle(facts)

    def _finish_loading(self, facts: Facts) -> None:
        if self.options.force_merge:
            self._writing.call(
                "POST",
                path(facts.physical, "_forcemerge"),
                params={"max_num_segments": "1"},
                timeout=_LONGEST_MERGE,
            )
        self._builder.serve(facts)
        self._loading.pop(facts.physical, None)

    def _readable(self, index: str, *, vectors: bool) -> str:
        """The physical index, if it keeps what is wanted of it."""
        physical = self.resolve(index)
        if vectors and not self._search.facts_of(physical).vectors:
            raise NoVectorsError(
                f"index {index!r} of {self.address} keeps its vectors in postings only, where they "
                "cannot be read back. Index with --keep-vectors to keep them in _source too."
            )
        return physical
