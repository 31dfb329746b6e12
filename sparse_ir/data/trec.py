"""TREC runs and judgements (qrels), BEIR's judgements, and the runs of MS MARCO.

Columns are separated by blanks, as every tool reads them. Where an id itself holds a blank, they
are separated by tabs: a line with the full number of tabs is split at these only.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sparse_ir.data.files import open_binary, writing
from sparse_ir.data.records import RowError, to_id
from sparse_ir.data.rows import NOT_UTF8, numbered_lines
from sparse_ir.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparse_ir.types import Qrels, Run

_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_BEIR_HEADER = ("query-id", "corpus-id", "score")

_Numbered: TypeAlias = "tuple[int, str]"


def read_qrels(path: str | Path) -> Qrels:
    """Read graded judgements.

    Args:
        path: A TREC file (query, iteration, document, grade), a BEIR file (header ``query-id``,
            ``corpus-id``, ``score``), a BEIR folder (its test split), or ``irds:`` and an
            ir_datasets id.

    Raises:
        InputError: the file cannot be read, is empty, or a line has another number of columns, a
            grade that is no whole number, or a pair that was there before.
    """
    if str(path).startswith("irds:"):
        from sparse_ir.data.irds import irds_qrels

        return irds_qrels(str(path).removeprefix("irds:"))
    if Path(path).is_dir():
        from sparse_ir.data.datasets import open_dataset

        path = open_dataset(str(path)).qrels
    qrels: Qrels = {}
    width, document = 4, 2
    for number, line in _lines(path):
        if not qrels and width == 4 and tuple(line.lower().split()) == _BEIR_HEADER:
            width, document = 3, 1
            continue
        columns = _columns(line, width, path, number)
        if not _INTEGER.fullmatch(columns[-1]):
            raise InputError(
                f"the grade {columns[-1]!r} is not a whole number.", path=path, line=number
            )
        graded = qrels.setdefault(columns[0], {})
        if columns[document] in graded:
            raise _again(columns[0], columns[document], path, number)
        graded[columns[document]] = int(columns[-1])
    if not qrels:
        raise InputError("holds no judgements.", path=path)
    return qrels


def read_run(path: str | Path) -> Run:
    """Read a run: query, Q0, document, rank, score, tag; what counts is the score.

    With tabs between them also MS MARCO's three columns (query, document, rank), and the four of
    its candidates such as ``top1000.dev`` (query, document, two texts), in the order of the file;
    or four of query, document, rank and score.

    Raises:
        InputError: the file cannot be read, is empty, or a line has another number of columns, a
            score that is no number, or a pair that was there before.
    """
    run: Run = {}
    for number, line in _lines(path):
        width = line.count("\t") + 1
        if width in (3, 4):
            query_id, doc_id, rank, *rest = line.split("\t")
            if not rest or _ranked(rank, rest[0]):
                score = _score(rest[0], path, number) if rest else -_rank(rank, path, number)
            else:  # candidates have no rank: the order of the file
                score = -float(len(run.get(query_id, {})) + 1)
        else:
            query_id, _, doc_id, _, written, _ = _columns(line, 6, path, number)
            score = _score(written, path, number)
        scored = run.setdefault(query_id, {})
        if doc_id in scored:
            raise _again(query_id, doc_id, path, number)
        scored[doc_id] = score
    if not run:
        raise InputError(
            "holds no results. A line of a run is: query Q0 document rank score tag.", path=path
        )
    return run


def _ranked(rank: str, score: str) -> bool:
    """Whether two columns are a rank and a score, and no texts."""
    try:
        return _INTEGER.fullmatch(rank) is not None and math.isfinite(float(score))
    except ValueError:
        return False


def _rank(written: str, path: str | Path, number: int) -> float:
    if not _INTEGER.fullmatch(written):
        raise InputError(f"the rank {written!r} is no whole number.", path=path, line=number)
    return float(written)


def _score(written: str, path: str | Path, number: int) -> float:
    try:
        score = float(written)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise InputError(f"the score {written!r} is not a number.", path=path, line=number)
    return score


def write_run(path: str | Path, run: Run, *, tag: str = "sparse-ir") -> None:
    """Write a run; of each query the highest score first, of equal ones the lower doc_id.

    Args:
        path: Compressed when it ends with ``.gz`` or ``.zst``.
        run: query_id -> doc_id -> score; scores are written so that they read back the same.
        tag: The name of the run; blanks become hyphens.

    Raises:
        InputError: an id holds a tab or line break.
        StorageError: the file cannot be written.
    """
    ids = list(run) + [doc_id for scored in run.values() for doc_id in scored]
    separator = _separator(ids)
    name = "-".join(tag.split()) or "sparse-ir"
    with writing(path) as stream:
        for query_id, scored in run.items():
            ordered = sorted(scored.items(), key=lambda hit: (-hit[1], hit[0]))
            for rank, (doc_id, score) in enumerate(ordered, start=1):
                columns = (query_id, "Q0", doc_id, str(rank), repr(float(score)), name)
                stream.write(separator.join(columns) + "\n")


def write_qrels(path: str | Path, qrels: Qrels) -> None:
    """Write judgements in TREC form: query, 0, document, grade.

    Raises:
        InputError: an id holds a tab or line break.
        StorageError: the file cannot be written.
    """
    ids = list(qrels) + [d for graded in qrels.values() for d in graded]
    separator = _separator(ids)
    with writing(path) as stream:
        for query_id, graded in qrels.items():
            for doc_id, grade in graded.items():
                stream.write(separator.join((query_id, "0", doc_id, str(grade))) + "\n")


def _separator(ids: Iterable[str]) -> str:
    separator = " "
    for one in ids:
        if one.isprintable() and " " not in one and one:
            continue
        try:
            to_id(one)
        except RowError as error:
            raise InputError(f"a TREC file cannot hold this id: the row {error}.") from None
        if one.split() != [one]:
            separator = "\t"
    return separator


def _lines(path: str | Path) -> Iterator[_Numbered]:
    with open_binary(path) as stream:
        for number, line in numbered_lines(stream, str(path)):
            try:
                text = line.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise InputError(f"{NOT_UTF8}.", path=path, line=number) from None
            if text and not text.isspace():
                yield number, text


def _columns(line: str, width: int, path: str | Path, number: int) -> list[str]:
    columns = line.split("\t") if line.count("\t") == width - 1 else line.split()
    if len(columns) != width:
        raise InputError(
            f"has {len(columns)} columns instead of {width}. Ids with blanks need tabs between the "
            "columns.",
            path=path,
            line=number,
        )
    return columns


def _again(query_id: str, doc_id: str, path: str | Path, number: int) -> InputError:
    return InputError(
        f"query {query_id!r} has document {doc_id!r} a second time.", path=path, line=number
    )
