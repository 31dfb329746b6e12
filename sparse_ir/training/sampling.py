"""Which examples a step sees, and what each device gets of them.

A step is decided by seed and number alone: every device builds the same one and tokenises its own
slice, and a resumed run sees what it would have seen. The number of devices changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from sparse_ir.errors import InputError
from sparse_ir.training.tokens import token_groups
from sparse_ir.training.topics import batches_of_like

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sparse_ir.data.examples_table import Example, ExampleTable
    from sparse_ir.training.settings import BatchSettings, ModelSettings
    from sparse_ir.training.teachers import BatchScorer


class Source(NamedTuple):
    """One table of examples with all that batches of it need.

    Attributes:
        table: The examples.
        weight: Batches are drawn by this times the number of examples.
        topics: The topic of each example's query, (n,); None for batches at random.
        scorers: Teachers over the whole batch; their scores are added up.
    """

    table: ExampleTable
    weight: float = 1.0
    topics: NDArray[Any] | None = None
    scorers: tuple[BatchScorer, ...] = ()


class Step(NamedTuple):
    """A global batch by rows of its table; every device has the same.

    Attributes:
        source: Which source it is from.
        queries: Rows of the queries, (Q,).
        documents: Rows of the distinct documents, (M,).
        own: Columns of each query's own documents, the positive first, -1 behind the last, (Q, n).
        allowed: Whether a document may be a query's negative, (Q, M).
        teacher_own: Teacher scores laid out as ``own``, NaN where unknown, (Q, n).
    """

    source: int
    queries: list[int]
    documents: list[int]
    own: NDArray[Any]
    allowed: NDArray[Any]
    teacher_own: NDArray[Any]


class Sampler:
    """Draws steps."""

    def __init__(self, sources: Sequence[Source], settings: BatchSettings, *, seed: int) -> None:
        """Prepare to draw; each source has at least a batch of examples."""
        self._sources, self._settings, self._seed = sources, settings, seed
        shares = np.array([s.weight * len(s.table) for s in sources], float)
        self._shares = np.cumsum(shares / shares.sum())
        self._epochs: dict[tuple[int, int], NDArray[Any]] = {}
        self._drawn: NDArray[Any] = np.empty(0, np.int64)

    def step(self, number: int) -> Step:
        """Draw batch ``number``, counted from 0."""
        source = int(self._chosen(number + 1)[number])
        turn = int((self._drawn[:number] == source).sum())
        per_epoch = len(self._epoch(source, 0))
        batch = self._epoch(source, turn // per_epoch)[turn % per_epoch]
        rng = np.random.default_rng([self._seed, 2, number])
        return self._collect(source, batch.tolist(), rng)

    def phrased(self, number: int, queries: Sequence[str]) -> list[str]:
        """The queries of batch ``number`` as the model reads them: some put in other words."""
        rng = np.random.default_rng([self._seed, 3, number])
        phrases = self._settings.phrases
        put = rng.random(len(queries)) < self._settings.phrased
        which = rng.integers(0, max(len(phrases), 1), len(queries))
        return [
            phrases[w].replace("{query}", query) if p else query
            for query, p, w in zip(queries, put, which, strict=True)
        ]

    def _chosen(self, count: int) -> NDArray[Any]:
        """The source of each of the first batches, the same however many are drawn."""
        if len(self._drawn) < count:
            rng = np.random.default_rng([self._seed, 0])
            draws = rng.random(max(4096, 2 * count))
            self._drawn = np.searchsorted(self._shares[:-1], draws, side="right")
        return self._drawn

    def _epoch(self, source: int, epoch: int) -> NDArray[Any]:
        """The batches of an epoch, (batches, size), by rows of the table."""
        key = (source, epoch)
        if key not in self._epochs:
            for old in [k for k in self._epochs if k[0] == source and 0 < k[1] < epoch]:
                del self._epochs[old]
            rng = np.random.default_rng([self._seed, 1, source, epoch])
            table, topics = self._sources[source].table, self._sources[source].topics
            size = self._settings.queries
            if topics is not None:
                self._epochs[key] = batches_of_like(topics, size, rng=rng)
            else:
                order = rng.permutation(len(table))
                stop = len(order) // size * size
                self._epochs[key] = order[:stop].reshape(-1, size)
        return self._epochs[key]

    def _collect(self, source: int, batch: list[int], rng: np.random.Generator) -> Step:
        table = self._sources[source].table
        examples = [_without_positives(table[i], table) for i in batch]
        chosen = [_choose(len(e.documents), self._settings.negatives, rng) for e in examples]
        rows = [[e.documents[i] for i in c] for e, c in zip(examples, chosen, strict=True)]
        columns: dict[int, int] = {}
        for of_query in rows:
            for row in of_query:
                columns.setdefault(row, len(columns))
        documents = list(columns)
        queries = [e.query for e in examples]
        own = np.full((len(examples), max(map(len, rows))), -1, np.int64)
        allowed = np.ones((len(examples), len(documents)), bool)
        same = _same_texts(table.documents.texts(documents))
        for i, (query, of_query) in enumerate(zip(queries, rows, strict=True)):
            own[i, : len(of_query)] = [columns[row] for row in of_query]
            known = [columns[row] for row in table.relevant(query) if row in columns]
            allowed[i, np.isin(same, same[[*known, own[i, 0]]])] = False
        return Step(source, queries, documents, own, allowed, _teacher_scores(examples, chosen))


def _without_positives(example: Example, table: ExampleTable) -> Example:
    """Leave out negatives that are known to be relevant, or have the text of the positive.

    Where a teacher scored them it says how relevant they are, and they stay.
    """
    if example.scores is not None or len(example.documents) < 2:
        return example
    positive, *others = example.documents
    relevant = {positive, *table.relevant(example.query)}
    text, *texts = table.documents.texts(list(example.documents))
    kept = [
        row for row, of_row in zip(others, texts, strict=True)
        if row not in relevant and of_row != text
    ]  # fmt: skip
    return example._replace(documents=(positive, *kept))


def _choose(documents: int, negatives: int, rng: np.random.Generator) -> list[int]:
    """The positive and a draw of the negatives, in their order."""
    if documents - 1 <= negatives:
        return list(range(documents))
    return [0, *sorted(rng.choice(np.arange(1, documents), size=negatives, replace=False))]


def _same_texts(texts: list[str]) -> NDArray[Any]:
    """A number for each text; equal texts have equal numbers."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int64)


