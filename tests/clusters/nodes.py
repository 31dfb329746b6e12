"""One node: how its process is started."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from clusters import processes
from clusters.java import VECTORS, has_module

if TYPE_CHECKING:
    from pathlib import Path

    from clusters.releases import Release

UNWANTED = ("JAVA_TOOL_OPTIONS", "CLASSPATH", "SPARSE_IR_CLUSTER_AUTH")


def launch(
    release: Release, home: Path, java: Path, folder: Path, *, heap: str
) -> subprocess.Popen[bytes]:
    """Start a node, whose config folder is written, as the leader of a process group.

    Args:
        release: What to start.
        home: The server.
        java: The Java to run it.
        folder: The node's own: ``config``, ``tmp``, ``node.log``, and ``pid`` once it is known.
        heap: Heap of the Java machine, as in ``400m``.
    """
    for name in ("tmp", "logs"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "pid").unlink(missing_ok=True)
    prepare = _elasticsearch if release.product == "elasticsearch" else _opensearch
    command, extra = prepare(home, java, folder, heap)
    environment = {key: value for key, value in os.environ.items() if key not in UNWANTED}
    with (folder / "node.log").open("ab") as log:
        return subprocess.Popen(
            [*processes.prefix(), *command],
            env=environment | extra,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _elasticsearch(
    home: Path, java: Path, folder: Path, heap: str
) -> tuple[list[str], dict[str, str]]:
    """Its own program goes to the background once the server is up, and leaves the pid."""
    command = [str(home / "bin" / "elasticsearch"), "-d", "-p", str(folder / "pid")]
    environment = {
        "ES_JAVA_HOME": str(java),
        "ES_PATH_CONF": str(folder / "config"),
        "ES_TMPDIR": str(folder / "tmp"),
        "ES_JAVA_OPTS": f"-Xms{heap} -Xmx{heap} -XX:-AlwaysPreTouch",
    }
    return command, environment


def _opensearch(
    home: Path, java: Path, folder: Path, heap: str
) -> tuple[list[str], dict[str, str]]:
    agents = (home / "agent").glob("opensearch-agent-[0-9]*.jar")
    command = [
        str(java / "bin" / "java"),
        f"-Xms{heap}",
        f"-Xmx{heap}",
        "-XX:+UseG1GC",
        "-XX:+ExitOnOutOfMemoryError",
        *(f"-javaagent:{agent}" for agent in agents),
        *([f"--add-modules={VECTORS}"] if has_module(java, VECTORS) else []),
        "--enable-native-access=ALL-UNNAMED",
        f"-Djava.io.tmpdir={folder / 'tmp'}",
        "-Dlog4j.shutdownHookEnabled=false",
        "-Dlog4j2.disable.jmx=true",
        "-Djna.nosys=true",
        "-Dio.netty.noUnsafe=true",
        "-Dio.netty.noKeySetOptimization=true",
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={folder / 'config'}",
        "-Dopensearch.distribution.type=zip",
        "-cp",
        f"{home}/lib/*",
        "org.opensearch.bootstrap.OpenSearch",
    ]
    return command, {}
