"""How commands speak: tables and bars on a terminal, plain lines in a log, JSON for machines."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

_LOG_EVERY_SECONDS = 10.0
# What a terminal obeys instead of showing it: control characters but tab and newline, marks that
# turn the direction of writing; and halves of surrogate pairs, which have no UTF-8.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""A text of a stranger as a terminal may get it: what it would obey is U+FFFD.

    >>> printable("red\x1b[31m")
    'red\ufffd[31m'
    """
    return _UNSHOWN.sub("\ufffd", text)


def console() -> Console:
    """A console on standard output; in a pipe it is wide enough not to wrap ids."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    return Console(width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def print_json(value: Any) -> None:
    """One JSON value on one line; what a terminal would obey is escaped."""
    line = json.dumps(value, ensure_ascii=False)
    click.echo(_UNSHOWN.sub(lambda found: f"\\u{ord(found[0]):04x}", line))


def say(line: str) -> None:
    """A line for people, on standard output."""
    click.echo(printable(line))


def note(line: str) -> None:
    """A line for people, on standard error, so that results can be piped."""
    click.echo(printable(line), err=True)


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None
) -> None:
    """A table; columns whose cells are all numbers are set to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = None if title is None else Text(printable(title), style="table.title")
    table = Table(title=shown, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column, header in enumerate(headers):
        numeric = all(_is_number(row[column]) for row in rows)
        table.add_column(
            Text(printable(header)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "").rstrip("%"))
    except ValueError:
        return text in ("", "-")
    return True


@contextmanager
def progress(
    what: str, *, total: int | None = None, shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show progress while the block runs; yields the function to call with units done.

    Where another process shows it, ``shown`` is False.
    """
    if not shown:
        yield lambda n: None
    elif sys.stderr.isatty():
        with _bar(what, total) as advance:
            yield advance
    else:
        lines = _Lines(what, total)
        yield lines.advance
        lines.finish()


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


class _Lines:
    def __init__(self, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._done = self._said = 0
        self._started = self._last = time.monotonic()

    def advance(self, n: int) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._last >= _LOG_EVERY_SECONDS:
            self._last, self._said = now, self._done
            note(self._line(now))

    def finish(self) -> None:
        if self._done != self._said:
            note(self._line(time.monotonic()))

    def _line(self, now: float) -> str:
        elapsed = max(now - self._started, 1e-9)
        rate = self._done / elapsed
        of = f" of {self._total:,}" if self._total else ""
        left = ""
        if self._total and rate and self._done < self._total:
            left = f", {format_seconds((self._total - self._done) / rate)} left"
        return f"{self._what}: {self._done:,}{of}, {rate:.1f}/s{left}"


def engine_flag(address: str) -> str:
    """The flag that leads a printed command to the same engine; empty for the default one."""
    return "" if address == "embedded" else f" --engine {shlex.quote(address)}"


def format_seconds(seconds: float) -> str:
    """0.8 s, 42 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_bytes(count: float) -> str:
    """512 B, 1.4 MB, 2.1 GB (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