def _teacher_scores(examples: list[Example], chosen: list[list[int]]) -> NDArray[Any]:
    scores = np.full((len(examples), max(map(len, chosen))), np.nan, np.float32)
    for i, (example, picked) in enumerate(zip(examples, chosen, strict=True)):
        if example.scores is not None:
            scores[i, : len(picked)] = [example.scores[at] for at in picked]
    return scores


class Batches(torch.utils.data.Dataset[dict[str, Any]]):
    """The batches of a run as the model takes them: this device's texts, everybody's layout.

    An item is a dict of tensors: ``queries`` and ``documents`` (groups of this device's token
    ids), ``sizes`` (texts of each device, (2, devices)), and of the global batch ``own``,
    ``allowed``, ``teacher_own``, ``teacher_batch`` (empty where there is no teacher).
    """

    def __init__(
        self,
        sampler: Sampler,
        sources: Sequence[Source],
        tokenizer: Any,
        model: ModelSettings,
        batch: BatchSettings,
        *,
        count: int,
        rank: int = 0,
        world_size: int = 1,
        split: bool = False,
    ) -> None:
        """Prepare batches 0 to ``count`` - 1 for one of ``world_size`` devices."""
        self._sampler, self._sources, self._tokenizer = sampler, sources, tokenizer
        self._model, self._batch, self._count = model, batch, count
        self._rank, self._world_size, self._split = rank, world_size, split

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        step = self._sampler.step(number)
        source = self._sources[step.source]
        table = source.table
        if len(step.documents) < self._world_size:  # the same step on each of them
            raise InputError(
                f"batch {number} has {len(step.documents)} distinct documents for "
                f"{self._world_size} processes. Raise batch.queries or batch.negatives, or use "
                "fewer processes.",
                path=table.name,
            )
        queries = self._slices(step.queries)
        documents = self._slices(step.documents)
        teacher_batch = np.empty((0, 0), np.float32)
        if source.scorers:
            parts = [s.scores(step.queries, step.documents) for s in source.scorers]
            teacher_batch = np.sum(parts, axis=0, dtype=np.float32)
        asked = self._sampler.phrased(number, table.queries.texts(step.queries))
        start = sum(map(len, queries[: self._rank]))
        return {
            "queries": self._tokens(
                asked[start : start + len(queries[self._rank])], self._model.query_tokens
            ),
            "documents": self._tokens(
                table.documents.texts(documents[self._rank]), self._model.document_tokens
            ),
            "sizes": torch.tensor([[len(s) for s in queries], [len(s) for s in documents]]),
            "own": torch.from_numpy(step.own),
            "allowed": torch.from_numpy(step.allowed),
            "teacher_own": torch.from_numpy(step.teacher_own),
            "teacher_batch": torch.from_numpy(teacher_batch),
        }

    def _slices(self, rows: list[int]) -> list[list[int]]:
        return [part.tolist() for part in np.array_split(np.array(rows), self._world_size)]

    def _tokens(self, texts: list[str], max_length: int) -> Any:
        return token_groups(
            self._tokenizer,
            texts,
            max_length,
            chunk_texts=self._batch.chunk_texts,
            split=self._split,
        )
