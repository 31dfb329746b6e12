"""Make examples of documents alone: parts of a document stand for the queries that it answers.

For who has a corpus and no queries. A part that is cut out of a document leaves a hole there, as in
the inverse cloze task (Lee et al., 2019, https://arxiv.org/abs/1906.00300): otherwise the model
would learn nothing but to match equal words. Negatives and teacher scores come later, from ``mine``
and ``distill``.
"""

from __future__ import annotations

import re
import tempfile
import time
from array import array
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.config import nearest
from sparse_ir.data.corpora import read_documents
from sparse_ir.data.examples_scored import ScoredExample, example_line
from sparse_ir.data.files import sha256_text, unwritable, writing
from sparse_ir.data.seen import SeenIds
from sparse_ir.data.spans import Span, first_words, has_words, sentences, words
from sparse_ir.errors import ConfigError, InputError
from sparse_ir.training.query_spans import crop, headings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from sparse_ir.data.rows import BadRow
    from sparse_ir.types import Document

KINDS = ("title", "heading", "lead", "sentence", "crop")
CUT_MARK = "~q"
"""A document without its query's span is called by its id, this mark and a number."""


@dataclass(frozen=True)
class PseudoQuerySettings:
    """Which parts of a document become queries.

    Attributes:
        corpus: As ``read_documents`` takes it.
        out: The file of examples; compressed when it ends with ``.gz`` or ``.zst``.
        kinds: Of title, heading, lead (the first sentence), sentence (any other), crop.
        headings: At most so many headings of a document, chosen at random.
        sentences: At most so many sentences besides the first.
        crops: So many crops.
        crop_words_min: Shortest crop, in words.
        crop_words_max: Longest crop, in words.
        query_words_min: Shortest title, heading or sentence that is taken, in words.
        query_words_max: Longer ones are cut after so many words.
        document_words_min: What is left of a document must have so many words.
        keep_span: Share of queries whose document keeps what they are cut from, 0 to 1.
        seed: Decides, with a document's id, what is taken of it.
        max_queries: Keep at most so many queries, drawn from all over the corpus; None for all.
        limit: Read at most so many documents.
        skip_bad: Pass over unusable rows and report them.
    """

    corpus: str
    out: str
    kinds: tuple[str, ...] = KINDS
    headings: int = 2
    sentences: int = 1
    crops: int = 1
    crop_words_min: int = 3
    crop_words_max: int = 12
    query_words_min: int = 2
    query_words_max: int = 32
    document_words_min: int = 6
    keep_span: float = 0.0
    seed: int = 0
    max_queries: int | None = None
    limit: int | None = None
    skip_bad: bool = False


class PseudoQueryReport(NamedTuple):
    """What came of a corpus.

    Attributes:
        out: The file.
        documents: Documents read.
        examples: Examples written.
        kinds: Kind of query -> how many.
        ambiguous: Queries left out because another document gives the same one.
        barren: Documents that gave no query: too short.
        skipped: Unusable rows that were passed over.
        seconds: Of this run.
    """

    out: str
    documents: int
    examples: int
    kinds: dict[str, int]
    ambiguous: int
    barren: int
    skipped: tuple[BadRow, ...]
    seconds: float


def pseudo_queries(
    settings: PseudoQuerySettings, advance: Callable[[int], None] = lambda n: None
) -> PseudoQueryReport:
    """Write examples made of documents alone, in the layout "scored".

    What is taken of a document depends on the settings and its id, not on the order of the corpus.
    A query that several documents give (the heading "References") is left out everywhere.

    Args:
        settings: What to read and what to take.
        advance: Called with the number of documents read.

    Raises:
        ConfigError: a setting is out of range.
        InputError: the corpus cannot be read, or none of its documents gives a query.
        StorageError: the file cannot be written.
    """
    started = time.monotonic()
    _check(settings)
    skipped: list[BadRow] = []
    out = Path(settings.out)
    on_bad = skipped.append if settings.skip_bad else None
    documents = read_documents(settings.corpus, limit=settings.limit, on_bad=on_bad)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        spool = tempfile.TemporaryFile(  # noqa: SIM115  closed below
            "w+", encoding="utf-8", newline="\n", dir=out.parent
        )
    except OSError as error:
        raise unwritable(out, error) from None
    with spool:
        drafts = _Drafts(spool)
        for document in documents:
            drafts.add(examples_of(document, settings))
            advance(1)
        kinds = drafts.write(out, settings)
    return PseudoQueryReport(
        settings.out,
        drafts.documents,
        sum(kinds.values()),
        {kind: kinds[kind] for kind in settings.kinds},
        drafts.count - drafts.alone,
        drafts.barren,
        tuple(skipped),
        time.monotonic() - started,
    )


