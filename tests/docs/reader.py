"""Somebody who types what a page says, and has what the page takes for granted."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocks import arguments

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocks import Block
    from sandbox import Models

CLUSTERS = ("http://localhost:9200", "https://cluster:9200")
BUILDS_ON = ("--update", "--resume", "--replace", "--aside")
INDEX_OPTIONS = ("--index", "--candidate", "--words-index")


class Reader:
    """Runs blocks in a folder; what a command needs and the block does not make is made before."""

    def __init__(self, folder: Path, models: Models, server: Callable[[], str]) -> None:
        self._folder = folder
        self._models = models
        self._server = server
        self._page = ""
        self._made: set[tuple[str, str]] = set()

    def follow(self, block: Block) -> None:
        """Run a block; a command that fails fails the test."""
        self._page = block.page
        if block.language == "python":
            self._python(block)
            return
        for command in block.commands:
            found = arguments(command)
            if found is not None:
                given = self._here(found)
                self._prepare(given)
                self._run(given, f"{block.page}:{block.line}: {command}")

    def leave(self) -> None:
        """Remove what was made on the server."""
        from sparse_ir.engines.opening import open_engine

        for url, index in self._made:
            with open_engine(url) as engine:
                for build in engine.builds(index):
                    engine.drop(build)

    def _python(self, block: Block) -> None:
        import transformers

        for index in re.findall(r'(?:index=|search\()"(\w+)"', block.text):
            engine = re.search(r'open_engine\("([^"]+)"\)', block.text)
            self._have_index(index, ["--engine", engine[1]] if engine else [])
        for name in re.findall(r'"(\w[\w-]*)/?[\w.-]*"|f"\{name\}\.trec"', block.text):
            if name == "vectors":
                self._have_file(Path("vectors"))
        if ".trec" in block.text:
            self._have_file(Path("a.trec"))
            self._have_file(Path("b.trec"))
        load: Any = transformers.AutoModelForMaskedLM
        names = {
            "texts": ["a text about fleas", "another"],
            "model": load.from_pretrained(self._models.splade),
            "tokenizer": transformers.AutoTokenizer.from_pretrained(str(self._models.splade)),
            "weights": {"bread": 1.5},
        }
        text = block.text
        for there, here in self._names().items():
            text = text.replace(there, here)
        exec(compile(text, f"{block.page}:{block.line}", "exec"), names)

    def _run(self, given: list[str], what: str) -> None:
        from sparse_ir.cli import execute

        code = execute(given)
        assert code == 0, f"exit code {code}: {what}"

    def _names(self) -> dict[str, str]:
        """What pages call things, and what they are called here."""
        return {
            "/models/": f"{self._folder}/models/",
            "distilbert/distilbert-base-uncased": str(self._models.backbone),
            "sentence-transformers/all-MiniLM-L6-v2": str(self._models.dense),
            "path/to/cross-encoder": str(self._models.cross_encoder),
            "path/to/model": str(self._models.cross_encoder),
            "cross-encoder:ce": f"cross-encoder:{self._models.cross_encoder}",
            "dense:mini": f"dense:{self._models.dense}",
            "FOLDER": str(self._models.backbone),
            "DATA/NAME": "data",
            "NAME": "name",
            "some-index": "articles",
        }

    def _here(self, found: list[str]) -> list[str]:
        given = []
        for before, word in zip(["", *found], found, strict=False):
            for there, here in self._names().items():
                word = word.replace(there, here)
            if (before == "--url" and word == "…") or any(url in word for url in CLUSTERS):
                word = self._server() if word == "…" else word
                for url in CLUSTERS:
                    word = word.replace(url, self._server())
            given.append(self._newest(word) if word.endswith("@…") else word)
        return given

    def _newest(self, word: str) -> str:
        from sparse_ir.engines.opening import open_engine

        with open_engine(self._server()) as engine:
            return engine.builds(word.partition("@")[0])[-1]

    def _prepare(self, given: list[str]) -> None:
        while given and given[0] == "--config":
            given = given[2:]
        command, options = given[0], dict(pairwise(given))
        place = [w for n in ("--url", "--engine") if n in options for w in (n, options[n])]
        begins = command == "index" and not set(given) & set(BUILDS_ON)
        for name in (options[o] for o in INDEX_OPTIONS if o in options):
            self._note(name, place)
            if begins:
                self._drop(name, place)
            elif "@" not in name:
                self._have_index(name, place)
        if command == "index" and "--index" not in options:
            self._note("default", place)
            self._drop("default", place)
        elif command in ("search", "evaluate") and not {"--index", "--run"} & set(given):
            self._have_index("default", place)
        out = options.get("--out")
        if out is not None and command not in ("tune", "tune-hybrid", "benchmark"):
            path = Path(out)
            (shutil.rmtree if path.is_dir() else Path.unlink)(path) if path.exists() else None
        for name, value in zip(["", *given], given, strict=False):
            if name in ("--vectors", "--run", "--examples", "inspect", "compare") or (
                value.endswith((".trec", ".jsonl")) and name not in ("--out", "--save-run")
            ):
                self._have_file(Path(value))

    def _note(self, name: str, place: list[str]) -> None:
        """Remember what is made on a server, to remove it."""
        if place and place[1].startswith("http"):
            self._made.add((place[1], name.partition("@")[0]))

    def _drop(self, name: str, place: list[str]) -> None:
        from sparse_ir.engines.opening import open_engine

        with open_engine(place[1] if place else "embedded") as engine:
            if name in engine.indexes():
                engine.drop(name)

    def _have_index(self, name: str, place: list[str]) -> None:
        from sparse_ir.engines.opening import open_engine

        with open_engine(place[1] if place else "embedded") as engine:
            if name in engine.indexes():
                return
        words = any(part in name for part in ("bm25", "words", "lexical"))
        model = "bm25" if words else str(self._folder / "models" / "my-splade")
        more = ["--dense", str(self._models.dense)] if "hybrid" in self._page else []
        self._run(
            [
                "index",
                "--corpus",
                "articles.jsonl",
                "--index",
                name,
                "--model",
                model,
                *place,
                *more,
            ],
            f"making {name}",
        )

    def _have_file(self, path: Path) -> None:
        if path.exists():
            return
        model = ["--model", str(self._folder / "models" / "my-splade")]
        if path.suffix == ".trec":
            self._have_index("articles", [])
            made = ["evaluate", "--index", "articles", "--queries", "queries.jsonl", "--qrels",
                    "qrels.tsv", "--save-run", str(path)]  # fmt: skip
        elif path.name == "mined.jsonl":
            self._have_index("corpus-bm25", [])
            made = ["mine", "--examples", "triplets.tsv", "--index",
                    "corpus-bm25", "--negatives", "2", "--out", str(path)]  # fmt: skip
        elif path.name in ("vectors", "anserini"):
            made = ["encode", "--corpus", "articles.jsonl", "--out", "vectors", *model]
            if path.name == "anserini":
                self._have_file(Path("vectors"))
                made = ["export", "--vectors", "vectors", "--format", "anserini", "--out",
                        "anserini/vectors.jsonl.gz"]  # fmt: skip
        else:
            return
        self._run(made, f"making {path}")
