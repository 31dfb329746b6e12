"""A whole run with credentials: it works, and keeps them nowhere."""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trustme
from https_server import HttpsServer

from sparse_ir.engines.opening import open_engine

USER, PASSWORD = "operator", "correct-horse-42"
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
INDEX = "secrets-test"


@pytest.fixture
def proxy(server_url, tmp_path, monkeypatch):
    """OpenSearch behind TLS and basic authentication."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SPARSE_IR_CA_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def check(request, body):
        return 200 if request.headers["authorization"] == f"Basic {BASIC}" else 401

    url = server_url("opensearch")
    server = HttpsServer(context, check, url)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.url, url
    server.shutdown()
    server.server_close()
    with open_engine(url) as engine:
        for build in engine.builds(INDEX):
            engine.drop(build)


def run(*arguments):
    """Run a command line; returns its exit code, output, and how the process list saw it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sparse_ir", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen = ""
    if Path("/proc").is_dir():
        while not seen:  # empty until the new program has been loaded
            seen = Path(f"/proc/{process.pid}/cmdline").read_text()
    out, _ = process.communicate(timeout=120)
    return process.returncode, out, seen


def test_a_run_with_credentials_leaves_no_trace_of_them(proxy, fruit, own_home, monkeypatch):
    address, direct = proxy
    where = ("--url", address, "--index", INDEX)
    monkeypatch.setenv("SPARSE_IR_USERNAME", USER)
    monkeypatch.setenv("SPARSE_IR_PASSWORD", PASSWORD)
    texts = []
    for arguments in (
        ("index", *where, "--corpus", str(fruit), "--model", "bm25", "--aside", "--json"),
        ("index", *where, "--corpus", str(fruit), "--model", "bm25", "--replace"),
        ("search", *where, "sweet fruit"),
        ("inspect", INDEX, "--url", address),
    ):
        code, out, seen = run(*arguments)
        assert code == 0, out
        texts += [out, seen]
    monkeypatch.setenv("SPARSE_IR_PASSWORD", PASSWORD + "-wrong")
    code, out, _ = run("search", *where, "sweet fruit")
    assert code == 5
    assert out.count("\n") == 1
    assert "SPARSE_IR_PASSWORD" in out
    texts.append(out)
    monkeypatch.setenv("SPARSE_IR_PASSWORD", PASSWORD)
    monkeypatch.delenv("SPARSE_IR_CA_FILE")
    code, out, _ = run("search", *where, "sweet fruit")
    assert code == 5
    assert "not trusted" in out
    texts.append(out)
    with open_engine(direct) as engine:
        mapping = engine.connection.call("GET", f"/{INDEX}@*/_mapping")
        assert len(mapping) == 2
        texts.append(str(mapping))
    kept = [path for path in own_home.rglob("*") if path.is_file()]
    assert kept
    texts += [path.read_bytes().decode("utf-8", "replace") for path in kept]
    assert not [text for text in texts if PASSWORD in text or BASIC in text]


@pytest.mark.parametrize("flag", ["--url", "--engine"])
@pytest.mark.parametrize("scheme", ["https", "htps"])
def test_a_password_in_a_url_is_refused_without_repeating_it(sparse_ir, flag, scheme):
    outcome = sparse_ir("search", flag, f"{scheme}://{USER}:{PASSWORD}@localhost:9200", "pear")
    assert outcome.exit_code == 2
    assert PASSWORD not in outcome.err + outcome.out
    if scheme == "https":
        assert "SPARSE_IR_PASSWORD" in outcome.err
    assert os.environ.get("SPARSE_IR_PASSWORD") is None
