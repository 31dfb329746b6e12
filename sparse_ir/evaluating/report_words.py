"""Numbers and texts as the reader of a report sees them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

DASH = "–"
_MINUS = "\N{MINUS SIGN}"
_BROKEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_METRICS = {
    "ndcg": "nDCG",
    "mrr": "MRR",
    "map": "MAP",
    "recall": "Recall",
    "precision": "Precision",
    "hit_rate": "Hit rate",
    "judged": "Judged",
}


def score(value: float | None, digits: int = 3) -> str:
    """A metric's value.

    >>> score(0.41249)
    '0.412'
    """
    return DASH if value is None else f"{value:.{digits}f}".replace("-", _MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with its sign; nothing rounds to a negative zero.

    >>> signed(0.0125, 3), signed(-0.00001)
    ('+0.013', '0.000')
    """
    if value is None:
        return DASH
    rounded = round(value, digits)
    if rounded == 0:
        return f"{0:.{digits}f}"
    return f"{rounded:+.{digits}f}".replace("-", _MINUS)


def figure(value: float | None) -> str:
    """A quantity with three digits that mean something, the more before the point.

    >>> figure(12345.6), figure(123.4), figure(12.34), figure(1.234), figure(0.5)
    ('12,346', '123', '12.3', '1.23', '0.500')
    """
    if value is None:
        return DASH
    size = abs(value)
    if size == 0:
        return "0"
    digits = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.995 else None
    text = f"{value:#.3g}" if digits is None else f"{value:,.{digits}f}"
    return text.replace("-", _MINUS)


def count(value: int | None) -> str:
    """A number of things.

    >>> count(12345)
    '12,345'
    """
    return DASH if value is None else f"{value:,}"


def percent(share: float) -> str:
    """A share of a hundred.

    >>> percent(0.426), percent(0.0042), percent(0)
    ('43 %', '0.4 %', '0 %')
    """
    parts = share * 100
    return f"{parts:.0f} %" if parts == 0 or parts >= 9.5 else f"{parts:.1f} %"


def p_value(value: float) -> str:
    """A probability.

    >>> p_value(0.0004), p_value(0.0312)
    ('< 0.001', '0.031')
    """
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def metric_name(metric: str) -> str:
    """A metric as papers write it.

    >>> metric_name("ndcg@10"), metric_name("hit_rate@5-l2")
    ('nDCG@10', 'Hit rate@5-l2')
    """
    name, at, rest = metric.partition("@")
    return _METRICS.get(name, name) + at + rest


def clipped(text: str, length: int = 300) -> str:
    r"""A text on one line, without the end of a long one.

    >>> clipped("one  two\nthree", 8)
    'one two…'
    """
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def printable(text: str) -> str:
    """A text without what no page may hold: control characters, halves of surrogate pairs."""
    return _BROKEN.sub("\ufffd", text)


def provenance_rows(made: dict[str, Any]) -> list[tuple[str, str]]:
    """What made the results, as names and texts; what is not known is left out."""
    hardware = made.get("hardware") or {}
    memory = hardware.get("memory_bytes")
    machine = [
        str(hardware.get("cpu") or ""),
        f"{hardware['cores']} cores" if hardware.get("cores") else "",
        f"{memory / 2**30:.0f} GiB" if memory else "",
        *(str(gpu) for gpu in hardware.get("gpus") or ()),
    ]
    known = {
        "sparse-ir": made.get("sparse_ir"),
        "Python": made.get("python"),
        **(made.get("versions") or {}),
    }
    rows = [
        ("Date", str(made.get("finished") or "")),
        ("Duration", _duration(made.get("seconds"))),
        ("Hardware", ", ".join(filter(None, machine))),
        ("System", str(made.get("platform") or "")),
        (
            "Versions",
            ", ".join(f"{name} {version}" for name, version in known.items() if version),
        ),
        ("Revision", str(made.get("revision") or "")),
        ("Command", _command(made.get("command"))),
    ]
    return [(name, text) for name, text in rows if text]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _command(command: Sequence[str] | str | None) -> str:
    if not command:
        return ""
    return command if isinstance(command, str) else shlex.join(str(part) for part in command)