def _check(settings: PseudoQuerySettings) -> None:
    for kind in settings.kinds:
        if kind not in KINDS:
            raise ConfigError(
                f"{kind!r} is no kind of query. Use {', '.join(KINDS)}.{nearest(kind, KINDS)}"
            )
    if not settings.kinds or len(set(settings.kinds)) != len(settings.kinds):
        raise ConfigError("kinds must name at least one kind of query, and none twice.")
    if not 0 <= settings.keep_span <= 1:
        raise ConfigError(f"keep_span is {settings.keep_span}. It is a share from 0 to 1.")
    for what in ("crop", "query"):
        shortest = getattr(settings, f"{what}_words_min")
        longest = getattr(settings, f"{what}_words_max")
        if not 1 <= shortest <= longest:
            raise ConfigError(
                f"{what}_words_min is {shortest} and {what}_words_max {longest}. They must be at "
                "least 1, and the first not above the second."
            )
    if settings.max_queries is not None and settings.max_queries < 1:
        raise ConfigError(f"max_queries is {settings.max_queries}. It must be at least 1.")
    for name in ("headings", "sentences", "crops", "document_words_min"):
        if getattr(settings, name) < 0:
            raise ConfigError(f"{name} is {getattr(settings, name)}. It must not be below 0.")


class _Drafts:
    """Examples on their way to the file, until it is known which queries stand alone."""

    def __init__(self, spool: IO[str]) -> None:
        self._spool = spool
        self._seen = SeenIds()
        self._doubles: set[str] = set()
        self.documents = self.count = self.barren = self.alone = 0

    def add(self, examples: dict[str, ScoredExample]) -> None:
        """Hold the examples of one document on disk; memory keeps a few bytes of each query."""
        self.documents += 1
        self.barren += not examples
        for kind, example in examples.items():
            key = _same(str(example.query))
            if self._seen.add(key, self.count) is not None:
                self._doubles.add(key)
            self._spool.write(f"{kind.partition('-')[0]}\t{key}\t{example_line(example)}")
            self.count += 1

    def write(self, out: Path, settings: PseudoQuerySettings) -> Counter[str]:
        """Write what stands alone, or a draw of it; returns how many of each kind."""
        if not self.count:
            raise InputError(
                "its documents are too short to make queries of. Lower document_words_min.",
                path=settings.corpus,
            )
        kinds: Counter[str] = Counter()
        ranks = array("Q", (_rank(key, settings.seed) for _, key, _ in self._standing_alone()))
        self.alone = len(ranks)
        most = settings.max_queries or self.alone
        last = None
        if most < self.alone:
            last = int(np.partition(np.frombuffer(ranks, np.uint64), most - 1)[most - 1])
        with writing(out) as stream:
            for kind, key, line in self._standing_alone():
                if last is None or _rank(key, settings.seed) <= last:
                    stream.write(line)
                    kinds[kind] += 1
        return kinds

    def _standing_alone(self) -> Iterator[tuple[str, str, str]]:
        """Kind, key and line of each draft whose query no other gives."""
        self._spool.seek(0)
        for draft in self._spool:
            kind, key, line = draft.split("\t", 2)
            if key not in self._doubles:
                yield kind, key, line


def _rank(key: str, seed: int) -> int:
    """A number by chance, the same for the same query and seed: 64 bits."""
    return int(sha256_text("draw", str(seed), key)[:16], 16)


def _same(query: str) -> str:
    """What equal queries have in common: their words, whatever stands between them."""
    return sha256_text(" ".join(query[slice(*span)].casefold() for span in words(query)))[:24]


class _Draft(NamedTuple):
    query: str
    left: str


