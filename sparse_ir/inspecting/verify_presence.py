"""Whether the documents that should be in an index are, and whether a search sees them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from sparse_ir.inspecting.findings import CHANGED, LOST_DOCUMENTS, STALE, Finding, examples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sparse_ir.engines.base import Engine
    from sparse_ir.types import Document

_TOGETHER = 1000
_MOST_LOOKED_UP = 200_000
_REFRESH = "Refresh the index (POST /INDEX/_refresh) and set its refresh_interval, or index again."


class Presence(NamedTuple):
    """What became of the documents looked for.

    Attributes:
        seen: Those that a search sees, by id, as it sees them.
        findings: What is wrong with the others.
    """

    seen: dict[str, Document]
    findings: list[Finding]


def check_presence(engine: Engine, index: str, documents: Mapping[str, Document]) -> Presence:
    """Look for documents, as a search sees them and as the engine acknowledged them.

    Args:
        engine: Where.
        index: The index.
        documents: By id; a document without title and text is compared with nothing.
    """
    doc_ids = list(documents)
    visible = dict(zip(doc_ids, engine.seen(index, doc_ids), strict=True))
    entries = engine.get(index, doc_ids, vectors=False)
    stored = {i: e and e.document for i, e in zip(doc_ids, entries, strict=True)}
    findings = absent(
        [i for i in doc_ids if visible[i] is None],
        {i for i in doc_ids if stored[i] is not None},
    )
    stale = [i for i in doc_ids if visible[i] is not None and stored[i] != visible[i]]
    if stale:
        what = f"searches find an older version of {len(stale)} documents ({examples(stale)})."
        findings.append(Finding(STALE, what, _REFRESH, stale[0]))
    changed = [i for i in doc_ids if i not in stale and _differs(documents[i], visible[i])]
    if changed:
        findings.append(
            Finding(
                CHANGED,
                f"{len(changed)} documents have another text in the index ({examples(changed)}).",
                "The corpus was changed since: index it again.",
                changed[0],
            )
        )
    return Presence({i: d for i, d in visible.items() if d is not None}, findings)


def find_absent(
    engine: Engine, index: str, doc_ids: Iterable[str], documents: int, total: int
) -> list[Finding]:
    """Look up id after id to say which are not there; the first 200,000 of them.

    Args:
        engine: Where.
        index: The index.
        doc_ids: Every document that should be there.
        documents: How many the index holds.
        total: How many it should hold, more than that.
    """
    unseen: list[str] = []
    acknowledged: set[str] = set()
    reader = islice(doc_ids, _MOST_LOOKED_UP)
    while part := list(islice(reader, _TOGETHER)):
        gone = [i for i, d in zip(part, engine.seen(index, part), strict=True) if d is None]
        if gone:
            entries = engine.get(index, gone, vectors=False)
            acknowledged |= {e.document.doc_id for e in entries if e is not None}
            unseen += gone
    if unseen:
        return absent(unseen, acknowledged)
    what = f"the index holds {documents:,} of {total:,} documents."
    return [Finding(LOST_DOCUMENTS, what, "Index the corpus again, or with --update.")]


def absent(unseen: Sequence[str], acknowledged: set[str]) -> list[Finding]:
    """Documents that no search finds are lost, or not refreshed."""
    lost = [doc_id for doc_id in unseen if doc_id not in acknowledged]
    waiting = [doc_id for doc_id in unseen if doc_id in acknowledged]
    findings = []
    if lost:
        what = f"{len(lost)} documents are not in the index ({examples(lost)})."
        advice = "Index them again: sparse-ir index --corpus … --update"
        findings.append(Finding(LOST_DOCUMENTS, what, advice, lost[0]))
    if waiting:
        what = f"{len(waiting)} documents were acknowledged and are not searchable yet"
        findings.append(Finding(STALE, f"{what} ({examples(waiting)}).", _REFRESH, waiting[0]))
    return findings


def _differs(given: Document, visible: Document | None) -> bool:
    if visible is None or not (given.text or given.title):
        return False
    return (given.title, given.text) != (visible.title, visible.text)
