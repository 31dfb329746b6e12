"""What the page quotes is what the program says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import sparse_ir

DOCS = Path(__file__).parents[2] / "docs"
QUOTED = re.findall(r"^### `(.+)`$", (DOCS / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def messages():
    """Every text in the package, what is filled in written as an ellipsis."""
    found = set()
    for path in Path(sparse_ir.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_there_are_messages_to_look_for():
    assert len(QUOTED) > 20


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_in_the_code(quoted, messages):
    assert any(quoted in message for message in messages), quoted