def examples_of(document: Document, settings: PseudoQuerySettings) -> dict[str, ScoredExample]:
    """Make the examples of one document: name within the document -> example.

    The positive is the document without the query's span, under an id of its own; the document
    itself and what the other queries leave of it are named as relevant.

    Args:
        document: What to make queries of.
        settings: What to take.

    Raises:
        InputError: the document's id ends like the id of a cut document.
    """
    base, mark, number = document.doc_id.rpartition(CUT_MARK)
    if base and mark and number.isdigit():
        raise InputError(
            f"the document id {document.doc_id!r} ends with {CUT_MARK!r} and a number, as ids of "
            "cut documents do. Rename it, or give the corpus that these were made of."
        )
    drafts: dict[str, _Draft] = {}
    taken: set[str] = set()
    for name, draft in _drafts(document, settings):
        key = _same(draft.query)
        if key not in taken and has_words(draft.left, max(1, settings.document_words_min)):
            taken.add(key)
            drafts[name] = draft
    cut = [f"{document.doc_id}{CUT_MARK}{at}" for at in range(len(drafts))]
    examples = {}
    for at, (name, draft) in enumerate(drafts.items()):
        own = document.doc_id if draft.left == document.content else cut[at]
        examples[name] = ScoredExample(
            f"{document.doc_id}-{name}",
            (own,),
            draft.query,
            (draft.left,),
            relevant=tuple(one for one in (document.doc_id, *cut) if one != own),
        )
    return examples


def _drafts(document: Document, settings: PseudoQuerySettings) -> Iterator[tuple[str, _Draft]]:
    title, body = document.title.strip(), document.text
    if not body.strip():
        title, body = "", document.title
    for kind in settings.kinds:
        seed = sha256_text(str(settings.seed), kind, document.doc_id)[:16]
        random = Random(int(seed, 16))  # noqa: S311  chance, no secret
        source = title if kind == "title" else body
        for at, span in enumerate(_spans(kind, random, source, settings)):
            cut = first_words(source, span, settings.query_words_max)
            query = " ".join(source[slice(*cut)].split())
            left = document.content
            if random.random() >= settings.keep_span:
                rest = [source[: cut.start].rstrip(), source[cut.end :].lstrip()]
                left = _without(query, [*rest, body] if kind == "title" else [title, *rest])
            yield f"{kind}-{at}", _Draft(query, left)


def _spans(kind: str, random: Random, source: str, settings: PseudoQuerySettings) -> list[Span]:
    """What of a title (for the kind of that name) or body can stand for a query."""
    if kind == "crop":
        return _crops(random, source, settings)
    found = [Span(0, len(source))] if kind == "title" else headings(source)
    if kind in ("lead", "sentence"):
        others = [span for span in sentences(source) if span not in found]
        found = others[:1] if kind == "lead" else others[1:]
    found = [s for s in found if has_words(source[slice(*s)], settings.query_words_min)]
    most = {"heading": settings.headings, "sentence": settings.sentences}.get(kind, 1)
    return _sample(random, found, most)


def _without(query: str, parts: Sequence[str]) -> str:
    """Join what is left, without the query where it stands a second time."""
    left = " ".join(part for part in parts if part.strip()).strip()
    if query.casefold() not in " ".join(left.casefold().split()):
        return left
    again = r"\s+".join(re.escape(word) for word in query.split())
    # whole words; what is written without blanks has no letter of such a script beside it
    whole = rf"(?<![a-z0-9_]){again}(?![a-z0-9_])"
    return re.sub(whole, " ", left, flags=re.IGNORECASE).strip()


def _sample(random: Random, spans: list[Span], n: int) -> list[Span]:
    """Choose up to n spans, in the order of the text."""
    return sorted(random.sample(spans, min(n, len(spans))))


def _crops(random: Random, body: str, settings: PseudoQuerySettings) -> list[Span]:
    found = (
        crop(body, random, shortest=settings.crop_words_min, longest=settings.crop_words_max)
        for _ in range(settings.crops)
    )
    return [span for span in found if span is not None]


def made(report: PseudoQueryReport) -> dict[str, Any]:
    """JSON values of a report."""
    return {**report._asdict(), "skipped": len(report.skipped)}
