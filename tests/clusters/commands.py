"""The command that starts a server, and its environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clusters.java import VECTORS, has_module

if TYPE_CHECKING:
    from pathlib import Path


def elasticsearch(
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


def opensearch(home: Path, java: Path, folder: Path, heap: str) -> tuple[list[str], dict[str, str]]:
    """Its distribution's own program is not published; this is what that comes down to."""
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
