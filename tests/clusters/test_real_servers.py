"""The launcher and the fixtures on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from clusters import health, processes
from clusters.releases import RELEASES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", RELEASES)
def test_a_shared_server_of_each_kind_answers_in_its_version(server_url, kind):
    url = server_url(kind)

    (node,) = health.get(f"{url}/_nodes/_all/version")["nodes"].values()

    if f"SPARSE_IR_TEST_{kind.upper()}" not in os.environ:
        assert node["version"] == RELEASES[kind].version
    assert server_url(kind) == url


def test_a_killed_node_comes_back_on_its_address_and_a_frozen_one_goes_on(own_cluster):
    pair = own_cluster("opensearch", nodes=2, heap="256m")
    urls = pair.urls
    pair.kill(1)
    assert pair.pid(1) is None
    assert pair.pid(0) is not None

    pair.start()

    assert pair.urls == urls
    assert pair.health(1)["number_of_nodes"] == 2
    assert "started" in pair.log(1)

    pair.stop_signal(1)
    with pytest.raises(OSError, match="timed out"):
        health.get(f"{urls[1]}/_cluster/health", timeout_seconds=1)
    pair.cont(1)
    assert pair.health(1)["status"] == "green"


def test_a_secured_server_takes_its_first_password_and_gives_api_keys(own_cluster):
    server = own_cluster(
        "elasticsearch",
        settings={"xpack.security.enabled": True},
        auth="elastic:right-password",
        api_keys=True,
    )

    page = f"{server.url}/_security/_authenticate"
    assert health.get(page, server.auth)["username"] == "elastic"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        health.get(page, "elastic:wrong-password")
    key = urllib.request.Request(
        f"{server.url}/_security/api_key",
        b'{"name": "one"}',
        {"Content-Type": "application/json", "Authorization": health.basic(server.auth)},
    )
    assert ask_until_known(key)["name"] == "one"
    written = [p for p in server.folder.rglob("*") if p.is_file() and p.suffix != ".keystore"]
    assert not [p for p in written if b"right-password" in p.read_bytes()]


def ask_until_known(request):
    """Ask again while the server makes its security index: it knows no built-in user meanwhile."""
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code not in (401, 503) or time.monotonic() > end:
                raise
        time.sleep(0.2)


def test_no_server_outlives_a_test_run_that_is_killed(own_cluster):
    own_cluster("opensearch", start=False)  # skips this test where none can be started
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from clusters.servers import Servers\n"
        "one = Servers().cluster('opensearch').start()\n"
        "print(one.pid(), one.folder.parent, flush=True)\n"
        "sys.stdin.read()\n"
    )
    tests = str(Path(__file__).parents[1])
    run = subprocess.Popen(
        [sys.executable, "-c", program, tests], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    pid, folder = run.stdout.readline().split()
    run.kill()
    run.communicate()

    end = time.monotonic() + 30
    while Path(os.fsdecode(folder)).exists() and time.monotonic() < end:
        time.sleep(0.1)

    assert processes.birth(int(pid)) is None
    assert not Path(os.fsdecode(folder)).exists()
