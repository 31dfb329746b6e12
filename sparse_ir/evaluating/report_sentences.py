"""What the reader of a report is told about its tables and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparse_ir.evaluating.report_quality import LEVEL

if TYPE_CHECKING:
    from sparse_ir.evaluating.results import Results

BEST = "Bold: the best measured value of its column."
PUBLISHED = (
    "Below them, in grey, numbers that others published for the same dataset: measured elsewhere, "
    "on other machines and perhaps with other settings."
)
COSTS = (
    "Terms are means. FLOPS: the products that a query costs a document, on average. Index: bytes "
    "on disk, and seconds until the vectors could be searched. Encode: seconds for all documents, "
    "once for all systems that search the same vectors. Peak memory: of this process while it "
    "answered, with all that it had loaded for the systems before, and without that of a search "
    "server."
)
LATENCY = (
    "Milliseconds that a query took: to encode it, to search, and in all. A client asks its next "
    "query once it has the answer. p95: 95 of 100 queries were at least as fast."
)
SPARSITY = (
    "How many terms the queries and documents have: a bar counts the texts with so many terms; the "
    "line stands at the mean. All systems of a picture share its axis, and each has its own scale "
    "of height. “≥”: the last bar counts all longer texts too."
)
DUELS = (
    "The queries on which a system and the baseline differ most, each with the relevant document "
    "whose rank differs most. A bar is what a term adds to the document's score, its weight in the "
    "query times that in the document, relative to the largest part of the same system. The terms "
    "whose shares of the two scores differ most come first."
)
HARDEST = "The queries with the lowest mean over all systems, and how many documents are relevant."
TERMS = (
    "Share of the queries and of the documents that have a term. Added: of those queries, the "
    "share whose text does not hold it as a word. Weight: its mean share of their heaviest "
    "weight. Gain: mean nDCG@10 of those queries with the term, less that without it; below 0 the "
    "term did harm."
)


def marks(results: Results) -> str:
    """What the marks mean, and what their absence does not."""
    others = len(results.systems) - 1
    return (
        f"Against {results.baseline}: ▲ better, ▼ worse, by a two-sided paired randomisation test "
        f"over the queries of a dataset, corrected after Holm for {others} "
        f"{'comparison' if others == 1 else 'comparisons'}, p\N{NO-BREAK SPACE}<\N{NO-BREAK SPACE}"
        f"{LEVEL:g}. No mark does not mean equal: these queries cannot tell the two apart. Means "
        "over datasets are not tested."
    )
