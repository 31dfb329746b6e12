"""Give examples the scores of teachers."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sparse_ir.data.examples import ExampleSettings, ScoredExample, open_examples, write_examples
from sparse_ir.data.files import writing
from sparse_ir.data.locks import writing_alone
from sparse_ir.errors import ConfigError
from sparse_ir.training.bm25_teacher import fitted_bm25
from sparse_ir.training.candidates import known_relevant, read_candidates
from sparse_ir.training.memory import advising, lower_batch_tokens
from sparse_ir.training.normalizing import NORMALIZATIONS, Spread, combine, normalize
from sparse_ir.training.parts import Parts, require_free
from sparse_ir.training.scorers import TeacherSettings, check_teacher, load_teacher
from sparse_ir.training.scoring import Group, PairScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from sparse_ir.data.examples import ExampleTable
    from sparse_ir.training.candidates import Candidates
    from sparse_ir.training.scorers import PairTeacher, VectorTeacher


@dataclass(frozen=True)
class DistillSettings:
    """What is scored, by whom.

    Attributes:
        examples: The examples.
        out: File to write (JSONL; compressed when it ends with .gz or .zst).
        teachers: Whose scores; several are averaged by their weights.
        normalize: What is done to each teacher's scores first: none, minmax or zscore over the
            documents of a query, global (zscore over all pairs); "auto" is none for one teacher
            and zscore for several, whose scales differ.
        texts: Write texts too; without, the file holds ids alone and needs its corpus.
        part_examples: Queries scored between two points where a stopped run can go on.
        resume: Go on with a stopped run.
        replace: Throw away what is there; with resume, a stopped run that is the same goes on.
    """

    examples: ExampleSettings
    out: str
    teachers: tuple[TeacherSettings, ...]
    normalize: str = "auto"
    texts: bool = True
    part_examples: int = 256
    resume: bool = False
    replace: bool = False


class DistillReport(NamedTuple):
    """What was done.

    Attributes:
        out: The file.
        examples: Queries with their documents in it.
        pairs: Scores in it.
        asked: Pairs that a teacher had to score; the rest was known already.
        encoded: Texts that teachers with vectors had to encode.
        seconds: How long it took.
    """

    out: str
    examples: int
    pairs: int
    asked: int
    encoded: int
    seconds: float


def distill(
    settings: DistillSettings, advance: Callable[[int], None] = lambda n: None
) -> DistillReport:
    """Score every document of every example with teachers and write the examples.

    A killed run goes on with ``resume`` and makes the same file. Scores are kept in the cache, by
    teacher and texts, so that the same pairs cost nothing another time.

    Args:
        settings: Examples, teachers, where to.
        advance: Called with the number of examples finished.

    Raises:
        ConfigError: a setting is wrong, or there is a file or a stopped run already.
        InputError: the examples cannot be read.
        ModelError: a teacher cannot be loaded.
        StorageError: the disk is full.
        TrainingError: memory ran out.
    """
    _check(settings)
    with writing_alone(Path(settings.out)):
        return _distill(settings, advance)


def _distill(settings: DistillSettings, advance: Callable[[int], None]) -> DistillReport:
    started = time.monotonic()
    out = Path(settings.out)
    require_free(out, resume=settings.resume, replace=settings.replace)
    table = open_examples(settings.examples)
    with ExitStack() as stack:
        stack.enter_context(advising(lower_batch_tokens(settings.teachers[0].batch_tokens)))
        teachers = [load_teacher(one, bm25=lambda: fitted_bm25(table)) for one in settings.teachers]
        identity = _identity(settings, table, teachers)
        parts = Parts(out, identity, resume=settings.resume, replace=settings.replace)
        if parts.whole:
            return DistillReport(str(out), 0, 0, 0, 0, 0.0)
        scorers = [stack.enter_context(PairScorer(one, parts.folder)) for one in teachers]
        work = _parts(settings, table, parts, scorers, advance)
        pairs = sum(len(_load(path)) for path in work)
        count = write_examples(out, _lines(settings, table, work))
        asked, encoded = (sum(getattr(s, name) for s in scorers) for name in ("asked", "encoded"))
    parts.finish()
    return DistillReport(str(out), count, pairs, asked, encoded, time.monotonic() - started)


def _check(settings: DistillSettings) -> None:
    if not settings.teachers:
        raise ConfigError("distill needs at least one teacher, such as cross-encoder:PATH.")
    for teacher in settings.teachers:
        check_teacher(teacher)
    if settings.normalize not in ("auto", *NORMALIZATIONS):
        raise ConfigError(
            f"normalize is {settings.normalize!r}. Use auto, {', '.join(NORMALIZATIONS)}."
        )
    if settings.part_examples < 1:
        raise ConfigError(f"part_examples is {settings.part_examples}. It must be at least 1.")


def _identity(
    settings: DistillSettings,
    table: ExampleTable,
    teachers: Sequence[PairTeacher | VectorTeacher],
) -> dict[str, Any]:
    """What decides the file: not where teachers run, nor how much they read at a time."""
    return {
        "examples": table.folder.name,
        "teachers": [teacher.fingerprint for teacher in teachers],
        "weights": [teacher.weight for teacher in settings.teachers],
        "normalize": settings.normalize,
        "texts": settings.texts,
        "part_examples": settings.part_examples,
    }


def _parts(
    settings: DistillSettings,
    table: ExampleTable,
    parts: Parts,
    scorers: Sequence[PairScorer],
    advance: Callable[[int], None],
) -> list[Path]:
    work = []
    for number, shard in enumerate(_shards(table, settings.part_examples)):
        path = parts.path(number, ".npy")
        if not path.is_file():
            _save(path, _score(shard, table, scorers))
        work.append(path)
        advance(len(shard))
    return work


def _shards(table: ExampleTable, size: int) -> Iterator[list[Candidates]]:
    rows = read_candidates(table)
    while shard := list(islice(rows, size)):
        yield shard


def _score(
    shard: Sequence[Candidates], table: ExampleTable, scorers: Sequence[PairScorer]
) -> NDArray[np.float64]:
    """Scores of a shard's documents, one after the other, (documents, teachers)."""
    queries = table.queries.texts([one.query for one in shard])
    groups = [
        Group(query, tuple(table.documents.texts(one.documents)))
        for query, one in zip(queries, shard, strict=True)
    ]
    return np.stack([np.concatenate(scorer.score(groups)) for scorer in scorers], axis=1)


