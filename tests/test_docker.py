"""What docker/ promises, as far as it can be held to it without a Docker engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from clusters.releases import RELEASES

PROJECT = Path(__file__).resolve().parents[1]
DOCKER = PROJECT / "docker"
SERVERS = ("opensearch", "elasticsearch")
# What the image query-only is there to do without.
LEFT_OUT = (
    "datasets",
    "huggingface_hub",
    "pyarrow",
    "qdrant_edge",
    "ranx",
    "torch",
    "transformers",
)


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def lines_of(name: str) -> list[str]:
    text = (DOCKER / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("server", SERVERS)
def test_compose_runs_the_versions_that_the_tests_run(compose, server):
    assert compose["services"][server]["image"].endswith(f"/{server}:{RELEASES[server].version}")


def test_compose_opens_ports_to_this_machine_only_and_each_once(compose):
    ports = [port for server in SERVERS for port in compose["services"][server]["ports"]]

    assert ports == ["127.0.0.1:9200:9200", "127.0.0.1:9201:9200"]
    assert "ports" not in compose["services"]["app"]


@pytest.mark.parametrize("server", SERVERS)
def test_compose_asks_each_server_for_its_health_and_bounds_its_memory(compose, server):
    service = compose["services"][server]

    assert "/_cluster/health?wait_for_status=yellow" in service["healthcheck"]["test"][1]
    assert service["mem_limit"] == "2g"
    heap = [value for value in service["environment"].values() if "-Xmx" in value]
    assert heap == ["-Xms1g -Xmx1g"]


def test_compose_starts_the_app_only_when_asked_and_builds_a_target_that_there_is(compose):
    app = compose["services"]["app"]

    assert app["profiles"] == ["app"]
    assert (DOCKER / app["build"]["context"]).resolve() == PROJECT
    assert (PROJECT / app["build"]["dockerfile"]).is_file()
    assert f"FROM base AS {app['build']['target']}" in lines_of("Dockerfile")


def test_every_named_volume_of_compose_is_declared(compose):
    mounts = [m for service in compose["services"].values() for m in service["volumes"]]
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith(("$", ".", "/"))}

    assert named == set(compose["volumes"])


def test_the_dockerfile_has_the_three_targets_and_builds_for_the_cpu_by_default():
    stages = [line.split()[-1] for line in lines_of("Dockerfile") if line.startswith("FROM ")]

    assert {"cpu", "gpu", "query-only"} <= set(stages)
    assert stages[-1] == "cpu"


def test_what_the_dockerfile_copies_is_there_and_let_through():
    copied = [line.split()[1:-1] for line in lines_of("Dockerfile") if line.startswith("COPY ")]
    let_through = {line[2:] for line in lines_of("Dockerfile.dockerignore") if line[0] == "!"}

    for name in (name for names in copied for name in names):
        assert (PROJECT / name).exists()
        assert name in let_through


def test_query_only_installs_dependencies_of_the_project_and_no_others():
    pyproject = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    known = set(re.findall(r'^    "([\w-]+)[>\[]|\["([\w-]+)>', pyproject, re.MULTILINE))

    assert set(lines_of("query-only.txt")) <= {name for pair in known for name in pair}


@pytest.fixture
def run(server_url, tmp_path):
    """Call the command line, without those modules: ``run(LEFT_OUT, "search", ...)``."""

    def call(left_out: tuple[str, ...], *arguments: str) -> str:
        program = (
            f"import sys; sys.modules.update(dict.fromkeys({left_out!r}))\n"
            "from sparse_ir.cli import run\n"
            "run(sys.argv[1:])\n"
        )
        place = ["--engine", server_url("opensearch"), "--index", "test-query-only"]
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, *place],
            capture_output=True,
            text=True,
            env=os.environ | {"SPARSE_IR_HOME": str(tmp_path / "data")},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_query_only_can_index_and_search_in_a_cluster(run, write_jsonl):
    corpus = write_jsonl("fruit.jsonl", [{"_id": "d1", "text": "An apple is a sweet fruit."}])

    run(LEFT_OUT, "index", "--corpus", str(corpus), "--model", "bm25", "--replace")
    answer = json.loads(run(LEFT_OUT, "search", "apples", "--json"))

    assert [hit["doc_id"] for hit in answer["hits"]] == ["d1"]


def test_query_only_searches_by_the_table_of_a_model_what_others_indexed(run, write_jsonl):
    corpus = write_jsonl("fruit.jsonl", [{"_id": "d1", "text": "An apple is a sweet fruit."}])

    run((), "index", "--corpus", str(corpus), "--replace")
    by_table = ("search", "sweet apple", "--query-encoder", "inference-free", "--json")
    answer = json.loads(run(LEFT_OUT, *by_table))

    assert [hit["doc_id"] for hit in answer["hits"]] == ["d1"]
    assert answer == json.loads(run((), *by_table))
