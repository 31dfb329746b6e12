"""What mkdocs shows beside docs/: files that lie elsewhere in the repository, and links to them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "mappings/README.md": "mappings.md",
    "evaluation/python-docs/README.md": "demo-questions.md",
    "sparse_ir/default_model/README.md": "model-card.md",
}
RESULTS = "evaluation/results"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def _places() -> dict[str, str]:
    """File of the repository -> page of the site, for what lies outside docs/."""
    results = {
        f"{RESULTS}/{path.name}": f"results/{path.name}"
        for path in sorted((ROOT / RESULTS).glob("*.md"))
    }
    return {**PAGES, **results}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add those files as pages."""
    for source, page in _places().items():
        text = _FRONT.sub("", (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links at pages of the site; what is no page is named as the file that it is."""
    place = page.file.src_uri
    places = _places()
    source = {there: here for here, there in places.items()}.get(place, f"docs/{place}")

    def follow(match: re.Match[str]) -> str:
        words, target, part = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if target.startswith("docs/"):
            there = target.removeprefix("docs/")
        elif target in places:
            there = places[target]
        elif (ROOT / target).exists():
            return f"{words} (`{target}`)"
        else:
            return match[0]
        there = posixpath.relpath(there, posixpath.dirname(place) or ".")
        return f"[{words}]({there}{part or ''})"

    return _LINK.sub(follow, markdown)
