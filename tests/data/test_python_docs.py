"""The standard library's documentation as a corpus, and the questions made for it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sparse_ir.data.python_docs import cut, read_python_docs
from sparse_ir.errors import InputError
from sparse_ir.resources import resource

if TYPE_CHECKING:
    from pathlib import Path

    from sparse_ir.types import Document


@pytest.fixture(scope="module")
def library() -> dict[str, Document]:
    return {document.doc_id: document for document in read_python_docs()}


def read(root: Path, files: dict[str, str]) -> dict[str, Document]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return {document.doc_id: document for document in read_python_docs(root)}


# The running interpreter's own library


def test_the_running_interpreter_has_about_three_thousand_documents_in_order_of_id():
    ids = [document.doc_id for document in read_python_docs()]
    assert 2500 < len(ids) < 4000
    assert ids == sorted(set(ids))


def test_reading_twice_gives_the_same_documents(library):
    assert {d.doc_id: d for d in read_python_docs()} == library


@pytest.mark.parametrize(
    ("doc_id", "kind", "module"),
    [
        ("subprocess.run", "function", "subprocess"),
        ("subprocess", "module", "subprocess"),
        ("os.path.join", "function", "os.path"),
        ("os.path.splitext", "function", "os.path"),
        ("pathlib.Path.exists", "method", "pathlib"),
        ("pathlib.PurePath.suffix", "method", "pathlib"),
        ("datetime.datetime.strptime", "method", "datetime"),
        ("decimal.Decimal.quantize", "method", "decimal"),
        ("io.open", "function", "io"),
        ("collections.abc.Mapping", "class", "collections.abc"),
        ("random.choice", "function", "random"),
        ("multiprocessing.Pool", "function", "multiprocessing"),
        ("asyncio.gather", "function", "asyncio"),
        ("concurrent.futures.ThreadPoolExecutor", "class", "concurrent.futures"),
        ("json.JSONDecoder", "class", "json"),
        ("unittest.TestCase.assertRaises", "method", "unittest"),
        ("argparse.ArgumentParser.add_argument", "method", "argparse"),
        ("bisect.insort", "function", "bisect"),
        ("hashlib", "module", "hashlib"),
        ("str.split", "method", "builtins"),
        ("list.append", "method", "builtins"),
        ("dict.get", "method", "builtins"),
        ("object.__enter__", "method", "builtins"),
        ("pdb.set_trace", "function", "pdb"),
        ("topics.for", "topic", "topics"),
        ("topics.match", "topic", "topics"),
    ],
)
def test_a_name_is_the_one_of_the_manual_on_every_version(library, doc_id, kind, module):
    document = library[doc_id]
    assert document.text
    assert document.title
    assert document.metadata["kind"] == kind
    assert document.metadata["module"] == module


def test_a_title_is_the_name_with_its_signature(library):
    title = library["subprocess.run"].title
    assert title.startswith("subprocess.run(*popenargs, input=None, capture_output=False, ")
    assert library["pathlib.PurePath.suffix"].title == "pathlib.PurePath.suffix"
    assert library["typing.Optional"].title == "typing.Optional"
    assert library["topics.for"].title == "The for statement"


def test_tests_private_names_and_removed_modules_are_left_out(library):
    left_out = {"test", "tests", "idlelib", "tkinter", "turtle", "telnetlib", "encodings"}
    for doc_id, document in library.items():
        assert not left_out & set(document.metadata["module"].split("."))
        assert not [p for p in doc_id.split(".") if p.startswith("_") and not p.endswith("__")]


# A library of our own


def test_nothing_is_imported(tmp_path):
    found = read(tmp_path, {"bomb.py": '"""Goes off when imported."""\nraise SystemExit(3)\n'})
    assert list(found) == ["bomb"]


def test_modules_classes_functions_and_methods_become_documents(tmp_path):
    source = '''"""Tools for eggs."""
def boil(egg, minutes=4, *, salt=False): "Boil it."
def undocumented(): pass
def _peel(egg): "Hidden."
class Egg:
    """An egg."""
    def __init__(self, weight): pass
    def crack(self, pan, /): "Crack it."
    def _yolk(self): "Hidden."
    @property
    def weight(self): "In grams."
    @staticmethod
    def count(eggs): "How many."
class Hen:
    def __init__(self, name): "A hen."
class _Private:
    "Hidden."
    def method(self): "Hidden."
'''
    found = read(tmp_path, {"eggs.py": source})
    assert {doc_id: document.title for doc_id, document in found.items()} == {
        "eggs": "eggs",
        "eggs.Egg": "eggs.Egg(weight)",
        "eggs.Egg.count": "eggs.Egg.count(eggs)",
        "eggs.Egg.crack": "eggs.Egg.crack(pan, /)",
        "eggs.Egg.weight": "eggs.Egg.weight",
        "eggs.Hen": "eggs.Hen(name)",
        "eggs.boil": "eggs.boil(egg, minutes=4, *, salt=False)",
    }
    assert found["eggs.Hen"].text == "A hen."
    assert found["eggs.Egg.crack"].metadata == {"kind": "method", "module": "eggs"}


def test_long_and_private_defaults_and_many_parameters_are_shortened(tmp_path):
    source = (
        "def f(a, b, /, c=_sentinel, d='a default of many, many characters', *args, **kw): 'F.'\n"
        "def g(a, b, c, d, e, f, g, h, i, j): 'G.'\n"
    )
    found = read(tmp_path, {"m.py": source})
    assert found["m.f"].title == "m.f(a, b, /, c=…, d=…, *args, **kw)"
    assert found["m.g"].title == "m.g(a, b, c, d, e, f, g, h, …)"


def test_definitions_in_branches_and_second_names_are_found(tmp_path):
    source = (
        "try:\n    import fast\nexcept ImportError:\n    def slow(): 'Slow.'\n"
        "else:\n    def quick(): 'Quick.'\n"
        "if True:\n    def here(): 'Here.'\n"
        "there = here\n"
    )
    found = read(tmp_path, {"m.py": source})
    assert list(found) == ["m.here", "m.quick", "m.slow", "m.there"]
    assert found["m.there"].text == "Here."


def test_what_all_does_not_list_is_private(tmp_path):
    source = "__all__ = ['a']\n__all__ += ['b']\ndef a(): 'A.'\ndef b(): 'B.'\ndef c(): 'C.'\n"
    assert list(read(tmp_path, {"m.py": source})) == ["m.a", "m.b"]


def test_a_computed_all_hides_nothing(tmp_path):
    source = "__all__ = names()\ndef a(): 'A.'\n"
    assert list(read(tmp_path, {"m.py": source})) == ["m.a"]


def test_a_package_speaks_for_the_submodules_it_imports_from(tmp_path):
    files = {
        "pack/__init__.py": "'A package.'\nfrom .inner import *\nfrom ._hidden import Thing\n",
        "pack/inner.py": "__all__ = ['go']\ndef go(): 'Go.'\ndef stay(): 'Stay.'\n",
        "pack/_hidden.py": "class Thing:\n    'A thing.'\n    def move(self): 'Move.'\n",
        "pack/open.py": "def other(): 'Other.'\n",
    }
    found = read(tmp_path, files)
    assert list(found) == ["pack", "pack.Thing", "pack.Thing.move", "pack.go", "pack.open.other"]


def test_a_module_that_became_a_package_keeps_its_names(tmp_path):
    old = {"pathlib.py": "class Path:\n    'A path.'\n    def exists(self): 'Is it there?'\n"}
    new = {
        "pathlib/__init__.py": "from pathlib._local import *\n",
        "pathlib/_abc.py": "class PathBase:\n    'Base.'\n    def exists(self): 'Is it there?'\n",
        "pathlib/_local.py": "__all__ = ['Path']\nclass Path(PathBase):\n    'A path.'\n",
    }
    assert read(tmp_path / "old", old) == read(tmp_path / "new", new)


def test_a_file_that_cannot_be_parsed_is_skipped_and_no_warning_leaks(tmp_path):
    files = {
        "broken.py": "def (:\n",
        "null.py": "x = '\0'\n",
        "escape.py": "'Fine.'\nx = '\\d'\n",
        "latin.py": "# -*- coding: utf-7-nonsense -*-\n'Gone.'\n",
    }
    assert list(read(tmp_path, files)) == ["escape"]


@pytest.mark.parametrize("name", ["", "missing", "python313.zip"])
def test_a_python_without_sources_is_an_input_error_that_says_what_to_do(tmp_path, name):
    (tmp_path / "python313.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"no source files .* Use a Python that keeps them"):
        list(read_python_docs(tmp_path / name if name else tmp_path))


def test_third_party_packages_and_tests_are_not_read(tmp_path):
    files = {
        "site-packages/big.py": "'Not ours.'\n",
        "test/test_a.py": "'A test.'\n",
        "json/tests/t.py": "'A test.'\n",
        "json/__main__.py": "'Run.'\n",
        "kept.py": "'Kept.'\n",
    }
    assert list(read(tmp_path, files)) == ["kept"]


def test_a_long_text_is_cut_at_a_word_and_a_short_one_is_dedented():
    text = "\n".join(["First line."] + ["    indented words"] * 100)
    short = cut("m.f()", text)
    assert short.startswith("First line.\nindented words\nindented")
    assert short.endswith("words …")
    assert len(short.split()) < 120
    assert cut("m.f()", "One.\n\n    Two.\n") == "One.\n\nTwo."


# The manual's chapters

CHAPTER = """Lists
*****

