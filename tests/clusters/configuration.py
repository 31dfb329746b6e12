"""What a node is told: its settings, the files of its config folder, its keystore."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clusters import processes
from clusters.failures import ClusterError
from clusters.java import VECTORS, has_module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clusters.releases import Release

LOG4J_CONFIGURATION = """\
appender.c.type = Console
appender.c.name = c
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n%ex
rootLogger.level = info
rootLogger.appenderRef.c.ref = c
"""


class Ports(NamedTuple):
    """The ports of one node."""

    http: int
    transport: int


def node_settings(
    name: str, release: Release, ports: list[Ports], index: int, folder: Path
) -> dict[str, Any]:
    """Settings of one node, before those that the user asks for.

    Args:
        name: Of the cluster.
        release: What runs there.
        ports: Of every node of the cluster.
        index: Which of the nodes this is.
        folder: The cluster's own folder.
    """
    nodes = [f"node-{i}" for i in range(len(ports))]
    settings: dict[str, Any] = {
        "cluster.name": name,
        "node.name": nodes[index],
        "network.host": "127.0.0.1",
        "http.port": ports[index].http,
        "transport.port": ports[index].transport,
        "path.data": str(folder / "data" / nodes[index]),
        "path.logs": str(folder / nodes[index] / "logs"),
        "path.repo": str(folder / "repo"),
        "cluster.routing.allocation.disk.threshold_enabled": False,
        "action.destructive_requires_name": False,
    }
    if release.product == "elasticsearch":
        settings["xpack.security.enabled"] = False
    if len(nodes) == 1:
        return settings | {"discovery.type": "single-node"}
    master = "master" if release.product == "elasticsearch" else "cluster_manager"
    return settings | {
        f"cluster.initial_{master}_nodes": nodes,
        "discovery.seed_hosts": [f"127.0.0.1:{port.transport}" for port in ports],
    }


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write the server's YAML. JSON is YAML, so that no value needs other quotes."""
    lines = (f"{key}: {json.dumps(value, default=str)}\n" for key, value in settings.items())
    path.write_text("".join(lines), encoding="utf-8")


def write_config(release: Release, home: Path, java: Path, config: Path) -> None:
    """Put the other files of a config folder in place; one that is there is left alone."""
    if release.product == "opensearch":
        _keep_or_write(config / "log4j2.properties", LOG4J_CONFIGURATION)
        return
    options = (home / "config" / "jvm.options").read_text(encoding="utf-8").splitlines(True)
    unwanted = r"-Xlog|-XX:.*Heap"
    if not has_module(java, VECTORS):
        unwanted += f"|.*--add-modules={VECTORS}"
    kept = [line for line in options if not re.match(unwanted, line)]
    _keep_or_write(config / "jvm.options", "".join(kept))
    for source in (home / "config").iterdir():
        there = config / source.name
        if source.is_file() and source.name != "elasticsearch.yml" and not there.exists():
            shutil.copy(source, there)


def put_files(config: Path, files: Mapping[str, str | bytes | Path]) -> None:
    """Write files into a config folder, readable by their owner only.

    Args:
        config: The folder.
        files: Name below the folder, as in ``certs/http.pem`` -> content, or the file to copy.

    Raises:
        ClusterError: A name leads out of the folder.
    """
    for name, content in files.items():
        path = config / name
        if config.resolve() not in path.resolve().parents:
            raise ClusterError(f"the file {name!r} would lie outside of the config folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.read_bytes() if isinstance(content, Path) else content
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        path.chmod(0o600)


def set_bootstrap_password(home: Path, config: Path, java: Path, password: str) -> None:
    """Create a keystore with the first password of ``elastic``, unless there is a keystore.

    Nothing but the keystore sets it here: ELASTIC_PASSWORD is read by container images only.

    Raises:
        ClusterError: The keystore's own program failed.
    """
    if (config / "elasticsearch.keystore").exists():
        return
    program = str(home / "bin" / "elasticsearch-keystore")
    environment = os.environ | {"ES_JAVA_HOME": str(java), "ES_PATH_CONF": str(config)}
    for arguments, given in ((["create"], ""), (["add", "-x", "bootstrap.password"], password)):
        done = subprocess.run(
            [*processes.prefix(), program, *arguments],
            env=environment,
            input=given,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise ClusterError(
                f"elasticsearch-keystore {arguments[0]} failed: {done.stdout[-600:]}"
            )


def _keep_or_write(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text, encoding="utf-8")
