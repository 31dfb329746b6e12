"""What is printed for people and for machines."""

from __future__ import annotations

import json

import pytest

from sparse_ir.cli import output

ESCAPE = "\x1b]0;owned\x07"
OBEYED = ["\x1b", "\x07", "\r", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\u061c", "\udce9"]


@pytest.mark.parametrize("character", OBEYED)
def test_what_a_terminal_obeys_is_not_printed(character, capsys):
    hostile = f"a{character}b"
    output.print_table([hostile, "n"], [[hostile, "1"]], title=hostile)
    output.note(hostile)
    output.say(hostile)
    output.print_json({"text": hostile})
    out, err = capsys.readouterr()
    assert character not in out + err
    assert out.count("a\ufffdb") == 4  # title, header, cell and line
    assert err == "a\ufffdb\n"
    assert json.loads(out.splitlines()[-1]) == {"text": hostile}


@pytest.mark.parametrize("text", ["wiki:book:12", "bm25[k1=0.9].trec", "[/x]", "[bold]x[/bold]"])
def test_names_are_printed_letter_by_letter(text, capsys):
    output.print_table([text], [[text]], title=text)
    output.console().print(text)
    assert capsys.readouterr().out.count(text) == 4


def test_a_models_name_with_brackets_is_explained(sparse_ir, fruit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sparse_ir("index", "--corpus", fruit, "--model", "bm25", "--index", "fruit")
    model = json.loads(sparse_ir("inspect", "fruit", "--json").out)["model"]
    (tmp_path / "m[").mkdir()
    (tmp_path / "m[" / "x]").symlink_to(model, target_is_directory=True)
    told = sparse_ir("explain", "nothing", "--query", "--model", "m[/x]")
    assert told.exit_code == 0, told.err
    assert "m[/x]: no term." in told.out


def test_tabs_newlines_and_letters_are_printed_as_they_are():
    text = "a\tb\nü 梨 \U0001f34e \u200d"
    assert output.printable(text) == text


def test_a_document_cannot_write_to_the_terminal(sparse_ir, write_jsonl):
    row = {"_id": "d1", "title": f"A{ESCAPE}", "text": f"pear {ESCAPE} \x9b2J \u202e"}
    sparse_ir("index", "--corpus", write_jsonl("c.jsonl", [row]), "--model", "bm25")
    found = sparse_ir("search", "pear", "--explain")
    assert found.exit_code == 0, found.err
    assert "A\ufffd]0;owned\ufffd" in found.out
    assert not set("\x1b\x07\x9b\u202e") & set(found.out)


def test_bytes_that_are_no_text_can_be_searched_for(fruit, capsysbinary):
    from sparse_ir.cli import execute

    execute(["index", "--corpus", str(fruit), "--model", "bm25"])
    capsysbinary.readouterr()
    assert execute(["search", "--json", "pear caf\udce9"]) == 0
    row = json.loads(capsysbinary.readouterr().out)
    assert row["query"] == "pear caf\udce9"
    assert execute(["search", "--explain", "pear caf\udce9"]) == 0
    assert "pear caf\ufffd" in capsysbinary.readouterr().out.decode()


def test_an_error_cannot_write_to_the_terminal(sparse_ir):
    failed = sparse_ir("--config", f"none{ESCAPE}.yaml", "doctor")
    assert failed.exit_code == 2
    assert "none\ufffd]0;owned\ufffd.yaml: no such file" in failed.err
