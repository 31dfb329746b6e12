"""Texts of hits whose index stores none: looked up in the corpus of the examples."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, cast

from sparse_ir.data.corpora import read_documents
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.training.score_cache import Kept, text_key
from sparse_ir.training.texts import PORTION
from sparse_ir.types import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from sparse_ir.searching.search import SearchResult
    from sparse_ir.types import ScoredDoc


def text_of(hit: ScoredDoc) -> str:
    """The text that a hit brought; empty where the index stores none."""
    return "" if hit.document is None else hit.document.content


class CorpusTexts(ExitStack):
    """Texts of a corpus by id, copied to disk the first time that one is asked for."""

    def __init__(self, corpus: str | None, folder: Path) -> None:
        """Take the corpus, if there is one, and a folder that lasts as long as the run."""
        super().__init__()
        self._corpus, self._path = corpus, folder / "texts.sqlite"
        self._texts: Kept | None = None

    def complete(
        self, results: Sequence[SearchResult], relevant: Sequence[AbstractSet[str]], *, index: str
    ) -> list[SearchResult]:
        """Give the hits that brought no text theirs, but for those that are relevant.

        Args:
            results: Of some queries.
            relevant: For each the ids of what is relevant to it.
            index: The index that was searched.

        Raises:
            ConfigError: there is no corpus.
            InputError: the corpus cannot be read, or does not hold one of them.
        """
        lacking = {
            hit.doc_id
            for result, known in zip(results, relevant, strict=True)
            for hit in result.hits
            if not text_of(hit) and hit.doc_id not in known
        }
        if not lacking:
            return list(results)
        documents = {
            doc_id: Document(doc_id, text) for doc_id, text in self._find(lacking, index).items()
        }
        return [
            result._replace(
                hits=[
                    hit._replace(document=documents.get(hit.doc_id, hit.document))
                    for hit in result.hits
                ]
            )
            for result in results
        ]

    def _find(self, doc_ids: Iterable[str], index: str) -> dict[str, str]:
        wanted = {doc_id: text_key(doc_id) for doc_id in sorted(doc_ids)}
        if self._corpus is None:
            raise ConfigError(
                f"index {index!r} stores no text of {next(iter(wanted))!r}. Give the documents "
                "that it was made of: --corpus."
            )
        texts = self._kept(self._corpus).find(list(wanted.values()))
        for doc_id, key in wanted.items():
            if key not in texts:
                raise InputError(
                    f"holds no document {doc_id!r}, of which index {index!r} stores no text. Give "
                    "the documents that it was made of.",
                    path=self._corpus,
                )
        return {doc_id: cast("bytes", texts[key]).decode() for doc_id, key in wanted.items()}

    def _kept(self, corpus: str) -> Kept:
        if self._texts is None:
            if not self._path.is_file():
                aside = self._path.with_suffix(".tmp")
                aside.unlink(missing_ok=True)
                with Kept(aside, "BLOB") as texts:
                    documents = iter(read_documents(corpus))
                    while part := list(islice(documents, PORTION)):
                        texts.add({text_key(one.doc_id): one.content.encode() for one in part})
                aside.replace(self._path)
            self._texts = self.enter_context(Kept(self._path, "BLOB"))
        return self._texts
