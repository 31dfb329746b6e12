from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import sparse_ir
from sparse_ir.data.manifest import hardware, read_manifest, redact, write_manifest
from sparse_ir.errors import InputError


def test_what_is_written_is_read_back_and_returned(tmp_path):
    path = tmp_path / "run.manifest.json"
    written = write_manifest(
        path,
        kind="run",
        command=["sparse-ir", "evaluate"],
        inputs={"qrels": {"path": Path("qrels.txt"), "sha256": "0" * 64}},
        outputs={"run.trec": {"sha256": "1" * 64, "queries": 43}},
        settings={"k": 100, "model": None},
        extra={"note": "é"},
    )
    assert read_manifest(path) == read_manifest(path, kind="run") == written
    assert written["inputs"]["qrels"]["path"] == "qrels.txt"
    assert written["outputs"]["run.trec"]["queries"] == 43
    assert written["settings"] == {"k": 100, "model": None}
    assert written["note"] == "é"
    assert written["made"]["command"] == ["sparse-ir", "evaluate"]


def test_it_tells_what_ran_where_and_how_long(tmp_path):
    begun = datetime.now(timezone.utc) - timedelta(seconds=90)
    made = write_manifest(tmp_path / "m.json", kind="run", started=begun)["made"]
    assert made["sparse_ir"] == sparse_ir.__version__
    assert made["python"] == ".".join(map(str, sys.version_info[:3]))
    assert made["seconds"] == pytest.approx(90, abs=30)
    assert datetime.fromisoformat(made["finished"]).utcoffset() == timedelta(0)
    assert made["command"][1:] == sys.argv[1:]
    assert made["hardware"] == hardware()
    assert made["hardware"]["cores"] >= 1
    assert made["hardware"]["memory_bytes"] > 0


def test_names_come_in_a_fixed_order(tmp_path):
    path = tmp_path / "m.json"
    write_manifest(path, kind="run", settings={"b": 1, "a": 2})
    text = path.read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_only_what_is_loaded_is_named_and_nothing_is_loaded():
    code = (
        "import sys\n"
        "from sparse_ir.data.manifest import provenance\n"
        "assert 'torch' not in provenance()['versions']\n"
        "assert not {'torch', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "import numpy\n"
        "assert provenance()['versions'] == {'numpy': numpy.__version__}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("told", "hidden"),
    [
        (["--api-key", "abc", "--k", "3"], ["--api-key", "***", "--k", "3"]),
        (["--api-key=abc"], ["--api-key=***"]),
        (["--password", "--json"], ["--password", "--json"]),
        (["--set", "engine.password=abc"], ["--set", "engine.password=***"]),
        (["HF_TOKEN=abc"], ["HF_TOKEN=***"]),
        (["-H", "Authorization: Bearer abc"], ["-H", "Authorization: ***"]),
        (["--max-tokens", "3"], ["--max-tokens", "3"]),
        (["--tokenizer", "bert"], ["--tokenizer", "bert"]),
        ("https://me:abc@host:9200/i", "https://***@host:9200/i"),
        ("https://host/?q=1&token=abc&k=3", "https://host/?q=1&token=***&k=3"),
        (
            {"a": {"hf_token": "abc", "batch_tokens": 3}},
            {"a": {"hf_token": "***", "batch_tokens": 3}},
        ),
        ({"password": None}, {"password": None}),
        ({"k": [1, 2.5, True, None]}, {"k": [1, 2.5, True, None]}),
    ],
)
def test_secrets_are_hidden_and_nothing_else(told, hidden):
    assert redact(told) == hidden


def test_no_secret_reaches_the_file(tmp_path):
    path = tmp_path / "m.json"
    write_manifest(
        path,
        kind="run",
        command=["sparse-ir", "--token", "hunter2"],
        inputs={"corpus": "https://me:hunter2@host/c"},
        settings={"engine": {"api_key": "hunter2"}},
        extra={"secret": "hunter2"},
    )
    assert "hunter2" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b'{"format": 1', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1]", "says no format"),
        (b'{"kind": "run"}', "says no format"),
        (b'{"format": 2, "kind": "run"}', "has the format 2"),
        (b'{"format": 1, "kind": "vectors"}', "not a manifest of run"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_damaged_manifest_is_refused_with_its_name(tmp_path, content, message):
    path = tmp_path / "m.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        read_manifest(path, kind="run")
    assert str(path) in str(raised.value)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing\.json"):
        read_manifest(tmp_path / "missing.json")
