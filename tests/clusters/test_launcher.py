"""The launcher where no server is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clusters import caretaker, ports, processes
from clusters.cluster import Cluster
from clusters.configuration import Ports
from clusters.failures import ClusterError, MissingError
from clusters.folders import cache
from clusters.homes import fetch
from clusters.java import java_home
from clusters.releases import RELEASES
from clusters.servers import Servers, required

PROGRAM = Path(__file__).parent


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test here sees the homes and the servers of this machine."""
    monkeypatch.setenv("SPARSE_IR_CLUSTERS", str(tmp_path / "cache"))


def fake_java(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\n')
    return folder


def test_a_server_of_the_environment_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("SPARSE_IR_TEST_ELASTICSEARCH8", "http://search.example:9200/")

    assert Servers().url("elasticsearch8") == "http://search.example:9200"


def test_an_unknown_kind_of_server_is_refused_with_those_that_there_are():
    with pytest.raises(ClusterError, match=r"'elastic'\. There are: opensearch, elasticsearch"):
        Servers().url("elastic")


def test_without_maven_the_reason_is_one_line_that_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingError, match=r"^Maven \(mvn\) is not on PATH.*Install maven\.$"):
        fetch(RELEASES["opensearch"])


def test_a_maven_that_fails_is_quoted(monkeypatch, tmp_path):
    maven = tmp_path / "mvn"
    maven.write_text("#!/bin/sh\necho '[INFO] so far'\necho '[ERROR] Unknown host'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "java", "17")))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(MissingError, match=r"It said: \[ERROR\] Unknown host$"):
        fetch(RELEASES["elasticsearch"])
    assert not list((cache() / "home").iterdir())


def test_a_server_gets_the_first_java_that_fits_it(monkeypatch, tmp_path):
    monkeypatch.setenv("SPARSE_IR_JAVA_HOME", str(fake_java(tmp_path / "a", "17.0.9")))
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "b", "25")))

    assert java_home(RELEASES["opensearch"]) == tmp_path / "b"
    assert java_home(RELEASES["elasticsearch8"]) == tmp_path / "a"
    assert java_home(RELEASES["elasticsearch7"]) == tmp_path / "a"


def test_a_missing_java_is_named_with_its_versions_and_those_found(monkeypatch, tmp_path):
    only = fake_java(tmp_path / "jdk", "11.0.2")
    monkeypatch.setattr("clusters.java._candidates", lambda: iter([only]))

    with pytest.raises(MissingError, match=r"9\.2\.0 needs Java 21 or newer \(here: 11\)"):
        java_home(RELEASES["elasticsearch"])


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), ("", False)])
def test_servers_are_required_where_the_environment_says_so(monkeypatch, value, expected):
    monkeypatch.setenv("SPARSE_IR_REQUIRE_SERVERS", value)

    assert required() is expected


def test_free_ports_differ_and_a_named_port_counts_up():
    chosen = [port for pair in ports.choose(5) for port in pair]

    assert len(set(chosen)) == 10
    assert all(map(ports.is_free, chosen))
    assert ports.choose(2, 9300) == [Ports(9300, 9400), Ports(9301, 9401)]


def test_files_go_to_every_config_folder_and_not_beyond(tmp_path):
    source = tmp_path / "source.pem"
    source.write_bytes(b"\x00key")

    Cluster.create(tmp_path / "two", "opensearch", node_count=2, files={"certs/a.pem": source})

    for node in ("node-0", "node-1"):
        path = tmp_path / "two" / node / "config" / "certs" / "a.pem"
        assert path.read_bytes() == b"\x00key"
        assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ClusterError, match="outside of the config folder"):
        Cluster.create(tmp_path / "three", "opensearch", files={"../a.pem": "text"})


def test_a_cluster_is_found_again_without_its_password(tmp_path):
    made = Cluster.create(
        tmp_path / "one",
        "elasticsearch",
        settings={"xpack.security.http.ssl.enabled": True},
        auth="elastic:secret",
    )

    found = Cluster.load(tmp_path / "one")

    assert found is not None
    assert found.urls == made.urls
    assert found.url.startswith("https://127.0.0.1:")
    assert b"secret" not in (tmp_path / "one" / "state.json").read_bytes()
    assert Cluster.load(tmp_path / "none") is None


def test_a_process_is_told_from_a_later_one_of_its_id():
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    process = processes.of_pid(child.pid, child.pid)

    assert process.is_alive()
    assert not process._replace(born=process.born - 1).is_alive()

    process.kill_group()
    assert not process.is_alive()
    assert processes.of_pid(child.pid, child.pid) is None
    child.wait()


def test_the_caretaker_wipes_when_its_pipe_closes(tmp_path):
    folder = tmp_path / "run"
    Cluster.create(folder / "one", "opensearch")

    watcher = caretaker.watch(folder)
    assert watcher.poll() is None
    watcher.communicate(timeout=30)

    assert not folder.exists()


def test_a_mistake_on_the_command_line_is_one_line():
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "stop", "nothing"], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (1, "Error: there is no cluster 'nothing'.\n")


def test_a_test_that_takes_a_server_is_marked_so(request, server_url):
    assert request.node.get_closest_marker("server") is not None