def _save(path: Path, scores: NDArray[np.float64]) -> None:
    with writing(path, "wb") as stream:
        np.save(stream, scores)


def _load(path: Path) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = np.load(path, allow_pickle=False)
    return scores


def _lines(
    settings: DistillSettings, table: ExampleTable, work: Sequence[Path]
) -> Iterator[ScoredExample]:
    kind = settings.normalize
    if kind == "auto":
        kind = "none" if len(settings.teachers) == 1 else "zscore"
    weights = [teacher.weight for teacher in settings.teachers]
    spread = Spread.of(_load(path) for path in work) if kind == "global" else None
    relevant = known_relevant(settings.examples)
    for path, shard in zip(work, _shards(table, settings.part_examples), strict=True):
        scores = _load(path)
        at = 0
        for one in shard:
            own = scores[at : at + len(one.documents)]
            at += len(one.documents)
            combined = combine(normalize(own, kind, spread), weights)
            yield _line(one, table, combined, relevant, texts=settings.texts)


def _line(
    one: Candidates,
    table: ExampleTable,
    scores: NDArray[np.float64],
    relevant: dict[str, set[str]],
    *,
    texts: bool,
) -> ScoredExample:
    query_id = table.queries.ids[one.query]
    documents = tuple(table.documents.ids[row] for row in one.documents)
    return ScoredExample(
        query_id,
        documents,
        table.queries.texts([one.query])[0] if texts else None,
        tuple(table.documents.texts(one.documents)) if texts else None,
        tuple(float(score) for score in scores),
        one.positives,
        tuple(sorted(relevant.get(query_id, set()).difference(documents))),
    )
