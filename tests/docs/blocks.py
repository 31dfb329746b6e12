"""The blocks of code in Markdown files, and the commands in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_OPTIONAL = re.compile(r"\[(--[^\]]+)\]")


class Block(NamedTuple):
    """One block of code.

    Attributes:
        page: The file, from the repository's root.
        line: Where it begins.
        reason: Why it is not run, from a comment in front of it; empty if it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def commands(self) -> list[str]:
        """Its lines, continued ones joined, without comments; what stands in [ ] is given."""
        joined = self.text.replace("\\\n", " ")
        lines = (_OPTIONAL.sub(r"\1", line) for line in joined.splitlines())
        return [" ".join(line.split()) for line in lines if line.strip() and line[0] != "#"]


def blocks(page: Path) -> list[Block]:
    """Every block of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            str(page.relative_to(ROOT)),
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            match["text"],
            match["reason"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def words(command: str) -> list[str]:
    """A command line taken apart as a shell does it; comments are left out."""
    return shlex.split(command, comments=True)


def arguments(command: str) -> list[str] | None:
    """What follows ``sparse-ir`` or ``-m sparse_ir``; None if it is another program."""
    found = words(command)
    for i, word in enumerate(found):
        if word == "|":
            return arguments(shlex.join(found[i + 1 :]))
        if word == "sparse-ir" or (word == "sparse_ir" and found[i - 1] == "-m"):
            end = next((j for j, w in enumerate(found) if j > i and w in ("|", ">", "&&")), None)
            return found[i + 1 : end]
        if i == 0 and word not in ("torchrun", "accelerate", "python") and "|" not in found:
            return None
    return None
