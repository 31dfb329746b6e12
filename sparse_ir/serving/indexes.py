"""The indexes of a server: open, each with its query encoder, those of one model sharing it."""

from __future__ import annotations

import functools
from itertools import islice
from typing import TYPE_CHECKING, Any

from sparse_ir.engines.addresses import is_cluster
from sparse_ir.engines.opening import SCHEMES
from sparse_ir.engines.stamp import require_same_model, require_same_reading
from sparse_ir.errors import ConfigError
from sparse_ir.models.loading import READY, load_encoder
from sparse_ir.searching.control import read_mask
from sparse_ir.searching.search import Searcher, SearchSettings
from sparse_ir.types import Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparse_ir.engines.base import SearchRequest
    from sparse_ir.serving.settings import ServeSettings
    from sparse_ir.types import ScoredDoc

_FUSIONS = 8
_LOOKED_AT = 1000  # documents, for values to filter by
_SHOWN_VALUES = 50
_SHOWN_FIELDS = 30
_LONGEST_VALUE = 200


class ServedIndex:
    """One index that is open.

    Attributes:
        label: What clients call it.
        searcher: Answers its queries.
        filters: Its metadata fields with values, ``{"field", "values"}`` each.
        hybrid: The same with a fusion, as ``Searcher.with_hybrid`` takes it; the last few are kept.
        fusion: How a search is fused that does not say so itself.
    """

    def __init__(
        self,
        label: str,
        searcher: Searcher,
        *,
        fusion: str = "",
        words: str | None = None,
        dense: str | None = None,
    ) -> None:
        """Read the first documents, for what there is to filter by, and try what fusions need.

        Args:
            label: What clients call it.
            searcher: Answers its queries.
            fusion: How a search is fused that does not say so itself.
            words: Its index of words, if it has one.
            dense: What encodes queries for its dense vectors, if not what the index names.

        Raises:
            ConfigError: the index lacks a side of the default fusion; that of words is none.
            IndexNotFoundError: there is no such index of words.
            ModelMismatchError: the dense model is not the one that made the index.
        """
        self.label = label
        self.searcher = searcher
        self.filters = self._read_filters()
        self._physical = searcher.engine.resolve(searcher.settings.index)
        self.fusion = fusion
        fused = functools.partial(searcher.with_hybrid, words_index=words, dense=dense)
        self.hybrid = functools.lru_cache(_FUSIONS)(fused)
        by_words = "words=1" if words is not None else ""
        by_dense = "dense=1" if dense is not None and searcher.stamp.dense is not None else ""
        for tried in filter(None, (fusion, by_words, by_dense)):
            self.hybrid(tried)

    def search_once(self) -> None:
        """Search, as a request would: what is loaded lazily, is loaded now.

        Raises:
            ConfigError: the engine cannot search by a side of the default fusion.
        """
        fused = [self.hybrid(self.fusion)] if self.fusion else []
        for searcher in (self.searcher, *fused):
            searcher.search([Query("1", "first")], k=1)

    def ask(
        self, searcher: Searcher, pairs: Sequence[tuple[Query, SearchRequest]]
    ) -> list[list[ScoredDoc]]:
        """Search, with this index's searcher or one made of it.

        Raises:
            ModelMismatchError: as in ``require_model``.
        """
        self.require_model()
        return searcher.ask([query for query, _ in pairs], [request for _, request in pairs])

    def require_model(self) -> None:
        """See that the index is still one of this model; take over a build that replaced it.

        Raises:
            ModelMismatchError: it was replaced by one of another model, of other passages or of
                other dense vectors.
        """
        engine, name = self.searcher.engine, self.searcher.settings.index
        if is_cluster(engine.address):
            return  # that engine sees for itself what a hit is from
        physical = engine.resolve(name)
        if physical != self._physical:
            stamp = engine.describe(name)
            if self.searcher.settings.query_encoder != READY:
                require_same_model(stamp, self.searcher.encoder, index=name)
            require_same_reading(stamp, self.searcher.stamp, index=name)
            self.filters = self._read_filters()
            self.searcher.stamp = stamp
            self._physical = physical

    def _read_filters(self) -> list[dict[str, Any]]:
        engine, name = self.searcher.engine, self.searcher.settings.index
        documents = (e.document.metadata for e in engine.scan(name, vectors=False))
        return fields_of(islice(documents, _LOOKED_AT))

    def documents(self) -> int:
        """How many documents it has, or passages."""
        return self.searcher.engine.stats(self.searcher.settings.index).documents

    def facts(self) -> dict[str, Any]:
        """What clients may know of it, without asking its engine."""
        settings, address = self.searcher.settings, self.searcher.engine.address
        return {
            "name": self.label,
            "engine": address if is_cluster(address) else address.partition(":")[0],
            "model": self.searcher.stamp.model,
            "filters": self.filters,
            "query_encoder": settings.query_encoder,
            "hybrid": self.fusion,
        }


def split_label(label: str, engine: str) -> tuple[str, str]:
    """The name and the engine of ``name`` or ``name@engine``; a build's name has an @ too."""
    name, _, address = label.partition("@")
    if address and (is_cluster(address) or address.partition(":")[0] in SCHEMES):
        return name, address
    return label, engine


def open_indexes(settings: ServeSettings) -> dict[str, ServedIndex]:
    """Open all indexes and read the first documents of each.

    Raises:
        ConfigError: a setting fits none of them.
        IndexNotFoundError: there is no such index.
        IndexLockedError: another process holds one.
        ModelError: a model cannot be loaded.
        InputError: the mask cannot be read.
    """
    load = functools.cache(load_encoder)
    mask = read_mask(settings.mask)  # once: a pipe gives it to the first reader alone
    served: dict[str, ServedIndex] = {}
    try:
        for label in settings.index:
            name, engine = split_label(label, settings.engine)
            search = SearchSettings(index=name, engine=engine, query_encoder=settings.query_encoder)
            searcher = Searcher(search, load=load, mask=mask)
            try:
                served[label] = ServedIndex(
                    label,
                    searcher,
                    fusion=settings.hybrid,
                    words=settings.words.get(label),
                    dense=settings.dense,
                )
            except BaseException:
                searcher.close()
                raise
        if settings.dense is not None and not any(i.searcher.stamp.dense for i in served.values()):
            raise ConfigError(
                f"--dense {settings.dense}: no index that is served holds dense vectors. Leave it "
                "out, or index with --dense."
            )
    except BaseException:
        close_indexes(served)
        raise
    return served


def close_indexes(served: Mapping[str, ServedIndex]) -> None:
    """Let go of all engines."""
    for index in served.values():
        index.searcher.close()


def fields_of(documents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The fields of metadata and their values; none for a field with too many to choose from."""
    found: dict[str, dict[str, None]] = {}
    for metadata in documents:
        for field, value in metadata.items():
            values = found.setdefault(field, {})
            parts = value if isinstance(value, list | tuple) else [value]
            values.update(dict.fromkeys(filter(None, map(_written, parts))))
    fields = [(field, values) for field, values in sorted(found.items()) if values]
    return [
        {"field": field, "values": sorted(values) if len(values) <= _SHOWN_VALUES else []}
        for field, values in fields[:_SHOWN_FIELDS]
    ]


def _written(value: Any) -> str:
    """A value as a filter writes it; empty for what no filter finds."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value}"
    if isinstance(value, str) and len(value) <= _LONGEST_VALUE:
        return value
    return ""
