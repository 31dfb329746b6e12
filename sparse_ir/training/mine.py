"""Hard negatives from one's own indexes: what a search finds that is not relevant."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sparse_ir.data.examples import ExampleSettings, open_examples
from sparse_ir.data.examples_scored import example_line
from sparse_ir.data.files import writing
from sparse_ir.data.locks import writing_alone
from sparse_ir.data.manifest import redact
from sparse_ir.errors import ConfigError
from sparse_ir.searching.search import Searcher, SearchSettings
from sparse_ir.training.candidates import corpus_of, known_relevant, queries_of
from sparse_ir.training.hit_texts import CorpusTexts
from sparse_ir.training.memory import advising, lower_batch_tokens
from sparse_ir.training.mining import Miner, Rules, Wanting
from sparse_ir.training.parts import Parts, require_free
from sparse_ir.training.scorers import TeacherSettings, check_teacher, load_teacher
from sparse_ir.training.scoring import PairScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sparse_ir.data.examples import ExampleTable

CHOICES = ("random", "top")


@dataclass(frozen=True)
class MineIndex:
    """An index to mine.

    Attributes:
        index: Its name.
        engine: As ``open_engine`` takes it.
        model: As ``load_encoder`` takes it; None for the model that made the index.
    """

    index: str = "default"
    engine: str = "embedded"
    model: str | None = None


@dataclass(frozen=True)
class MineSettings:
    """Where hard negatives come from, and which are taken.

    Attributes:
        examples: Queries with what is relevant to them.
        out: File to write (JSONL; compressed when it ends with .gz or .zst).
        indexes: Searched for each query.
        negatives: Wanted for each query, at least 1.
        depth: Ranks of each index that are looked at.
        skip_top: The first ranks of each index are passed over: many a relevant document that
            nobody has judged stands there.
        choose: random among what is left (seeded), or top: the first of it.
        seed: What chance decides; each query's own, so that the order of queries does not matter.
        teacher: Whose scores tell false negatives; None for the index's own.
        max_share: Drop a candidate that scores above this share of the positive's score (0.95 in
            NV-Retriever, https://arxiv.org/abs/2407.15831, TopK-PercPos); None for no such filter.
        max_margin: Drop a candidate that scores above the positive's score less this (the same,
            TopK-MarginPos); None for no such filter.
        texts: Write texts too; without, the file holds ids alone and needs its corpus.
        part_queries: Queries between two points where a stopped run can go on.
        resume: Go on with a stopped run.
        replace: Throw away what is there; with resume, a stopped run that is the same goes on.
    """

    examples: ExampleSettings
    out: str
    indexes: tuple[MineIndex, ...] = (MineIndex(),)
    negatives: int = 8
    depth: int = 100
    skip_top: int = 0
    choose: str = "random"
    seed: int = 0
    teacher: TeacherSettings | None = None
    max_share: float | None = None
    max_margin: float | None = None
    texts: bool = True
    part_queries: int = 256
    resume: bool = False
    replace: bool = False


class MineReport(NamedTuple):
    """What was done.

    Attributes:
        out: The file.
        queries: Lines in it.
        negatives: All of them together.
        few: Queries with fewer negatives than wanted, those with none among them.
        none: Queries without any; they are in the file all the same.
        relevant: Candidates left out as known to be relevant.
        false: Candidates left out as likely false negatives.
        seconds: How long it took.
    """

    out: str
    queries: int
    negatives: int
    few: int
    none: int
    relevant: int
    false: int
    seconds: float


def mine(settings: MineSettings, advance: Callable[[int], None] = lambda n: None) -> MineReport:
    """Search indexes for each query and write what comes up and is not relevant.

    A killed run goes on with ``resume``, loses at most one part and makes the same file.

    Args:
        settings: Examples, indexes, rules.
        advance: Called with the number of queries finished.

    Raises:
        ConfigError: a setting is wrong, or there is a file or a stopped run already; or an index
            stores no texts, and there is no corpus to look them up.
        InputError: the examples cannot be read, or the corpus lacks a document of an index.
        IndexNotFoundError: there is no such index.
        StorageError: the disk is full.
        TrainingError: memory ran out.
    """
    _check(settings)
    with writing_alone(Path(settings.out)):
        return _mine(settings, advance)


def _mine(settings: MineSettings, advance: Callable[[int], None]) -> MineReport:
    started = time.monotonic()
    out = Path(settings.out)
    require_free(out, resume=settings.resume, replace=settings.replace)
    table = open_examples(settings.examples)
    with ExitStack() as stack:
        stack.enter_context(advising(_advice(settings)))
        searchers = [stack.enter_context(_open(one, settings)) for one in settings.indexes]
        teacher = None if settings.teacher is None else load_teacher(settings.teacher)
        identity = _identity(settings, table, searchers)
        identity["teacher"] = None if teacher is None else teacher.fingerprint
        parts = Parts(out, identity, resume=settings.resume, replace=settings.replace)
        if parts.whole:
            return MineReport(str(out), 0, 0, 0, 0, 0, 0, 0.0)
        scorer = None
        if teacher is not None:
            scorer = stack.enter_context(PairScorer(teacher, parts.folder))
        texts = stack.enter_context(CorpusTexts(corpus_of(settings.examples), parts.folder))
        miner = Miner(searchers, texts, scorer, _rules(settings))
        wanting = queries_of(table, known_relevant(settings.examples))
        work = _parts(settings, wanting, parts, miner, advance)
        counts = _join(out, work)
    parts.finish()
    found = {name: counts[name] for name in MineReport._fields[1:-1]}
    return MineReport(out=str(out), seconds=time.monotonic() - started, **found)


def _check(settings: MineSettings) -> None:
    for name, least in (("negatives", 1), ("skip_top", 0), ("part_queries", 1)):
        if getattr(settings, name) < least:
            raise ConfigError(f"{name} is {getattr(settings, name)}. It must be at least {least}.")
    if settings.depth <= settings.skip_top:
        raise ConfigError(
            f"depth is {settings.depth} and skip_top {settings.skip_top}: no rank is left. Look "
            "deeper."
        )
    if settings.choose not in CHOICES:
        raise ConfigError(f"choose is {settings.choose!r}. Use {' or '.join(CHOICES)}.")
    if not settings.indexes:
        raise ConfigError("mine needs at least one index.")
    _check_filter(settings)


def _check_filter(settings: MineSettings) -> None:
    if settings.max_share is not None and settings.max_share <= 0:
        raise ConfigError(f"max_share is {settings.max_share}. It must be above 0, such as 0.95.")
    filtered = settings.max_share is not None or settings.max_margin is not None
    if settings.teacher is not None:
        check_teacher(settings.teacher)
    elif filtered and len(settings.indexes) > 1:
        raise ConfigError(
            "the scores of several indexes do not compare: max_share and max_margin need a teacher."
        )


def _advice(settings: MineSettings) -> str:
    if settings.teacher is not None:
        return lower_batch_tokens(settings.teacher.batch_tokens)
    return (
        f"Lower part_queries (--part-queries; now {settings.part_queries}) or depth "
        f"({settings.depth}), and start again with --replace."
    )


def _open(one: MineIndex, settings: MineSettings) -> Searcher:
    return Searcher(
        SearchSettings(index=one.index, engine=one.engine, model=one.model, k=settings.depth)
    )


def _identity(
    settings: MineSettings, table: ExampleTable, searchers: Sequence[Searcher]
) -> dict[str, Any]:
    chosen = asdict(settings)
    for name in ("examples", "out", "resume", "replace", "teacher"):
        del chosen[name]
    indexes = [
        [
            one.engine.resolve(one.settings.index),
            one.engine.stats(one.settings.index).documents,
            one.encoder.query_fingerprint,
        ]
        for one in searchers
    ]
    return dict(redact({"examples": table.folder.name, **chosen, "content of indexes": indexes}))


def _rules(settings: MineSettings) -> Rules:
    return Rules(
        settings.negatives,
        settings.depth,
        settings.skip_top,
        settings.choose == "random",
        settings.seed,
        settings.max_share,
        settings.max_margin,
        settings.texts,
    )


def _parts(
    settings: MineSettings,
    wanting: Sequence[Callable[[], Wanting]],
    parts: Parts,
    miner: Miner,
    advance: Callable[[int], None],
) -> list[Path]:
    work = []
    for number, start in enumerate(range(0, len(wanting), settings.part_queries)):
        path = parts.path(number, ".json")
        chosen = wanting[start : start + settings.part_queries]
        if not path.is_file():
            mined = miner.mine([one() for one in chosen])
            lines = [example_line(row, settings.out) for row in mined.examples]
            with writing(path) as stream:
                json.dump({"counts": mined.counts, "lines": lines}, stream, ensure_ascii=False)
        work.append(path)
        advance(len(chosen))
    return work


def _join(out: Path, work: Sequence[Path]) -> Counter[str]:
    counts: Counter[str] = Counter()
    with writing(out) as stream:
        for path in work:
            part = json.loads(path.read_text("utf-8"))
            counts.update(part["counts"])
            stream.writelines(part["lines"])
    return counts