A list holds "items".

class list([iterable])

   Lists are made so:

   * "[]"

   sort(*, key=None)

      Sorts in place.

   len(s)

      No method.


More on lists
=============

   more_stmt ::= "more" list

Mutable ones.

{append}
"""
TABLE = """+------------------+--------------+
| Operation        | Result       |
|==================|==============|
| "s.append(x)"    | appends *x*  |
|                  | to the end   |
+------------------+--------------+
| "s[i] = x"       | replaced     |
+------------------+--------------+
"""
ENTRY = "sequence.append(value, /)\n\n   Append *value*.\n"


def topics(root: Path, chapters: dict[str, str]) -> dict[str, Document]:
    return read(root, {"pydoc_data/topics.py": f"# generated\ntopics = {chapters!r}\n"})


def test_a_chapter_gives_its_opening_its_sections_and_its_methods(tmp_path):
    found = topics(tmp_path, {"lists": CHAPTER.format(append=TABLE)})
    assert {doc_id: (d.title, d.text) for doc_id, d in found.items() if doc_id != "list"} == {
        "list.append": ("list.append(x)", "appends *x* to the end"),
        "list.sort": ("list.sort(*, key=None)", "Sorts in place."),
        "topics.lists": ("Lists", 'A list holds "items".'),
        "topics.more-on-lists": ("Lists: More on lists", found["topics.more-on-lists"].text),
    }
    assert found["topics.more-on-lists"].text.startswith("Mutable ones.")
    assert "+--" not in found["topics.more-on-lists"].text
    assert found["list"].text == 'Lists are made so:\n\n* "[]"'


def test_a_method_is_found_in_a_table_and_as_an_entry(tmp_path):
    old = topics(tmp_path / "old", {"lists": CHAPTER.format(append=TABLE)})
    new = topics(tmp_path / "new", {"lists": CHAPTER.format(append=ENTRY)})
    assert set(old) == set(new)
    assert new["list.append"].title == "list.append(value, /)"


def test_a_statement_has_one_name_whatever_chapter_holds_it(tmp_path):
    section = 'The "match" statement\n{rule}\n\nChooses a case.\n'
    inside = "Compound statements\n*******************\n\nMany.\n\n" + section.format(rule="=" * 21)
    apart = {"match": section.format(rule="*" * 21), "compound": inside}
    old = topics(tmp_path / "old", {"compound": inside})
    new = topics(tmp_path / "new", apart)
    assert list(old) == list(new) == ["topics.compound", "topics.match"]


def test_a_manual_that_cannot_be_read_is_left_out(tmp_path):
    files = {"m.py": "'M.'\n", "pydoc_data/topics.py": "topics = {'a': open('x')}\n"}
    assert list(read(tmp_path, files)) == ["m"]


# The questions


@pytest.fixture(scope="module")
def questions() -> dict[str, str]:
    lines = resource("evaluation", "python-docs", "queries.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len({row["_id"] for row in rows}) == len({row["text"] for row in rows}) == len(rows)
    return {row["_id"]: row["text"] for row in rows}


@pytest.fixture(scope="module")
def judgements() -> dict[tuple[str, str], int]:
    path = resource("evaluation", "python-docs", "qrels", "test.tsv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = {(row["query-id"], row["corpus-id"]): int(row["score"]) for row in rows}
    assert len(found) == len(rows)
    return found


def test_there_are_enough_questions_and_each_has_an_answer(questions, judgements):
    assert len(questions) >= 110
    assert set(judgements.values()) == {1, 2}
    answers = Counter(query_id for (query_id, _), grade in judgements.items() if grade == 2)
    assert set(answers) == set(questions)


def test_judged_documents_exist_on_the_running_version(library, judgements):
    judged = {doc_id for _, doc_id in judgements}
    missing = judged - set(library)
    # All exist on 3.10.13, 3.11.7, 3.12.1 and 3.13.0; a patch release may drop a docstring.
    assert len(missing) <= len(judged) // 100, sorted(missing)
