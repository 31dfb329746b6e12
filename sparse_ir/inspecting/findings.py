"""What a check found wrong: the cause, the evidence, what to do."""

from __future__ import annotations

from typing import Any, NamedTuple

SATURATION = "saturation"
PRUNING = "pruning"
DOTS = "dot collision"
LOST_DOCUMENTS = "lost documents"
LOST_LIGHT_TERMS = "lost light terms"
LOST_TERMS = "lost terms"
LOST_VECTORS = "lost vectors"
STALE = "stale refresh"
WRONG_MODEL = "wrong model"
MERGED = "partial-update merge"
CHANGED = "changed documents"
OTHER_WEIGHTS = "other weights"
OTHER_SCORES = "other scores"
INCOMPLETE = "incomplete ranking"


class Finding(NamedTuple):
    """One thing that is wrong.

    Attributes:
        cause: One of the names above.
        what: What was seen, in one line.
        advice: What to do about it.
        doc_id: A document that shows it; empty for none.
        query: A query, or a term of the weight 1, that shows it; empty for none.
        expected: Its score, computed from the weights that the index should hold.
        got: What the engine answered.
    """

    cause: str
    what: str
    advice: str
    doc_id: str = ""
    query: str = ""
    expected: float | None = None
    got: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without what is not known."""
        return {name: value for name, value in self._asdict().items() if value not in ("", None)}

    def __str__(self) -> str:
        """One line: cause, evidence, advice."""
        return " ".join(filter(None, [f"{self.cause}: {self.what}", self._evidence(), self.advice]))

    def _evidence(self) -> str:
        if self.expected is None or self.got is None:
            return ""
        where = ", ".join(
            part
            for part in (
                f"document {self.doc_id!r}" if self.doc_id else "",
                f"query {self.query!r}" if self.query else "",
            )
            if part
        )
        return f"({where}: expected {self.expected:.7g}, got {self.got:.7g})"


def examples(names: list[str], *, most: int = 3) -> str:
    """A few names, quoted, with how many more there are."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
